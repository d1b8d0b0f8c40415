//! Requests over HTTP as requests to the secret store.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::error::Refusal;
use super::parameters::Parameters;
use crate::base::secret::Secret;
use crate::service::secrets::engine::Peer;
use crate::service::secrets::parameters::{Body, span};
use crate::service::secrets::path::normalise;
use crate::service::secrets::{Request, Verb};
use crate::transport::Origin;

const TOKEN: &str = "x-vault-token";
const WRAP_TTL: &str = "x-vault-wrap-ttl";
const WRAP_FORMAT: &str = "x-vault-wrap-format";
const NAMESPACE: &str = "x-vault-namespace";

/// What a method asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Read,
    Head,
    List,
    Write,
    Patch,
    Delete,
}

/// What is asked for, and of what.
pub(super) struct Asked {
    pub method: Method,
    /// In its one form.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
}

impl Asked {
    /// Reads the method and the path, of which `encoded` is what follows the root of the interface.
    ///
    /// # Errors
    /// There is no such method, or the path is none.
    pub fn read(parts: &Parts, encoded: &str) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let parameters = Parameters::parse(query.as_bytes());
        let method = match parts.method.as_str() {
            "GET" if parameters.switch("list")? => Method::List,
            "GET" if parameters.switch("help")? => return Err(Refusal::unimplemented("help on paths is")),
            "GET" => Method::Read,
            "HEAD" => Method::Head,
            "LIST" => Method::List,
            "POST" | "PUT" => Method::Write,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            _ => return Err(Refusal::method()),
        };
        Ok(Self {
            method,
            path: normalise(encoded, method == Method::List)?,
            query: query.to_owned(),
        })
    }
}

/// Whether what is written to a path is a file and no JSON. Nothing takes one, so it is not read.
pub(super) fn is_file(path: &str) -> bool {
    matches!(
        path,
        "sys/storage/raft/snapshot" | "sys/storage/raft/snapshot-force"
    )
}

/// Refuses what is asked of another namespace than the one there is, and for wrapping in another form.
///
/// # Errors
/// It is.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.as_bytes())
            .unwrap_or_default()
    };
    let namespace = text(NAMESPACE);
    let namespace = namespace.strip_prefix(b"/").unwrap_or(namespace);
    let namespace = namespace.strip_suffix(b"/").unwrap_or(namespace);
    if !matches!(namespace, b"" | b"root") {
        return Err(Refusal::invalid(
            "namespaces are not supported: leave out X-Vault-Namespace, or send root",
        ));
    }
    match text(WRAP_FORMAT) {
        b"" => Ok(()),
        _ => Err(Refusal::unimplemented(
            "X-Vault-Wrap-Format is: leave it out, as tokens that wrap have one form; others are",
        )),
    }
}

/// A request to the secret store.
///
/// # Errors
/// The method has no meaning there, or a header cannot be understood.
pub(super) fn whole(
    asked: Asked,
    body: Body,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<Request, Refusal> {
    let verb = match asked.method {
        Method::Read => Verb::Read,
        Method::List => Verb::List,
        Method::Write => Verb::Write,
        Method::Patch => Verb::Patch,
        Method::Delete => Verb::Delete,
        Method::Head => return Err(Refusal::method()),
    };
    Ok(Request {
        id: Uuid::new_v4().to_string(),
        verb,
        path: asked.path,
        body,
        token: token(headers)?,
        wrap: wrap(headers)?,
        peer: Peer::from(origin),
    })
}

/// The token of a request: of the header of its own, or else the bearer's.
fn token(headers: &HeaderMap) -> Result<Option<Secret<String>>, Refusal> {
    let of_header = |name: &str| match headers.get(name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        // No token has other letters.
        Some(Err(_)) => Err(Refusal::new(StatusCode::FORBIDDEN, "permission denied")),
    };
    if let Some(token) = of_header(TOKEN)? {
        return Ok(Some(Secret::new(token.to_owned())));
    }
    let bearer = of_header("authorization")?
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    Ok(bearer.map(|token| Secret::new(token.to_owned())))
}

/// How long the answer is to be wrapped.
fn wrap(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(WRAP_TTL) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Refusal::invalid("X-Vault-Wrap-TTL is no text; write seconds, or 30s, 15m, 1h"))?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrapped = span(&Value::String(text.to_owned()))
        .map_err(|error| Refusal::invalid(format!("X-Vault-Wrap-TTL: {error}")))?;
    Ok(Some(wrapped).filter(|time| !time.is_zero()))
}
