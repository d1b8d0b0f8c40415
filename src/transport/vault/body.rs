//! Bodies: read whole, as JSON or as a form, within limits.
//!
//! What was read is wiped when it was understood.

use axum::body::Body as Stream;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::error::Refusal;
use super::parameters::Parameters;
use super::request::{Asked, Method};
use crate::base::limits::{LARGE_SECRET_BODY_BYTES, MAXIMUM_SECRET_BODY_BYTES};
use crate::service::ServiceError;
use crate::service::secrets::SecretsError;
use crate::service::secrets::parameters::{Body, ParameterError};

/// How a change of a part is written.
const MERGE_PATCH: &str = "application/merge-patch+json";
/// How forms of browsers are written; `curl -d` says it of everything.
const FORM: &str = "application/x-www-form-urlencoded";

/// What a request says: its body where it writes, else its parameters.
///
/// # Errors
/// It is too large, or not to be understood.
pub(super) async fn read(
    headers: &HeaderMap,
    stream: Stream,
    large_bodies: &Semaphore,
    asked: &Asked,
) -> Result<Body, Refusal> {
    let content_type = content_type(headers);
    match asked.method {
        Method::Write => {}
        Method::Patch if content_type == MERGE_PATCH => {}
        Method::Patch => {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("a change of a part is written with Content-Type: {MERGE_PATCH}"),
            ));
        }
        Method::Read | Method::Head | Method::List | Method::Delete => {
            return Parameters::parse(asked.query.as_bytes()).into_body("list");
        }
    }
    let length = length(headers)?;
    let place = match length {
        Some(..LARGE_SECRET_BODY_BYTES) => None,
        _ => Some(large_bodies.acquire().await),
    };
    let bytes = whole(stream, length).await?;
    let is_form = content_type == FORM;
    if place.is_none() {
        return parse(&bytes, is_form);
    }
    // What takes long is understood aside, so that the rest of the node goes on.
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes, is_form)).await;
    parsed.map_err(|_| SecretsError::Service(ServiceError::Stopped))?
}

fn parse(bytes: &[u8], is_form: bool) -> Result<Body, Refusal> {
    let begin = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if is_form && begin.is_some_and(|byte| !b"{[n".contains(byte)) {
        return Parameters::parse(bytes).into_body("");
    }
    Ok(Body::parse(bytes)?)
}

/// What a body is said to be, without its parameters.
fn content_type(headers: &HeaderMap) -> String {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = given.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// How long a body is said to be.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let told = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let maximum = u64::try_from(MAXIMUM_SECRET_BODY_BYTES).unwrap_or(u64::MAX);
    match told {
        Some(bytes) if bytes > maximum => {
            Err(ParameterError::Large(usize::try_from(bytes).unwrap_or(usize::MAX)).into())
        }
        told => Ok(told),
    }
}

/// All bytes of a body, in one piece that is not moved while it grows where its length was told.
async fn whole(mut stream: Stream, told: Option<u64>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let expected = told.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected));
    while let Some(frame) = stream.frame().await {
        let frame =
            frame.map_err(|error| Refusal::invalid(format!("the body did not come whole: {error}")))?;
        if let Ok(data) = frame.into_data() {
            let length = bytes.len().saturating_add(data.len());
            if length > MAXIMUM_SECRET_BODY_BYTES {
                return Err(ParameterError::Large(length).into());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
