//! Commands: what the log carries, and the requests that read.
//!
//! A command is encoded once by its proposer (bincode behind a version byte) and travels as the same opaque bytes to the
//! log, the peers and apply. Variants and fields are only ever appended. Never holds anything that could differ between
//! nodes: times, ids and random numbers are fixed before the proposal.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use super::auth::{AuthChange, Author, Permission, PermissionKind};
use crate::base::{LeaseId, MemberId, Namespace, Revision};

/// Which keys an operation means, in etcd's convention.
///
/// `end` empty: exactly `key`. `end` one zero byte: all keys from `key` on. Otherwise the half-open `[key, end)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Where the keys live.
    pub namespace: Namespace,
    /// The key, or the first of the range.
    pub key: Bytes,
    /// The end of the range, as described above.
    pub end: Bytes,
}

/// What a range is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortTarget {
    /// By key.
    #[default]
    Key,
    /// By version.
    Version,
    /// By create revision.
    Create,
    /// By modification revision.
    Modification,
    /// By value.
    Value,
}

/// The direction of a sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortOrder {
    /// Key order, or ascending by a target that is not the key (etcd).
    #[default]
    None,
    /// Ascending.
    Ascend,
    /// Descending.
    Descend,
}

/// A read of a range of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Which keys.
    pub keys: Keys,
    /// Most key-values in the answer; 0 or less: no limit.
    pub limit: i64,
    /// At which revision; 0 or less: the current one.
    pub revision: Revision,
    /// The direction of the sort.
    pub sort_order: SortOrder,
    /// What to sort by.
    pub sort_target: SortTarget,
    /// Leave the values out (and, as etcd 3.7 does, the lease).
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Leave out keys changed before this revision; 0: no filter.
    pub minimum_modification: Revision,
    /// Leave out keys changed after this revision; 0: no filter.
    pub maximum_modification: Revision,
    /// Leave out keys created before this revision; 0: no filter.
    pub minimum_create: Revision,
    /// Leave out keys created after this revision; 0: no filter.
    pub maximum_create: Revision,
}

/// A write of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Where the key lives.
    pub namespace: Namespace,
    /// The key.
    pub key: Bytes,
    /// The new value.
    pub value: Bytes,
    /// The lease to attach to; none detaches.
    pub lease: LeaseId,
    /// Answer with the key-value that was replaced.
    pub previous: bool,
    /// Keep the value that is there.
    pub ignore_value: bool,
    /// Keep the lease that is there.
    pub ignore_lease: bool,
}

/// A removal of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRange {
    /// Which keys.
    pub keys: Keys,
    /// Answer with the key-values that were removed.
    pub previous: bool,
}

/// How a [`Compare`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Is equal.
    Equal,
    /// Is greater.
    Greater,
    /// Is less.
    Less,
    /// Is not equal.
    NotEqual,
    /// A comparison of a number this version does not know: true, as in etcd.
    Always,
}

/// What a [`Compare`] looks at, with the operand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareTarget {
    /// The version of the key.
    Version(i64),
    /// The create revision.
    Create(Revision),
    /// The modification revision.
    Modification(Revision),
    /// The value.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
}

/// A condition of a transaction: every key of `keys` must satisfy it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// Which keys.
    pub keys: Keys,
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub target: CompareTarget,
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Read.
    Range(Range),
    /// Write.
    Put(Put),
    /// Remove.
    DeleteRange(DeleteRange),
    /// A transaction inside.
    Txn(Txn),
}

/// If all of `compare` hold, `success`, else `failure`: all at one revision or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// The conditions.
    pub compare: Vec<Compare>,
    /// What is done if they hold.
    pub success: Vec<Operation>,
    /// What is done if they do not.
    pub failure: Vec<Operation>,
}

/// A kind of alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Alarm {
    /// The database is larger than its quota.
    NoSpace,
    /// Members disagree about the data.
    Corrupt,
}

impl Alarm {
    /// Its number in storage keys and on the wire (etcd's `AlarmType`). Never changes.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::NoSpace => 1,
            Self::Corrupt => 2,
        }
    }

    /// Its name on the wire, in metrics and on the health pages (etcd's `AlarmType`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
        }
    }
}

/// What the log carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Write one key.
    Put(Put),
    /// Remove keys.
    DeleteRange(DeleteRange),
    /// A transaction.
    Txn(Txn),
    /// Forget the history before a revision.
    Compact {
        /// The revision that stays readable.
        revision: Revision,
    },
    /// Create a lease.
    LeaseGrant {
        /// Its id, drawn before the proposal.
        id: LeaseId,
        /// Its time to live, at least the server's minimum.
        ttl_seconds: i64,
    },
    /// End a lease and remove its keys in one revision.
    LeaseRevoke {
        /// Which.
        id: LeaseId,
    },
    /// A member says its name and where its clients find it.
    PublishMember {
        /// Who.
        id: MemberId,
        /// Its name.
        name: String,
        /// Its advertised client URLs.
        client_urls: Vec<String>,
    },
    /// Raise an alarm.
    AlarmActivate {
        /// About whom.
        member: MemberId,
        /// Which.
        alarm: Alarm,
    },
    /// Clear an alarm.
    AlarmDeactivate {
        /// About whom.
        member: MemberId,
        /// Which.
        alarm: Alarm,
    },
    /// A command with its author, who must have the right to it when it is applied. Without this, a command is nobody's:
    /// good only while requests need no identity.
    By {
        /// Who asks for it.
        author: Author,
        /// The command; never one of this kind.
        command: Box<Command>,
    },
    /// Change users, roles, or whether they count.
    Auth(AuthChange),
}

impl Command {
    /// What kind of command it is, as etcd's metrics name it.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Put(_) => "Put",
            Self::DeleteRange(_) => "DeleteRange",
            Self::Txn(_) => "Txn",
            Self::Compact { .. } => "Compaction",
            Self::LeaseGrant { .. } => "LeaseGrant",
            Self::LeaseRevoke { .. } => "LeaseRevoke",
            Self::PublishMember { .. } => "ClusterMemberAttrSet",
            Self::AlarmActivate { .. } | Self::AlarmDeactivate { .. } => "Alarm",
            Self::By { command, .. } => command.operation(),
            Self::Auth(change) => change.operation(),
        }
    }

    /// The command as one of the cluster itself, which needs no right to it.
    #[must_use]
    pub fn by_node(self) -> Self {
        Self::By {
            author: Author::Node,
            command: Box::new(self),
        }
    }
}

/// A command with the id under which its proposer waits for the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The member that proposes.
    pub origin: MemberId,
    /// A number that this member never uses twice, restarts included (it starts from a random number).
    pub sequence: u64,
    /// The command.
    pub command: Command,
}

impl Txn {
    /// Whether it can be answered without the log: only top-level ranges in both branches (a transaction inside counts
    /// as a write, as in etcd).
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.success
            .iter()
            .chain(&self.failure)
            .all(|operation| matches!(operation, Operation::Range(_)))
    }

    /// Whether an operation of either branch puts a key, in a transaction inside as well.
    #[must_use]
    pub fn puts(&self) -> bool {
        self.success
            .iter()
            .chain(&self.failure)
            .any(|operation| match operation {
                Operation::Put(_) => true,
                Operation::Txn(inner) => inner.puts(),
                Operation::Range(_) | Operation::DeleteRange(_) => false,
            })
    }
}
