//! Writers that each write their own keys, round and round, with a number that rises with every put; and what a cluster
//! must hold afterwards.
//!
//! One writer waits for the answer before it puts again, so that a key holds the number that was acknowledged last for
//! it, or a higher one whose outcome nobody knows, and never a lower one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use stead::proto::etcdserverpb::{HashKvRequest, PutRequest, RangeRequest};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{Clients, Cluster, Result};

const MAXIMUM_REQUEST: Duration = Duration::from_secs(10);
const MAXIMUM_WAIT: Duration = Duration::from_secs(90);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

const NUMBER_BYTES: usize = 8;
const PAGE_KEYS: i64 = 500;

/// The number that was acknowledged last for each key.
pub type Acknowledged = BTreeMap<Bytes, u64>;

/// What the writers write.
#[derive(Clone, Copy)]
pub struct Shape {
    pub writers: usize,
    /// How many keys each writer has.
    pub keys: u64,
    /// How long each value is.
    pub value_bytes: usize,
}

#[derive(Default)]
struct Shared {
    acknowledged: Mutex<Acknowledged>,
    puts: AtomicUsize,
    is_stopped: AtomicBool,
}

/// Writers that run until they are stopped.
pub struct Writers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Writers {
    /// Starts them on these nodes. A writer goes on to the next node after a failure.
    pub fn start(endpoints: &[String], shape: Shape) -> Self {
        let shared = Arc::new(Shared::default());
        let tasks = (0..shape.writers)
            .map(|writer| tokio::spawn(write(writer, endpoints.to_vec(), shape, shared.clone())))
            .collect();
        Self { shared, tasks }
    }

    /// How many puts were acknowledged.
    pub fn puts(&self) -> usize {
        self.shared.puts.load(Ordering::Relaxed)
    }

    /// Waits until so many more puts are acknowledged.
    pub async fn more_acknowledged(&self, puts: usize) -> Result<()> {
        let target = self.puts() + puts;
        let deadline = Instant::now() + MAXIMUM_WAIT;
        while self.puts() < target {
            if Instant::now() > deadline {
                let reached = self.puts();
                return Err(
                    format!("{reached} of {target} puts were acknowledged within {MAXIMUM_WAIT:?}").into(),
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Ends the writers and returns what was acknowledged.
    pub async fn stop(self) -> Result<Acknowledged> {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(std::mem::take(&mut *self.shared.acknowledged.lock()))
    }
}

async fn write(writer: usize, endpoints: Vec<String>, shape: Shape, shared: Arc<Shared>) -> Result<()> {
    let mut nodes: Vec<Clients> = endpoints
        .iter()
        .map(|endpoint| Clients::of(endpoint))
        .collect::<Result<_>>()?;
    let mut node = writer % nodes.len();
    let mut value = vec![b'.'; NUMBER_BYTES.max(shape.value_bytes)];
    for number in 0_u64.. {
        if shared.is_stopped.load(Ordering::Relaxed) {
            break;
        }
        let key = Bytes::from(format!("written/{writer}/{}", number % shape.keys));
        value[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
        let request = PutRequest {
            key: key.clone(),
            value: value.clone().into(),
            ..PutRequest::default()
        };
        match timeout(MAXIMUM_REQUEST, nodes[node].kv.put(request)).await {
            Ok(Ok(_)) => {
                shared.acknowledged.lock().insert(key, number);
                shared.puts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(_)) | Err(_) => {
                node = (node + 1) % nodes.len();
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    Ok(())
}

/// Every node takes a write and answers a linearizable read within a bounded time, holds what was acknowledged, and all
/// hold the same. Nobody may write meanwhile.
pub async fn all_serve_and_hold(cluster: &Cluster, acknowledged: &Acknowledged) -> Result<()> {
    let nodes: Vec<usize> = (0..cluster.size()).collect();
    these_serve_and_hold(cluster, &nodes, acknowledged).await
}

/// As [`all_serve_and_hold`], of some nodes.
pub async fn these_serve_and_hold(
    cluster: &Cluster,
    nodes: &[usize],
    acknowledged: &Acknowledged,
) -> Result<()> {
    let mut revision = 0;
    for node in nodes.iter().copied() {
        revision = eventual_put(cluster, node).await?;
    }
    let mut hashes = Vec::new();
    for node in nodes.iter().copied() {
        let found = read_all(cluster, node).await?;
        check(node, acknowledged, &found);
        let request = HashKvRequest { revision };
        let answer = cluster.clients(node)?.maintenance.hash_kv(request).await?;
        let answer = answer.into_inner();
        hashes.push((answer.hash, answer.compact_revision, answer.hash_revision));
    }
    assert!(
        hashes.iter().all(|hash| *hash == hashes[0]),
        "all nodes hold the same at revision {revision}: {hashes:?}"
    );
    Ok(())
}

fn check(node: usize, acknowledged: &Acknowledged, found: &Acknowledged) {
    for (key, number) in acknowledged {
        let held = found.get(key);
        assert!(
            held.is_some_and(|held| held >= number),
            "{key:?} was acknowledged with {number}, node {node} has {held:?}"
        );
    }
}

/// Puts a key through one node until that is acknowledged. Returns the revision.
async fn eventual_put(cluster: &Cluster, node: usize) -> Result<i64> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    let mut clients = cluster.clients(node)?;
    loop {
        let request = PutRequest {
            key: format!("served/{node}").into(),
            ..PutRequest::default()
        };
        let problem = match timeout(MAXIMUM_REQUEST, clients.kv.put(request)).await {
            Ok(Ok(answer)) => {
                let header = answer.into_inner().header.ok_or("a put without a header")?;
                return Ok(header.revision);
            }
            Ok(Err(status)) => status.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() > deadline {
            let logs: Vec<String> = cluster.nodes().iter().map(|node| node.log_tail()).collect();
            return Err(format!(
                "node {node} takes no write within {MAXIMUM_WAIT:?}: {problem}\n{}",
                logs.join("\n")
            )
            .into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The number of every key, from linearizable reads of one node.
async fn read_all(cluster: &Cluster, node: usize) -> Result<Acknowledged> {
    let mut clients = cluster.clients(node)?;
    let mut found = Acknowledged::new();
    let mut from = Bytes::from_static(b"written/");
    loop {
        let request = RangeRequest {
            key: from,
            range_end: "written0".into(),
            limit: PAGE_KEYS,
            ..RangeRequest::default()
        };
        let page = timeout(MAXIMUM_REQUEST, clients.kv.range(request))
            .await??
            .into_inner();
        let Some(last) = page.kvs.last() else { break };
        from = [last.key.as_ref(), b"\0"].concat().into();
        for pair in page.kvs {
            let number = pair.value.get(..NUMBER_BYTES).ok_or("a value without a number")?;
            found.insert(pair.key, u64::from_be_bytes(number.try_into()?));
        }
        if !page.more {
            break;
        }
    }
    Ok(found)
}

fn numbers(pairs: &[(&'static str, u64)]) -> Acknowledged {
    pairs
        .iter()
        .map(|(key, number)| (Bytes::from_static(key.as_bytes()), *number))
        .collect()
}

#[test]
fn a_put_whose_outcome_is_unknown_may_be_there() {
    check(0, &numbers(&[("a", 2)]), &numbers(&[("a", 3), ("b", 1)]));
}

#[test]
#[should_panic(expected = "was acknowledged with 2")]
fn a_put_that_was_undone_is_found() {
    check(0, &numbers(&[("a", 2)]), &numbers(&[("a", 1)]));
}

#[test]
#[should_panic(expected = "was acknowledged with 2")]
fn a_lost_key_is_found() {
    check(0, &numbers(&[("a", 2)]), &numbers(&[("b", 2)]));
}
