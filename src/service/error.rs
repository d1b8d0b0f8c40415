//! Why a request was not answered: one case for each reason, whatever front door it came through.
//!
//! The texts are etcd's, byte for byte, since clients compare them (the Go client turns a text back into a typed
//! error). Which status of a wire format a case becomes is decided at that format's edge, never here.

use thiserror::Error;

use super::registry::RegistryError;
use super::watch::WatchRefusal;
use crate::replication::{AskError, ProposeError, ReadError, TransferError};
use crate::state::applied::{Fatal, Refusal};

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// The state machine refuses it, or would.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A request, an operation or a compare without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// A value next to `ignore_value`.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease next to `ignore_lease`.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction with more operations in one list than allowed.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOperations,
    /// A transaction that writes one key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// What the client says of its version is no text.
    #[error("etcdserver: invalid client api version")]
    BadClientVersion,
    /// A sort order or target that does not exist.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// A time to live above the maximum.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// The encoded request is larger than the limit.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// Too many requests wait already.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// The node knows no leader.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// Only the leader can do it, and this node does not lead.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// The leader changed while the request waited.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The node is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// No answer in time; a write may have been applied.
    #[error("etcdserver: request timed out")]
    Timeout,
    /// No answer in time and the leader changed meanwhile; a write may have been applied.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimeoutLeaderFailed,
    /// No answer in time and no quorum in reach; a write may have been applied.
    #[error("etcdserver: request timed out, possibly due to connection lost")]
    TimeoutConnectionLost,
    /// This node did not catch up in time.
    #[error("etcdserver: request timed out, waiting for the applied index took too long")]
    TimeoutApplied,
    /// Leadership did not move in time.
    #[error("etcdserver: request timed out, leader transfer took too long")]
    TimeoutTransfer,
    /// A member has this id, or had it.
    #[error("etcdserver: member ID already exist")]
    MemberExists,
    /// Another member has this peer URL.
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExists,
    /// After the change, too few members would have started to make a quorum.
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStartedMembers,
    /// Peer URLs that nobody can dial.
    #[error("etcdserver: given member URLs are invalid")]
    BadMemberUrls,
    /// No such member.
    #[error("etcdserver: member not found")]
    MemberNotFound,
    /// Only learners are promoted.
    #[error("etcdserver: can only promote a learner member")]
    MemberNotLearner,
    /// The learner lags.
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// There are as many learners as there may be.
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    /// Too few members answer to change them.
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    /// Learners serve little.
    #[error("etcdserver: rpc not supported for learner")]
    NotSupportedForLearner,
    /// No version of etcd.
    #[error("etcdserver: wrong downgrade target version format")]
    DowngradeVersionFormat,
    /// Not the version before the cluster's.
    #[error("etcdserver: invalid downgrade target version")]
    DowngradeTarget,
    /// An action that does not exist.
    #[error("etcdserver: unknown method")]
    UnknownMethod,
    /// The target of a leadership transfer is unknown or a learner.
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    /// The node that leads cannot prove that it does; another endpoint may answer.
    #[error("not a primary lessor")]
    NotPrimaryLessor,
    /// The name and the password do not belong together.
    #[error("etcdserver: authentication failed, invalid user ID or password")]
    AuthFailed,
    /// A password for a user who has none.
    #[error("auth: authentication failed, password was given for no password user")]
    PasswordNotWanted,
    /// A grant of nothing.
    #[error("etcdserver: permission not given")]
    PermissionNotGiven,
    /// A login while nobody needs an identity.
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// A token that is void, or never was one.
    #[error("etcdserver: invalid auth token")]
    InvalidAuthToken,
    /// This member has no key to sign tokens with; another one may.
    #[error("auth: token signing attempted with verify-only key")]
    TokenVerifyOnly,
    /// The lease of who waits for a lock has ended, or its key was removed.
    #[error("mutex: session is expired")]
    SessionExpired,
    /// An election without a leader.
    #[error("election: no leader")]
    NoElectionLeader,
    /// Who wants to speak as the leader of an election is not.
    #[error("election: not leader")]
    NotElectionLeader,
    /// A request as the leader of an election that does not say which.
    #[error("\"leader\" field must be provided")]
    MissingLeaderKey,
    /// A request about services.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A watch that a request needs was not created.
    #[error(transparent)]
    WatchRefused(#[from] WatchRefusal),
    /// An enumeration of the request has a number that means nothing.
    #[error("etcdserver: {field} has no meaning for the number {number}")]
    UnknownChoice {
        /// The field.
        field: &'static str,
        /// The number.
        number: i32,
    },
    /// Sorted streams would have to be held in memory whole.
    #[error("RangeStream does not support custom sort orders")]
    StreamSort,
    /// Filtered streams are not offered, as in etcd.
    #[error("RangeStream does not support revision filters")]
    StreamFilter,
    /// A request this node does not serve; the sentence says so.
    #[error("{0}")]
    Unimplemented(&'static str),
    /// This node failed: its disk, or what is on it.
    #[error("stead: {0}")]
    Internal(String),
}

impl From<ProposeError> for ServiceError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Timeout => Self::Timeout,
            ProposeError::TimeoutLeaderFailed => Self::TimeoutLeaderFailed,
            ProposeError::TimeoutConnectionLost => Self::TimeoutConnectionLost,
            ProposeError::TooManyRequests => Self::TooManyRequests,
            ProposeError::NotLeader => Self::NotLeader,
            ProposeError::TooLarge => Self::RequestTooLarge,
            ProposeError::Stopped => Self::Stopped,
        }
    }
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::LeaderChanged => Self::LeaderChanged,
            ReadError::Timeout => Self::Timeout,
            ReadError::TimeoutApplied => Self::TimeoutApplied,
            ReadError::Stopped => Self::Stopped,
        }
    }
}

impl From<AskError> for ServiceError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoLeader => Self::NoLeader,
            AskError::Unanswered => Self::Timeout,
            AskError::Stopped => Self::Stopped,
        }
    }
}

impl From<TransferError> for ServiceError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NotLeader => Self::NotLeader,
            TransferError::BadTarget => Self::BadLeaderTransferee,
            TransferError::Timeout => Self::TimeoutTransfer,
        }
    }
}

impl From<Fatal> for ServiceError {
    fn from(error: Fatal) -> Self {
        Self::Internal(error.to_string())
    }
}
