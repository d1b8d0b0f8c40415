//! Where everything lies in the state database: the keys of each family.
//!
//! | family | key | value |
//! |---|---|---|
//! | `heads` | namespace, user key | [`Head`](super::format::Head): the header of the newest version of a live key |
//! | `versions` | namespace, escaped user key, revision and sub-revision descending | [`Version`](super::format::Version): header and value, or a tombstone |
//! | `events` | revision, sub-revision | [`Change`](super::format::Change): which key, put or removed, which version it superseded |
//! | `leases` | lease id | granted time to live |
//! | `lease-keys` | lease id, namespace, user key | nothing |
//! | `auth` | settings, or the name of a user or role behind a prefix | see [`super::auth`] |
//! | `meta` | one of the names below | see [`super::format`] |
//!
//! `heads` is an index of what `versions` holds. It makes the look-up that every write does a point read behind a bloom
//! filter, and lets counts and keys-only lists pass by the values. `events` holds exactly one row for each row of
//! `versions`, which is what makes compaction and hashing cost only what they touch.
//!
//! All numbers are big-endian, so that byte order is numeric order. Never reads or writes; it only names.

use bytes::Bytes;

use super::applied::VersionId;
use super::command::Keys;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::{KeyRange, StorageError};

/// `meta`: the format of the whole database.
pub const FORMAT: &[u8] = b"format";
/// The format of a fresh database.
pub const FIRST_FORMAT: u32 = 1;
/// The format of a database from the first change of users on: a program that knows no users would not ask for them.
pub const FORMAT_WITH_USERS: u32 = 2;
/// `meta`: the store's revision.
pub const REVISION: &[u8] = b"revision";
/// `meta`: the oldest readable revision; absent if never compacted.
pub const COMPACTED: &[u8] = b"compacted";
/// `meta`: the revision up to which compaction has removed what it removes. Local to the node, not replicated.
pub const COMPACTION_CURSOR: &[u8] = b"compaction-cursor";
/// `meta`: index and position of the last applied entry.
pub const APPLIED: &[u8] = b"applied";
/// `meta`: the last applied membership and the position of its entry.
pub const MEMBERSHIP: &[u8] = b"membership";
/// `meta`: prefix of what members publish about themselves.
pub const MEMBER_PREFIX: &[u8] = b"member/";
/// `meta`: prefix of the members that were removed, whose ids are never used again.
pub const REMOVED_PREFIX: &[u8] = b"removed/";
/// `meta`: prefix of active alarms.
pub const ALARM_PREFIX: &[u8] = b"alarm/";

/// `auth`: what is true of all users.
pub const AUTH_SETTINGS: &[u8] = b"settings";
/// `auth`: prefix of users.
pub const USER_PREFIX: &[u8] = b"user/";
/// `auth`: prefix of roles.
pub const ROLE_PREFIX: &[u8] = b"role/";

/// Ends an escaped key; sorts before every continuation of it.
const TERMINATOR: [u8; 2] = [0x00, 0x01];
/// What a zero byte inside a key is written as.
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xff];
/// Bytes of a revision and a sub-revision at the end of a `versions` key.
const VERSION_SUFFIX_BYTES: usize = 12;

/// The `heads` key of a user key.
#[must_use]
pub fn head(namespace: Namespace, key: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(1 + key.len());
    push_head(&mut encoded, namespace, key);
    encoded
}

/// Appends the `heads` key of a user key.
pub fn push_head(encoded: &mut Vec<u8>, namespace: Namespace, key: &[u8]) {
    encoded.push(namespace.0);
    encoded.extend_from_slice(key);
}

/// The user key of a `heads` key.
#[must_use]
pub fn head_user_key(encoded: &[u8]) -> &[u8] {
    encoded.get(1..).unwrap_or_default()
}

fn namespace_end(namespace: Namespace) -> Option<Vec<u8>> {
    namespace.0.checked_add(1).map(|next| vec![next])
}

/// Whether `keys` means a single key.
#[must_use]
pub fn is_point(keys: &Keys) -> bool {
    keys.end.is_empty()
}

/// Whether `keys` means everything from its key on.
fn is_open_ended(keys: &Keys) -> bool {
    keys.end.as_ref() == [0]
}

/// The `heads` range of `keys`.
#[must_use]
pub fn head_range(keys: &Keys) -> KeyRange {
    let start = head(keys.namespace, &keys.key);
    let end = if is_point(keys) {
        let mut end = start.clone();
        end.push(0);
        Some(end)
    } else if is_open_ended(keys) {
        namespace_end(keys.namespace)
    } else {
        Some(head(keys.namespace, &keys.end))
    };
    KeyRange { start, end }
}

fn escape_into(encoded: &mut Vec<u8>, key: &[u8]) {
    let mut rest = key;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        let (before, from_zero) = rest.split_at(zero);
        encoded.extend_from_slice(before);
        encoded.extend_from_slice(&ESCAPED_ZERO);
        rest = from_zero.get(1..).unwrap_or_default();
    }
    encoded.extend_from_slice(rest);
}

fn with_room_for_version(key: &[u8]) -> Vec<u8> {
    Vec::with_capacity(1 + key.len() + TERMINATOR.len() + VERSION_SUFFIX_BYTES)
}

fn escaped(namespace: Namespace, key: &[u8]) -> Vec<u8> {
    let mut encoded = with_room_for_version(key);
    push_escaped(&mut encoded, namespace, key);
    encoded
}

fn push_escaped(encoded: &mut Vec<u8>, namespace: Namespace, key: &[u8]) {
    encoded.push(namespace.0);
    escape_into(encoded, key);
}

/// What all `versions` keys of a user key begin with, and those of no other.
#[must_use]
pub fn version_prefix(namespace: Namespace, key: &[u8]) -> Vec<u8> {
    let mut encoded = with_room_for_version(key);
    push_version_prefix(&mut encoded, namespace, key);
    encoded
}

fn push_version_prefix(encoded: &mut Vec<u8>, namespace: Namespace, key: &[u8]) {
    push_escaped(encoded, namespace, key);
    encoded.extend_from_slice(&TERMINATOR);
}

/// The `versions` key of one version.
#[must_use]
pub fn version(namespace: Namespace, key: &[u8], id: VersionId) -> Vec<u8> {
    let mut encoded = with_room_for_version(key);
    push_version(&mut encoded, namespace, key, id);
    encoded
}

/// Appends the `versions` key of one version.
pub fn push_version(encoded: &mut Vec<u8>, namespace: Namespace, key: &[u8], id: VersionId) {
    push_version_prefix(encoded, namespace, key);
    push_version_suffix(encoded, id);
}

/// Appends a version's revision and sub-revision, newest first.
pub fn push_version_suffix(encoded: &mut Vec<u8>, id: VersionId) {
    encoded.extend_from_slice(&(!id.revision.0.cast_unsigned()).to_be_bytes());
    encoded.extend_from_slice(&(!id.sub).to_be_bytes());
}

/// Turns a version prefix into the first storage key past all versions of that key.
pub fn push_past_versions(prefix: &mut [u8]) {
    // The terminator ends in 0x01, and what continues a longer key after a zero byte is 0xff.
    if let Some(last) = prefix.last_mut() {
        *last = last.saturating_add(1);
    }
}

/// The `versions` range of `keys`, all revisions.
#[must_use]
pub fn version_range(keys: &Keys) -> KeyRange {
    if is_point(keys) {
        return KeyRange::prefix(&version_prefix(keys.namespace, &keys.key));
    }
    let end = if is_open_ended(keys) {
        namespace_end(keys.namespace)
    } else {
        Some(escaped(keys.namespace, &keys.end))
    };
    KeyRange {
        start: escaped(keys.namespace, &keys.key),
        end,
    }
}

/// The parts of a `versions` key: its prefix (namespace, escaped key, terminator) and the version.
///
/// # Errors
/// It is no `versions` key.
pub fn split_version(encoded: &[u8]) -> Result<(&[u8], VersionId), StorageError> {
    let corrupt = || StorageError::Corrupt {
        what: "version key",
        reason: format!("{} bytes are too few", encoded.len()),
    };
    let (rest, sub) = encoded.split_last_chunk::<4>().ok_or_else(corrupt)?;
    let (prefix, revision) = rest.split_last_chunk::<8>().ok_or_else(corrupt)?;
    let id = VersionId {
        revision: Revision((!u64::from_be_bytes(*revision)).cast_signed()),
        sub: !u32::from_be_bytes(*sub),
    };
    Ok((prefix, id))
}

/// The user key in the prefix of a `versions` key.
#[must_use]
pub fn prefix_user_key(prefix: &[u8]) -> Bytes {
    let escaped = prefix
        .get(1..prefix.len().saturating_sub(TERMINATOR.len()))
        .unwrap_or_default();
    let mut key = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        let (before, from_zero) = rest.split_at(zero);
        key.extend_from_slice(before);
        key.push(0);
        rest = from_zero.get(ESCAPED_ZERO.len()..).unwrap_or_default();
    }
    key.extend_from_slice(rest);
    Bytes::from(key)
}

/// The `events` key of one change.
#[must_use]
pub fn event(id: VersionId) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(VERSION_SUFFIX_BYTES);
    push_event(&mut encoded, id);
    encoded
}

/// Appends the `events` key of one change.
pub fn push_event(encoded: &mut Vec<u8>, id: VersionId) {
    encoded.extend_from_slice(&id.revision.0.cast_unsigned().to_be_bytes());
    encoded.extend_from_slice(&id.sub.to_be_bytes());
}

/// The change of an `events` key.
///
/// # Errors
/// It is no `events` key.
pub fn event_id(encoded: &[u8]) -> Result<VersionId, StorageError> {
    let corrupt = || StorageError::Corrupt {
        what: "event key",
        reason: format!("{} bytes instead of {VERSION_SUFFIX_BYTES}", encoded.len()),
    };
    let (revision, rest) = encoded.split_first_chunk::<8>().ok_or_else(corrupt)?;
    let sub: [u8; 4] = rest.try_into().map_err(|_| corrupt())?;
    Ok(VersionId {
        revision: Revision(u64::from_be_bytes(*revision).cast_signed()),
        sub: u32::from_be_bytes(sub),
    })
}

/// The `events` range from revision `from` up to, not including, `until`.
#[must_use]
pub fn event_range(from: Revision, until: Option<Revision>) -> KeyRange {
    KeyRange {
        start: event(VersionId {
            revision: from,
            sub: 0,
        }),
        end: until.map(|revision| event(VersionId { revision, sub: 0 })),
    }
}

/// The `leases` key of a lease.
#[must_use]
pub fn lease(id: LeaseId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// The lease of a `leases` key.
///
/// # Errors
/// It is no `leases` key.
pub fn lease_id(encoded: &[u8]) -> Result<LeaseId, StorageError> {
    let id: [u8; 8] = encoded.try_into().map_err(|_| StorageError::Corrupt {
        what: "lease key",
        reason: format!("{} bytes instead of 8", encoded.len()),
    })?;
    Ok(LeaseId(i64::from_be_bytes(id)))
}

/// The `lease-keys` key that says that a key is attached to a lease.
#[must_use]
pub fn lease_key(id: LeaseId, namespace: Namespace, key: &[u8]) -> Vec<u8> {
    let mut encoded = lease(id);
    encoded.push(namespace.0);
    encoded.extend_from_slice(key);
    encoded
}

/// The lease of a `lease-keys` key, and the namespace of the attached key.
///
/// # Errors
/// It is no `lease-keys` key.
pub fn attachment(encoded: &[u8]) -> Result<(LeaseId, Namespace), StorageError> {
    match encoded.split_at_checked(8) {
        Some((id, [namespace, ..])) => Ok((lease_id(id)?, Namespace(*namespace))),
        _ => Err(StorageError::Corrupt {
            what: "lease attachment key",
            reason: format!("{} bytes are too few", encoded.len()),
        }),
    }
}

/// The attached key of a `lease-keys` key.
///
/// # Errors
/// It is no `lease-keys` key.
pub fn attached_key(encoded: &[u8]) -> Result<(Namespace, Bytes), StorageError> {
    match encoded.get(8..).and_then(<[u8]>::split_first) {
        Some((namespace, key)) => Ok((Namespace(*namespace), Bytes::copy_from_slice(key))),
        None => Err(StorageError::Corrupt {
            what: "lease attachment key",
            reason: format!("{} bytes are too few", encoded.len()),
        }),
    }
}

/// The `meta` key of a member's publication.
#[must_use]
pub fn member(id: MemberId) -> Vec<u8> {
    [MEMBER_PREFIX, &id.0.to_be_bytes()].concat()
}

/// The member of a publication's `meta` key.
///
/// # Errors
/// It is no such key.
pub fn member_id(encoded: &[u8]) -> Result<MemberId, StorageError> {
    member_behind(MEMBER_PREFIX, encoded)
}

/// The `meta` key that says that a member was removed.
#[must_use]
pub fn removed(id: MemberId) -> Vec<u8> {
    [REMOVED_PREFIX, &id.0.to_be_bytes()].concat()
}

/// The member of the `meta` key of a removal.
///
/// # Errors
/// It is no such key.
pub fn removed_id(encoded: &[u8]) -> Result<MemberId, StorageError> {
    member_behind(REMOVED_PREFIX, encoded)
}

fn member_behind(prefix: &[u8], encoded: &[u8]) -> Result<MemberId, StorageError> {
    let id = encoded.get(prefix.len()..).unwrap_or_default();
    let id: [u8; 8] = id.try_into().map_err(|_| StorageError::Corrupt {
        what: "member key",
        reason: format!("{} bytes instead of 8", id.len()),
    })?;
    Ok(MemberId(u64::from_be_bytes(id)))
}

/// The `meta` key of an alarm.
#[must_use]
pub fn alarm(member: MemberId, kind: u8) -> Vec<u8> {
    [ALARM_PREFIX, &member.0.to_be_bytes(), &[kind]].concat()
}

/// The `auth` key of a user.
#[must_use]
pub fn user(name: &str) -> Vec<u8> {
    [USER_PREFIX, name.as_bytes()].concat()
}

/// The `auth` key of a role.
#[must_use]
pub fn role(name: &str) -> Vec<u8> {
    [ROLE_PREFIX, name.as_bytes()].concat()
}

/// The name in the `auth` key of a user or role.
///
/// # Errors
/// It is no such key.
pub fn auth_name(prefix: &[u8], encoded: &[u8]) -> Result<String, StorageError> {
    encoded
        .strip_prefix(prefix)
        .and_then(|name| String::from_utf8(name.to_vec()).ok())
        .ok_or_else(|| StorageError::Corrupt {
            what: "name of a user or role",
            reason: "it is not UTF-8".to_owned(),
        })
}
