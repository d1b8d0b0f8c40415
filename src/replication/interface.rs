//! What replication shows to the layers above it. No type of openraft is in here.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;
use url::Url;

use crate::base::tls::{Entrance, Tls};
use crate::base::{ClusterId, MemberId, Revision};
use crate::state::ReadView;
use crate::state::applied::{Answer, Effect, Refusal};

/// What a node needs to take part in a cluster. The first four matter only as long as the data folder is empty: after that
/// it says who the node is.
pub struct Settings {
    /// Who this node is in a new cluster.
    pub member: MemberId,
    /// The new cluster.
    pub cluster: ClusterId,
    /// The members a new cluster starts with, the same on all of them; or those of the cluster to join, with their peer
    /// URLs. This node is among them with the id `member`.
    pub initial_members: Vec<PeerMember>,
    /// Whether to form a new cluster from `initial_members`, or to join theirs.
    pub new_cluster: bool,
    /// Where the log, the state and snapshots are kept.
    pub data_folder: PathBuf,
    /// Where peers are listened to.
    pub peer_listeners: Vec<PeerListener>,
    /// TLS for members that are dialled at `https://`; none if there is no such member.
    pub peer_tls: Option<Tls>,
    /// Where to dial instead of an advertised `host:port` (network address translation, fault injection).
    pub dial_map: BTreeMap<String, String>,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// etcd's election timeout: a cluster that lost its leader has a new one after one to two of these.
    pub election: Duration,
    /// Fewest log entries between two snapshots.
    pub snapshot_entries: u64,
    /// Largest encoded command.
    pub maximum_command_bytes: usize,
    /// A batch of commands that takes longer to apply is logged.
    pub slow_apply: Duration,
    /// Answers what other members ask (see [`super::Replication::ask_leader`] and [`super::Replication::ask_member`]).
    pub member_requests: Arc<dyn MemberRequests>,
}

/// Where peers are listened to.
pub struct PeerListener {
    /// Bound, not yet accepting.
    pub listener: TcpListener,
    /// What stands between it and the server.
    pub entrance: Entrance,
}

/// Answers what other members ask. Opaque bytes: the layer above encodes and decodes.
pub trait MemberRequests: Send + Sync + 'static {
    /// Answers a request to the leader. Called on the node that leads, or believes it does.
    fn answer_as_leader(&self, request: Bytes) -> BoxFuture<'static, Bytes>;

    /// Answers a request to this member, whoever leads.
    fn answer_as_member(&self, request: Bytes) -> Bytes;
}

/// A member as replication knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerMember {
    /// Its id.
    pub id: MemberId,
    /// Its name in the initial cluster; the published name wins over it.
    pub name: String,
    /// Where its peers find it.
    pub peer_urls: Vec<String>,
    /// Whether it counts for no quorum.
    pub is_learner: bool,
}

impl PeerMember {
    /// The host of its first peer URL, an IPv6 address in its brackets; none: that has none.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let url = Url::parse(self.peer_urls.first()?).ok()?;
        url.host_str().map(str::to_owned)
    }
}

/// A change of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// Add this one, which is not among them and never was.
    Add(PeerMember),
    /// Remove one.
    Remove(MemberId),
    /// Give one other peer URLs.
    Update {
        /// Which.
        id: MemberId,
        /// All of its peer URLs from now on.
        peer_urls: Vec<String>,
    },
    /// Let a learner take part in quorums.
    Promote(MemberId),
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberProgress {
    /// The member.
    pub member: PeerMember,
    /// Whether it answered the last call of the leader, or is the leader.
    pub is_active: bool,
    /// The last entry that it is known to have, 0 if none is.
    pub matched_index: u64,
}

/// The members when a change is decided on: all changes before it are done.
pub struct Roster {
    /// The members by id.
    pub members: Vec<MemberProgress>,
    /// The leader, which is this node.
    pub leader: MemberId,
    /// The last entry of the leader's log.
    pub last_index: u64,
    /// The state with these members.
    pub view: Arc<ReadView>,
}

/// What another member holds at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerHash {
    /// The revision hashed.
    Hashed {
        /// The hash, in etcd's definition.
        hash: u32,
        /// The compacted revision that it holds for, -1 if never compacted.
        compacted: Revision,
    },
    /// It has forgotten the revision: it was compacted here.
    Compacted(Revision),
    /// It has not applied as much of the log yet.
    Behind,
    /// It has applied as much of the log, and yet has no such revision.
    Lacking,
}

/// Why a change of the members has no answer. The text is etcd's, since clients compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// This node does not lead, or not any more; the change was not proposed.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// No answer in time; it may have been made.
    #[error("etcdserver: request timed out")]
    Timeout,
    /// The node is stopping; it may have been made.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// Where the node stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The leader this node knows, if any.
    pub leader: Option<MemberId>,
    /// Whether this node leads.
    pub is_leader: bool,
    /// Whether this node is a learner.
    pub is_learner: bool,
    /// The raft term.
    pub term: u64,
    /// The last log index known to be committed.
    pub committed_index: u64,
    /// The last log index applied here.
    pub applied_index: u64,
}

/// A command that was applied on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The answer, or why the state machine refused.
    pub outcome: Result<Answer, Refusal>,
    /// The store's revision after it.
    pub revision: Revision,
    /// Its log index.
    pub index: u64,
}

/// News of one applied batch, in log order.
pub struct News {
    /// The state after the batch.
    pub view: Arc<ReadView>,
    /// What happened in it.
    pub effects: Vec<Effect>,
}

/// Why a proposal has no answer. The text is etcd's, since clients compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// No answer in time; it may have been applied.
    #[error("etcdserver: request timed out")]
    Timeout,
    /// No answer in time, and the leader changed while waiting; it may have been applied.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimeoutLeaderFailed,
    /// No answer in time, and this node cannot reach a quorum; it may have been applied.
    #[error("etcdserver: request timed out, possibly due to connection lost")]
    TimeoutConnectionLost,
    /// Too many wait already; it was not proposed.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// This node does not lead in the term that the proposal is bound to; it was not proposed, or will not be committed.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// Larger than the limit; it was not proposed.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The node is stopping; it may have been applied.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// Why a linearizable read has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The leader changed while the read waited.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// No quorum confirmed the read in time.
    #[error("etcdserver: request timed out")]
    Timeout,
    /// This node did not apply up to the read's index in time.
    #[error("etcdserver: request timed out, waiting for the applied index took too long")]
    TimeoutApplied,
    /// The node is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// Why the leader did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AskError {
    /// There is no leader, or it cannot be reached, or it does not answer.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The leader was asked and did not answer: nobody knows what it did.
    #[error("etcdserver: request timed out")]
    Unanswered,
    /// The node is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// Why leadership was not transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// The target is unknown or a learner.
    #[error("etcdserver: bad leader transferee")]
    BadTarget,
    /// The target did not take over in time.
    #[error("etcdserver: request timed out, leader transfer took too long")]
    Timeout,
}

/// Why a node cannot start. Nothing was changed on disk unless it says so.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("data folder {folder}: {reason}")]
    DataFolder {
        /// The folder.
        folder: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The disk, or what is on it.
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
    /// The state.
    #[error(transparent)]
    State(#[from] crate::state::applied::Fatal),
    /// The cluster that the node is to join does not answer, or does not know it.
    #[error("this node cannot join the cluster: {0}")]
    Join(String),
    /// Anything else of raft's.
    #[error("raft did not start: {0}")]
    Raft(String),
}
