//! Answers, before they are a response: a status, and JSON, other bytes or nothing.
//!
//! Bytes are wiped once they are sent: they may be secrets.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use tokio_stream::wrappers::ReceiverStream;
use zeroize::Zeroizing;

use super::error::Refusal;
use crate::service::secrets::Allowance;
use crate::service::snapshot::Pieces;

/// The type of JSON, which clients compare with exactly this.
pub(super) const JSON: &str = "application/json";

/// The type of a snapshot.
const SNAPSHOT: &str = "application/octet-stream";

/// What an answer holds.
enum Content {
    Bytes(Vec<u8>),
    Pieces(Pieces),
}

/// An answer.
pub(super) struct Answer {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Content,
    allowed: Option<&'static str>,
    allowance: Option<Allowance>,
}

impl Answer {
    /// A success with nothing to say.
    pub fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: None,
            body: Content::Bytes(Vec::new()),
            allowed: None,
            allowance: None,
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
            body: Content::Bytes(body),
            allowed: None,
            allowance: None,
        })
    }

    /// Bytes of another type.
    pub fn raw(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(content_type),
            body: Content::Bytes(bytes),
            allowed: None,
            allowance: None,
        }
    }

    /// A snapshot, which is sent as it is made.
    pub fn pieces(pieces: Pieces) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(SNAPSHOT),
            body: Content::Pieces(pieces),
            allowed: None,
            allowance: None,
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

    /// With what is left of the client's quota.
    pub fn with_allowance(self, allowance: Option<Allowance>) -> Self {
        Self { allowance, ..self }
    }

    /// As a response.
    pub fn into_response(self) -> Response<Body> {
        let body = match self.body {
            Content::Bytes(bytes) => Body::from(Bytes::from_owner(Zeroizing::new(bytes))),
            // An error cuts it short, which shows: its checksum is at its end.
            Content::Pieces(pieces) => {
                let pieces = ReceiverStream::new(pieces);
                Body::from_stream(pieces.map(|piece| piece.map(|piece| piece.bytes)))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(methods) = self.allowed {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(allowance) = self.allowance {
            headers.insert("x-ratelimit-limit", allowance.limit.into());
            headers.insert("x-ratelimit-remaining", allowance.remaining.into());
            headers.insert("x-ratelimit-reset", allowance.reset_seconds.into());
            if self.status == StatusCode::TOO_MANY_REQUESTS {
                headers.insert(header::RETRY_AFTER, allowance.reset_seconds.into());
            }
        }
        response
    }
}
