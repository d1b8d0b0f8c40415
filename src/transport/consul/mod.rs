//! Consul's HTTP interface, under `/v1/`. Translation only: paths, parameters, JSON, headers, waiting.
//!
//! ```text
//!  request -> place of the client -> route -> token -> body -> handler -> Consul
//! ```
//!
//! Errors are plain text, as Consul's are. What is not offered is not found, and never an empty success. Never decides
//! anything: [`crate::service::consul`] does.

mod acl;
mod agent;
mod agent_checks;
mod agent_services;
mod answer;
mod blocking;
mod call;
mod catalog;
mod definition;
mod error;
mod event;
mod fields;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod health;
mod kv;
mod listing;
mod operator;
mod parameters;
mod query;
mod refused;
mod registration;
mod routes;
mod session;
mod shapes;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
mod txn;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use super::Origin;
use super::clients::Clients;
use crate::service::consul::{Consul, ConsulError};
use answer::{Answer, refusal};
use call::Call;
use parameters::{Parameters, ReadOptions};
use routes::Route;

/// What requests are answered with.
struct Door {
    consul: Consul,
    clients: Clients,
    stopping: CancellationToken,
}

/// The interface, for at most so many requests of one client address at a time.
pub(super) fn pages(consul: &Consul, requests_per_client: usize, stopping: CancellationToken) -> Router {
    let door = Door {
        consul: consul.clone(),
        clients: Clients::new(requests_per_client),
        stopping,
    };
    Router::new()
        .fallback(answer_request)
        .with_state(Arc::new(door))
        .layer(CompressionLayer::new())
}

async fn answer_request(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    let client = request.extensions().get::<Origin>().and_then(Origin::ip);
    let Some(_place) = door.clients.enter(client) else {
        return refusal(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "too many requests of {} are under way, waiting ones included: at most {} may be \
                 (--consul-max-requests-per-client)",
                client.map_or_else(|| "this machine".to_owned(), |address| address.to_string()),
                door.clients.maximum()
            ),
        );
    };
    let path: Vec<u8> = percent_decode_str(request.uri().path()).collect();
    if let Some(letter) = unprintable(&path) {
        let letter = letter.escape_unicode();
        return refusal(
            StatusCode::BAD_REQUEST,
            format!("Invalid URL path: it holds the unprintable character {letter}"),
        );
    }
    if path == b"/" {
        return Answer::text("Consul Agent").into_response();
    }
    let Some(found) = routes::find(&path) else {
        if let Some(error) = refused::refusal(&door.consul, &path) {
            let (status, text) = error::answer(&error);
            return refusal(status, text);
        }
        return refusal(
            StatusCode::NOT_FOUND,
            "Invalid URL path: not a recognized HTTP API endpoint",
        );
    };
    if request.method() == Method::OPTIONS {
        return with_allowed(Answer::empty().into_response(), &found.allowed());
    }
    let Some(route) = found.of(request.method()) else {
        let text = format!("method {} not allowed", request.method());
        return with_allowed(refusal(StatusCode::METHOD_NOT_ALLOWED, text), &found.allowed());
    };
    let rest = Bytes::copy_from_slice(found.rest);
    match door.answer(route, rest, request).await {
        Ok(answer) => answer.into_response(),
        Err(error) => {
            let (status, text) = error::answer(&error);
            refusal(status, text)
        }
    }
}

impl Door {
    async fn answer(
        &self,
        route: &'static Route,
        rest: Bytes,
        request: Request,
    ) -> Result<Answer, ConsulError> {
        let (parts, body) = request.into_parts();
        let parameters = Parameters::parse(parts.uri.query().unwrap_or_default());
        is_here(&self.consul, &parameters)?;
        let options = ReadOptions::parse(&parameters)?;
        let token = token(&parameters, &parts.headers);
        let authorizer = match route.is_open {
            true => Arc::default(),
            false => self.consul.authorize(token.as_deref()).await?,
        };
        let body = whole(body, route.body_bytes).await?;
        let call = Call {
            consul: self.consul.clone(),
            rest,
            parameters,
            options,
            token,
            authorizer,
            body,
            stopping: self.stopping.clone(),
        };
        (route.handler)(call).await
    }
}

/// Refuses what is about another datacenter, namespace or partition than the one there is.
fn is_here(consul: &Consul, parameters: &Parameters) -> Result<(), ConsulError> {
    if let Some(datacenter) = parameters.text("dc")
        && datacenter != consul.settings().datacenter
    {
        return Err(ConsulError::OtherDatacenter);
    }
    for name in ["ns", "partition"] {
        if let Some(value) = parameters.text(name)
            && value != "default"
        {
            return Err(ConsulError::Invalid(format!(
                "Invalid query parameter: {name:?} is {value:?}, but there is only \"default\""
            )));
        }
    }
    match parameters.text("peer") {
        Some(peer) => Err(ConsulError::Invalid(format!(
            "Invalid query parameter: \"peer\" is {peer:?}, but this cluster has no peers"
        ))),
        None => Ok(()),
    }
}

/// The token of a request: the first of the parameter, the header of its own, and the bearer's.
fn token(parameters: &Parameters, headers: &HeaderMap) -> Option<String> {
    let of_header = |name: &str| headers.get(name)?.to_str().ok().filter(|text| !text.is_empty());
    let bearer = || {
        let (scheme, token) = of_header("authorization")?.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    };
    let token = parameters.text("token");
    let token = token.or_else(|| of_header("x-consul-token")).or_else(bearer);
    token.map(str::to_owned)
}

/// The whole body, if it is not too large.
async fn whole(body: Body, maximum_bytes: usize) -> Result<Bytes, ConsulError> {
    match Limited::new(body, maximum_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ConsulError::TooLarge(format!(
            "Request body too large, max size: {maximum_bytes} bytes"
        ))),
        Err(error) => Err(ConsulError::Invalid(format!(
            "the body did not come whole: {error}"
        ))),
    }
}

/// The first character of a path that cannot be printed.
fn unprintable(path: &[u8]) -> Option<char> {
    let is_printable = |letter: char| {
        let is_hidden = matches!(letter,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..);
        letter == ' ' || !(letter.is_control() || letter.is_whitespace() || is_hidden)
    };
    let text = String::from_utf8_lossy(path);
    text.chars().find(|letter| !is_printable(*letter))
}

fn with_allowed(mut response: Response<Body>, methods: &str) -> Response<Body> {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}
