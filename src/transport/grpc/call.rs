//! One gRPC call on its way through: what it receives is checked and counted, what it sends is counted, and a stream is
//! ended when the node stops, or when it asked for a leader and there has been none for long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use prometheus::IntCounter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::error::status;
use super::methods::{Kind, Method};
use crate::replication;
use crate::service::ServiceError;

/// Elections without a leader after which a stream that asked for one ends, as etcd's.
const PATIENCE_ELECTIONS: u32 = 3;
/// Bytes before every message: a flag and the length.
const PREFIX_BYTES: usize = 5;

/// What a call's request and its answer both know of it.
pub(super) struct Progress {
    method: Arc<Method>,
    received_bytes: AtomicU64,
}

/// Counts a call as ended: with the code that was seen, or as canceled if the client went away first.
pub(super) struct Counted {
    progress: Arc<Progress>,
    began: Instant,
    /// How long it took, if it has one answer and that is there.
    took: Option<Duration>,
    sent_bytes: u64,
    /// Tells the messages of a stream apart.
    sent_messages: Option<MessageSizes>,
    is_done: bool,
}

impl Counted {
    /// Counts the beginning.
    pub fn begin(method: Arc<Method>) -> Self {
        method.started();
        Self {
            sent_messages: (method.kind != Kind::Unary).then(|| MessageSizes::new(usize::MAX)),
            progress: Arc::new(Progress {
                method,
                received_bytes: AtomicU64::new(0),
            }),
            began: Instant::now(),
            took: None,
            sent_bytes: 0,
            is_done: false,
        }
    }

    /// What the request counts.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The answer is there, or the first of many: how fast the client reads it is not this node's time.
    fn answered(&mut self) {
        if self.progress.method.kind == Kind::Unary {
            self.took = Some(self.began.elapsed());
        }
    }

    fn sent(&mut self, data: &[u8]) {
        self.sent_bytes += u64::try_from(data.len()).unwrap_or(0);
        if let Some(messages) = &mut self.sent_messages {
            // Without a limit nothing is refused.
            let begun = messages.pass(data).unwrap_or(0);
            self.progress.method.sent(begun);
        }
    }

    /// Counts the end. Only the first counts.
    pub fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        let method = &self.progress.method;
        if method.kind == Kind::Unary && code == Code::Ok {
            method.sent(1);
        }
        let took = self.took.unwrap_or_else(|| self.began.elapsed());
        let received_bytes = self.progress.received_bytes.load(Ordering::Relaxed);
        method.handled(code, took, received_bytes, self.sent_bytes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// What is sent by a front door of this node that speaks another protocol.
pub(in crate::transport) type InsideBody = UnsyncBoxBody<Bytes, Status>;

/// Where the bytes of a request come from.
pub(super) enum Source {
    /// A client, through a socket.
    Client(Incoming),
    /// Another front door.
    Inside(InsideBody),
}

/// What a client sends: counted, and no message larger than the limit.
pub(super) struct RequestBody {
    inner: Source,
    received: IntCounter,
    progress: Arc<Progress>,
    sizes: MessageSizes,
}

impl RequestBody {
    pub fn new(
        inner: Source,
        received: IntCounter,
        progress: Arc<Progress>,
        maximum_message_bytes: usize,
    ) -> Self {
        Self {
            inner,
            received,
            progress,
            sizes: MessageSizes::new(maximum_message_bytes),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = match &mut self.inner {
            Source::Client(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|error| Status::from_error(Box::new(error))),
            Source::Inside(body) => Pin::new(body).poll_frame(context),
        };
        let frame = match std::task::ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(broken)) => {
                self.progress.method.failed_to_receive();
                return Poll::Ready(Some(Err(broken)));
            }
            None => return Poll::Ready(None),
        };
        if let Some(data) = frame.data_ref() {
            let bytes = u64::try_from(data.len()).unwrap_or(0);
            self.received.inc_by(bytes);
            let body = &mut *self;
            body.progress.received_bytes.fetch_add(bytes, Ordering::Relaxed);
            match body.sizes.pass(data) {
                Ok(begun) => body.progress.method.received(begun),
                Err(refused) => return Poll::Ready(Some(Err(refused))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Source::Client(body) => body.is_end_stream(),
            Source::Inside(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Source::Client(body) => body.size_hint(),
            Source::Inside(body) => body.size_hint(),
        }
    }
}

/// Follows the lengths of the messages in a byte stream, so that one that is too large is refused by its prefix, before
/// it is held in memory, in the words that clients of etcd know.
struct MessageSizes {
    maximum_bytes: usize,
    /// What has been seen of a prefix.
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// What is left of a message after its prefix.
    left_bytes: usize,
}

impl MessageSizes {
    fn new(maximum_bytes: usize) -> Self {
        Self {
            maximum_bytes,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            left_bytes: 0,
        }
    }

    /// Takes the next bytes; how many messages begin in them.
    fn pass(&mut self, data: &[u8]) -> Result<u64, Status> {
        let mut data = data;
        let mut begun = 0;
        while !data.is_empty() {
            let skipped = self.left_bytes.min(data.len());
            self.left_bytes -= skipped;
            data = data.get(skipped..).unwrap_or_default();
            for byte in data.iter().take(PREFIX_BYTES - self.prefix_bytes) {
                if let Some(slot) = self.prefix.get_mut(self.prefix_bytes) {
                    *slot = *byte;
                }
                self.prefix_bytes += 1;
                data = data.get(1..).unwrap_or_default();
            }
            if self.prefix_bytes == PREFIX_BYTES {
                self.prefix_bytes = 0;
                begun += 1;
                let [_, length @ ..] = self.prefix;
                self.left_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if self.left_bytes > self.maximum_bytes {
                    return Err(Status::resource_exhausted(format!(
                        "grpc: received message larger than max ({} vs. {})",
                        self.left_bytes, self.maximum_bytes
                    )));
                }
            }
        }
        Ok(begun)
    }
}

/// What a call answers.
pub(in crate::transport) struct ResponseBody {
    inner: Option<tonic::body::Body>,
    sent: IntCounter,
    /// None for a call of a method that does not exist.
    counted: Option<Counted>,
    /// Resolves when the call must end; streams only.
    ending: Option<BoxFuture<'static, Status>>,
}

impl ResponseBody {
    /// The body of `response`, which may be an error without a body.
    pub(super) fn wrap(
        response: http::Response<tonic::body::Body>,
        mut counted: Option<Counted>,
        sent: IntCounter,
        ending: Option<BoxFuture<'static, Status>>,
    ) -> http::Response<Self> {
        if let Some(counted) = &mut counted {
            counted.answered();
            if let Some(code) = code_in(response.headers()) {
                counted.end(code);
            }
        }
        response.map(|inner| Self {
            inner: Some(inner),
            sent,
            counted,
            ending,
        })
    }

    fn end(&mut self, code: Code) {
        if let Some(counted) = &mut self.counted {
            counted.end(code);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.inner.is_some()
            && let Some(ending) = &mut self.ending
            && let Poll::Ready(last) = ending.poll_unpin(context)
        {
            // Whoever produces the stream learns by its end that nobody reads it any more.
            self.inner = None;
            self.ending = None;
            self.end(last.code());
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(
                last.add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
            ));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.sent.inc_by(u64::try_from(data.len()).unwrap_or(0));
                if let Some(counted) = &mut self.counted {
                    counted.sent(data);
                }
            } else if let Some(code) = frame.trailers_ref().and_then(code_in) {
                self.end(code);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(tonic::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), tonic::body::Body::size_hint)
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(Status::GRPC_STATUS)
        .map(|code| Code::from_bytes(code.as_bytes()))
}

/// Whether a call asked to be refused while there is no leader.
pub(super) fn requires_leader(headers: &HeaderMap) -> bool {
    headers
        .get("hasleader")
        .is_some_and(|value| value.as_bytes() == b"true")
}

/// The version that a client says it has; it may say nothing.
///
/// # Errors
/// What it says cannot be read.
pub(super) fn client_version(headers: &HeaderMap) -> Result<Option<&str>, std::str::Utf8Error> {
    headers
        .get("client-api-version")
        .map(|version| std::str::from_utf8(version.as_bytes()))
        .transpose()
}

/// Resolves when a stream must end, with the status that ends it.
pub(super) async fn stream_end(
    stopping: CancellationToken,
    leader: Option<watch::Receiver<replication::Status>>,
    election: Duration,
) -> Status {
    let leaderless = async {
        match leader {
            Some(leader) => without_leader(leader, election * PATIENCE_ELECTIONS).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stopping.cancelled() => status(&ServiceError::Stopped),
        () = leaderless => status(&ServiceError::NoLeader),
    }
}

/// Resolves when there has been no leader for `patience`.
async fn without_leader(mut status: watch::Receiver<replication::Status>, patience: Duration) {
    loop {
        let lost = status.wait_for(|status| status.leader.is_none()).await.is_ok();
        if !lost {
            // The node is stopping, which ends the stream by itself.
            return std::future::pending().await;
        }
        let found = status.wait_for(|status| status.leader.is_some());
        if tokio::time::timeout(patience, found).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MemberId;

    fn message(bytes: u32) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(bytes.to_be_bytes());
        message.resize(PREFIX_BYTES + usize::try_from(bytes).expect("small"), 7);
        message
    }

    #[test]
    fn a_message_that_is_too_large_is_refused_by_its_prefix_however_it_is_cut() {
        let mut stream = message(10);
        stream.extend(message(0));
        stream.extend(message(11));
        for cut in 1..stream.len() {
            let mut sizes = MessageSizes::new(10);
            let seen = stream
                .chunks(cut)
                .try_for_each(|chunk| sizes.pass(chunk).map(drop));
            let refused = seen.expect_err("the third message is too large");
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert_eq!(
                refused.message(),
                "grpc: received message larger than max (11 vs. 10)"
            );
            let mut sizes = MessageSizes::new(11);
            let begun: u64 = stream
                .chunks(cut)
                .map(|chunk| sizes.pass(chunk).expect("none is too large"))
                .sum();
            assert_eq!(begun, 3, "each message is counted once, cut after {cut} bytes");
        }
    }

    #[tokio::test]
    async fn a_stream_that_needs_a_leader_lives_with_one_and_ends_without() {
        let election = Duration::from_millis(1);
        let led = replication::Status {
            leader: Some(MemberId(1)),
            ..Default::default()
        };
        let (sender, receiver) = watch::channel(led);
        let mut end = stream_end(CancellationToken::new(), Some(receiver), election).boxed();
        assert!((&mut end).now_or_never().is_none());
        sender.send_replace(replication::Status::default());
        let last = end.await;
        assert_eq!(
            (last.code(), last.message()),
            (Code::Unavailable, "etcdserver: no leader")
        );
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_node_stops() {
        let stopping = CancellationToken::new();
        stopping.cancel();
        let last = stream_end(stopping, None, Duration::from_secs(1)).await;
        assert_eq!(
            (last.code(), last.message()),
            (Code::Unavailable, "etcdserver: server stopped")
        );
    }
}
