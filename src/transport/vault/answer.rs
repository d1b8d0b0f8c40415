//! Answers, before they are a response: a status, and JSON, other bytes or nothing.
//!
//! Bytes are wiped once they are sent: they may be secrets.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::Refusal;

/// The type of JSON, which clients compare with exactly this.
pub(super) const JSON: &str = "application/json";

/// An answer.
pub(super) struct Answer {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    allowed: Option<&'static str>,
}

impl Answer {
    /// A success with nothing to say.
    pub fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: None,
            body: Vec::new(),
            allowed: None,
        }
    }

    /// JSON.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, Refusal> {
        let mut body = serde_json::to_vec(value).map_err(|_| {
            let text = "the answer cannot be written as JSON";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        body.push(b'\n');
        Ok(Self {
            status,
            content_type: Some(JSON),
            body,
            allowed: None,
        })
    }

    /// Bytes of another type.
    pub fn raw(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(content_type),
            body: bytes,
            allowed: None,
        }
    }

    /// With another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With the methods that may be used.
    pub fn with_allowed(self, methods: &'static str) -> Self {
        Self {
            allowed: Some(methods),
            ..self
        }
    }

    /// As a response.
    pub fn into_response(self) -> Response<Body> {
        let body = Bytes::from_owner(Zeroizing::new(self.body));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(methods) = self.allowed {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}
