//! The service that the other members call. Translation only: raft, the barrier and the layer above do the work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::incoming;
use super::introduction::{Caller, Check};
use super::roster::RosterService;
use super::snapshot_receive::Receiver;
use super::{CONNECTION_WINDOW_BYTES, Peers, STREAM_WINDOW_BYTES, count, label, wire};
use crate::proto::peer;
use crate::proto::peer::peer_server::{Peer, PeerServer};
use crate::proto::peer::roster_server::RosterServer;
use crate::replication::Raft;
use crate::replication::barrier::LeaderReads;
use crate::replication::bundle::Bundle;
use crate::replication::failure::Failure;
use crate::replication::hash::Hasher;
use crate::replication::intake::Intake;
use crate::replication::interface::{MemberRequests, PeerListener};
use crate::replication::machine::Snapshot;
use crate::replication::snapshot::SnapshotStore;
use crate::replication::status::StatusBoard;
use crate::replication::types::{NodeId, Rejections};

/// Rejections in one answer.
const MAXIMUM_REJECTIONS_PER_ANSWER: usize = 1_024;

/// What the service answers with.
pub struct PeerService {
    /// Raft.
    pub raft: Raft,
    /// Proposals of the other members.
    pub intake: Intake,
    /// Read indexes.
    pub leader_reads: LeaderReads,
    /// Hashes of the state.
    pub hasher: Hasher,
    /// Who leads.
    pub status: StatusBoard,
    /// The layer above.
    pub member_requests: Arc<dyn MemberRequests>,
    /// Where snapshots arrive.
    pub snapshots: Arc<SnapshotStore>,
    /// What is counted.
    pub peers: Arc<Peers>,
}

/// Serves peers on `listeners` until `stop`: then the streams of peers, which never end by themselves, are ended, and the
/// task ends with the last connection.
///
/// # Errors
/// A listener cannot be used.
pub fn serve(
    service: PeerService,
    roster: RosterService,
    check: Check,
    listeners: Vec<PeerListener>,
    silence: Duration,
    failure: Failure,
    stop: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let mut incoming = Vec::new();
    for listener in listeners {
        incoming.push(incoming::connections(listener, stop.clone())?);
    }
    let maximum = service.peers.maximum_message_bytes();
    let receiver = Receiver::new(service.snapshots.clone());
    let server = PeerServer::new(Handler {
        service,
        receiver,
        stop: stop.clone(),
    })
    .max_decoding_message_size(maximum)
    .max_encoding_message_size(maximum);
    let router = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(silence))
        .http2_keepalive_timeout(Some(silence))
        .add_service(InterceptedService::new(server, check))
        .add_service(RosterServer::new(roster));
    Ok(tokio::spawn(async move {
        let connections = futures::stream::select_all(incoming).map(Ok::<_, std::io::Error>);
        let served = router
            .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            failure.report(format!("peers cannot be served: {error}"));
        }
    }))
}

struct Handler {
    service: PeerService,
    receiver: Receiver,
    stop: CancellationToken,
}

/// What one peer sends, counted. Found once for each stream.
#[derive(Clone)]
struct Traffic {
    received_bytes: IntCounter,
    received_failures: IntCounter,
    sent_bytes: IntCounter,
}

/// Who called. [`Check`] lets nobody in without a name.
fn caller<T>(request: &Request<T>) -> NodeId {
    let caller = request.extensions().get::<Caller>();
    caller.map_or(0, |Caller(member)| member.0)
}

impl Handler {
    /// The traffic with the caller of a request.
    fn traffic<T>(&self, request: &Request<T>) -> Traffic {
        let from = caller(request);
        let peers = &self.service.peers;
        Traffic {
            received_bytes: peers.received_bytes(from),
            received_failures: peers.received_failures(from),
            sent_bytes: peers.sent_bytes(from),
        }
    }
}

type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn raft_error(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft does not answer: {error}"))
}

fn bad_message(error: wire::WireError) -> Status {
    tracing::warn!(%error, "refused a message");
    Status::invalid_argument(error.to_string())
}

/// Tells a follower which of its proposals were not appended. Bounded by the proposals that the follower may have
/// pending.
struct RemoteRejections(mpsc::UnboundedSender<u64>);

impl Rejections for RemoteRejections {
    fn rejected(&self, sequence: u64) {
        // The follower is gone: it treats what it sent as unknown.
        let _ = self.0.send(sequence);
    }
}

#[tonic::async_trait]
impl Peer for Handler {
    type AppendStream = AnswerStream<peer::AppendResponse>;
    type ForwardStream = AnswerStream<peer::ForwardResponse>;

    async fn append(
        &self,
        request: Request<Streaming<peer::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let status = self.service.status.clone();
        let traffic = self.traffic(&request);
        let sent_bytes = traffic.sent_bytes.clone();
        let requests = request.into_inner().scan((), move |(), message| {
            status.heard_leader();
            let usable = message
                .inspect(|message| count(&traffic.received_bytes, message))
                .map_err(|status| tracing::debug!(%status, "a stream of appends broke"))
                .ok()
                .and_then(|message| wire::append_from_wire(message).map_err(bad_message).ok());
            if usable.is_none() {
                traffic.received_failures.inc();
            }
            std::future::ready(usable)
        });
        let answers = self.service.raft.stream_append(requests);
        let answers = answers.map(move |answer| {
            let answer = answer.map(wire::append_result_to_wire).map_err(raft_error)?;
            count(&sent_bytes, &answer);
            Ok(answer)
        });
        Ok(Response::new(
            answers.take_until(self.stop.clone().cancelled_owned()).boxed(),
        ))
    }

    async fn heartbeat(
        &self,
        request: Request<peer::AppendRequest>,
    ) -> Result<Response<peer::AppendResponse>, Status> {
        self.service.status.heard_leader();
        let traffic = self.traffic(&request);
        let request = request.into_inner();
        count(&traffic.received_bytes, &request);
        let append = wire::append_from_wire(request).map_err(bad_message)?;
        let (previous, last) = (append.prev_log_id, wire::last_of_append(&append));
        let response = self
            .service
            .raft
            .append_entries(append)
            .await
            .map_err(raft_error)?;
        let answer = wire::append_response_to_wire(response, previous, last);
        count(&traffic.sent_bytes, &answer);
        Ok(Response::new(answer))
    }

    async fn vote(
        &self,
        request: Request<peer::VoteRequest>,
    ) -> Result<Response<peer::VoteResponse>, Status> {
        let vote = wire::vote_request_from_wire(request.into_inner()).map_err(bad_message)?;
        let response = self.service.raft.vote(vote).await.map_err(raft_error)?;
        Ok(Response::new(wire::vote_response_to_wire(&response)))
    }

    async fn pre_vote(
        &self,
        request: Request<peer::VoteRequest>,
    ) -> Result<Response<peer::VoteResponse>, Status> {
        let vote = wire::vote_request_from_wire(request.into_inner()).map_err(bad_message)?;
        let response = self.service.raft.pre_vote(vote).await.map_err(raft_error)?;
        Ok(Response::new(wire::vote_response_to_wire(&response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<peer::TransferRequest>,
    ) -> Result<Response<peer::TransferResponse>, Status> {
        let transfer = wire::transfer_from_wire(request.into_inner()).map_err(bad_message)?;
        let response = self.service.raft.handle_transfer_leader(transfer).await;
        Ok(Response::new(wire::transfer_response_to_wire(
            response.map_err(raft_error)?,
        )))
    }

    async fn offer_snapshot(
        &self,
        request: Request<peer::SnapshotOffer>,
    ) -> Result<Response<peer::SnapshotWanted>, Status> {
        self.receiver.offer(request.into_inner()).map(Response::new)
    }

    async fn send_snapshot(
        &self,
        request: Request<Streaming<peer::SnapshotPart>>,
    ) -> Result<Response<peer::SnapshotResponse>, Status> {
        let metrics = self.service.peers.metrics();
        let received_bytes = self.traffic(&request).received_bytes;
        let transfer = metrics.receive_snapshot(&label(caller(&request)));
        metrics.snapshot_installs.set(1);
        let receive = self.receiver.receive(request.into_inner(), &received_bytes);
        let received = self.stop.run_until_cancelled(receive).await;
        let received = received.unwrap_or_else(|| Err(Status::unavailable("this member is stopping")));
        let installed = match received {
            Ok(received) => self.install(received).await,
            Err(status) => Err(status),
        };
        metrics.snapshot_installs.set(0);
        if installed.is_ok() {
            transfer.succeed();
        }
        installed.map(Response::new)
    }

    async fn forward(
        &self,
        request: Request<Streaming<peer::ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let traffic = self.traffic(&request);
        let mut messages = request.into_inner();
        let (sender, mut rejected) = mpsc::unbounded_channel();
        let rejections: Arc<dyn Rejections> = Arc::new(RemoteRejections(sender));
        let intake = self.service.intake.clone();
        let stop = self.stop.clone();
        tokio::spawn(async move {
            while let Some(Ok(Some(message))) = stop.run_until_cancelled(messages.message()).await {
                count(&traffic.received_bytes, &message);
                let bundle = Bundle {
                    sequences: message.sequences,
                    proposals: message.proposals,
                };
                if intake.take(bundle, rejections.clone()).await.is_err() {
                    return;
                }
            }
        });
        let answers = futures::stream::poll_fn(move |context| {
            let mut sequences = Vec::new();
            rejected
                .poll_recv_many(context, &mut sequences, MAXIMUM_REJECTIONS_PER_ANSWER)
                .map(|count| {
                    (count > 0).then_some(Ok(peer::ForwardResponse {
                        rejected_sequences: sequences,
                    }))
                })
        });
        Ok(Response::new(
            answers.take_until(self.stop.clone().cancelled_owned()).boxed(),
        ))
    }

    async fn read_index(
        &self,
        _request: Request<peer::ReadIndexRequest>,
    ) -> Result<Response<peer::ReadIndexResponse>, Status> {
        let index = self
            .service
            .leader_reads
            .index()
            .await
            .map_err(Status::unavailable)?;
        Ok(Response::new(peer::ReadIndexResponse { index }))
    }

    async fn hash(
        &self,
        request: Request<peer::HashRequest>,
    ) -> Result<Response<peer::HashResponse>, Status> {
        let answer = self.service.hasher.answer(request.into_inner()).await;
        answer.map(Response::new).map_err(Status::internal)
    }

    async fn ask(&self, request: Request<peer::AskRequest>) -> Result<Response<peer::AskResponse>, Status> {
        if self.service.status.leader() != Some(self.service.status.member()) {
            // Not handled for certain: whoever asks may ask again.
            return Err(Status::failed_precondition("this member does not lead"));
        }
        let body = self
            .service
            .member_requests
            .answer_as_leader(request.into_inner().body)
            .await;
        Ok(Response::new(peer::AskResponse { body }))
    }

    async fn ask_member(
        &self,
        request: Request<peer::AskRequest>,
    ) -> Result<Response<peer::AskResponse>, Status> {
        let body = self
            .service
            .member_requests
            .answer_as_member(request.into_inner().body);
        Ok(Response::new(peer::AskResponse { body }))
    }
}

impl Handler {
    async fn install(
        &self,
        received: super::snapshot_receive::Received,
    ) -> Result<peer::SnapshotResponse, Status> {
        let (vote, meta) = wire::snapshot_start_from_wire(received.start.clone()).map_err(bad_message)?;
        tracing::info!(covers = ?meta.last_log_id, "a snapshot arrived, installing it");
        let snapshot = Snapshot {
            meta,
            snapshot: received.folder.clone(),
        };
        let installed = self
            .service
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(raft_error)?;
        received.forget();
        Ok(peer::SnapshotResponse {
            vote: Some(wire::vote_to_wire(&installed.vote)),
        })
    }
}
