//! The main job on real data: the key space of a Kubernetes control plane, written as its API server writes, listed in
//! pages at a pinned revision, watched while it changes, compacted, and read again after the leader has died.
//!
//! The data is `kubernetes-registry.jsonl`: one object a line with `key` and `value` in base64 and `lease`. It is looked
//! for in `$STEAD_SHARED`, then in `../shared/data` beside the repository.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use stead::proto::etcdserverpb::request_op::Request;
use stead::proto::etcdserverpb::{CompactionRequest, LeaseGrantRequest, RangeRequest};
use stead::proto::mvccpb::Event;

use super::{delete, put, read, write_if};
use crate::e2e::watcher::Watcher;
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const PREFIX: &[u8] = b"/registry/";
const PREFIX_END: &[u8] = b"/registry0";
const PAGE_KEYS: i64 = 50;
const LEASE_SECONDS: i64 = 3_600;
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);

/// Every so many keys, one is changed, and one is deleted, while the pages are read.
const CHANGE_EVERY: usize = 7;
const DELETE_EVERY: usize = 31;

#[derive(Deserialize)]
struct Line {
    key: String,
    value: String,
    lease: i64,
}

struct Object {
    key: Bytes,
    value: Bytes,
    lease: i64,
}

/// What a list shows of a key: the value and the revision that made it.
type Keys = BTreeMap<Bytes, (Bytes, i64)>;

/// Where the data is.
pub(in crate::e2e) fn data_file() -> Result<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let directory = env::var_os("STEAD_SHARED").map_or(beside, PathBuf::from);
    let file = directory.join("kubernetes-registry.jsonl");
    if file.is_file() {
        Ok(file)
    } else {
        Err(format!(
            "{} is not there: set STEAD_SHARED to the directory that holds it",
            file.display()
        )
        .into())
    }
}

fn objects() -> Result<Vec<Object>> {
    fs::read_to_string(data_file()?)?
        .lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line)?;
            Ok(Object {
                key: STANDARD.decode(line.key)?.into(),
                value: STANDARD.decode(line.value)?.into(),
                lease: line.lease,
            })
        })
        .collect()
}

/// Writes one key, which must have this revision. Returns the revision of the write.
async fn write(clients: &mut Clients, key: Bytes, expected_revision: i64, write: Request) -> Result<i64> {
    let request = write_if(key.clone(), expected_revision, write, Some(read(key.clone())));
    let answer = clients.kv.txn(request).await?.into_inner();
    if !answer.succeeded {
        return Err(format!("{key:?} has not revision {expected_revision}: {answer:?}").into());
    }
    Ok(answer.header.ok_or("an answer without a header")?.revision)
}

/// Creates every object, through one node after another. Returns what is then there.
async fn load(nodes: &mut [Clients], objects: &[Object]) -> Result<Keys> {
    let mut leases = BTreeMap::new();
    let mut keys = Keys::new();
    for (number, object) in objects.iter().enumerate() {
        let node = number % nodes.len();
        let clients = &mut nodes[node];
        if object.lease != 0 && !leases.contains_key(&object.lease) {
            let request = LeaseGrantRequest {
                ttl: LEASE_SECONDS,
                id: 0,
            };
            leases.insert(
                object.lease,
                clients.lease.lease_grant(request).await?.into_inner().id,
            );
        }
        let lease = leases.get(&object.lease).copied().unwrap_or_default();
        let creation = put(object.key.clone(), object.value.clone(), lease);
        let revision = write(clients, object.key.clone(), 0, creation).await?;
        keys.insert(object.key.clone(), (object.value.clone(), revision));
    }
    Ok(keys)
}

/// One page from `key` on. `revision` 0 reads the present.
async fn page(clients: &mut Clients, key: Bytes, revision: i64) -> Result<(Keys, i64, i64, bool)> {
    let request = RangeRequest {
        key,
        range_end: Bytes::from_static(PREFIX_END),
        limit: PAGE_KEYS,
        revision,
        ..RangeRequest::default()
    };
    let answer = clients.kv.range(request).await?.into_inner();
    let current = answer.header.ok_or("an answer without a header")?.revision;
    let keys = answer
        .kvs
        .into_iter()
        .map(|pair| (pair.key, (pair.value, pair.mod_revision)))
        .collect();
    Ok((keys, answer.count, current, answer.more))
}

/// The whole prefix at one revision, page by page, each from another node. `between` runs after each page.
async fn list<Between>(nodes: &mut [Clients], revision: i64, mut between: Between) -> Result<Keys>
where
    Between: AsyncFnMut(usize) -> Result<()>,
{
    let mut found = Keys::new();
    let mut from = Bytes::from_static(PREFIX);
    for number in 0.. {
        let node = number % nodes.len();
        let (keys, count, _, more) = page(&mut nodes[node], from, revision).await?;
        let last = keys.last_key_value().map(|(key, _)| key.clone());
        let left = i64::try_from(keys.len())?;
        assert_eq!(
            more,
            count > left,
            "more is right: {count} keys from here on, {left} in the page"
        );
        found.extend(keys);
        between(number).await?;
        match last {
            Some(last) if more => from = [last.as_ref(), b"\0"].concat().into(),
            _ => break,
        }
    }
    Ok(found)
}

/// Changes, deletes and creates keys, all as an API server does.
async fn change(clients: &mut Clients, keys: &mut Keys, round: usize) -> Result<()> {
    let chosen: Vec<(usize, Bytes)> = keys
        .keys()
        .cloned()
        .enumerate()
        .skip(round)
        .step_by(CHANGE_EVERY)
        .collect();
    for (number, key) in chosen {
        let Some((_, expected)) = keys.get(&key).cloned() else {
            continue;
        };
        if number % DELETE_EVERY == 0 {
            write(clients, key.clone(), expected, delete(key.clone())).await?;
            keys.remove(&key);
        } else {
            let value = Bytes::from(format!("changed in round {round}"));
            let revision = write(clients, key.clone(), expected, put(key.clone(), value.clone(), 0)).await?;
            keys.insert(key, (value, revision));
        }
    }
    let key = Bytes::from(format!("/registry/configmaps/default/new-{round}"));
    let value = Bytes::from_static(b"created");
    let revision = write(clients, key.clone(), 0, put(key.clone(), value.clone(), 0)).await?;
    keys.insert(key, (value, revision));
    Ok(())
}

/// What an informer makes of a list and the events after it.
fn follow(mut keys: Keys, events: &[Event]) -> Keys {
    for event in events {
        let pair = event.kv.clone().expect("an event has a key");
        match event.r#type() {
            stead::proto::mvccpb::event::EventType::Put => {
                keys.insert(pair.key, (pair.value, pair.mod_revision))
            }
            stead::proto::mvccpb::event::EventType::Delete => keys.remove(&pair.key),
        };
    }
    keys
}

async fn serves_kubernetes(program: Program) -> Result<()> {
    let objects = objects()?;
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let mut nodes: Vec<Clients> = (0..3).map(|node| cluster.clients(node)).collect::<Result<_>>()?;
    let mut writer = cluster.clients(0)?;

    let loaded = load(&mut nodes, &objects).await?;
    let mut keys = loaded.clone();
    let (_, count, pinned, _) = page(&mut nodes[1], Bytes::from_static(PREFIX), 0).await?;
    assert_eq!(usize::try_from(count)?, objects.len());

    let (prefix, prefix_end) = (Bytes::from_static(PREFIX), Bytes::from_static(PREFIX_END));
    let watcher = Watcher::start(cluster.endpoints(), prefix, prefix_end, pinned + 1);
    let listed = list(&mut nodes, pinned, async |round| {
        change(&mut writer, &mut keys, round).await
    })
    .await?;
    assert!(
        listed == loaded,
        "the pages show the pinned revision, whatever happens in the meantime"
    );

    let (_, _, current, _) = page(&mut nodes[2], Bytes::from_static(PREFIX), 0).await?;
    let events = watcher.events_until(current, MAXIMUM_WAIT).await?;
    assert!(
        follow(loaded.clone(), &events) == keys,
        "the list and the events after it make the present state"
    );

    let compaction = CompactionRequest {
        revision: current,
        physical: false,
    };
    nodes[0].kv.compact(compaction).await?;
    let status = page(&mut nodes[1], Bytes::from_static(PREFIX), pinned).await;
    let message = status.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        message.contains("required revision has been compacted"),
        "{message}"
    );

    let leader = cluster.leader().await?;
    cluster.node(leader).kill()?;
    cluster.wait_until_ready().await?;
    let mut nodes: Vec<Clients> = (0..3)
        .filter(|node| *node != leader)
        .map(|node| cluster.clients(node))
        .collect::<Result<_>>()?;
    assert!(
        list(&mut nodes, current, async |_| Ok(())).await? == keys,
        "the new leader holds the same"
    );
    change(&mut nodes[0].clone(), &mut keys, 1_000).await?;
    let (_, _, current, _) = page(&mut nodes[1], Bytes::from_static(PREFIX), 0).await?;
    let events = watcher.events_until(current, MAXIMUM_WAIT).await?;
    assert!(
        follow(loaded, &events) == keys,
        "the watch went on over the death of the leader"
    );

    cluster.restart(leader).await?;
    let mut returned = [cluster.clients(leader)?];
    assert!(
        list(&mut returned, current, async |_| Ok(())).await? == keys,
        "the old leader has caught up"
    );
    Ok(())
}

#[tokio::test]
async fn stead_serves_the_data_of_kubernetes() -> TestResult {
    Ok(serves_kubernetes(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_serves_the_data_of_kubernetes() -> TestResult {
    Ok(serves_kubernetes(Program::etcd()?).await?)
}
