//! What is answered: a status, a body, and how current it is.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::parameters::Consistency;
use crate::base::Revision;
use crate::service::consul::Contact;

const TEXT: &str = "text/plain; charset=utf-8";

/// How current an answer is, for its headers. Every answer that has an index has all of them, also a 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub index: Revision,
    pub contact: Contact,
    pub consistency: Consistency,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: StatusCode,
    kind: Option<&'static str>,
    body: Bytes,
    meta: Option<Meta>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    fn new(status: StatusCode, kind: Option<&'static str>, body: Bytes) -> Self {
        Self {
            status,
            kind,
            body,
            meta: None,
            headers: Vec::new(),
        }
    }

    /// Done, and nothing to say.
    pub fn empty() -> Self {
        Self::new(StatusCode::OK, None, Bytes::new())
    }

    /// JSON that is written already.
    pub fn json(body: Vec<u8>) -> Self {
        Self::new(StatusCode::OK, Some("application/json"), body.into())
    }

    /// Text.
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, Some(TEXT), body.into().into())
    }

    /// Bytes of another kind.
    pub fn bytes(kind: &'static str, body: Bytes) -> Self {
        Self::new(StatusCode::OK, Some(kind), body)
    }

    /// Nothing there, and nothing to say of it.
    pub fn missing() -> Self {
        Self::new(StatusCode::NOT_FOUND, None, Bytes::new())
    }

    /// With another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With one more header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says, if it is so, that rights hide a part of what there is.
    pub fn marked(self, is_filtered: bool) -> Self {
        match is_filtered {
            true => self.with_header(
                HeaderName::from_static("x-consul-results-filtered-by-acls"),
                HeaderValue::from_static("true"),
            ),
            false => self,
        }
    }

    /// With how current it is.
    pub fn with_meta(mut self, meta: Meta) -> Self {
        self.meta = Some(meta);
        self
    }

    /// As a response.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = self.kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(meta) = self.meta {
            let silence = u64::try_from(meta.contact.silence.as_millis()).unwrap_or(u64::MAX);
            let index = u64::try_from(meta.index.0).unwrap_or_default().max(1);
            headers.insert("x-consul-index", index.into());
            headers.insert(
                "x-consul-knownleader",
                HeaderValue::from_static(if meta.contact.has_leader { "true" } else { "false" }),
            );
            headers.insert("x-consul-lastcontact", silence.into());
            headers.insert(
                "x-consul-effective-consistency",
                HeaderValue::from_static(meta.consistency.name()),
            );
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// Plain text with a status: every error is one.
pub(super) fn refusal(status: StatusCode, text: impl Into<Arc<str>>) -> Response<Body> {
    let text: Arc<str> = text.into();
    let mut response = Response::new(Body::from(text.as_bytes().to_vec()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(TEXT);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
