//! What etcd keeps in its database: the buckets, and how their keys and values are encoded.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `key` | revision (8), `_`, sub-revision (8), `t` if removed | `mvccpb.KeyValue` |
//! | `lease` | id (8) | `leasepb.Lease` |
//! | `meta` | `consistent_index`, `scheduledCompactRev`, `finishedCompactRev` | a number (8), revisions as above |
//! | `alarm` | `etcdserverpb.AlarmMember` | nothing |
//! | `auth` | `authEnabled`, `authRevision` | 1 or 0 (1), a number (8) |
//! | `authUsers` | name | `authpb.User` |
//! | `authRoles` | name | `authpb.Role` |
//! | `members`, `members_removed`, `cluster` | the old members, which a restore gives up | nothing here |
//!
//! Numbers are big-endian. Keys of a namespace other than etcd's are in a bucket of their own, `stead-namespace-` and its
//! number, in the form of `key`; etcd passes by it.

use bytes::Bytes;

use crate::base::{Namespace, Revision};
use crate::state::applied::VersionId;

/// The keys of etcd's namespace.
pub const KEY: &str = "key";
/// The leases.
pub const LEASE: &str = "lease";
/// Counters.
pub const META: &str = "meta";
/// The active alarms.
pub const ALARM: &str = "alarm";
/// What is true of all users.
pub const AUTH: &str = "auth";
/// The users.
pub const AUTH_USERS: &str = "authUsers";
/// The roles.
pub const AUTH_ROLES: &str = "authRoles";
/// Buckets that an etcd expects and that are empty.
pub const EMPTY: [&str; 3] = ["members", "members_removed", "cluster"];

/// `meta`: the last log entry that is in the database.
pub const CONSISTENT_INDEX: &[u8] = b"consistent_index";
/// `meta`: the compacted revision.
pub const SCHEDULED_COMPACTION: &[u8] = b"scheduledCompactRev";
/// `meta`: the compacted revision whose history is gone.
pub const FINISHED_COMPACTION: &[u8] = b"finishedCompactRev";
/// `auth`: one byte, 1 if it is on.
pub const AUTH_ENABLED: &[u8] = b"authEnabled";
/// `auth`: one more for each change.
pub const AUTH_REVISION: &[u8] = b"authRevision";

/// `authpb.Permission.Type`.
pub const READ: i32 = 0;
/// See [`READ`].
pub const WRITE: i32 = 1;
/// See [`READ`].
pub const READ_WRITE: i32 = 2;

const NAMESPACE_PREFIX: &str = "stead-namespace-";
/// What a revision key of a tombstone ends in.
pub const TOMBSTONE_MARK: u8 = b't';

/// All namespaces.
pub const NAMESPACES: [Namespace; 4] = [
    Namespace::DEFAULT,
    Namespace::SERVICES,
    Namespace::SECRETS,
    Namespace::CONSUL,
];

/// The bucket of a namespace's keys.
pub fn bucket_of(namespace: Namespace) -> String {
    if namespace == Namespace::DEFAULT {
        KEY.to_owned()
    } else {
        format!("{NAMESPACE_PREFIX}{}", namespace.0)
    }
}

/// The revision key of the first change of a revision.
pub fn revision_key(revision: Revision) -> Vec<u8> {
    [&revision.0.to_be_bytes()[..], b"_", &[0; 8]].concat()
}

/// Reads a revision key: the version, and whether it is a tombstone. None if it is no such key.
pub fn parse_revision_key(key: &[u8]) -> Option<(VersionId, bool)> {
    let (revision, rest) = key.split_first_chunk::<8>()?;
    let (b'_', rest) = rest.split_first()? else {
        return None;
    };
    let (sub, mark) = rest.split_first_chunk::<8>()?;
    let is_tombstone = match mark {
        [] => false,
        [TOMBSTONE_MARK] => true,
        _ => return None,
    };
    let id = VersionId {
        revision: Revision(i64::from_be_bytes(*revision)),
        sub: u32::try_from(i64::from_be_bytes(*sub)).ok()?,
    };
    (id.revision.0 > 0).then_some((id, is_tombstone))
}

/// `mvccpb.KeyValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredKeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    #[prost(int64, tag = "3")]
    pub modification_revision: i64,
    #[prost(int64, tag = "4")]
    pub version: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub value: Bytes,
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// `leasepb.Lease`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredLease {
    #[prost(int64, tag = "1")]
    pub id: i64,
    #[prost(int64, tag = "2")]
    pub ttl_seconds: i64,
    #[prost(int64, tag = "3")]
    pub remaining_seconds: i64,
}

/// `etcdserverpb.AlarmMember`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredAlarm {
    #[prost(uint64, tag = "1")]
    pub member: u64,
    #[prost(int32, tag = "2")]
    pub alarm: i32,
}

/// `authpb.User`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredUser {
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub password: Bytes,
    #[prost(string, repeated, tag = "3")]
    pub roles: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub options: Option<UserOptions>,
}

/// `authpb.UserAddOptions`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct UserOptions {
    #[prost(bool, tag = "1")]
    pub no_password: bool,
}

/// `authpb.Role`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredRole {
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub permissions: Vec<StoredPermission>,
}

/// `authpb.Permission`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredPermission {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub end: Bytes,
}
