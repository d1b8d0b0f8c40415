//! Golden requests and answers of Vault's interface, as far as they need no store.

mod body;
mod door;
mod envelope;
mod pages;
mod request;
mod verification;

use axum::body::Body as Stream;
use http::Response;
use http_body_util::BodyExt;
use serde_json::Value;

use super::answer::Answer;
use super::error::Refusal;

/// A response: its status, its content type and its body.
pub(super) async fn read(response: Response<Stream>) -> (u16, String, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let content_type = response.headers().get("content-type");
    let content_type = content_type
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, content_type, String::from_utf8(body.to_vec()).unwrap())
}

/// The status and the JSON of an answer.
pub(super) async fn json(answer: Answer) -> (u16, Value) {
    let (status, content_type, text) = read(answer.into_response()).await;
    assert_eq!(content_type, "application/json", "{text}");
    (status, serde_json::from_str(&text).unwrap())
}

/// The status and the JSON of a refusal.
pub(super) async fn refused(refusal: Refusal) -> (u16, Value) {
    let (status, content_type, text) = read(refusal.into_response()).await;
    assert_eq!(content_type, "application/json", "{text}");
    (status, serde_json::from_str(&text).unwrap())
}
