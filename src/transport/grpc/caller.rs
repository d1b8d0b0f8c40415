//! Who calls: what the metadata of a call say, and what its connection knows.
//!
//! The token is in `token`, else in `authorization`, with or without `Bearer ` in front, as in etcd. Never decides
//! whether it is valid.

use http::Extensions;
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::base::secret::Secret;
use crate::service::auth::Caller;

/// The metadata key of a token.
const TOKEN: &str = "token";
/// Where the token is if it is not there.
const AUTHORIZATION: &str = "authorization";
/// What may stand before the token there.
const BEARER: &str = "Bearer ";

/// Who calls.
pub(super) fn caller(metadata: &MetadataMap, _extensions: &Extensions) -> Caller {
    // The name in a verified client certificate belongs in here, with `Caller::with_certificate_name`, unless the metadata
    // have `grpcgateway-accept`.
    let caller = Caller::default();
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
