//! Replication of the log through Raft, on openraft.
//!
//! Offers [`Replication::propose`], [`Replication::read_barrier`], members and status; everything else, and every type of
//! openraft, stays in here. Never interprets a command: it carries bytes to [`crate::state`].
//!
//! | module | does |
//! |---|---|
//! | [`interface`] | the types that the layers above see |
//! | `start` | opens the data folder and wires everything below |
//! | `identity`, `snapshot`, `restore` | whose folder it is; the state databases and snapshots in it; one that is made from a file |
//! | `join`, `members`, `departed` | how a node finds its cluster; changes of the members; who was removed |
//! | `log` | the raft log: one writer thread, group commit, recent entries in memory |
//! | `machine`, `compaction`, `maintenance` | apply, removal of compacted history, flush and snapshots by the clock |
//! | `network` | connections to the peers, the service they call, streams of appends and snapshots |
//! | `propose`, `pace`, `bundle`, `forward`, `waiters` | the way of proposals to the leader's log, and the answers from the local apply |
//! | `barrier`, `hash` | linearizable reads; what the members hold at a revision |
//! | `status`, `failure`, `fault` | who leads, what ended the node, faults on purpose |

mod apply_seconds;
mod barrier;
mod bundle;
mod compaction;
mod departed;
mod failure;
mod fault;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod identity;
mod intake;
pub mod interface;
mod join;
mod log;
mod machine;
mod maintenance;
mod members;
mod network;
mod propose;
mod restore;
mod snapshot;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod transfer;
mod types;
mod waiters;
mod waiting;

pub use identity::IDENTITY_FILE;
pub use interface::{
    AskError, ChangeError, Committed, MemberChange, MemberProgress, MemberRequests, News, PeerHash,
    PeerListener, PeerMember, ProposeError, ReadError, Roster, Settings, StartError, Status, TransferError,
};

pub use restore::{NewMember, create_member};

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::barrier::{Barrier, LeaderReads};
use self::compaction::Compaction;
use self::departed::Departed;
use self::failure::Failure;
use self::log::LogStore;
use self::machine::decode_applied;
use self::members::{Members, best_successor};
use self::network::{Lane, Peers};
use self::propose::Proposer;
use self::snapshot::SnapshotStore;
use self::status::{StatusBoard, members_of};
use self::types::TypeConfig;
use self::waiters::Waiters;
use crate::base::metrics::Metrics;
use crate::base::{ClusterId, MemberId, Revision};
use crate::proto::peer;
use crate::state::applied::Fatal;
use crate::state::command::Command;
use crate::state::{ReadView, Reader};
use crate::storage::StorageError;

type Raft = openraft::Raft<TypeConfig, machine::StateMachine>;

/// Pause before the leader is looked for again.
const LEADER_PAUSE_MILLISECONDS: u64 = 50;

/// A node's part in the cluster. A handle: clones share one node.
#[derive(Clone)]
pub struct Replication {
    parts: Arc<Parts>,
}

/// What a running node is made of.
struct Parts {
    raft: Raft,
    log: LogStore,
    snapshots: Arc<SnapshotStore>,
    compaction: Arc<Compaction>,
    proposer: Arc<Proposer>,
    barrier: Arc<Barrier>,
    leader_reads: LeaderReads,
    waiters: Waiters,
    status: StatusBoard,
    peers: Arc<Peers>,
    reader: Reader,
    member_requests: Arc<dyn MemberRequests>,
    failure: Failure,
    member: MemberId,
    cluster: ClusterId,
    members: Arc<Members>,
    departed: Arc<Departed>,
    election: Duration,
    stop: CancellationToken,
    /// Ends with the last connection of a peer after `stop`.
    server: Mutex<Option<JoinHandle<()>>>,
    /// Holds the folder's lock.
    folder: identity::DataFolder,
}

impl Replication {
    /// Opens the data folder, starts raft and the peer service. `news` gets the effects of every applied batch that has
    /// some, in order; a full channel slows apply down.
    ///
    /// # Errors
    /// The data folder belongs to another cluster or member, is damaged, of a newer format or in use.
    pub async fn start(
        settings: Settings,
        metrics: Arc<Metrics>,
        news: mpsc::Sender<News>,
    ) -> Result<Self, StartError> {
        let parts = start::start(settings, metrics, news).await?;
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    /// Proposes a command and waits until it is applied on this node. Forwards to the leader; retries inside, until
    /// the deadline, whatever provably was not appended anywhere.
    ///
    /// # Errors
    /// See [`ProposeError`]: most of them mean "may have been applied".
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        self.parts.proposer.propose(command).await
    }

    /// Proposes a command that only the leader of `term` may have committed: never forwarded, never tried again.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`ProposeError::NotLeader`] if this node does not lead in `term`.
    pub async fn propose_as_leader(&self, command: Command, term: u64) -> Result<Committed, ProposeError> {
        self.parts.proposer.propose_as_leader(command, term).await
    }

    /// The state at or after the moment of the call: every write acknowledged by any member before it is in it. Many
    /// callers share one round.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_barrier(&self) -> Result<Arc<ReadView>, ReadError> {
        self.parts.barrier.read().await
    }

    /// The state as it is on this node, which may lag.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.parts.reader.clone()
    }

    /// Sends a request to the leader (possibly this node) and returns its answer.
    ///
    /// # Errors
    /// No leader answered within `timeout`.
    pub async fn ask_leader(&self, request: Bytes, timeout: Duration) -> Result<Bytes, AskError> {
        let asking = async {
            loop {
                if self.parts.stop.is_cancelled() {
                    return Err(AskError::Stopped);
                }
                match self.ask_once(request.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(unanswered) => tracing::debug!(unanswered.reason, "the leader did not answer"),
                }
                tokio::time::sleep(Duration::from_millis(LEADER_PAUSE_MILLISECONDS)).await;
            }
        };
        tokio::time::timeout(timeout, asking)
            .await
            .unwrap_or(Err(AskError::NoLeader))
    }

    /// Sends a request to the leader as [`Replication::ask_leader`] does, but never a second time if the first may have
    /// been heard.
    ///
    /// # Errors
    /// No leader could be asked within `timeout`, or it did not answer.
    pub async fn ask_leader_once(&self, request: Bytes, timeout: Duration) -> Result<Bytes, AskError> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if self.parts.stop.is_cancelled() {
                return Err(AskError::Stopped);
            }
            match tokio::time::timeout_at(deadline, self.ask_once(request.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(unanswered)) if unanswered.was_not_heard => {
                    tracing::debug!(unanswered.reason, "the leader was not asked");
                }
                Ok(Err(_)) | Err(_) => return Err(AskError::Unanswered),
            }
            tokio::time::sleep(Duration::from_millis(LEADER_PAUSE_MILLISECONDS)).await;
        }
        Err(AskError::NoLeader)
    }

    async fn ask_once(&self, request: Bytes) -> Result<Bytes, NoAnswer> {
        let parts = &self.parts;
        let not_asked = |reason: &str| NoAnswer {
            reason: reason.to_owned(),
            was_not_heard: true,
        };
        let leader = parts
            .status
            .leader()
            .ok_or_else(|| not_asked("there is no leader"))?;
        if leader == parts.status.member() {
            return Ok(parts.member_requests.answer_as_leader(request).await);
        }
        let node = parts.status.node(leader.0);
        let node = node.ok_or_else(|| not_asked("the leader is no member"))?;
        let client = parts.peers.client(leader.0, &node, Lane::Control);
        let mut client = client.map_err(|reason| not_asked(&reason))?;
        let answer = client.ask(peer::AskRequest { body: request }).await;
        answer
            .map(|answer| answer.into_inner().body)
            .map_err(|status| NoAnswer {
                reason: status.to_string(),
                was_not_heard: was_not_heard(&status),
            })
    }

    /// Sends a request to another member, once, and returns its answer.
    ///
    /// # Errors
    /// It did not answer within `timeout`; it may have heard the request.
    pub async fn ask_member(
        &self,
        member: MemberId,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, AskError> {
        let parts = &self.parts;
        let node = parts.status.node(member.0).ok_or(AskError::Unanswered)?;
        let client = parts.peers.client(member.0, &node, Lane::Control);
        let mut client = client.map_err(|_| AskError::Unanswered)?;
        let asking = client.ask_member(peer::AskRequest { body: request });
        match tokio::time::timeout(timeout, asking).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().body),
            Ok(Err(_)) | Err(_) => Err(AskError::Unanswered),
        }
    }

    /// The members that count for a quorum, as this node knows them, in order.
    #[must_use]
    pub fn voters(&self) -> Vec<MemberId> {
        let voters: BTreeSet<_> = self.parts.status.voters().into_iter().collect();
        voters.into_iter().map(MemberId).collect()
    }

    /// Since when the members are who they are, as far as this node knows.
    #[must_use]
    pub fn members_since(&self) -> std::time::Instant {
        self.parts.status.members_since()
    }

    /// When this node last heard a leader other than itself.
    #[must_use]
    pub fn heard_leader_at(&self) -> std::time::Instant {
        self.parts.status.heard_leader_at()
    }

    /// Makes the change of the members that `decide` chooses, after all changes before it are done; the inner error is its
    /// refusal. `decide` may be asked more than once, and only the last answer counts.
    ///
    /// # Errors
    /// See [`ChangeError`]; [`ChangeError::NotLeader`] if this node does not lead.
    pub async fn change_members<E>(
        &self,
        timeout: Duration,
        decide: impl Fn(&Roster) -> Result<MemberChange, E>,
    ) -> Result<Result<(), E>, ChangeError> {
        self.parts.members.change(timeout, decide).await
    }

    /// Resolves when this node was removed from its cluster, with a sentence that says so: it must stop, and its folder
    /// is refused from now on.
    pub async fn removed(&self) -> String {
        self.parts.departed.wait().await;
        match self.parts.folder.set_removed() {
            Ok(reason) => reason,
            Err(error) => {
                format!("this member was removed from the cluster, and that cannot be written down: {error}")
            }
        }
    }

    /// This member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.parts.member
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.parts.cluster
    }

    /// Confirms with a quorum that this node leads now.
    ///
    /// # Errors
    /// It does not lead, or cannot prove it.
    pub async fn confirm_leadership(&self) -> Result<(), ReadError> {
        let is_leader = || self.parts.status.leader() == Some(self.parts.status.member());
        if !is_leader() {
            return Err(ReadError::LeaderChanged);
        }
        match tokio::time::timeout(2 * self.parts.election, self.parts.leader_reads.index()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) if !is_leader() => Err(ReadError::LeaderChanged),
            Ok(Err(_)) | Err(_) => Err(ReadError::Timeout),
        }
    }

    /// Where this node stands; changes wake the receiver.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.parts.status.subscribe()
    }

    /// How long ago a leader sent something to this node; nothing while it leads.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.parts.status.silence()
    }

    /// What every other member of the cluster holds at `revision`, which this node had when it had applied the log up to
    /// `applied_index`; or why that is not known within `limit`.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn peer_hashes(
        &self,
        revision: Revision,
        applied_index: u64,
        limit: Duration,
    ) -> Result<Vec<(MemberId, Result<PeerHash, String>)>, Fatal> {
        let parts = &self.parts;
        let request = peer::HashRequest {
            revision: revision.0,
            applied_index,
        };
        hash::ask_all(&parts.peers, &parts.reader, parts.member, request, limit).await
    }

    /// The members in a state, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub fn members(&self, view: &ReadView) -> Result<Vec<PeerMember>, Fatal> {
        let (_, membership) = decode_applied(&view.position()?)?;
        Ok(members_of(membership.membership()))
    }

    /// Bytes of the databases on disk: all, and an estimate of what live data takes.
    #[must_use]
    pub fn database_bytes(&self) -> (u64, u64) {
        let engine = self.parts.snapshots.engine();
        (engine.size_bytes(), engine.live_bytes())
    }

    /// A new file on the disk of the data folder, without a name: it goes with its last handle. Blocks on the disk.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn scratch_file(&self) -> Result<File, StorageError> {
        self.parts.snapshots.scratch_file()
    }

    /// The last compaction of this run whose history is gone from this node's disk.
    #[must_use]
    pub fn last_compaction_removed(&self) -> Option<Revision> {
        self.parts.compaction.last_removed()
    }

    /// Gives back the space on this node's disk of what was removed from the state. Takes time in proportion to the
    /// data, and holds nothing up. A disk that fails ends the node.
    pub async fn reclaim_space(&self) {
        let snapshots = self.parts.snapshots.clone();
        let reclaimed = tokio::task::spawn_blocking(move || snapshots.reclaim()).await;
        if let Ok(Err(error)) = reclaimed {
            self.parts
                .failure
                .report(format!("space cannot be given back: {error}"));
        }
    }

    /// Resolves when compacted history before `revision` has been removed from this node's disk.
    pub async fn compaction_removed(&self, revision: Revision) {
        self.parts.compaction.removed(revision).await;
    }

    /// Resolves when raft, the log or the state machine died and the process must exit; with the reason.
    pub async fn failed(&self) -> String {
        self.parts.failure.wait().await
    }

    /// Hands leadership on if it can, stops taking part, flushes and closes the databases.
    pub async fn shutdown(&self) {
        let parts = &self.parts;
        let successor = best_successor(&parts.raft.metrics().borrow_watched(), parts.member.0);
        if let Some(target) = successor {
            // Without it the others elect a leader by themselves, a little later.
            let _ = self.transfer_leader(MemberId(target), parts.election).await;
        }
        parts.stop.cancel();
        if let Err(error) = parts.raft.shutdown().await {
            tracing::error!(%error, "raft did not stop cleanly");
        }
        parts.waiters.close();
        let server = parts.server.lock().take();
        if let Some(server) = server {
            // A peer that does not close its connection does not keep this node from stopping.
            let _ = tokio::time::timeout(parts.election, server).await;
        }
        let (log, engine) = (parts.log.clone(), parts.snapshots.engine());
        let closed = tokio::task::spawn_blocking(move || {
            log.close();
            engine.flush()
        });
        match closed.await {
            Ok(Ok(())) => tracing::info!("stopped"),
            Ok(Err(error)) => tracing::error!(%error, "the state could not be flushed"),
            Err(error) => tracing::error!(%error, "the databases could not be closed"),
        }
    }
}

/// Why a request to the leader has no answer.
struct NoAnswer {
    reason: String,
    /// Whether it was certainly not handled by anybody.
    was_not_heard: bool,
}

/// Whether a call did certainly not reach whoever handles it: there was no connection, or the callee refused it at the door.
fn was_not_heard(status: &tonic::Status) -> bool {
    use std::error::Error;
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    status.code() == tonic::Code::FailedPrecondition
}
