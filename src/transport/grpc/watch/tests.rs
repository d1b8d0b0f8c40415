//! The Watch service over real sockets, with the generated client.

use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Server};

use super::*;
use crate::proto::etcdserverpb::watch_client::WatchClient;
use crate::proto::etcdserverpb::{WatchCancelRequest, WatchProgressRequest};
use crate::replication::News;
use crate::service::watch::WatchSettings;
use crate::service::watch::tests::{Node, compact, delete, put};
use crate::state::auth::AuthChange;
use crate::state::command::Command;

/// A guard that refuses those who say so, and ends the others' streams when told.
struct Guard {
    end: Mutex<Option<oneshot::Receiver<Status>>>,
}

impl StreamGuard for Guard {
    fn admit(&self, metadata: &MetadataMap) -> Result<BoxFuture<'static, Status>, Status> {
        if metadata.contains_key("refuse-me") {
            return Err(Status::unavailable("etcdserver: no leader"));
        }
        let end = self
            .end
            .lock()
            .expect("no test panics while it holds the lock")
            .take();
        Ok(Box::pin(async {
            match end {
                Some(end) => end.await.expect("the test keeps the sender"),
                None => std::future::pending().await,
            }
        }))
    }

    fn pass(&self, _metadata: &MetadataMap, _extensions: &http::Extensions) -> Option<Pass> {
        None
    }
}

struct Cluster {
    node: Node,
    news: mpsc::Sender<Arc<News>>,
    channel: Channel,
    /// Ends the first stream.
    end: oneshot::Sender<Status>,
    hub: WatchHub,
}

async fn start() -> Cluster {
    start_on(Node::new()).await
}

async fn start_on(node: Node) -> Cluster {
    let (news, receiver) = mpsc::channel(16);
    let settings = WatchSettings {
        progress_interval: Duration::from_secs(1_000_000),
    };
    let hub = WatchHub::start(receiver, node.machine.reader(), node.metrics.clone(), settings)
        .expect("threads start");
    let headers: Headers = Arc::new(|revision: Revision| ResponseHeader {
        cluster_id: 11,
        member_id: 22,
        revision: revision.0,
        raft_term: 33,
    });
    let (end, ended) = oneshot::channel();
    let guard = Guard {
        end: Mutex::new(Some(ended)),
    };
    let service = WatchServer::new(hub.clone(), headers, Arc::new(guard), 4096);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("the listener is bound");
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let channel = Channel::from_shared(format!("http://{address}"))
        .expect("the address is an URI")
        .connect()
        .await
        .expect("the server listens");
    Cluster {
        node,
        news,
        channel,
        end,
        hub,
    }
}

impl Cluster {
    async fn run(&mut self, commands: Vec<Command>) {
        self.node.apply(commands);
        for news in self.node.unannounced.drain(..) {
            self.news.send(Arc::new(news)).await.expect("the hub takes news");
        }
    }

    async fn open(&self) -> (mpsc::Sender<WatchRequest>, Streaming<WatchResponse>) {
        let (requests, receiver) = mpsc::channel(16);
        let responses = WatchClient::new(self.channel.clone())
            .watch(ReceiverStream::new(receiver))
            .await
            .expect("the stream opens")
            .into_inner();
        (requests, responses)
    }
}

async fn send(requests: &mpsc::Sender<WatchRequest>, request: RequestUnion) {
    let request = WatchRequest {
        request_union: Some(request),
    };
    requests.send(request).await.expect("the stream is open");
}

fn create(key: &'static str, end: &'static str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(end.as_bytes()),
        start_revision,
        prev_kv: true,
        ..WatchCreateRequest::default()
    }
}

async fn receive(responses: &mut Streaming<WatchResponse>) -> WatchResponse {
    responses
        .message()
        .await
        .expect("the stream goes on")
        .expect("the stream goes on")
}

fn pair(
    key: &'static str,
    value: &'static str,
    create: i64,
    modification: i64,
    version: i64,
) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
        create_revision: create,
        mod_revision: modification,
        version,
        lease: 0,
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: 11,
        member_id: 22,
        revision,
        raft_term: 33,
    })
}

#[tokio::test]
async fn responses_on_the_wire_say_what_the_hub_said() {
    let mut cluster = start().await;
    let (requests, mut responses) = cluster.open().await;
    send(&requests, RequestUnion::CreateRequest(create("a", "", 0))).await;
    let created = WatchResponse {
        header: header(1),
        created: true,
        ..WatchResponse::default()
    };
    assert_eq!(receive(&mut responses).await, created);

    cluster
        .run(vec![put("a", "1"), put("a", "2"), delete("a", "")])
        .await;
    let event = |kind: mvccpb::event::EventType, kv, prev_kv| mvccpb::Event {
        r#type: kind.into(),
        kv: Some(kv),
        prev_kv,
    };
    let changed = |revision, event| WatchResponse {
        header: header(revision),
        events: vec![event],
        ..WatchResponse::default()
    };
    let (first, second) = (pair("a", "1", 2, 2, 1), pair("a", "2", 2, 3, 2));
    let put_kind = mvccpb::event::EventType::Put;
    assert_eq!(
        receive(&mut responses).await,
        changed(2, event(put_kind, first.clone(), None))
    );
    assert_eq!(
        receive(&mut responses).await,
        changed(3, event(put_kind, second.clone(), Some(first)))
    );
    let deleted = event(
        mvccpb::event::EventType::Delete,
        pair("a", "", 0, 4, 0),
        Some(second),
    );
    assert_eq!(receive(&mut responses).await, changed(4, deleted));

    send(&requests, RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    let progress = WatchResponse {
        header: header(4),
        watch_id: -1,
        ..WatchResponse::default()
    };
    assert_eq!(receive(&mut responses).await, progress);

    send(&requests, RequestUnion::CreateRequest(create("b", "a", 0))).await;
    let refused = WatchResponse {
        header: header(4),
        watch_id: -1,
        created: true,
        canceled: true,
        cancel_reason: WatchRefusal::EmptyRange.to_string(),
        ..WatchResponse::default()
    };
    assert_eq!(receive(&mut responses).await, refused);

    cluster.run(vec![compact(4)]).await;
    send(&requests, RequestUnion::CreateRequest(create("a", "", 2))).await;
    assert!(receive(&mut responses).await.created);
    let compacted = WatchResponse {
        header: header(0),
        watch_id: 1,
        canceled: true,
        compact_revision: 4,
        ..WatchResponse::default()
    };
    assert_eq!(receive(&mut responses).await, compacted);

    send(
        &requests,
        RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 }),
    )
    .await;
    let canceled = WatchResponse {
        header: header(4),
        canceled: true,
        ..WatchResponse::default()
    };
    assert_eq!(receive(&mut responses).await, canceled);
}

#[tokio::test]
async fn filters_and_unknown_requests_are_taken_as_etcd_takes_them() {
    let mut cluster = start().await;
    let (requests, mut responses) = cluster.open().await;
    requests
        .send(WatchRequest::default())
        .await
        .expect("the stream is open");
    let filters = vec![FilterType::Noput.into(), 77];
    send(
        &requests,
        RequestUnion::CreateRequest(WatchCreateRequest {
            filters,
            ..create("a", "", 0)
        }),
    )
    .await;
    assert!(receive(&mut responses).await.created);
    cluster.run(vec![put("a", "1"), delete("a", "")]).await;
    assert_eq!(receive(&mut responses).await.header, header(3));
}

#[tokio::test]
async fn a_client_that_sends_no_more_requests_still_gets_events() {
    let mut cluster = start().await;
    let (requests, mut responses) = cluster.open().await;
    send(&requests, RequestUnion::CreateRequest(create("a", "", 0))).await;
    drop(requests);
    assert!(receive(&mut responses).await.created);
    cluster.run(vec![put("a", "1")]).await;
    assert_eq!(receive(&mut responses).await.events.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_watch_behind() {
    let cluster = start().await;
    let (requests, mut responses) = cluster.open().await;
    send(&requests, RequestUnion::CreateRequest(create("a", "", 0))).await;
    assert!(receive(&mut responses).await.created);
    assert_eq!(cluster.node.metrics.watchers.get(), 1);
    drop((requests, responses));
    for _ in 0..10_000 {
        if cluster.node.metrics.watch_streams.get() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(cluster.node.metrics.watch_streams.get(), 0);
    assert_eq!(cluster.node.metrics.watchers.get(), 0);
}

#[tokio::test]
async fn the_guard_refuses_a_stream_and_ends_an_open_one() {
    let cluster = start().await;
    let (_requests, receiver) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(receiver));
    request
        .metadata_mut()
        .insert("refuse-me", "true".parse().expect("a value"));
    let refused = WatchClient::new(cluster.channel.clone()).watch(request).await;
    assert_eq!(
        refused.expect_err("the guard refuses").message(),
        "etcdserver: no leader"
    );

    let (_requests, mut responses) = cluster.open().await;
    cluster
        .end
        .send(Status::unavailable("etcdserver: no leader"))
        .expect("the stream waits for it");
    let ended = responses.message().await.expect_err("the stream ends");
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
}

#[tokio::test]
async fn a_stopping_hub_ends_streams_as_a_stopping_server() {
    let cluster = start().await;
    let (_requests, mut responses) = cluster.open().await;
    cluster.hub.stop();
    let ended = responses.message().await.expect_err("the stream ends");
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: server stopped")
    );
}

#[tokio::test]
async fn a_request_that_is_no_protobuf_ends_the_stream_with_the_reason() {
    let cluster = start().await;
    let mut grpc = tonic::client::Grpc::new(cluster.channel.clone());
    grpc.ready().await.expect("the server listens");
    // A watch request whose field says that it is longer than the message.
    let broken = crate::proto::etcdserverpb::PutRequest {
        key: Bytes::from_static(&[0xff, 0xff]),
        ..Default::default()
    };
    let codec = tonic_prost::ProstCodec::<_, WatchResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
    let requests = futures::stream::iter([broken]).chain(futures::stream::pending());
    let mut responses = grpc
        .streaming(Request::new(requests), path, codec)
        .await
        .expect("the stream opens")
        .into_inner();
    let ended = responses.message().await.expect_err("the stream ends");
    assert_eq!(ended.code(), Code::Internal);
    assert!(
        ended.message().starts_with("grpc: error unmarshalling request: "),
        "{ended}"
    );
}

#[tokio::test]
async fn another_method_is_unimplemented() {
    let cluster = start().await;
    let mut grpc = tonic::client::Grpc::new(cluster.channel.clone());
    grpc.ready().await.expect("the server listens");
    let codec = tonic_prost::ProstCodec::<WatchRequest, WatchResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Watch/Look");
    let answer = grpc
        .unary(Request::new(WatchRequest::default()), path, codec)
        .await;
    let status = answer.expect_err("there is no such method");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "unknown method Look for service etcdserverpb.Watch"
    );
}

#[tokio::test]
async fn large_responses_are_cut_between_events_for_those_who_can_take_it() {
    let mut node = Node::new();
    let values: Vec<String> = [1_100, 1_100, 1_100, 1_100, 6_000, 10]
        .map(|size| "x".repeat(size))
        .into();
    for value in &values {
        node.run(vec![put("a", value)]);
    }
    let cluster = start_on(node).await;
    let (requests, mut responses) = cluster.open().await;
    for fragment in [true, false] {
        let request = WatchCreateRequest {
            fragment,
            prev_kv: false,
            ..create("a", "", 2)
        };
        send(&requests, RequestUnion::CreateRequest(request)).await;
    }
    let mut sizes: [Vec<(bool, Vec<usize>)>; 2] = Default::default();
    while sizes
        .iter()
        .flatten()
        .map(|(_, events)| events.len())
        .sum::<usize>()
        < 2 * values.len()
    {
        let response = receive(&mut responses).await;
        if !response.created {
            assert_eq!(response.header, header(7));
            let events = response.events.iter();
            let events = events
                .map(|event| event.kv.as_ref().map_or(0, |kv| kv.value.len()))
                .collect();
            let watch = usize::try_from(response.watch_id).expect("ids count from 0");
            sizes[watch].push((response.fragment, events));
        }
    }
    let pieces = vec![
        (true, vec![1_100, 1_100, 1_100]),
        (true, vec![1_100]),
        (true, vec![6_000]),
        (false, vec![10]),
    ];
    assert_eq!(
        sizes,
        [pieces, vec![(false, vec![1_100, 1_100, 1_100, 1_100, 6_000, 10])]]
    );
}

#[tokio::test]
async fn an_event_is_encoded_once_for_all_its_watches() {
    let mut node = Node::new();
    let mut clients = [node.open(), node.open()];
    for client in &mut clients {
        client.create(crate::service::watch::tests::watch("a", "", 0));
        client.read();
    }
    node.run(vec![put("a", "1")]);
    let [first, second] = clients.map(|mut client| {
        let response = client.read().expect("the change was announced");
        let mut messages = encode(&response, ResponseHeader::default(), usize::MAX);
        messages
            .pop_front()
            .expect("a response is at least one message")
            .events
    });
    assert_eq!(first[0].as_ptr(), second[0].as_ptr());
}

#[tokio::test]
async fn a_right_that_is_missing_or_taken_away_is_told_as_etcd_tells_it() {
    const REASON: &str = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
    let mut cluster = start().await;
    let (requests, mut responses) = cluster.open().await;
    let name = "root".to_owned();
    let root = [
        AuthChange::AddUser {
            name: name.clone(),
            password: None,
        },
        AuthChange::GrantRole {
            user: name.clone(),
            role: name,
        },
    ];
    cluster.run(root.map(Command::Auth).into()).await;
    send(&requests, RequestUnion::CreateRequest(create("a", "", 0))).await;
    assert!(receive(&mut responses).await.created);
    let token_key = crate::base::secret::Secret::new(vec![1]);
    cluster
        .run(vec![Command::Auth(AuthChange::Enable { token_key })])
        .await;
    let revoked = WatchResponse {
        header: header(1),
        canceled: true,
        cancel_reason: REASON.to_owned(),
        ..WatchResponse::default()
    };
    assert_eq!(receive(&mut responses).await, revoked);
    send(&requests, RequestUnion::CreateRequest(create("a", "", 0))).await;
    let refused = WatchResponse {
        watch_id: -1,
        created: true,
        ..revoked
    };
    assert_eq!(receive(&mut responses).await, refused);
}
