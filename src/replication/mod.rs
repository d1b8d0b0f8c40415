//! Replication of the log through Raft, on openraft.
//!
//! Offers [`Replication::propose`], [`Replication::read_barrier`], members and status; everything else, and every type of
//! openraft, stays in here. Never interprets a command: it carries bytes to [`crate::state`].
//!
//! | module | does |
//! |---|---|
//! | [`interface`] | the types that the layers above see |
//! | `start` | opens the data folder and wires everything below |
//! | `identity`, `snapshot` | whose folder it is; the state databases and snapshots in it |
//! | `log` | the raft log: one writer thread, group commit, recent entries in memory |
//! | `machine`, `compaction`, `maintenance` | apply, removal of compacted history, flush and snapshots by the clock |
//! | `network` | connections to the peers, the service they call, streams of appends and snapshots |
//! | `propose`, `pace`, `bundle`, `forward`, `waiters` | the way of proposals to the leader's log, and the answers from the local apply |
//! | `barrier`, `status`, `failure`, `fault` | linearizable reads, who leads, what ended the node, faults on purpose |

mod barrier;
mod bundle;
mod compaction;
mod failure;
mod fault;
mod forward;
mod identity;
mod intake;
pub mod interface;
mod log;
mod machine;
mod maintenance;
mod network;
mod propose;
mod snapshot;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod types;
mod waiters;
mod waiting;

pub use interface::{
    AskError, Committed, LeaderRequests, News, PeerListener, PeerMember, ProposeError, ReadError, Settings,
    StartError, Status, TransferError,
};

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
use self::failure::Failure;
use self::log::LogStore;
use self::network::{Lane, Peers};
use self::propose::Proposer;
use self::snapshot::SnapshotStore;
use self::status::StatusBoard;
use self::types::TypeConfig;
use self::waiters::Waiters;
use crate::base::metrics::Metrics;
use crate::base::{MemberId, Revision};
use crate::proto::peer;
use crate::state::command::Command;
use crate::state::{ReadView, Reader};

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
    leader_requests: Arc<dyn LeaderRequests>,
    failure: Failure,
    election: Duration,
    stop: CancellationToken,
    /// Ends with the last connection of a peer after `stop`.
    server: Mutex<Option<JoinHandle<()>>>,
    /// Holds the folder's lock.
    _folder: identity::DataFolder,
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
        let deadline = Instant::now() + timeout;
        loop {
            if self.parts.stop.is_cancelled() {
                return Err(AskError::Stopped);
            }
            match tokio::time::timeout_at(deadline, self.ask_once(request.clone())).await {
                Err(_) => return Err(AskError::NoLeader),
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(reason)) => tracing::debug!(reason, "the leader did not answer"),
            }
            tokio::time::sleep(Duration::from_millis(LEADER_PAUSE_MILLISECONDS)).await;
        }
    }

    async fn ask_once(&self, request: Bytes) -> Result<Bytes, String> {
        let parts = &self.parts;
        let leader = parts.status.leader().ok_or("there is no leader")?;
        if leader == parts.status.member() {
            return Ok(parts.leader_requests.answer(request).await);
        }
        let node = parts.status.node(leader.0).ok_or("the leader is no member")?;
        let mut client = parts.peers.client(leader.0, &node, Lane::Control)?;
        let answer = client.ask(peer::AskRequest { body: request }).await;
        answer
            .map(|answer| answer.into_inner().body)
            .map_err(|status| status.to_string())
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

    /// The members by id, as this node knows them.
    #[must_use]
    pub fn members(&self) -> Vec<PeerMember> {
        self.parts.status.members()
    }

    /// Hands leadership to `target`.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, target: MemberId, timeout: Duration) -> Result<(), TransferError> {
        let mut status = self.status();
        if !status.borrow_and_update().is_leader {
            return Err(TransferError::NotLeader);
        }
        if !self.parts.status.voters().contains(&target.0) {
            return Err(TransferError::BadTarget);
        }
        let deadline = Instant::now() + timeout;
        let transfer = self.parts.raft.trigger().transfer_leader(target.0).await;
        transfer.map_err(|_| TransferError::Timeout)?;
        let taken_over = status.wait_for(|status| status.leader == Some(target));
        match tokio::time::timeout_at(deadline, taken_over).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TransferError::Timeout),
        }
    }

    /// Bytes of the databases on disk: all, and an estimate of what live data takes.
    #[must_use]
    pub fn database_bytes(&self) -> (u64, u64) {
        let engine = self.parts.snapshots.engine();
        (engine.size_bytes(), engine.live_bytes())
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
        if let Some(target) = self.best_successor() {
            // Without it the others elect a leader by themselves, a little later.
            let _ = self.transfer_leader(target, parts.election).await;
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

    /// The other voter that has most of the log, if this node leads.
    fn best_successor(&self) -> Option<MemberId> {
        let voters = self.parts.status.voters();
        let receiver = self.parts.raft.metrics();
        let metrics = receiver.borrow_watched();
        let progress = metrics.replication.as_ref()?;
        progress
            .iter()
            .filter(|(id, _)| **id != self.parts.status.member().0 && voters.contains(*id))
            .max_by_key(|(_, matched)| **matched)
            .map(|(id, _)| MemberId(*id))
    }
}
