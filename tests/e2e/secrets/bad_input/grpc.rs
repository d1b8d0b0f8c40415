//! The same over gRPC, where it has codes of its own: paths are not decoded, and messages are shorter.

use serde_json::json;
use stead::proto::secrets::seal_client::SealClient;
use stead::proto::secrets::secrets_client::SecretsClient;
use stead::proto::secrets::{
    BeginRekeyRequest, BeginRootRequest, InitializeRequest, OfferRequest, ResetRequest, SealStatusRequest,
    SecretRequest, UnsealRequest, WatchSecretsRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::{SECRET, is_still_there, nothing_was_logged, store};
use crate::support::{Result, TestResult};

/// Looks at a refusal: its code, what it says, and that it repeats nothing that stands for a secret.
fn refused<T>(answer: Result<T, Status>, code: Code, says: &str) -> Result<()> {
    let Err(status) = answer else {
        return Err(format!("{code:?} {says} is not what happens").into());
    };
    let text = format!("{status:?}");
    if status.code() != code || !status.message().contains(says) {
        return Err(format!("{code:?} {says} is not what is said: {text}").into());
    }
    match text.contains(SECRET) || text.contains("hvs.") {
        true => Err(format!("the answer repeats a secret: {text}").into()),
        false => Ok(()),
    }
}

/// A request with a token.
fn with_token<T>(message: T, token: &str) -> Result<Request<T>> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("x-vault-token", token.parse()?);
    }
    Ok(request)
}

fn asked(path: &str, data: impl Into<Vec<u8>>, token: &str) -> Result<Request<SecretRequest>> {
    let message = SecretRequest {
        path: path.to_owned(),
        data: data.into().into(),
        wrap_ttl_seconds: 0,
    };
    with_token(message, token)
}

fn bytes(share: &str) -> Result<Vec<u8>> {
    let digits = |at| Ok(u8::from_str_radix(&share[at..at + 2], 16)?);
    (0..share.len()).step_by(2).map(digits).collect()
}

async fn connected(endpoint: &str) -> Result<Channel> {
    Ok(Channel::from_shared(endpoint.to_owned())?.connect().await?)
}

#[tokio::test]
async fn requests_over_grpc_that_are_wrong_are_refused_with_its_codes() -> TestResult {
    let store = store().await?;
    let channel = connected(&store.cluster.endpoints()[0]).await?;
    let (mut secrets, root) = (SecretsClient::new(channel), store.root.as_str());
    let path = "secret/data/app/a";

    for token in ["", "hvs.0123456789abcdefghijklmn", "no token"] {
        for path in [path, "secret/data/none", "nowhere/a"] {
            let read = secrets.read(asked(path, "", token)?).await;
            refused(read, Code::PermissionDenied, "permission denied")?;
        }
    }
    for (path, code, says) in [
        ("secret/data/app/../a", Code::InvalidArgument, "segment of dots"),
        ("secret/data/app/.", Code::InvalidArgument, "segment of dots"),
        ("secret/data/app/a\0", Code::InvalidArgument, "control character"),
        (
            "secret/data/app/a\r\n",
            Code::InvalidArgument,
            "control character",
        ),
        // It is no encoding here: nothing has this name.
        ("secret/data/app/%2e%2e/a", Code::NotFound, ""),
        ("secret/data%2fapp/a", Code::NotFound, ""),
        ("nowhere/a", Code::NotFound, "no handler for route"),
    ] {
        let read = secrets.read(asked(path, "", root)?).await;
        refused(read, code, says).map_err(|error| format!("{path}: {error}"))?;
    }
    let long = "a".repeat(2_049);
    let read = secrets.read(asked(&long, "", root)?).await;
    refused(read, Code::InvalidArgument, "the most is 2048")?;

    let deep = format!("{{\"data\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let twice = format!("{{\"data\": {{\"v\": \"{SECRET}\", \"v\": \"{SECRET}\"}}}}");
    for (body, says) in [
        (deep.as_bytes(), "failed to parse JSON input"),
        (twice.as_bytes(), "\"v\" is said twice"),
        (SECRET.as_bytes(), "failed to parse JSON input"),
        (b"[1]", "it is no object"),
        (b"{\"data\": \"\xff\"}", "it is no UTF-8"),
        (b"", "no data provided"),
    ] {
        let written = secrets.write(asked(path, body, root)?).await;
        refused(written, Code::InvalidArgument, says)?;
    }
    let large = json!({"data": {"v": "a".repeat(3 * 1024 * 1024)}}).to_string();
    let written = secrets.write(asked(path, large, root)?).await;
    refused(written, Code::ResourceExhausted, "")?;
    let listed = secrets.list(asked("secret/metadata/app/a", "", root)?).await;
    refused(listed, Code::NotFound, "")?;
    let listed = secrets.list(asked("secret/data/app", "", root)?).await;
    refused(listed, Code::Unimplemented, "unsupported operation")?;

    for (paths, code, says) in [
        (Vec::new(), Code::InvalidArgument, "name 1 to 64"),
        (vec![path.to_owned(); 65], Code::InvalidArgument, "name 1 to 64"),
        (
            vec!["secret/../a".to_owned()],
            Code::InvalidArgument,
            "segment of dots",
        ),
    ] {
        let watched = secrets
            .watch(with_token(WatchSecretsRequest { paths }, root)?)
            .await;
        refused(watched, code, says)?;
    }
    let paths = vec![path.to_owned()];
    let watched = secrets
        .watch(with_token(WatchSecretsRequest { paths }, "")?)
        .await;
    refused(watched, Code::PermissionDenied, "permission denied")?;

    let read = secrets.read(asked(path, "", root)?).await?.into_inner();
    assert!(String::from_utf8(read.data.to_vec())?.contains(SECRET));
    is_still_there(&store.root(0)).await?;
    nothing_was_logged(&store)?;
    Ok(())
}

#[tokio::test]
async fn shares_over_grpc_that_are_wrong_are_refused_and_right_ones_unseal() -> TestResult {
    let store = store().await?;
    let shares = store.shares.iter().map(|share| bytes(share));
    let shares = shares.collect::<Result<Vec<_>>>()?;
    let mut open = SealClient::new(connected(&store.cluster.endpoints()[0]).await?);
    let mut sealed = SealClient::new(connected(&store.cluster.endpoints()[1]).await?);

    let numbers = InitializeRequest {
        shares: 3,
        threshold: 2,
    };
    let again = open.initialize(numbers).await;
    refused(again, Code::InvalidArgument, "Vault is already initialized")?;
    for (shares, threshold) in [(0, 0), (3, 1), (2, 3), (256, 2), (u32::MAX, u32::MAX)] {
        let numbers = BeginRekeyRequest {
            shares,
            threshold,
            requires_verification: false,
        };
        let begun = open.begin_rekey(numbers).await;
        refused(begun, Code::InvalidArgument, "255")?;
    }
    let password = SECRET.repeat(2);
    let begun = open.begin_root(BeginRootRequest { password }).await;
    refused(begun, Code::InvalidArgument, "wrong length")?;

    let begun = open.begin_rekey(BeginRekeyRequest {
        shares: 3,
        threshold: 2,
        requires_verification: false,
    });
    let nonce = begun.await?.into_inner().nonce;
    let wrong = "there is no unseal attempt";
    for (nonce, says) in [
        ("00000000-0000-4000-8000-000000000000", wrong),
        ("", "the nonce is none"),
        (SECRET, "the nonce is none"),
    ] {
        let offered = OfferRequest {
            share: shares[0].clone().into(),
            nonce: nonce.to_owned(),
        };
        refused(open.offer_to_rekey(offered).await, Code::InvalidArgument, says)?;
    }
    let short = OfferRequest {
        share: SECRET.into(),
        nonce,
    };
    refused(
        open.offer_to_rekey(short).await,
        Code::InvalidArgument,
        "a share has 28 bytes",
    )?;

    let unseal = |share: &[u8]| UnsealRequest {
        share: share.to_vec().into(),
    };
    for (share, says) in [
        (&[] as &[u8], "a share has 0 bytes"),
        (&[1; 34], "a share has 34 bytes"),
        (&[1; 32], "not one of a key that needs 2 shares"),
        (&[0; 33], "the last byte of a share is 0"),
    ] {
        refused(sealed.unseal(unseal(share)).await, Code::InvalidArgument, says)?;
    }
    for _ in 0..2 {
        let given = sealed.unseal(unseal(&shares[0])).await?.into_inner();
        assert_eq!((given.is_sealed, given.given), (true, 1));
    }
    let wrong = sealed.unseal(unseal(&[1; 33])).await;
    refused(
        wrong,
        Code::InvalidArgument,
        "the shares do not open the root key",
    )?;
    let status = sealed.status(SealStatusRequest {}).await?.into_inner();
    assert_eq!((status.is_sealed, status.given), (true, 0));
    sealed.unseal(unseal(&shares[0])).await?;
    assert_eq!(sealed.reset(ResetRequest {}).await?.into_inner().given, 0);

    let mut secrets = SecretsClient::new(connected(&store.cluster.endpoints()[1]).await?);
    let read = secrets.read(asked("secret/data/app/a", "", &store.root)?).await;
    refused(read, Code::FailedPrecondition, "Vault is sealed")?;
    for share in &shares[1..] {
        sealed.unseal(unseal(share)).await?;
    }
    let read = secrets.read(asked("secret/data/app/a", "", &store.root)?).await?;
    assert!(String::from_utf8(read.into_inner().data.to_vec())?.contains(SECRET));
    nothing_was_logged(&store)?;
    Ok(())
}
