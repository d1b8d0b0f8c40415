//! The cache of an API server: filled by a list, kept by a watch, and trusted as far as a progress reply says. It must
//! equal the store at exactly that revision, while writers write to other nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    PutRequest, RangeRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use stead::proto::mvccpb::event::EventType;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{delete, read, write_if};
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const PREFIX: &[u8] = b"/registry/configmaps/";
const PREFIX_END: &[u8] = b"/registry/configmaps0";
const OBJECTS: usize = 10_000;
/// What an API server asks for at once when it fills its cache.
const PAGE_KEYS: i64 = 10_000;
const LOADERS: usize = 50;
const ROUNDS: usize = 20;
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);

/// Of each key the value and the revision that wrote it.
type Objects = BTreeMap<Bytes, (Bytes, i64)>;

fn object(number: usize) -> Bytes {
    Bytes::from(format!("/registry/configmaps/default/object-{number:05}"))
}

/// All objects at a revision, 0 for now, in one page; and the revision.
async fn list(clients: &mut Clients, revision: i64) -> Result<(Objects, i64)> {
    let request = RangeRequest {
        key: Bytes::from_static(PREFIX),
        range_end: Bytes::from_static(PREFIX_END),
        limit: PAGE_KEYS,
        revision,
        ..Default::default()
    };
    let page = clients.kv.range(request).await?.into_inner();
    assert!(!page.more && usize::try_from(page.count)? == page.kvs.len());
    let objects = page
        .kvs
        .into_iter()
        .map(|pair| (pair.key, (pair.value, pair.mod_revision)));
    Ok((objects.collect(), page.header.ok_or("a header")?.revision))
}

/// The same as a stream of chunks.
async fn stream(clients: &mut Clients) -> Result<(Objects, i64)> {
    let request = RangeRequest {
        key: Bytes::from_static(PREFIX),
        range_end: Bytes::from_static(PREFIX_END),
        ..Default::default()
    };
    let mut chunks = clients.kv.range_stream(request).await?.into_inner();
    let (mut objects, mut revision) = (Objects::new(), None);
    while let Some(chunk) = chunks.message().await? {
        assert_eq!(revision, None, "the header is on the last chunk alone");
        let chunk = chunk.range_response.ok_or("a chunk of a range")?;
        for pair in chunk.kvs {
            assert!(objects.last_key_value().is_none_or(|(last, _)| *last < pair.key));
            objects.insert(pair.key, (pair.value, pair.mod_revision));
        }
        revision = chunk.header.map(|header| header.revision);
    }
    Ok((objects, revision.ok_or("no header")?))
}

async fn load(clients: &[Clients]) -> Result<()> {
    let loaders = (0..LOADERS).map(|loader| {
        let mut clients = clients[loader % clients.len()].clone();
        async move {
            for number in (loader..OBJECTS).step_by(LOADERS) {
                let request = PutRequest {
                    key: object(number),
                    value: Bytes::from_static(b"as it was loaded"),
                    ..Default::default()
                };
                clients.kv.put(request).await?;
            }
            Result::<()>::Ok(())
        }
    });
    futures::future::try_join_all(loaders).await?;
    Ok(())
}

/// Changes, deletes and creates objects until it is told to stop; how many writes there were.
fn write(mut clients: Clients, writer: usize, mut stop: oneshot::Receiver<()>) -> JoinHandle<Result<usize>> {
    tokio::spawn(async move {
        let mut writes = 0;
        while stop.try_recv() == Err(TryRecvError::Empty) {
            let key = object((writer * 7_919 + writes * 31) % OBJECTS);
            let found = clients
                .kv
                .range(RangeRequest {
                    key: key.clone(),
                    limit: 1,
                    ..Default::default()
                })
                .await?
                .into_inner();
            let revision = found.kvs.first().map_or(0, |pair| pair.mod_revision);
            let value = Bytes::from(format!("write {writes} of writer {writer}"));
            let change = match writes % 5 == 4 && revision > 0 {
                true => delete(key.clone()),
                false => super::put(key.clone(), value, 0),
            };
            let request = write_if(key.clone(), revision, change, Some(read(key)));
            clients.kv.txn(request).await?;
            writes += 1;
        }
        Ok(writes)
    })
}

struct Cache {
    objects: Objects,
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

impl Cache {
    /// Fills the cache and watches what comes after.
    async fn open(mut clients: Clients) -> Result<Self> {
        let (objects, revision) = list(&mut clients, 0).await?;
        let (requests, outgoing) = mpsc::channel(4);
        let create = WatchCreateRequest {
            key: Bytes::from_static(PREFIX),
            range_end: Bytes::from_static(PREFIX_END),
            start_revision: revision + 1,
            prev_kv: true,
            progress_notify: true,
            ..Default::default()
        };
        let mut cache = Self {
            objects,
            requests,
            responses: {
                let opening = clients.watch.watch(ReceiverStream::new(outgoing));
                timeout(MAXIMUM_WAIT, opening).await??.into_inner()
            },
        };
        cache.ask(RequestUnion::CreateRequest(create)).await?;
        let created = cache.next().await?;
        assert!(created.created && created.events.is_empty());
        Ok(cache)
    }

    async fn ask(&mut self, request: RequestUnion) -> Result<()> {
        let request = WatchRequest {
            request_union: Some(request),
        };
        Ok(self.requests.send(request).await?)
    }

    async fn next(&mut self) -> Result<WatchResponse> {
        let response = timeout(MAXIMUM_WAIT, self.responses.message()).await??;
        Ok(response.ok_or("the stream has ended")?)
    }

    /// Asks how far the watch is, and takes in all that comes before the answer. The revision it names.
    async fn advance(&mut self) -> Result<i64> {
        self.ask(RequestUnion::ProgressRequest(WatchProgressRequest {}))
            .await?;
        loop {
            let response = self.next().await?;
            assert!(!response.canceled, "{}", response.cancel_reason);
            if response.events.is_empty() && response.watch_id == -1 {
                return Ok(response.header.ok_or("a header")?.revision);
            }
            for event in response.events {
                let is_put = event.r#type() == EventType::Put;
                let pair = event.kv.ok_or("an event without a key")?;
                let before = event.prev_kv.map(|pair| (pair.value, pair.mod_revision));
                let known = match is_put {
                    true => self.objects.insert(pair.key, (pair.value, pair.mod_revision)),
                    false => self.objects.remove(&pair.key),
                };
                assert_eq!(before, known, "what was there before is what the cache had");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_is_the_store_at_the_revision_of_its_progress() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let nodes = (0..3)
        .map(|node| cluster.clients(node))
        .collect::<Result<Vec<_>>>()?;
    load(&nodes).await?;
    let (stops, writers): (Vec<_>, Vec<_>) = nodes
        .iter()
        .enumerate()
        .map(|(writer, clients)| {
            let (stop, stopped) = oneshot::channel();
            (stop, write(clients.clone(), writer, stopped))
        })
        .unzip();

    let mut cache = Cache::open(nodes[0].clone()).await?;
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut other = nodes[round % nodes.len()].clone();
        // A consistent list of 10,000 objects from the cache: its revision, then progress at least that far.
        let (streamed, wanted) = stream(&mut other).await?;
        let mut revision = cache.advance().await?;
        while revision < wanted {
            revision = cache.advance().await?;
        }
        assert!(revision >= last);
        last = revision;
        let (listed, _) = list(&mut other, revision).await?;
        assert!(
            listed == cache.objects,
            "the cache differs from the store at revision {revision}"
        );
        let (pinned, _) = list(&mut other, wanted).await?;
        assert!(pinned == streamed, "the stream is the store at revision {wanted}");
    }
    drop(stops);
    for writer in writers {
        assert!(writer.await?? > 0, "there were writes meanwhile");
    }
    Ok(())
}
