//! The caller's side of a stream of appends: any number in flight, answers in order.
//!
//! openraft waits for answers without a limit, so this stream watches itself: when an append has been out for too long
//! without an answer, or the follower needs entries that are to be purged, it ends as `Unreachable`. The first keeps a
//! dead connection from holding replication up, the second a slow follower from pinning the leader's log: it gets a
//! snapshot then.
//!
//! openraft waits its pause after a failure when it makes the first request, and one that cannot connect asks for none: a
//! stream that does not open takes a pause of its own, or a dead peer would be dialled, and logged, without end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Streaming;

use super::client::{CallError, unreachable};
use super::{Client, Lane, Peers, count, label, wire};
use crate::proto::peer;
use crate::replication::types::{NodeId, TypeConfig};

/// Longest time that an append may be out without any answer. Longer than a disk stalls, shorter than an operator waits.
const SILENCE_LIMIT_MILLISECONDS: u64 = 5_000;
/// How often the silence is looked at.
const SILENCE_CHECK_MILLISECONDS: u64 = 500;

/// Pause after a stream that did not open.
const OPEN_PAUSE_MILLISECONDS: u64 = 100;

/// How long a stream may carry entries that are to be purged. A new leader finds out where a follower stands by sending
/// from the middle of its log, and a follower that was away catches up: both are done well before.
const CATCH_UP_SECONDS: u64 = 10;

/// What is on its way.
struct Flight {
    opened: Instant,
    sent: Mutex<VecDeque<Instant>>,
    is_too_far_behind: AtomicBool,
}

/// Whether a follower that needs the entry at `first` must be cut off, so that the log can be purged up to `purge_end`.
fn must_cut_off(first: u64, purge_end: u64, stream_age: Duration, was_cut_off: bool) -> bool {
    first < purge_end && (was_cut_off || stream_age > Duration::from_secs(CATCH_UP_SECONDS))
}

impl Flight {
    fn open() -> Self {
        Self {
            opened: Instant::now(),
            sent: Mutex::default(),
            is_too_far_behind: AtomicBool::new(false),
        }
    }

    fn oldest(&self) -> Option<Duration> {
        self.sent.lock().front().map(Instant::elapsed)
    }
}

struct Answers {
    stream: Streaming<peer::AppendResponse>,
    flight: Arc<Flight>,
    peers: Arc<Peers>,
    target: NodeId,
    label: String,
    round_trip_seconds: Histogram,
    received_bytes: IntCounter,
    /// Ends the requests with the answers: a request that waits to be sent holds openraft's state of the stream.
    _requests: DropGuard,
}

/// Opens the stream and gives the answers to what `input` sends.
pub async fn open<S>(
    mut client: Client,
    peers: Arc<Peers>,
    target: NodeId,
    input: S,
) -> Result<BoxStream<'static, Result<StreamAppendResult<TypeConfig>, CallError>>, CallError>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let flight = Arc::new(Flight::open());
    let over = CancellationToken::new();
    let requests =
        outbound(input, flight.clone(), peers.clone(), target).take_until(over.clone().cancelled_owned());
    let requests_guard = over.drop_guard();
    let limit = Duration::from_millis(SILENCE_LIMIT_MILLISECONDS);
    let reason = match tokio::time::timeout(limit, client.append(requests)).await {
        Ok(Ok(response)) => {
            let answers = Answers {
                stream: response.into_inner(),
                flight,
                round_trip_seconds: peers.round_trip_seconds(target),
                received_bytes: peers.received_bytes(target),
                peers,
                target,
                label: label(target),
                _requests: requests_guard,
            };
            let stream = futures::stream::unfold(Some(answers), |answers| async move {
                let mut answers = answers?;
                match answers.next().await {
                    Ok(Some(result)) => Some((Ok(result), Some(answers))),
                    Ok(None) => None,
                    Err(reason) => {
                        answers.peers.failed(answers.target, Lane::Data);
                        Some((Err(unreachable(reason).into()), None))
                    }
                }
            });
            return Ok(stream.boxed());
        }
        Ok(Err(status)) => status.to_string(),
        Err(_) => "the stream did not open in time".to_owned(),
    };
    peers.failed(target, Lane::Data);
    tokio::time::sleep(Duration::from_millis(OPEN_PAUSE_MILLISECONDS)).await;
    Err(unreachable(format!("member {target:x}: {reason}")).into())
}

fn outbound<S>(
    input: S,
    flight: Arc<Flight>,
    peers: Arc<Peers>,
    target: NodeId,
) -> impl Stream<Item = peer::AppendRequest> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let sent_bytes = peers.sent_bytes(target);
    let messages = input.map(move |request: AppendEntriesRequest<TypeConfig>| {
        let purge_end = peers.purge_end();
        let was_cut_off = peers.is_cut_off(target);
        let is_behind = request.entries.first().is_some_and(|first| {
            must_cut_off(first.index(), purge_end, flight.opened.elapsed(), was_cut_off)
        });
        if is_behind {
            if !was_cut_off {
                peers.cut_off(target);
            }
            flight.is_too_far_behind.store(true, Ordering::Relaxed);
            return None;
        }
        let message = wire::append_to_wire(request);
        count(&sent_bytes, &message);
        flight.sent.lock().push_back(Instant::now());
        Some(message)
    });
    // The stream ends at the first request that is not sent.
    messages
        .take_while(|message| std::future::ready(message.is_some()))
        .filter_map(std::future::ready)
}

impl Answers {
    async fn next(&mut self) -> Result<Option<StreamAppendResult<TypeConfig>>, String> {
        let check = Duration::from_millis(SILENCE_CHECK_MILLISECONDS);
        loop {
            let answer = tokio::time::timeout(check, self.stream.message()).await;
            if self.flight.is_too_far_behind.load(Ordering::Relaxed) {
                return Err(format!(
                    "member {}: too far behind for the log, it gets a snapshot",
                    self.label
                ));
            }
            match answer {
                Ok(Ok(Some(response))) => return self.answered(response).map(Some),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(status)) => return Err(format!("member {}: {status}", self.label)),
                Err(_) => {
                    let limit = Duration::from_millis(SILENCE_LIMIT_MILLISECONDS);
                    if self.flight.oldest().is_some_and(|age| age > limit) {
                        return Err(format!("member {}: no answer to an append", self.label));
                    }
                }
            }
        }
    }

    fn answered(&self, response: peer::AppendResponse) -> Result<StreamAppendResult<TypeConfig>, String> {
        let sent = self.flight.sent.lock().pop_front();
        if let Some(sent) = sent {
            self.round_trip_seconds.observe(sent.elapsed().as_secs_f64());
        }
        count(&self.received_bytes, &response);
        self.peers.succeeded(self.target);
        wire::append_result_from_wire(response).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_is_cut_off_only_after_it_had_the_time_to_catch_up() {
        let patience = Duration::from_secs(CATCH_UP_SECONDS);
        assert!(
            !must_cut_off(500_000, 990_000, Duration::ZERO, false),
            "a new leader probes in the middle of its log"
        );
        assert!(!must_cut_off(500_000, 990_000, patience, false));
        assert!(must_cut_off(500_000, 990_000, patience * 2, false));
        assert!(
            must_cut_off(500_000, 990_000, Duration::ZERO, true),
            "until the purge is done"
        );
        assert!(!must_cut_off(990_000, 990_000, patience * 2, true));
    }
}
