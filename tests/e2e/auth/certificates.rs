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

#[tokio::test]
async fn the_name_in_a_certificate_is_the_user_of_requests_without_a_token() -> TestResult {
    Ok(names_the_user_of_requests_without_a_token(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_takes_the_name_in_a_certificate_as_well() -> TestResult {
    Ok(names_the_user_of_requests_without_a_token(Program::etcd()?).await?)
}
