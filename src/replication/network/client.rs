//! openraft's calls to one peer.
//!
//! Every failure is reported as `Unreachable`, which makes openraft back off at once; other kinds it would retry in a
//! tight loop.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use openraft::OptionalSend;
use openraft::RaftNetworkV2;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prometheus::{Histogram, IntCounter};
use prost::Message;
use tonic::{Response, Status};

use super::{Client, Lane, Peers, append, count, label, snapshot_send, wire};
use crate::replication::machine::Snapshot;
use crate::replication::snapshot::SnapshotFolder;
use crate::replication::types::{Node, NodeId, TypeConfig, Vote};

/// openraft's error of a call.
pub type CallError = RPCError<TypeConfig>;

/// A client of one peer on one connection.
pub struct PeerNetwork {
    peers: Arc<Peers>,
    target: NodeId,
    node: Node,
    lane: Lane,
    sent_bytes: IntCounter,
    received_bytes: IntCounter,
    round_trip_seconds: Histogram,
}

/// Anything that went wrong, as openraft should see it.
pub fn unreachable(reason: impl ToString) -> Unreachable<TypeConfig> {
    Unreachable::from_string(reason)
}

impl PeerNetwork {
    /// A client of `target`.
    #[must_use]
    pub fn new(peers: Arc<Peers>, target: NodeId, node: Node, lane: Lane) -> Self {
        Self {
            sent_bytes: peers.sent_bytes(target),
            received_bytes: peers.received_bytes(target),
            round_trip_seconds: peers.round_trip_seconds(target),
            peers,
            target,
            node,
            lane,
        }
    }

    fn client(&self) -> Result<Client, CallError> {
        let client = self.peers.client(self.target, &self.node, self.lane);
        client.map_err(|reason| unreachable(reason).into())
    }

    /// A message that is about to be sent.
    fn counted<T: Message>(&self, message: T) -> T {
        count(&self.sent_bytes, &message);
        message
    }

    /// One call with a deadline.
    async fn call<T: Message>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallError> {
        let started = Instant::now();
        let reason = match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => {
                self.peers.succeeded(self.target);
                self.round_trip_seconds.observe(started.elapsed().as_secs_f64());
                let response = response.into_inner();
                count(&self.received_bytes, &response);
                return Ok(response);
            }
            Ok(Err(status)) => status.to_string(),
            Err(_) => format!("no answer within {} ms", limit.as_millis()),
        };
        self.peers.failed(self.target, self.lane);
        Err(unreachable(format!("member {:x}: {reason}", self.target)).into())
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = Arc<SnapshotFolder>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, CallError> {
        let last = wire::last_of_append(&request);
        let mut client = self.client()?;
        let message = self.counted(wire::append_to_wire(request));
        let answered = self.call(option.hard_ttl(), client.heartbeat(message)).await;
        if answered.is_err() && self.lane == Lane::Control {
            self.peers.metrics().heartbeat_send_failures.inc();
        }
        let response = answered?;
        let result = wire::append_result_from_wire(response).map_err(unreachable)?;
        Ok(match result {
            Ok(matched) if matched == last => AppendEntriesResponse::Success,
            Ok(matched) => AppendEntriesResponse::PartialSuccess(matched),
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, CallError>>, CallError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        match self.lane {
            // A heartbeat is a stream of one: a plain call costs half.
            Lane::Control => stream_append_sequential(self, input, option),
            Lane::Data | Lane::Snapshot => {
                let client = self.client();
                let (peers, target) = (self.peers.clone(), self.target);
                Box::pin(async move { append::open(client?, peers, target, input).await })
            }
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, CallError> {
        let mut client = self.client()?;
        let message = self.counted(wire::vote_request_to_wire(&request));
        let response = self.call(option.hard_ttl(), client.vote(message)).await?;
        wire::vote_response_from_wire(response).map_err(|error| unreachable(error).into())
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, CallError> {
        let mut client = self.client()?;
        let message = self.counted(wire::vote_request_to_wire(&request));
        let response = self.call(option.hard_ttl(), client.pre_vote(message)).await?;
        wire::vote_response_from_wire(response).map_err(|error| unreachable(error).into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self
            .peers
            .client(self.target, &self.node, Lane::Snapshot)
            .map_err(unreachable)?;
        let transfer = self.peers.metrics().send_snapshot(&label(self.target));
        let send = snapshot_send::send(client, self.peers.clone(), self.target, &vote, &snapshot);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = tokio::time::timeout(option.hard_ttl(), send) => {
                let reason = match sent {
                    Ok(Ok(vote)) => {
                        self.peers.succeeded(self.target);
                        transfer.succeed();
                        return Ok(SnapshotResponse::new(vote));
                    }
                    Ok(Err(reason)) => reason,
                    Err(_) => format!("not sent within {} s", option.hard_ttl().as_secs()),
                };
                self.peers.failed(self.target, Lane::Snapshot);
                tracing::warn!(to = %label(self.target), reason, "a snapshot could not be sent");
                Err(unreachable(reason).into())
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, CallError> {
        let mut client = self.client()?;
        let message = self.counted(wire::transfer_to_wire(&request));
        // The target answers once its log is flushed, which may take longer than a heartbeat.
        let limit = option.hard_ttl().max(self.peers.settings.silence);
        let response = self.call(limit, client.transfer_leader(message)).await?;
        wire::transfer_response_from_wire(response, &request).map_err(|error| unreachable(error).into())
    }
}
