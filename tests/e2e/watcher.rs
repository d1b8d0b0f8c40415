//! A watcher as an application has one: it goes on to another node when its stream breaks, from the revision after
//! the last it has seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use stead::proto::mvccpb::Event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{Clients, Result};

/// How long a silent stream is trusted: a node that was killed may leave a connection that says nothing.
const MAXIMUM_SILENCE: Duration = Duration::from_secs(2);

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const MAXIMUM_QUEUED_REQUESTS: usize = 4;

#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    refusal: Option<String>,
}

/// All events of a range of keys from one revision on, gathered in the background until it is dropped.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Watches `[key, range_end)` from `start_revision` on, at the first of `endpoints` and then round robin.
    pub fn start(endpoints: Vec<String>, key: Bytes, range_end: Bytes, start_revision: i64) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(watch(endpoints, key, range_end, start_revision, seen.clone()));
        Self { seen, task }
    }

    /// All events so far, when one of `revision` or later is among them. An error if that takes longer than `limit`,
    /// or if a node has refused the watch.
    pub async fn events_until(&self, revision: i64, limit: Duration) -> Result<Vec<Event>> {
        let deadline = Instant::now() + limit;
        loop {
            {
                let seen = self.seen.lock();
                if let Some(refusal) = &seen.refusal {
                    return Err(format!("the watch was refused: {refusal}").into());
                }
                if last_revision(&seen.events).is_some_and(|last| last >= revision) {
                    return Ok(seen.events.clone());
                }
                if Instant::now() > deadline {
                    let last = last_revision(&seen.events);
                    return Err(
                        format!("revision {revision} did not come within {limit:?}; last: {last:?}").into(),
                    );
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The revision that made an event.
pub fn revision(event: &Event) -> i64 {
    event
        .kv
        .as_ref()
        .map(|pair| pair.mod_revision)
        .unwrap_or_default()
}

fn last_revision(events: &[Event]) -> Option<i64> {
    events.last().map(revision)
}

async fn watch(
    endpoints: Vec<String>,
    key: Bytes,
    range_end: Bytes,
    start_revision: i64,
    seen: Arc<Mutex<Seen>>,
) {
    for endpoint in endpoints.iter().cycle() {
        let next = last_revision(&seen.lock().events).map_or(start_revision, |last| last + 1);
        let request = WatchCreateRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            start_revision: next,
            ..Default::default()
        };
        // Whatever ended the stream, the next node is asked for what is missing.
        let _ = read_stream(endpoint, request, &seen).await;
        if seen.lock().refusal.is_some() {
            return;
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

async fn read_stream(endpoint: &str, request: WatchCreateRequest, seen: &Mutex<Seen>) -> Result<()> {
    let mut clients = Clients::of(endpoint)?;
    let (requests, outgoing) = mpsc::channel(MAXIMUM_QUEUED_REQUESTS);
    requests
        .send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(request)),
        })
        .await?;
    let opening = clients.watch.watch(ReceiverStream::new(outgoing));
    let mut stream = tokio::time::timeout(MAXIMUM_SILENCE, opening)
        .await??
        .into_inner();
    while let Some(response) = tokio::time::timeout(MAXIMUM_SILENCE, stream.message()).await?? {
        let mut seen = seen.lock();
        if response.canceled {
            let reason = response.cancel_reason;
            seen.refusal = Some(format!("{reason} (compacted at {})", response.compact_revision));
            return Ok(());
        }
        seen.events.extend(response.events);
    }
    Ok(())
}
