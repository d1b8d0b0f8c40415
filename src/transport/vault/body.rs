//! Bodies: read whole, as JSON or as a form, within limits.
//!
//! What was read is wiped when it was understood.

use std::net::IpAddr;

use axum::body::Body as Stream;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use super::error::Refusal;
use super::large::{LargeBodies, LargePlace};
use super::parameters::Parameters;
use super::request::{Asked, Method};
use crate::base::limits::{ASIDE_SECRET_BODY_BYTES, LARGE_SECRET_BODY_BYTES, MAXIMUM_SECRET_BODY_BYTES};
use crate::service::ServiceError;
use crate::service::secrets::SecretsError;
use crate::service::secrets::parameters::{Body, ParameterError};

/// How a change of a part is written.
const MERGE_PATCH: &str = "application/merge-patch+json";
/// How forms of browsers are written; `curl -d` says it of everything.
const FORM: &str = "application/x-www-form-urlencoded";

/// What a request says: its body where it writes, else its parameters. With it comes the place of a large body, which is to
/// be kept until the request is answered.
///
/// # Errors
/// It is too large, or not to be understood.
pub(super) async fn read(
    headers: &HeaderMap,
    stream: Stream,
    large_bodies: &LargeBodies,
    client: Option<IpAddr>,
    asked: &Asked,
) -> Result<(Body, Option<LargePlace>), Refusal> {
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
            let body = Parameters::parse(asked.query.as_bytes()).into_body("list")?;
            return Ok((body, None));
        }
    }
    let (bytes, place) = whole(stream, length(headers)?, large_bodies, client).await?;
    let is_form = content_type == FORM;
    let is_aside = bytes.len() >= ASIDE_SECRET_BODY_BYTES;
    // What is understood keeps its place, even where nobody waits for the answer any more.
    let understand = move || parse(&bytes, is_form).map(|body| (body, place));
    if !is_aside {
        return understand();
    }
    // What takes long is understood aside, so that the rest of the node goes on.
    let parsed = tokio::task::spawn_blocking(understand).await;
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
fn length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let told = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match told {
        Some(bytes) if bytes > MAXIMUM_SECRET_BODY_BYTES => Err(ParameterError::Large(bytes).into()),
        told => Ok(told),
    }
}

/// All bytes of a body, in one piece that is not moved while it grows where its length was told; and a place once it is
/// known to be large, before more of it is read.
async fn whole(
    mut stream: Stream,
    told: Option<usize>,
    large_bodies: &LargeBodies,
    client: Option<IpAddr>,
) -> Result<(Zeroizing<Vec<u8>>, Option<LargePlace>), Refusal> {
    let expected = told.unwrap_or(0);
    let mut place = match expected > LARGE_SECRET_BODY_BYTES {
        true => Some(large_bodies.take(client).await),
        false => None,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected));
    while let Some(frame) = stream.frame().await {
        let frame =
            frame.map_err(|error| Refusal::invalid(format!("the body did not come whole: {error}")))?;
        if let Ok(data) = frame.into_data() {
            let length = bytes.len().saturating_add(data.len());
            if length > MAXIMUM_SECRET_BODY_BYTES {
                return Err(ParameterError::Large(length).into());
            }
            if length > LARGE_SECRET_BODY_BYTES && place.is_none() {
                place = Some(large_bodies.take(client).await);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok((bytes, place))
}
