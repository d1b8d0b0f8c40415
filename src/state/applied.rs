//! What applying a command gives: an answer for whoever proposed it, and news for the rest of the node.
//!
//! A [`Refusal`] is a value: every node that applies the entry comes to the same one. A [`Fatal`] is not: it stops the
//! node before it acknowledges anything. `?` cannot mix the two, since a refusal is never an `Err` next to a fatal.

use bytes::Bytes;
use smallvec::SmallVec;
use thiserror::Error;

use super::command::Alarm;
use crate::base::limits::MAXIMUM_AUTH_BYTES;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::StorageError;

/// A key with its value and header, as etcd's `mvccpb.KeyValue`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty in a tombstone and where only keys were asked for.
    pub value: Bytes,
    /// The revision that created this generation of the key.
    pub create_revision: Revision,
    /// The revision that changed it last.
    pub modification_revision: Revision,
    /// 1 for a created key, one more for each change; 0 in a tombstone.
    pub version: i64,
    /// The lease it is attached to.
    pub lease: LeaseId,
}

/// The answer to a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeAnswer {
    /// The store's revision when the range was read (not the revision it was read at).
    pub revision: Revision,
    /// The key-values.
    pub key_values: Vec<KeyValue>,
    /// Whether the limit cut something off.
    pub more: bool,
    /// How many keys the range holds at that revision, whatever the limit and filters.
    pub count: i64,
}

/// The answer to a put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutAnswer {
    /// The store's revision after it.
    pub revision: Revision,
    /// What was replaced, if asked for and there.
    pub previous: Option<KeyValue>,
}

/// The answer to a removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteRangeAnswer {
    /// The store's revision after it.
    pub revision: Revision,
    /// How many keys were removed.
    pub deleted: i64,
    /// What was removed, in key order, if asked for.
    pub previous: Vec<KeyValue>,
}

/// The answer to one operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationAnswer {
    /// To a range.
    Range(RangeAnswer),
    /// To a put.
    Put(PutAnswer),
    /// To a removal.
    DeleteRange(DeleteRangeAnswer),
    /// To a transaction inside.
    Txn(TxnAnswer),
}

/// The answer to a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxnAnswer {
    /// The store's revision after it.
    pub revision: Revision,
    /// Whether all conditions held.
    pub succeeded: bool,
    /// An answer for each operation that was done, in order.
    pub answers: Vec<OperationAnswer>,
}

/// The answer to a command that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a put.
    Put(PutAnswer),
    /// To a removal.
    DeleteRange(DeleteRangeAnswer),
    /// To a transaction.
    Txn(TxnAnswer),
    /// To a compaction: history before the revision can no longer be read; the removal goes on in the background.
    Compact,
    /// To a lease grant.
    LeaseGrant {
        /// Its id.
        id: LeaseId,
        /// Its time to live.
        ttl_seconds: i64,
    },
    /// To a lease revoke.
    LeaseRevoke,
    /// To a member's publication.
    PublishMember,
    /// To a change of alarms: whether it changed anything.
    Alarm {
        /// Whether the alarm was not already in that state.
        changed: bool,
    },
    /// To a change of users and roles.
    Auth,
}

/// Why the state machine did not do what it was asked. The text is etcd's, since clients compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The revision is older than the compacted one.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is yet to come.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// `ignore_value` or `ignore_lease` on a key that is not there.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// No such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The id is taken.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// The alarm of a full database is active, and the command would grow it.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The alarm of members that disagree is active.
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    /// No user `root`.
    #[error("etcdserver: root user does not exist")]
    RootUserMissing,
    /// The user `root` lacks the role `root`.
    #[error("etcdserver: root user does not have root role")]
    RootRoleMissing,
    /// The name is taken.
    #[error("etcdserver: user name already exists")]
    UserExists,
    /// A user without a name, or a request without an identity.
    #[error("etcdserver: user name is empty")]
    UserEmpty,
    /// No such user.
    #[error("etcdserver: user name not found")]
    UserNotFound,
    /// The name is taken.
    #[error("etcdserver: role name already exists")]
    RoleExists,
    /// No such role.
    #[error("etcdserver: role name not found")]
    RoleNotFound,
    /// A role without a name.
    #[error("etcdserver: role name is empty")]
    RoleEmpty,
    /// The user's rights do not suffice.
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    /// The user does not have the role.
    #[error("etcdserver: role is not granted to the user")]
    RoleNotGranted,
    /// The role does not have the right.
    #[error("etcdserver: permission is not granted to the role")]
    PermissionNotGranted,
    /// A change that would lock everybody out, or a right on no keys.
    #[error("etcdserver: invalid auth management")]
    InvalidAuthManagement,
    /// Users and roles have changed since the identity was established.
    #[error("etcdserver: revision of auth store is old")]
    AuthOldRevision,
    /// Users and roles take as much room as they may.
    #[error("stead: users and roles take more than {MAXIMUM_AUTH_BYTES} bytes; remove some first")]
    AuthFull,
}

/// A failure after which this node must not go on.
#[derive(Debug, Error)]
pub enum Fatal {
    /// The disk, or what is on it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A log entry this version cannot read.
    #[error(
        "log entry {index} cannot be decoded: {reason}; it was written by another version of stead, run that one"
    )]
    Decode {
        /// The entry's index.
        index: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry at or before the last applied one.
    #[error("log entry {index} came after entry {applied} was applied")]
    OutOfOrder {
        /// The entry's index.
        index: u64,
        /// The last applied index.
        applied: u64,
    },
}

/// A stored version of a key: which of the changes of a revision made it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId {
    /// The revision.
    pub revision: Revision,
    /// The number of the change in the revision, from 0.
    pub sub: u32,
}

/// Whether a change set or removed a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Set.
    Put,
    /// Removed: the key-value holds only the key and the revision.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where the key lives.
    pub namespace: Namespace,
    /// Set or removed.
    pub kind: EventKind,
    /// The key-value after the change.
    pub key_value: KeyValue,
    /// Which change of which revision it is.
    pub id: VersionId,
    /// The version it replaced, if the key was there.
    pub superseded: Option<VersionId>,
}

/// News for the rest of the node, in log order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// All changes of one revision, in order.
    Changed {
        /// The revision.
        revision: Revision,
        /// The changes.
        events: Events,
    },
    /// A lease was created.
    LeaseGranted {
        /// Which.
        id: LeaseId,
        /// Its time to live.
        ttl_seconds: i64,
    },
    /// A lease ended.
    LeaseRevoked {
        /// Which.
        id: LeaseId,
    },
    /// History before `revision` can no longer be read.
    Compacted {
        /// The revision that stays readable.
        revision: Revision,
    },
    /// A member said its name and client URLs.
    MemberPublished {
        /// Who.
        id: MemberId,
    },
    /// An alarm was raised or cleared.
    AlarmChanged {
        /// About whom.
        member: MemberId,
        /// Which.
        alarm: Alarm,
        /// Whether it is raised now.
        active: bool,
    },
    /// Users, roles or whether they count changed: whoever let somebody in looks again.
    AuthChanged,
    /// A snapshot of another node replaced the whole state: whoever holds something derived from it reads it anew.
    Restored,
}

/// The changes of one revision; most make one.
pub type Events = SmallVec<[Event; 1]>;

/// The news of one command; most make one.
pub type Effects = SmallVec<[Effect; 1]>;

/// What applying one command gave.
#[derive(Debug)]
pub struct Applied {
    /// The index of its entry in the log.
    pub index: u64,
    /// The member that proposed it.
    pub origin: MemberId,
    /// The number under which that member waits for it.
    pub sequence: u64,
    /// What kind of command it was, for metrics.
    pub operation: &'static str,
    /// The answer, or why not.
    pub outcome: Result<Answer, Refusal>,
    /// The store's revision after it.
    pub revision: Revision,
    /// News, in order.
    pub effects: Effects,
}
