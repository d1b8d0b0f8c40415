//! Nothing acknowledged is lost, and nothing is seen twice, whichever processes are killed under load.
//!
//! Writers put keys of their own, each key once, and note what was acknowledged at which revision. One watcher per node
//! notes every event. A killed process leaves some writes unknown; those may be there or not, but not twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use stead::proto::mvccpb::{Event, KeyValue};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::watcher::{Watcher, revision};
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const WRITERS: usize = 8;

/// How many writes are acknowledged before and after each death.
const WRITES_BETWEEN_DEATHS: usize = 200;

const MAXIMUM_REQUEST: Duration = Duration::from_secs(10);
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Writers that run until they are stopped.
struct Load {
    acknowledged: Arc<Mutex<BTreeMap<Bytes, i64>>>,
    stopped: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let writers = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write(
                    writer,
                    cluster.endpoints(),
                    acknowledged.clone(),
                    stopped.clone(),
                ))
            })
            .collect();
        Self {
            acknowledged,
            stopped,
            writers,
        }
    }

    /// Waits until so many more writes are acknowledged.
    async fn more_acknowledged(&self, writes: usize) -> Result<()> {
        let target = self.acknowledged.lock().len() + writes;
        let deadline = Instant::now() + MAXIMUM_WAIT;
        while self.acknowledged.lock().len() < target {
            if Instant::now() > deadline {
                let reached = self.acknowledged.lock().len();
                return Err(
                    format!("{reached} of {target} writes were acknowledged in {MAXIMUM_WAIT:?}").into(),
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Ends the writers and returns each acknowledged key with its revision.
    async fn stop(self) -> Result<BTreeMap<Bytes, i64>> {
        self.stopped.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await??;
        }
        Ok(std::mem::take(&mut self.acknowledged.lock()))
    }
}

/// Puts one new key after another. After a failure the outcome of that key is unknown: it is never tried again, and
/// the next key goes to the next node.
async fn write(
    writer: usize,
    endpoints: Vec<String>,
    acknowledged: Arc<Mutex<BTreeMap<Bytes, i64>>>,
    stopped: Arc<AtomicBool>,
) -> Result<()> {
    let mut nodes: Vec<Clients> = endpoints
        .iter()
        .map(|endpoint| Clients::of(endpoint))
        .collect::<Result<_>>()?;
    let mut node = writer % nodes.len();
    for number in 0.. {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let key = Bytes::from(format!("durable/{writer}/{number}"));
        let request = PutRequest {
            key: key.clone(),
            value: key.clone(),
            ..PutRequest::default()
        };
        let answer = timeout(MAXIMUM_REQUEST, nodes[node].kv.put(request)).await;
        match answer {
            Ok(Ok(response)) => {
                let header = response
                    .into_inner()
                    .header
                    .ok_or("a put was answered without a header")?;
                acknowledged.lock().insert(key, header.revision);
            }
            Ok(Err(_)) | Err(_) => {
                node = (node + 1) % nodes.len();
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }
    Ok(())
}

fn watch_all(cluster: &Cluster) -> Vec<Watcher> {
    let prefix = || (Bytes::from_static(b"durable/"), Bytes::from_static(b"durable0"));
    (0..cluster.size())
        .map(|node| {
            let mut endpoints = cluster.endpoints();
            endpoints.rotate_left(node);
            let (key, range_end) = prefix();
            Watcher::start(endpoints, key, range_end, 1)
        })
        .collect()
}

/// Every acknowledged write is in the log of events at its revision, and no revision and no key is there twice.
fn check_events(events: &[Event], acknowledged: &BTreeMap<Bytes, i64>) {
    let mut revisions = BTreeMap::new();
    for pair in events.windows(2) {
        assert!(
            revision(&pair[0]) < revision(&pair[1]),
            "revisions rise: {pair:?}"
        );
    }
    for event in events {
        let pair = event.kv.as_ref().expect("an event has a key");
        assert_eq!(pair.value, pair.key, "a key has the value that was written");
        assert_eq!(
            revisions.insert(pair.key.clone(), pair.mod_revision),
            None,
            "a key is written once"
        );
    }
    for (key, revision) in acknowledged {
        assert_eq!(
            revisions.get(key),
            Some(revision),
            "{key:?} was acknowledged at {revision}"
        );
    }
    let distinct: BTreeSet<i64> = acknowledged.values().copied().collect();
    assert_eq!(
        distinct.len(),
        acknowledged.len(),
        "a revision acknowledges one write"
    );
}

/// Every node's state holds the keys of the log of events, no more and no less.
async fn check_state(cluster: &Cluster, events: &[Event]) -> Result<()> {
    for node in 0..cluster.size() {
        let request = RangeRequest {
            key: Bytes::from_static(b"durable/"),
            range_end: Bytes::from_static(b"durable0"),
            ..RangeRequest::default()
        };
        let state = cluster.clients(node)?.kv.range(request).await?.into_inner();
        let found: BTreeMap<Bytes, i64> = state
            .kvs
            .into_iter()
            .map(|pair| (pair.key, pair.mod_revision))
            .collect();
        let expected: BTreeMap<Bytes, i64> = events
            .iter()
            .filter_map(|event| event.kv.as_ref())
            .map(|pair| (pair.key.clone(), pair.mod_revision))
            .collect();
        assert_eq!(found, expected, "node {node} holds what the watch told");
    }
    Ok(())
}

async fn loses_nothing(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let watchers = watch_all(&cluster);
    let load = Load::start(&cluster);
    for node in 0..cluster.size() {
        load.more_acknowledged(WRITES_BETWEEN_DEATHS).await?;
        cluster.node(node).kill()?;
        load.more_acknowledged(WRITES_BETWEEN_DEATHS).await?;
        cluster.restart(node).await?;
    }
    load.more_acknowledged(WRITES_BETWEEN_DEATHS).await?;
    cluster.kill_all()?;
    cluster.start_all().await?;
    load.more_acknowledged(WRITES_BETWEEN_DEATHS).await?;
    let acknowledged = load.stop().await?;

    // One more write, whose event comes after all others.
    let end = PutRequest {
        key: Bytes::from_static(b"durable/end"),
        value: Bytes::from_static(b"durable/end"),
        ..PutRequest::default()
    };
    let end = cluster
        .clients(0)?
        .kv
        .put(end)
        .await?
        .into_inner()
        .header
        .ok_or("no header")?
        .revision;
    let mut logs = Vec::new();
    for watcher in &watchers {
        logs.push(watcher.events_until(end, MAXIMUM_WAIT).await?);
    }
    for log in &logs {
        check_events(log, &acknowledged);
        assert_eq!(log, &logs[0], "every watcher saw the same");
    }
    check_state(&cluster, &logs[0]).await
}

#[tokio::test]
async fn stead_loses_nothing_when_killed_under_load() -> TestResult {
    Ok(loses_nothing(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_loses_nothing_when_killed_under_load() -> TestResult {
    Ok(loses_nothing(Program::etcd()?).await?)
}

/// A log of puts at the given revisions, the key being the first of each pair.
fn log_of(puts: &[(&'static str, i64)]) -> Vec<Event> {
    let pair = |(key, revision): &(&'static str, i64)| KeyValue {
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(key.as_bytes()),
        mod_revision: *revision,
        ..KeyValue::default()
    };
    puts.iter()
        .map(|put| Event {
            kv: Some(pair(put)),
            ..Event::default()
        })
        .collect()
}

fn acknowledged_of(puts: &[(&'static str, i64)]) -> BTreeMap<Bytes, i64> {
    puts.iter()
        .map(|(key, revision)| (Bytes::from_static(key.as_bytes()), *revision))
        .collect()
}

#[test]
fn a_write_whose_outcome_is_unknown_may_be_there() {
    check_events(
        &log_of(&[("a", 2), ("unknown", 3), ("b", 5)]),
        &acknowledged_of(&[("a", 2), ("b", 5)]),
    );
}

#[test]
#[should_panic(expected = "was acknowledged at 3")]
fn a_lost_write_is_found() {
    check_events(&log_of(&[("a", 2)]), &acknowledged_of(&[("a", 2), ("b", 3)]));
}

#[test]
#[should_panic(expected = "was acknowledged at 3")]
fn a_write_at_another_revision_is_found() {
    check_events(
        &log_of(&[("a", 2), ("b", 4)]),
        &acknowledged_of(&[("a", 2), ("b", 3)]),
    );
}

#[test]
#[should_panic(expected = "revisions rise")]
fn an_event_that_came_twice_is_found() {
    check_events(&log_of(&[("a", 2), ("a", 2)]), &acknowledged_of(&[("a", 2)]));
}

#[test]
#[should_panic(expected = "a key is written once")]
fn a_write_that_was_applied_twice_is_found() {
    check_events(&log_of(&[("a", 2), ("a", 3)]), &acknowledged_of(&[("a", 3)]));
}
