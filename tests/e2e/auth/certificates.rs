//! Users who show a certificate in place of a token.

use tonic::Code;

use super::{put, set_up};
use crate::e2e::tls::site::Site;
use crate::support::{Clients, Credentials, Program, Result, TestResult};

async fn names_the_user_of_requests_without_a_token(program: Program) -> Result<()> {
    let site = Site::new(1)?;
    let cluster = site.cluster(program).start().await?;
    let (root, _) = set_up(&cluster).await?;
    let endpoint = cluster.endpoints().remove(0);
    let mut alice = Clients::protected(&endpoint, &site.credentials())?;
    put(&mut alice, "a").await?;
    let denied = put(&mut alice, "b").await.expect_err("alice has no right to b");
    assert_eq!(denied.code(), Code::PermissionDenied);
    // A token says more than a certificate.
    alice.token.set(Some(&root));
    put(&mut alice, "b").await?;
    alice.token.set(Some("no-token"));
    let denied = put(&mut alice, "a").await.expect_err("it is no token");
    assert_eq!(denied.code(), Code::Unauthenticated);

    let mallory = Credentials {
        authorities: site.clients.pem(),
        identity: Some(site.clients.issue("mallory", &[])?),
    };
    let mut mallory = Clients::protected(&endpoint, &mallory)?;
    let denied = put(&mut mallory, "a").await.expect_err("there is no such user");
    assert_eq!(denied.code(), Code::PermissionDenied);
    Ok(())
}

/// Whoever asks the gateway is known by a token alone: what the gateway shows inside must not count as the client's name.
#[tokio::test]
async fn the_name_in_a_certificate_is_nobodys_at_the_gateway() -> TestResult {
    let site = Site::new(1)?;
    let cluster = site.cluster(Program::stead()?).start().await?;
    let (root, alice) = set_up(&cluster).await?;
    let endpoint = cluster.endpoints().remove(0);
    let pair = site.alice_pair();
    let authority = site.path("client-ca.pem");
    let range = async |key: &str, authorization: &str| -> Result<(bool, String)> {
        let output = tokio::process::Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30"])
            .arg("--cacert")
            .arg(&authority)
            .arg("--cert")
            .arg(&pair.certificate)
            .arg("--key")
            .arg(&pair.key)
            .args(["--header", authorization])
            .args(["--data", &format!(r#"{{"key":"{key}"}}"#)])
            .arg(format!("{endpoint}/v3/kv/range"))
            .output()
            .await?;
        let body = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success() && !body.contains("message"), body))
    };
    // "a" and "b", of which alice may read the first.
    let (is_answered, body) = range("YQ==", "X-Nothing: none").await?;
    assert!(
        !is_answered && body.contains("etcdserver: user name is empty"),
        "{body}"
    );
    let (is_answered, body) = range("YQ==", &format!("Authorization: {alice}")).await?;
    assert!(is_answered, "{body}");
    let (is_answered, body) = range("Yg==", &format!("Authorization: {alice}")).await?;
    assert!(
        !is_answered && body.contains("etcdserver: permission denied"),
        "{body}"
    );
    let (is_answered, body) = range("Yg==", &format!("Authorization: {root}")).await?;
    assert!(is_answered, "{body}");
    Ok(())
}

#[tokio::test]
async fn the_name_in_a_certificate_is_the_user_of_requests_without_a_token() -> TestResult {
    Ok(names_the_user_of_requests_without_a_token(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_takes_the_name_in_a_certificate_as_well() -> TestResult {
    Ok(names_the_user_of_requests_without_a_token(Program::etcd()?).await?)
}
