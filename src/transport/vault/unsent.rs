//! Answers that are not sent yet: each keeps the place of its request, so that a client that takes none of them gets no
//! more.
//!
//! Never changes what is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::transport::clients::Place;

/// The body of an answer, with the place of its request.
pub(super) struct Unsent {
    body: Body,
    place: Arc<Place>,
}

/// Bytes of such a body: a connection may hold them for long after the body has ended.
struct Piece {
    bytes: Bytes,
    _place: Arc<Place>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Unsent {
    /// A body that leaves its place when it and all bytes of it are gone, sent or given up.
    pub fn wrap(body: Body, place: Place) -> Body {
        Body::new(Self {
            body,
            place: Arc::new(place),
        })
    }
}

impl http_body::Body for Unsent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, place } = self.get_mut();
        let held = |bytes| {
            Bytes::from_owner(Piece {
                bytes,
                _place: Arc::clone(place),
            })
        };
        let polled = Pin::new(body).poll_frame(context);
        polled.map_ok(|frame| frame.map_data(held))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
