//! What a page leaves unread of the body of its request.
//!
//! The next request of a connection of HTTP/1.1 comes behind the body of this one, and whoever still sends when the connection
//! is closed may never see the answer. So what is left is read before the answer leaves, up to a bound; where there is more,
//! the answer says that the connection ends with it.
//!
//! Never looks at what it reads.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::Router;
use axum::body::Body as Page;
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower::Service;

/// Bytes that are read of what is left: as many as the servers of Go read, which clients are used to.
const MAXIMUM_LEFT_BYTES: usize = 256 * 1024;
/// Time that the client has to send them.
const MAXIMUM_LEFT_TIME: Duration = Duration::from_secs(5);

/// Has a request answered by a page, and reads what that left of its body.
pub(super) async fn answer<B>(mut pages: Router, request: Request<B>) -> Response<Page>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        let Ok(response) = pages.call(request.map(Page::new)).await;
        return response;
    }
    // Who waits to be told to go on sends nothing that is not asked for.
    let waits = request.headers().contains_key(EXPECT);
    let (owner, mut returned) = oneshot::channel();
    let request = request.map(|body| {
        Page::new(Lent {
            body: Some(body),
            owner: Some(owner),
        })
    });
    let Ok(mut response) = pages.call(request).await;
    // Where it is still being read, whoever does so answers meanwhile.
    if let Ok(left) = returned.try_recv()
        && (waits || !is_read(left).await)
    {
        let ends = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, ends);
    }
    response
}

/// Whether a body was read to its end.
async fn is_read(left: impl Body<Data = Bytes, Error: Into<BoxError>> + Unpin) -> bool {
    if left.size_hint().lower() > MAXIMUM_LEFT_BYTES as u64 {
        return false;
    }
    let mut left = Limited::new(left, MAXIMUM_LEFT_BYTES);
    let reading = async {
        while let Some(frame) = left.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(MAXIMUM_LEFT_TIME, reading).await.unwrap_or(false)
}

/// The body of a request, which goes back to its owner when it is dropped before its end.
struct Lent<B> {
    body: Option<B>,
    owner: Option<oneshot::Sender<B>>,
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.body.as_ref().map_or_else(none, Body::size_hint)
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(owner)) = (self.body.take(), self.owner.take()) {
            // Nobody waits for it where the connection is gone.
            let _ = owner.send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::StatusCode;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A connection to pages that read the bodies of what is sent to `/read`, and no others.
    fn connect() -> DuplexStream {
        let (client, server) = duplex(1024 * 1024);
        let read = async |body: Bytes| format!("{} bytes", body.len());
        let pages = Router::new()
            .route("/read", axum::routing::any(read))
            .fallback(async || (StatusCode::NOT_FOUND, "no such page"));
        let service = service_fn(move |request: Request<Incoming>| {
            let pages = pages.clone();
            async move { Ok::<_, Infallible>(answer(pages, request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
        client
    }

    /// Reads one answer, or what came of it before the connection ended.
    async fn answered(client: &mut DuplexStream) -> String {
        let mut bytes = Vec::new();
        while !(bytes.ends_with(b"page") || bytes.ends_with(b"bytes")) {
            match client.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    fn says_that_it_ends(answer: &str) -> bool {
        answer.to_ascii_lowercase().contains("connection: close")
    }

    #[tokio::test]
    async fn a_connection_goes_on_behind_a_body_that_nobody_reads_and_that_comes_late() {
        let mut client = connect();
        for _ in 0..3 {
            let head = b"DELETE /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
            client.write_all(head).await.unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            client.write_all(b"hello").await.unwrap();
            let found = answered(&mut client).await;
            assert!(found.starts_with("HTTP/1.1 404"), "{found:?}");
            assert!(!says_that_it_ends(&found), "{found:?}");
        }
        let request =
            b"PUT /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        client.write_all(request).await.unwrap();
        let found = answered(&mut client).await;
        assert!(found.ends_with("3 bytes"), "{found:?}");
        assert!(!says_that_it_ends(&found), "{found:?}");
    }

    #[tokio::test]
    async fn the_answer_says_that_the_connection_ends_where_more_is_left_than_is_read() {
        let large = MAXIMUM_LEFT_BYTES + 1;
        let told = format!("PUT /none HTTP/1.1\r\nHost: a\r\nContent-Length: {large}\r\n\r\n");
        let waiting =
            "PUT /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".to_owned();
        let chunk = format!(
            "PUT /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{large:x}\r\n{}",
            "x".repeat(large)
        );
        for request in [told, waiting, chunk] {
            let mut client = connect();
            client.write_all(request.as_bytes()).await.unwrap();
            let found = answered(&mut client).await;
            assert!(found.starts_with("HTTP/1.1 404"), "{found:?}");
            assert!(says_that_it_ends(&found), "{found:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_sends_what_is_left_is_answered_all_the_same() {
        let mut client = connect();
        let head = b"PUT /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell";
        client.write_all(head).await.unwrap();
        let found = answered(&mut client).await;
        assert!(found.starts_with("HTTP/1.1 404"), "{found:?}");
        assert!(says_that_it_ends(&found), "{found:?}");
    }
}
