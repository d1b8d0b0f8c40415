//! The caller's side of a stream of appends: any number in flight, answers in order.
//!
//! openraft waits for answers without a limit, so this stream watches itself: when an append has been out for too long
//! without an answer, or the follower needs entries that are to be purged, it ends as `Unreachable`. The first keeps a
//! dead connection from holding replication up, the second a slow follower from pinning the leader's log: it gets a
//! snapshot then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use parking_lot::Mutex;
use prost::Message;
use tonic::Streaming;

use super::client::{CallError, unreachable};
use super::{Client, Lane, Peers, label, wire};
use crate::proto::peer;
use crate::replication::types::{NodeId, TypeConfig};

/// Longest time that an append may be out without any answer. Longer than a disk stalls, shorter than an operator waits.
const SILENCE_LIMIT_MILLISECONDS: u64 = 5_000;
/// How often the silence is looked at.
const SILENCE_CHECK_MILLISECONDS: u64 = 500;

/// What is on its way.
#[derive(Default)]
struct Flight {
    sent: Mutex<VecDeque<Instant>>,
    is_too_far_behind: AtomicBool,
}

impl Flight {
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
    let flight = Arc::new(Flight::default());
    let requests = outbound(input, flight.clone(), peers.clone(), target);
    let limit = Duration::from_millis(SILENCE_LIMIT_MILLISECONDS);
    let reason = match tokio::time::timeout(limit, client.append(requests)).await {
        Ok(Ok(response)) => {
            let answers = Answers {
                stream: response.into_inner(),
                flight,
                peers,
                target,
                label: label(target),
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
    let sent_bytes = peers
        .metrics()
        .peer_sent_bytes
        .with_label_values(&[label(target).as_str()]);
    let messages = input.map(move |request: AppendEntriesRequest<TypeConfig>| {
        let purge_end = peers.purge_end();
        if request
            .entries
            .first()
            .is_some_and(|first| first.index() < purge_end)
        {
            flight.is_too_far_behind.store(true, Ordering::Relaxed);
            return None;
        }
        let message = wire::append_to_wire(request);
        sent_bytes.inc_by(u64::try_from(message.encoded_len()).unwrap_or(u64::MAX));
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
        let metrics = self.peers.metrics();
        if let Some(sent) = sent {
            metrics
                .peer_round_trip_seconds
                .with_label_values(&[self.label.as_str()])
                .observe(sent.elapsed().as_secs_f64());
        }
        self.peers.received(self.target, response.encoded_len());
        self.peers.succeeded(self.target);
        wire::append_result_from_wire(response).map_err(|error| error.to_string())
    }
}
