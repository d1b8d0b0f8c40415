//! Replication of the log through Raft, on openraft.
//!
//! Offers [`Replication::propose`], [`Replication::read_barrier`], members and status; everything else, and every type of
//! openraft, stays in here. Never interprets a command: it carries bytes to [`crate::state`].

pub mod interface;

pub use interface::{
    AskError, Committed, LeaderRequests, News, PeerMember, ProposeError, ReadError, Settings, StartError,
    Status, TransferError,
};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::base::metrics::Metrics;
use crate::base::{MemberId, Revision};
use crate::state::command::Command;
use crate::state::{ReadView, Reader};

/// A node's part in the cluster. A handle: clones share one node.
#[derive(Clone)]
pub struct Replication {}

impl Replication {
    /// Opens the data folder, starts raft and the peer service. `news` gets the effects of every applied batch, in
    /// order; a full channel slows apply down.
    ///
    /// # Errors
    /// The data folder belongs to another cluster or member, is damaged, of a newer format or in use.
    pub async fn start(
        _settings: Settings,
        _metrics: Arc<Metrics>,
        _news: mpsc::Sender<News>,
    ) -> Result<Self, StartError> {
        todo!()
    }

    /// Proposes a command and waits until it is applied on this node. Forwards to the leader; retries inside, until
    /// the deadline, whatever provably was not appended anywhere.
    ///
    /// # Errors
    /// See [`ProposeError`]: most of them mean "may have been applied".
    pub async fn propose(&self, _command: Command) -> Result<Committed, ProposeError> {
        todo!()
    }

    /// The state at or after the moment of the call: every write acknowledged by any member before it is in it. Many
    /// callers share one round.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_barrier(&self) -> Result<Arc<ReadView>, ReadError> {
        todo!()
    }

    /// The state as it is on this node, which may lag.
    #[must_use]
    pub fn reader(&self) -> Reader {
        todo!()
    }

    /// Sends a request to the leader (possibly this node) and returns its answer.
    ///
    /// # Errors
    /// No leader answered within `timeout`.
    pub async fn ask_leader(&self, _request: Bytes, _timeout: Duration) -> Result<Bytes, AskError> {
        todo!()
    }

    /// Confirms with a quorum that this node leads now.
    ///
    /// # Errors
    /// It does not lead, or cannot prove it.
    pub async fn confirm_leadership(&self) -> Result<(), ReadError> {
        todo!()
    }

    /// Where this node stands; changes wake the receiver.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        todo!()
    }

    /// The members by id, as this node knows them.
    #[must_use]
    pub fn members(&self) -> Vec<PeerMember> {
        todo!()
    }

    /// Hands leadership to `target`.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, _target: MemberId, _timeout: Duration) -> Result<(), TransferError> {
        todo!()
    }

    /// Bytes of the databases on disk: all, and an estimate of what live data takes.
    #[must_use]
    pub fn database_bytes(&self) -> (u64, u64) {
        todo!()
    }

    /// Resolves when compacted history up to `revision` has been removed from this node's disk.
    pub async fn compaction_removed(&self, _revision: Revision) {
        todo!()
    }

    /// Resolves when raft, the log or the state machine died and the process must exit; with the reason.
    pub async fn failed(&self) -> String {
        todo!()
    }

    /// Hands leadership on if it can, stops taking part, flushes and closes the databases.
    pub async fn shutdown(&self) {
        todo!()
    }
}
