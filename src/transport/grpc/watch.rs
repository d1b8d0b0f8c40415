//! The Watch service of etcd v3 on the wire.
//!
//! Each event is encoded once, whoever watches it: a response is a small head followed by the events' shared bytes, which is
//! why the service is written by hand around a codec of its own instead of the generated one. Splits large responses for
//! clients that asked for fragments. Decides nothing else: what is sent, and in which order, comes from
//! [`crate::service::watch`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use futures::future::BoxFuture;
use prost::Message;
use prost::encoding::message;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body, Service, StdError, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Code, Request, Response, Status, Streaming};

use super::error::code;
use crate::base::{Namespace, Revision};
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use crate::proto::mvccpb;
use crate::service::ServiceError;
use crate::service::auth::Pass;
use crate::service::watch::WatchResponse as Outgoing;
use crate::service::watch::{
    EventRecord, WatchBody, WatchCreate, WatchHub, WatchRefusal, WatchStreamHandle, WatchStreamReceiver,
};
use crate::state::applied::{Event, EventKind, KeyValue};
use crate::state::command::Keys;

/// The path of the one method.
const METHOD_PATH: &str = "/etcdserverpb.Watch/Watch";

/// The tag of `WatchResponse.events`.
const EVENTS_TAG: u32 = 11;

/// Makes the header of a response at a revision.
pub type Headers = Arc<dyn Fn(Revision) -> ResponseHeader + Send + Sync>;

/// Decides which streams may open and when they must end (a client that requires a leader, a stopping server).
pub trait StreamGuard: Send + Sync + 'static {
    /// Admits a stream by its metadata; the future resolves with the status that ends it.
    ///
    /// # Errors
    /// The status with which the stream is refused.
    fn admit(&self, metadata: &MetadataMap) -> Result<BoxFuture<'static, Status>, Status>;

    /// For whom the stream's watches are; none for somebody who has no identity.
    fn pass(&self, metadata: &MetadataMap, extensions: &http::Extensions) -> Option<Pass>;
}

/// The service. Clones share one hub.
#[derive(Clone)]
pub struct WatchServer {
    hub: WatchHub,
    headers: Headers,
    guard: Arc<dyn StreamGuard>,
    maximum_message_bytes: usize,
}

impl WatchServer {
    /// The service on `hub`. `maximum_message_bytes` bounds a request, and is where fragments are cut.
    #[must_use]
    pub fn new(
        hub: WatchHub,
        headers: Headers,
        guard: Arc<dyn StreamGuard>,
        maximum_message_bytes: usize,
    ) -> Self {
        Self {
            hub,
            headers,
            guard,
            maximum_message_bytes,
        }
    }

    fn open(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<ResponseStream>, Status> {
        let guarded = self.guard.admit(request.metadata())?;
        let pass = self.guard.pass(request.metadata(), request.extensions());
        let (handle, receiver) = self.hub.open_stream(pass);
        let (failed, failure) = oneshot::channel();
        tokio::spawn(take_requests(request.into_inner(), handle, failed));
        let responses = Responses {
            receiver,
            ended: Box::pin(first_end(guarded, failure)),
            encoded: VecDeque::new(),
            headers: self.headers.clone(),
            maximum_message_bytes: self.maximum_message_bytes,
            is_done: false,
        };
        let stream = futures::stream::unfold(responses, |mut responses| async move {
            let next = responses.next().await?;
            Some((next, responses))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

type ResponseStream = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;

/// Resolves when the guard or a broken request ends the stream.
async fn first_end(guarded: BoxFuture<'static, Status>, failure: oneshot::Receiver<Status>) -> Status {
    let broken = async {
        match failure.await {
            Ok(status) => status,
            // The client sends no more requests, which does not end the stream.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        status = guarded => status,
        status = broken => status,
    }
}

/// Hands the requests of a stream to the hub, in order.
async fn take_requests(
    mut requests: Streaming<WatchRequest>,
    mut handle: WatchStreamHandle,
    failed: oneshot::Sender<Status>,
) {
    loop {
        let message = tokio::select! {
            message = requests.message() => message,
            () = handle.closed() => return,
        };
        match message {
            Ok(Some(request)) => take_request(request, &mut handle).await,
            Ok(None) => return,
            Err(status) => {
                // The stream may have ended on its own meanwhile; then nobody needs to know.
                let _ = failed.send(status);
                return;
            }
        }
    }
}

async fn take_request(request: WatchRequest, handle: &mut WatchStreamHandle) {
    match request.request_union {
        Some(RequestUnion::CreateRequest(create)) => handle.create(create_from(create)).await,
        Some(RequestUnion::CancelRequest(cancel)) => handle.cancel(cancel.watch_id).await,
        Some(RequestUnion::ProgressRequest(_)) => handle.request_progress(),
        // A kind of request that this version does not know gets no reply (etcd).
        None => {}
    }
}

fn create_from(request: WatchCreateRequest) -> WatchCreate {
    WatchCreate {
        keys: Keys {
            namespace: Namespace::DEFAULT,
            key: request.key,
            end: request.range_end,
        },
        start_revision: Revision(request.start_revision),
        watch_id: request.watch_id,
        without_puts: request.filters.contains(&i32::from(FilterType::Noput)),
        without_deletes: request.filters.contains(&i32::from(FilterType::Nodelete)),
        with_previous: request.prev_kv,
        progress_notify: request.progress_notify,
        fragment: request.fragment,
    }
}

/// The responses of a stream, encoded.
struct Responses {
    receiver: WatchStreamReceiver,
    ended: BoxFuture<'static, Status>,
    /// Fragments of one response.
    encoded: VecDeque<Encoded>,
    headers: Headers,
    maximum_message_bytes: usize,
    is_done: bool,
}

impl Responses {
    async fn next(&mut self) -> Option<Result<Encoded, Status>> {
        if self.is_done {
            return None;
        }
        if let Some(fragment) = self.encoded.pop_front() {
            return Some(Ok(fragment));
        }
        let end = tokio::select! {
            biased;
            status = &mut self.ended => status,
            response = self.receiver.next() => match response {
                Some(response) => {
                    let header = (self.headers)(response.revision);
                    self.encoded = encode(&response, header, self.maximum_message_bytes);
                    return self.encoded.pop_front().map(Ok);
                }
                None => Status::unavailable("etcdserver: server stopped"),
            },
        };
        self.is_done = true;
        Some(Err(end))
    }
}

/// An encoded response: concatenated, the parts are a `WatchResponse`.
#[derive(Debug, Default)]
struct Encoded {
    head: Bytes,
    events: SmallVec<[Bytes; 1]>,
}

/// Encodes a response; at least one message, more only for a client that takes fragments.
fn encode(response: &Outgoing, header: ResponseHeader, maximum_message_bytes: usize) -> VecDeque<Encoded> {
    let mut message = WatchResponse {
        header: Some(header),
        watch_id: response.watch_id,
        ..WatchResponse::default()
    };
    match &response.body {
        WatchBody::Created => message.created = true,
        WatchBody::Refused(refusal) => {
            message.created = true;
            message.canceled = true;
            message.cancel_reason = match refusal {
                WatchRefusal::Forbidden(error) => reason(error),
                refusal => refusal.to_string(),
            };
        }
        WatchBody::Revoked(error) => {
            message.canceled = true;
            message.cancel_reason = reason(error);
        }
        WatchBody::Canceled => message.canceled = true,
        WatchBody::Compacted { compacted } => {
            message.canceled = true;
            message.compact_revision = compacted.0;
        }
        WatchBody::Progress => {}
        WatchBody::Events {
            events,
            with_previous,
            fragment,
        } => {
            let events = events.iter().map(|record| event_bytes(record, *with_previous));
            return if *fragment {
                encode_fragments(message, events, maximum_message_bytes)
            } else {
                let head = message.encode_to_vec().into();
                let events = events.collect();
                VecDeque::from([Encoded { head, events }])
            };
        }
    }
    let head = message.encode_to_vec().into();
    VecDeque::from([Encoded {
        head,
        events: SmallVec::new(),
    }])
}

/// A refusal as clients of etcd know it: the text of a whole status.
fn reason(error: &ServiceError) -> String {
    let code = match code(error) {
        Code::InvalidArgument => "InvalidArgument",
        Code::PermissionDenied => "PermissionDenied",
        Code::Unauthenticated => "Unauthenticated",
        _ => "Unknown",
    };
    format!("rpc error: code = {code} desc = {error}")
}

/// Cuts a response between events so that each message stays below the limit, unless one event alone is above it.
fn encode_fragments(
    mut message: WatchResponse,
    events: impl Iterator<Item = Bytes>,
    maximum_message_bytes: usize,
) -> VecDeque<Encoded> {
    let last_head = Bytes::from(message.encode_to_vec());
    message.fragment = true;
    let head = Bytes::from(message.encode_to_vec());
    let mut fragments = VecDeque::new();
    let mut fragment = Encoded::default();
    let mut length = head.len();
    for event in events {
        if !fragment.events.is_empty() && length.saturating_add(event.len()) >= maximum_message_bytes {
            fragment.head = head.clone();
            fragments.push_back(std::mem::take(&mut fragment));
            length = head.len();
        }
        length = length.saturating_add(event.len());
        fragment.events.push(event);
    }
    fragment.head = last_head;
    fragments.push_back(fragment);
    fragments
}

/// An event as a field of a response, shared by all its watchers.
fn event_bytes(record: &EventRecord, with_previous: bool) -> Bytes {
    record.encoded(with_previous, encode_event).clone()
}

fn encode_event(event: &Event, previous: Option<&KeyValue>) -> Bytes {
    let kind = match event.kind {
        EventKind::Put => mvccpb::event::EventType::Put,
        EventKind::Delete => mvccpb::event::EventType::Delete,
    };
    let event = mvccpb::Event {
        r#type: kind.into(),
        kv: Some(key_value(&event.key_value)),
        prev_kv: previous.map(key_value),
    };
    let mut bytes = BytesMut::with_capacity(message::encoded_len(EVENTS_TAG, &event));
    message::encode(EVENTS_TAG, &event, &mut bytes);
    bytes.freeze()
}

fn key_value(pair: &KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: pair.key.clone(),
        create_revision: pair.create_revision.0,
        mod_revision: pair.modification_revision.0,
        version: pair.version,
        value: pair.value.clone(),
        lease: pair.lease.0,
    }
}

/// Takes requests as prost does, and sends what [`encode`] made.
#[derive(Debug, Clone, Copy)]
struct WatchCodec;

impl Codec for WatchCodec {
    type Encode = Encoded;
    type Decode = WatchRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for WatchCodec {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let length = item.events.iter().map(Bytes::len).sum::<usize>();
        buffer.reserve(item.head.len().saturating_add(length));
        buffer.put_slice(&item.head);
        for event in &item.events {
            buffer.put_slice(event);
        }
        Ok(())
    }
}

impl Decoder for WatchCodec {
    type Item = WatchRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<WatchRequest>, Status> {
        WatchRequest::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(format!("grpc: error unmarshalling request: {error}")))
    }
}

impl NamedService for WatchServer {
    const NAME: &'static str = "etcdserverpb.Watch";
}

/// The one method of the service.
struct Watch(WatchServer);

impl StreamingService<WatchRequest> for Watch {
    type Response = Encoded;
    type ResponseStream = ResponseStream;
    type Future = std::future::Ready<Result<Response<ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<WatchRequest>>) -> Self::Future {
        std::future::ready(self.0.open(request))
    }
}

impl<B> Service<http::Request<B>> for WatchServer
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != METHOD_PATH {
                let path = request.uri().path();
                let method = path.rsplit_once('/').map_or(path, |(_, method)| method);
                let name = <Self as NamedService>::NAME;
                let reason = format!("unknown method {method} for service {name}");
                return Ok(Status::unimplemented(reason).into_http());
            }
            let limit = Some(service.maximum_message_bytes);
            let mut grpc = Grpc::new(WatchCodec).apply_max_message_size_config(limit, None);
            Ok(grpc.streaming(Watch(service), request).await)
        })
    }
}

#[cfg(test)]
mod tests;
