//! What a request needs: every range of keys that it reads or writes, or a standing of the user who asks.
//!
//! [`accesses`] is the one function that lists ranges; the gate of the services and apply are both fed by it alone. A new
//! operation that touches keys gets an arm here, since the matches are exhaustive. Never decides who has what.

use bytes::Bytes;

use crate::base::{LeaseId, Namespace};
use crate::state::apply::{attached_keys, visible_leases};
use crate::state::command::{Command, Compare, DeleteRange, Keys, Operation, Put, Range, Txn};
use crate::storage::{StorageError, View};

/// What is done with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// They are read, or shown to be there.
    Read,
    /// They are written or removed.
    Write,
}

/// A range of keys and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Which keys.
    pub keys: Keys,
    /// What is done.
    pub right: Right,
}

/// Everything that can be asked of a node.
#[derive(Debug, Clone, Copy)]
pub enum Request<'op> {
    /// A read, in one piece or streamed.
    Range(&'op Range),
    /// A write.
    Put(&'op Put),
    /// A removal.
    DeleteRange(&'op DeleteRange),
    /// A transaction.
    Txn(&'op Txn),
    /// A watch.
    Watch(&'op Keys),
    /// To forget history.
    Compact,
    /// A new lease.
    LeaseGrant,
    /// The end of a lease, which removes its keys.
    LeaseRevoke(LeaseId),
    /// A renewal, which keeps its keys.
    LeaseKeepAlive(LeaseId),
    /// What is left of a lease.
    LeaseTimeToLive {
        /// Which.
        id: LeaseId,
        /// Whether its keys are shown.
        keys: bool,
    },
    /// All leases.
    LeaseList,
    /// The members.
    MemberList,
    /// Another set of members.
    MemberChange,
    /// What a member tells of itself to the others.
    MemberPublish,
    /// Where a member stands.
    Status,
    /// The alarms.
    AlarmList,
    /// To raise or clear an alarm.
    AlarmChange,
    /// To tidy the database up.
    Defragment,
    /// The whole database.
    Snapshot,
    /// A hash of the database.
    Hash,
    /// Another leader.
    MoveLeader,
    /// An older version.
    Downgrade,
    /// Whether requests need an identity.
    AuthStatus,
    /// A token for a password.
    Authenticate,
    /// A change of users, roles or of whether they count.
    AuthChange,
    /// The names of all users.
    UserList,
    /// The names of all roles.
    RoleList,
    /// The roles of a user.
    UserGet(&'op str),
    /// The rights of a role.
    RoleGet(&'op str),
    /// Which services there are, and how their instances are.
    ServiceRead,
    /// To register, change or keep alive what offers a service.
    ServiceWrite,
}

/// What a user must be for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level<'op> {
    /// Anyone, without an identity.
    Anyone,
    /// Any user.
    Identity,
    /// A user with the role `root`.
    Root,
    /// This user, or one with the role `root`.
    RootOrUser(&'op str),
    /// A user with this role, or with the role `root`.
    RootOrHolder(&'op str),
    /// A user with rights on all of [`accesses`].
    Ranges,
}

impl<'op> Request<'op> {
    /// What a command asks for; none if that depends on its author.
    #[must_use]
    pub fn of(command: &'op Command) -> Option<Self> {
        Some(match command {
            Command::Put(put) => Self::Put(put),
            Command::DeleteRange(delete) => Self::DeleteRange(delete),
            Command::Txn(txn) => Self::Txn(txn),
            Command::Compact { .. } => Self::Compact,
            Command::LeaseGrant { .. } => Self::LeaseGrant,
            Command::LeaseRevoke { id } => Self::LeaseRevoke(*id),
            Command::PublishMember { .. } => Self::MemberPublish,
            Command::AlarmActivate { .. } | Command::AlarmDeactivate { .. } => Self::AlarmChange,
            Command::Auth(_) => Self::AuthChange,
            Command::By { .. } => return None,
        })
    }

    /// What it needs (etcd's table; services are shown to any user, and changed by `root`).
    #[must_use]
    pub fn level(&self) -> Level<'op> {
        match self {
            Self::AuthStatus | Self::Authenticate | Self::MemberPublish => Level::Anyone,
            Self::LeaseGrant
            | Self::LeaseTimeToLive { keys: false, .. }
            | Self::MemberList
            | Self::Status
            | Self::AlarmList
            | Self::ServiceRead => Level::Identity,
            Self::Compact
            | Self::MemberChange
            | Self::AlarmChange
            | Self::Defragment
            | Self::Snapshot
            | Self::Hash
            | Self::MoveLeader
            | Self::Downgrade
            | Self::AuthChange
            | Self::UserList
            | Self::RoleList
            | Self::ServiceWrite => Level::Root,
            Self::UserGet(user) => Level::RootOrUser(user),
            Self::RoleGet(role) => Level::RootOrHolder(role),
            Self::Range(_)
            | Self::Put(_)
            | Self::DeleteRange(_)
            | Self::Txn(_)
            | Self::Watch(_)
            | Self::LeaseRevoke(_)
            | Self::LeaseKeepAlive(_)
            | Self::LeaseTimeToLive { keys: true, .. }
            | Self::LeaseList => Level::Ranges,
        }
    }

    /// Whether [`accesses`] reads the keys of leases, which may be many.
    #[must_use]
    pub fn reads_leases(&self) -> bool {
        match self {
            Self::Put(put) => !put.lease.is_none(),
            Self::Txn(txn) => puts_on_lease(txn),
            Self::LeaseRevoke(_)
            | Self::LeaseKeepAlive(_)
            | Self::LeaseTimeToLive { keys: true, .. }
            | Self::LeaseList => true,
            _ => false,
        }
    }
}

fn puts_on_lease(txn: &Txn) -> bool {
    txn.success
        .iter()
        .chain(&txn.failure)
        .any(|operation| match operation {
            Operation::Put(put) => !put.lease.is_none(),
            Operation::Txn(inner) => puts_on_lease(inner),
            Operation::Range(_) | Operation::DeleteRange(_) => false,
        })
}

/// Every range of keys that a request reads or writes, whatever it then finds: both branches of a transaction, what is
/// inside of it, and the keys that share a lease with what it puts. `view` says which keys a lease has.
///
/// # Errors
/// The disk failed.
pub fn accesses(view: &dyn View, request: &Request<'_>) -> Result<Vec<Access>, StorageError> {
    let mut listed = Listed {
        view,
        accesses: Vec::new(),
    };
    match request {
        Request::Range(range) => listed.add(&range.keys, Right::Read),
        Request::Put(put) => listed.put(put)?,
        Request::DeleteRange(delete) => listed.delete(delete),
        Request::Txn(txn) => listed.txn(txn)?,
        Request::Watch(keys) => listed.add(keys, Right::Read),
        Request::LeaseRevoke(id) | Request::LeaseKeepAlive(id) => listed.lease(*id, Right::Write)?,
        Request::LeaseTimeToLive { id, keys: true } => listed.lease(*id, Right::Read)?,
        Request::LeaseList => {
            for id in visible_leases(view)? {
                listed.lease(id, Right::Read)?;
            }
        }
        Request::LeaseTimeToLive { keys: false, .. }
        | Request::Compact
        | Request::LeaseGrant
        | Request::MemberList
        | Request::MemberChange
        | Request::MemberPublish
        | Request::Status
        | Request::AlarmList
        | Request::AlarmChange
        | Request::Defragment
        | Request::Snapshot
        | Request::Hash
        | Request::MoveLeader
        | Request::Downgrade
        | Request::AuthStatus
        | Request::Authenticate
        | Request::AuthChange
        | Request::UserList
        | Request::RoleList
        | Request::UserGet(_)
        | Request::RoleGet(_)
        | Request::ServiceRead
        | Request::ServiceWrite => {}
    }
    Ok(listed.accesses)
}

struct Listed<'view> {
    view: &'view dyn View,
    accesses: Vec<Access>,
}

impl Listed<'_> {
    fn add(&mut self, keys: &Keys, right: Right) {
        self.accesses.push(Access {
            keys: keys.clone(),
            right,
        });
    }

    fn put(&mut self, put: &Put) -> Result<(), StorageError> {
        let keys = point(put.namespace, put.key.clone());
        if put.previous {
            self.add(&keys, Right::Read);
        }
        self.add(&keys, Right::Write);
        if put.lease.is_none() {
            return Ok(());
        }
        // Whoever attaches a key to a lease can end that lease, and with it the other keys.
        self.lease(put.lease, Right::Write)
    }

    fn delete(&mut self, delete: &DeleteRange) {
        if delete.previous {
            self.add(&delete.keys, Right::Read);
        }
        self.add(&delete.keys, Right::Write);
    }

    fn txn(&mut self, txn: &Txn) -> Result<(), StorageError> {
        for Compare { keys, .. } in &txn.compare {
            self.add(keys, Right::Read);
        }
        for operation in txn.success.iter().chain(&txn.failure) {
            match operation {
                Operation::Range(range) => self.add(&range.keys, Right::Read),
                Operation::Put(put) => self.put(put)?,
                Operation::DeleteRange(delete) => self.delete(delete),
                Operation::Txn(inner) => self.txn(inner)?,
            }
        }
        Ok(())
    }

    fn lease(&mut self, id: LeaseId, right: Right) -> Result<(), StorageError> {
        for (namespace, key) in attached_keys(self.view, id)? {
            self.add(&point(namespace, key), right);
        }
        Ok(())
    }
}

fn point(namespace: Namespace, key: Bytes) -> Keys {
    Keys {
        namespace,
        key,
        end: Bytes::new(),
    }
}
