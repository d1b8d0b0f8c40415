//! Heartbeats: one stream keeps all instances of a client alive, on whichever endpoint answers.
//!
//! A round renews all leases when the first of them has lived for a third of its time; an answer that does not come
//! within a sixth is waited for on the next endpoint, so that the loss of an endpoint leaves no gap. Never registers
//! anything: it only tells who is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::endpoints::Client;
use super::node::Node;
use crate::base::limits::MAXIMUM_HEARTBEAT_LEASES;
use crate::proto::registry::{HeartbeatRequest, HeartbeatResponse};

/// A lease is renewed this many times in its time to live.
const ROUNDS_PER_TTL: u32 = 3;
/// The part of a time to live that an answer may take.
const ANSWERS_PER_TTL: u32 = 6;
/// Least time for an answer.
const LEAST_PATIENCE: Duration = Duration::from_millis(200);
/// Pause before a round that failed is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// What the keeper is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Keep this lease alive.
    Keep {
        /// The lease.
        lease: i64,
        /// Its time to live.
        ttl: Duration,
        /// Told when the cluster says that it is gone.
        gone: oneshot::Sender<()>,
    },
    /// Keep it no longer.
    Leave {
        /// The lease.
        lease: i64,
    },
}

#[derive(Debug)]
struct Kept {
    ttl: Duration,
    due: Instant,
    gone: oneshot::Sender<()>,
}

/// An open stream of heartbeats.
#[derive(Debug)]
struct Beats {
    sender: mpsc::Sender<HeartbeatRequest>,
    answers: Streaming<HeartbeatResponse>,
}

/// Keeps alive what it is told to, until nobody can tell it anything any more.
pub(super) async fn keep(client: Arc<Client>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut kept: BTreeMap<i64, Kept> = BTreeMap::new();
    let mut beats = None;
    let mut not_before = Instant::now();
    loop {
        let due = kept.values().map(|kept| kept.due).min();
        let due = due.map(|due| due.max(not_before));
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return,
                Some(Order::Keep { lease, ttl, gone }) => {
                    let due = Instant::now() + ttl / ROUNDS_PER_TTL;
                    kept.insert(lease, Kept { ttl, due, gone });
                }
                Some(Order::Leave { lease }) => {
                    kept.remove(&lease);
                }
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if !round(&client, &mut kept, &mut beats).await {
                    beats = None;
                    not_before = Instant::now() + AGAIN;
                }
            }
        }
    }
}

/// Renews all; whether that was answered.
async fn round(client: &Client, kept: &mut BTreeMap<i64, Kept>, beats: &mut Option<Beats>) -> bool {
    let shortest = kept.values().map(|kept| kept.ttl).min().unwrap_or_default();
    let patience = (shortest / ANSWERS_PER_TTL)
        .max(LEAST_PATIENCE)
        .min(client.command_timeout());
    let leases: Vec<i64> = kept.keys().copied().collect();
    let node = client.current();
    for part in leases.chunks(MAXIMUM_HEARTBEAT_LEASES) {
        let asked = Instant::now();
        let gone = match timeout(patience, renew(client, &node, beats, part)).await {
            Ok(Ok(gone)) => gone,
            Ok(Err(_)) | Err(_) => {
                client.move_on(&node).await;
                return false;
            }
        };
        for lease in part {
            if let Some(kept) = kept.get_mut(lease) {
                kept.due = asked + kept.ttl / ROUNDS_PER_TTL;
            }
        }
        for lease in gone {
            if let Some(kept) = kept.remove(&lease) {
                // Whoever has gone away need not be told.
                let _ = kept.gone.send(());
            }
        }
    }
    true
}

/// Renews some; those that are gone.
async fn renew(
    client: &Client,
    node: &Node,
    beats: &mut Option<Beats>,
    leases: &[i64],
) -> Result<Vec<i64>, Status> {
    let ended = || Status::unavailable("the server ended the stream");
    let beats = match beats {
        Some(beats) => beats,
        None => {
            // Every stream begins with a token of its own: the last one may be void by now.
            client.log_in(node, true).await?;
            let (sender, receiver) = mpsc::channel(1);
            let answers = node.registry().heartbeat(ReceiverStream::new(receiver)).await?;
            let answers = answers.into_inner();
            beats.insert(Beats { sender, answers })
        }
    };
    let request = HeartbeatRequest {
        leases: leases.to_vec(),
    };
    beats.sender.send(request).await.map_err(|_| ended())?;
    let answer = beats.answers.message().await?.ok_or_else(ended)?;
    Ok(answer.gone)
}
