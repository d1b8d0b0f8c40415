//! The HTTP/JSON gateway: etcd's interface for those who have no gRPC, under `/v3/` on the client port.
//!
//! A request becomes the gRPC call it stands for, through the same door and without a socket in between, so that each
//! method has one implementation. The messages are translated by their descriptors: no field is named in here. A stream of
//! requests is any number of JSON objects in the body; a stream of answers is one `{"result":...}` on each line, the
//! last one `{"error":...}` if it ends with an error.
//!
//! Never decides anything; never holds more of a body than one message.

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod json;
mod routes;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tonic::{Code, Status};

use super::GATEWAY_HEADER;
use super::grpc::{GrpcDoor, InsideBody};
use json::Translator;
use routes::{Route, Routes};
use stream::{Answers, requests};

/// Bytes of JSON that one message may take, for each byte of the largest gRPC message: base64 takes four for three, and
/// names come on top.
const JSON_BYTES_PER_MESSAGE_BYTE: usize = 2;

/// Where a header of a request goes as metadata of the call: those with this prefix, without it, as in etcd.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// The gateway. A handle: clones share one.
#[derive(Clone)]
struct Gateway {
    door: Arc<GrpcDoor>,
    routes: Arc<Routes>,
}

/// The paths of the gateway in front of `door`. `/v3beta/` is another name for `/v3/`, as in etcd.
pub(super) fn paths(door: &Arc<GrpcDoor>) -> Router {
    let gateway = Gateway {
        door: Arc::clone(door),
        routes: Arc::new(Routes::new()),
    };
    let mut router = Router::new();
    for path in ["/v3/", "/v3/{*method}", "/v3beta/", "/v3beta/{*method}"] {
        router = router.route(path, any(answer));
    }
    router.with_state(gateway)
}

async fn answer(State(gateway): State<Gateway>, request: Request) -> Response {
    let path = request.uri().path();
    let method = path.strip_prefix("/v3beta").or_else(|| path.strip_prefix("/v3"));
    let Some(route) = method.and_then(|method| gateway.routes.at(method)) else {
        return refusal(&Status::not_found("Not Found"));
    };
    if request.method() != Method::POST {
        return refusal(&Status::unimplemented("Method Not Allowed"));
    }
    gateway
        .call(route, request)
        .await
        .unwrap_or_else(|status| refusal(&status))
}

impl Gateway {
    async fn call(&self, route: &Route, request: Request) -> Result<Response, Status> {
        let maximum_bytes = self
            .door
            .maximum_message_bytes()
            .saturating_mul(JSON_BYTES_PER_MESSAGE_BYTE);
        let (parts, body) = request.into_parts();
        let sent = if route.takes_many {
            requests(body, route.request.clone(), maximum_bytes)
        } else {
            let text = whole(body, maximum_bytes).await?;
            let message = stream::framed(route.request.to_message(&text)?);
            InsideBody::new(Full::new(message).map_err(|never| match never {}))
        };
        let call = call_request(route, &parts.headers, sent)?;
        let mut answers = Answers::new(self.door.call_inside(call).await)?;
        if route.gives_many {
            // The head leaves with the first answer, as in etcd: what fails at once has a status of its own.
            let first = answers.next().await?;
            let lines = stream::lines(first, answers, route.answer.clone());
            return Ok(success(Body::from_stream(lines)));
        }
        let message = answers
            .next()
            .await?
            .ok_or_else(|| Status::internal("the call ended without an answer"))?;
        // A call may still fail after its answer; the trailers say so.
        answers.next().await?;
        Ok(success(Body::from(route.answer.to_json(&message)?)))
    }
}

/// The whole body, if it is not too large.
async fn whole(body: Body, maximum_bytes: usize) -> Result<Vec<u8>, Status> {
    match Limited::new(body, maximum_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(json::too_large(maximum_bytes)),
        Err(error) => Err(Status::cancelled(error.to_string())),
    }
}

/// The gRPC call that a request stands for. Metadata: the token, and what the client names as metadata.
fn call_request(
    route: &Route,
    headers: &HeaderMap,
    sent: InsideBody,
) -> Result<http::Request<InsideBody>, Status> {
    let mut call = http::Request::post(route.path.clone())
        .version(http::Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(sent)
        .map_err(|error| Status::internal(error.to_string()))?;
    let metadata = call.headers_mut();
    // That it came through here: a client certificate is no identity then, as in etcd.
    metadata.insert(GATEWAY_HEADER, HeaderValue::from_static("application/json"));
    if let Some(token) = headers.get(header::AUTHORIZATION) {
        metadata.insert(header::AUTHORIZATION, token.clone());
    }
    for (name, value) in headers {
        let named = name.as_str().strip_prefix(METADATA_PREFIX);
        if let Some(name) = named.and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
            && !is_of_the_call(&name)
        {
            metadata.append(name, value.clone());
        }
    }
    Ok(call)
}

/// Headers that make a call one: no client sets them from outside.
fn is_of_the_call(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || *name == header::TE || name.as_str().starts_with("grpc")
}

fn success(body: Body) -> Response {
    let content = HeaderValue::from_static("application/json");
    let kind = HeaderValue::from_static("application/grpc");
    let heads = [
        (header::CONTENT_TYPE, content),
        (HeaderName::from_static("grpc-metadata-content-type"), kind),
    ];
    (StatusCode::OK, heads, body).into_response()
}

/// An error as an answer.
fn refusal(status: &Status) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let body = json::refusal(status);
    (http_status(status.code()), [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// The HTTP status of a gRPC code, as gRPC gateways map them.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // The client closed the request: a number that only proxies know.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_http_status_that_gateways_give_it() {
        let statuses: Vec<u16> = (0..=16)
            .map(|code| http_status(Code::from_i32(code)).as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401
            ]
        );
    }

    #[test]
    fn a_call_carries_the_token_and_what_is_named_as_metadata_and_nothing_else() {
        let routes = Routes::new();
        let route = routes.at("/kv/range").expect("the path exists");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "secret"),
            ("cookie", "c"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-content-type", "text/plain"),
            ("grpc-metadata-grpc-timeout", "1n"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let sent = InsideBody::new(Full::default().map_err(|never| match never {}));
        let call = call_request(route, &headers, sent).expect("the headers are headers");
        assert_eq!(call.uri().path(), "/etcdserverpb.KV/Range");
        let mut metadata: Vec<(&str, &[u8])> = call
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        metadata.sort_unstable();
        let expected: [(&str, &[u8]); 5] = [
            ("authorization", b"secret"),
            ("content-type", b"application/grpc"),
            ("grpcgateway-accept", b"application/json"),
            ("hasleader", b"true"),
            ("te", b"trailers"),
        ];
        assert_eq!(metadata, expected);
    }
}
