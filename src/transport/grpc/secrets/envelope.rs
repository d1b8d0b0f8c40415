//! What is around a call to the secret store: the token, where it comes from, and how an error is told.
//!
//! Never decides whether a token is good for anything.

use bytes::Bytes;
use http::Extensions;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::super::error;
use crate::base::secret::Secret;
use crate::proto::secrets as wire;
use crate::service::secrets::engine::{Data, Peer};
use crate::service::secrets::{ErrorKind, SecretsError};
use crate::transport::Origin;

/// Where a token is, as in Vault's interface.
const OWN: &str = "x-vault-token";
/// Where it is if it is not there, behind `Bearer `.
const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";

/// The token of a call; none was given: what is open to everybody is served.
pub(super) fn token(metadata: &MetadataMap) -> Option<Secret<String>> {
    // A value that is no text is no token; it still is one that was given.
    let text = |name: &str| metadata.get(name).map(|value| value.to_str().unwrap_or_default());
    let token = text(OWN).or_else(|| text(AUTHORIZATION)?.strip_prefix(BEARER))?;
    (!token.is_empty()).then(|| Secret::new(token.to_owned()))
}

/// Where a call comes from.
pub(super) fn peer(extensions: &Extensions) -> Peer {
    let origin = extensions.get::<Origin>().cloned().unwrap_or_default();
    Peer::from(&origin)
}

/// The status of an error, with the data that go with it.
pub(super) fn status(error: &SecretsError) -> Status {
    let code = match error {
        SecretsError::Service(error) => return error::status(error),
        SecretsError::Sealed | SecretsError::NotInitialized => Code::FailedPrecondition,
        SecretsError::Contended(_) => Code::Aborted,
        error => match error.kind() {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::Denied => Code::PermissionDenied,
            ErrorKind::Missing => Code::NotFound,
            ErrorKind::Limited => Code::ResourceExhausted,
            ErrorKind::Unsupported | ErrorKind::Unimplemented => Code::Unimplemented,
            ErrorKind::Internal => Code::Internal,
            ErrorKind::Upstream => Code::Unknown,
            ErrorKind::Unavailable => Code::Unavailable,
        },
    };
    let details = error.data().and_then(|data| {
        let answer = wire::SecretResponse {
            data: json(data).ok()?,
            ..wire::SecretResponse::default()
        };
        Some(Bytes::from(answer.encode_to_vec()))
    });
    Status::with_details(code, error.to_string(), details.unwrap_or_default())
}

/// Data as they are sent.
///
/// # Errors
/// They cannot be written, which no data are.
pub(super) fn json(data: &Data) -> Result<Bytes, Status> {
    match serde_json::to_vec(data) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(Status::internal(format!("the answer cannot be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;
    use crate::service::ServiceError;
    use crate::service::secrets::engine::Fault;

    fn given(metadata: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = MetadataMap::new();
        for (name, value) in metadata {
            map.insert(*name, MetadataValue::from_static(value));
        }
        token(&map).map(|token| token.expose().clone())
    }

    #[test]
    fn a_token_is_in_a_field_of_its_own_or_is_borne() {
        for (metadata, token) in [
            (&[] as &[_], None),
            (&[("x-vault-token", "t")], Some("t")),
            (&[("authorization", "Bearer t")], Some("t")),
            (
                &[("authorization", "Bearer t"), ("x-vault-token", "u")],
                Some("u"),
            ),
            (&[("authorization", "t")], None),
            (&[("token", "t")], None),
            (&[("x-vault-token", "")], None),
        ] {
            assert_eq!(given(metadata).as_deref(), token, "{metadata:?}");
        }
    }

    #[test]
    fn an_error_has_its_code_and_its_text() {
        let contended = SecretsError::Contended(5);
        for (error, code, text) in [
            (SecretsError::Sealed, Code::FailedPrecondition, "Vault is sealed"),
            (SecretsError::Denied, Code::PermissionDenied, "permission denied"),
            (SecretsError::BadToken, Code::PermissionDenied, "bad token"),
            (Fault::Missing.into(), Code::NotFound, "nothing is there"),
            (Fault::Invalid("no".into()).into(), Code::InvalidArgument, "no"),
            (
                Fault::Unsupported.into(),
                Code::Unimplemented,
                "unsupported operation",
            ),
            (
                contended,
                Code::Aborted,
                "5 requests changed the same thing at once; try again",
            ),
            (
                ServiceError::NoLeader.into(),
                Code::Unavailable,
                "etcdserver: no leader",
            ),
        ] {
            let told = status(&error);
            assert_eq!((told.code(), told.message()), (code, text));
        }
    }

    #[test]
    fn the_data_of_an_error_go_along_with_it() {
        let data = Data::new().with("batch_results", &[1]).unwrap();
        let error = Fault::InvalidWith {
            text: "one failed".to_owned(),
            data,
        };
        let told = status(&error.into());
        let answer = wire::SecretResponse::decode(told.details()).unwrap();
        assert_eq!(answer.data, r#"{"batch_results":[1]}"#);
        assert_eq!(status(&SecretsError::Denied).details(), b"");
    }
}
