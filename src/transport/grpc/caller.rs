//! Who calls: what the metadata of a call say, and what its connection knows.
//!
//! The token is in `token`, else in `authorization`, with or without `Bearer ` in front, as in etcd. Never decides
//! whether it is valid.

use std::sync::Arc;

use http::Extensions;
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::base::secret::Secret;
use crate::base::tls::CertificateName;
use crate::service::auth::Caller;

/// The metadata key of a token.
const TOKEN: &str = "token";
/// Where the token is if it is not there.
const AUTHORIZATION: &str = "authorization";
/// What may stand before the token there.
const BEARER: &str = "Bearer ";

/// Who calls.
pub(super) fn caller(metadata: &MetadataMap, extensions: &Extensions) -> Caller {
    let caller = match extensions.get::<CertificateName>() {
        Some(name) => Caller::default().with_certificate_name(Arc::clone(&name.0)),
        None => Caller::default(),
    };
    let text = |name: &str| {
        // A value that is no text is no token; it still is one that was given.
        metadata.get(name).map(|value| value.to_str().unwrap_or_default())
    };
    let token = text(TOKEN).or_else(|| {
        let token = text(AUTHORIZATION)?;
        Some(token.strip_prefix(BEARER).unwrap_or(token))
    });
    match token {
        Some(token) => caller.with_token(Secret::new(token.to_owned())),
        None => caller,
    }
}

/// A request without its envelope, and who sent it.
pub(super) fn open<T>(request: Request<T>) -> (Caller, T) {
    let (metadata, extensions, message) = request.into_parts();
    (caller(&metadata, &extensions), message)
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;

    fn token(name: &str) -> Caller {
        Caller::default().with_token(Secret::new(name.to_owned()))
    }

    fn called(metadata: &[(&'static str, &'static str)], certificate: Option<&str>) -> Caller {
        let mut request = Request::new(());
        for (name, value) in metadata {
            request
                .metadata_mut()
                .insert(*name, MetadataValue::from_static(value));
        }
        if let Some(name) = certificate {
            request.extensions_mut().insert(CertificateName(name.into()));
        }
        open(request).0
    }

    #[test]
    fn a_token_is_in_token_else_in_authorization_with_or_without_bearer() {
        assert_eq!(called(&[], None), Caller::default());
        assert_eq!(called(&[("token", "t")], None), token("t"));
        assert_eq!(called(&[("authorization", "a")], None), token("a"));
        assert_eq!(called(&[("authorization", "Bearer a")], None), token("a"));
        assert_eq!(
            called(&[("authorization", "a"), ("token", "t")], None),
            token("t")
        );
        assert_eq!(
            called(&[("token", "")], None),
            token(""),
            "a void token was given"
        );
    }

    #[test]
    fn a_certificate_names_the_caller() {
        let alice = Caller::default().with_certificate_name("alice".into());
        assert_eq!(called(&[], Some("alice")), alice);
        assert_eq!(
            called(&[("token", "t")], Some("alice")),
            token("t").with_certificate_name("alice".into()),
            "the gate prefers the token"
        );
    }

    #[test]
    fn who_calls_is_not_shown_with_the_token() {
        let shown = format!("{:?}", called(&[("token", "hunter2")], None));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
