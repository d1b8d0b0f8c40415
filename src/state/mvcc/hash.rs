//! The hash of all versions, in etcd's definition, so that it agrees between members (and with etcd) at a revision.
//!
//! CRC-32C over the bytes `key`, then for every change in revision order its record key (revision `_` sub-revision, `t`
//! for a tombstone) and its record value (protobuf `mvccpb.KeyValue`). Of the changes at or before the compacted revision
//! only those count that a read at the hashed revision still sees, so that the hash does not depend on how far the
//! physical removal has got. Keys of other namespaces than the default one are hashed with the namespace's number in front.

use bytes::Bytes;

use crate::base::{Namespace, Revision};
use crate::state::applied::{EventKind, VersionId};
use crate::state::format::{Change, Version};
use crate::state::schema;
use crate::storage::{Cursor, Family, KeyRange, StorageError, View};

/// Hashes all versions up to `revision`, on a store that was compacted at `compacted`.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn hash(view: &dyn View, revision: Revision, compacted: Option<Revision>) -> Result<u32, StorageError> {
    let mut versions = view.scan(Family::Versions, KeyRange::prefix(&[]))?;
    let seen_at = match compacted {
        // etcd skips nothing that its compaction left if no key is live at the hashed revision.
        Some(compacted) if !holds_live_key(view, versions.as_mut(), revision)? => compacted,
        _ => revision,
    };
    let mut hash = crc32c::crc32c(b"key");
    let mut record_bytes = Vec::new();
    let mut events = view.scan(Family::Events, up_to(revision))?;
    while let Some((encoded, record)) = events.item() {
        let id = schema::event_id(encoded)?;
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        let counts = compacted.is_none_or(|compacted| id.revision > compacted)
            || is_seen(versions.as_mut(), id, &change, seen_at)?;
        if counts {
            record_bytes.clear();
            push_record(&mut record_bytes, versions.as_mut(), id, &change)?;
            hash = crc32c::crc32c_append(hash, &record_bytes);
        }
        events.advance()?;
    }
    Ok(hash)
}

/// The events up to and at `revision`.
fn up_to(revision: Revision) -> KeyRange {
    schema::event_range(Revision(0), Some(Revision(revision.0 + 1)))
}

/// Whether a read at `revision` would find any key. Ends at the first one.
fn holds_live_key(
    view: &dyn View,
    versions: &mut dyn Cursor,
    revision: Revision,
) -> Result<bool, StorageError> {
    let mut events = view.scan(Family::Events, up_to(revision))?;
    while let Some((encoded, record)) = events.item() {
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        if is_seen(versions, schema::event_id(encoded)?, &change, revision)? {
            return Ok(true);
        }
        events.advance()?;
    }
    Ok(false)
}

/// Whether a read at `revision` sees what the change put there.
fn is_seen(
    versions: &mut dyn Cursor,
    id: VersionId,
    change: &Change,
    revision: Revision,
) -> Result<bool, StorageError> {
    if change.kind == EventKind::Delete {
        return Ok(false);
    }
    let newest_readable = VersionId {
        revision,
        sub: u32::MAX,
    };
    versions.seek(&schema::version(change.namespace, &change.key, newest_readable))?;
    let written = schema::version(change.namespace, &change.key, id);
    Ok(versions.item().is_some_and(|(encoded, _)| encoded == written))
}

fn push_record(
    bytes: &mut Vec<u8>,
    versions: &mut dyn Cursor,
    id: VersionId,
    change: &Change,
) -> Result<(), StorageError> {
    bytes.extend_from_slice(&id.revision.0.to_be_bytes());
    bytes.push(b'_');
    bytes.extend_from_slice(&i64::from(id.sub).to_be_bytes());
    if change.namespace != Namespace::DEFAULT {
        bytes.push(change.namespace.0);
    }
    if change.kind == EventKind::Delete {
        bytes.push(b't');
        push_bytes_field(bytes, 1, &change.key);
        return Ok(());
    }
    let stored = schema::version(change.namespace, &change.key, id);
    versions.seek(&stored)?;
    let record = versions.item().filter(|(encoded, _)| *encoded == stored);
    let (_, record) = record.ok_or_else(|| StorageError::Corrupt {
        what: "version",
        reason: format!("event {}.{} has no version", id.revision, id.sub),
    })?;
    let version = Version::decode(&Bytes::copy_from_slice(record))?;
    push_bytes_field(bytes, 1, &change.key);
    push_number_field(bytes, 2, version.create_revision.0);
    push_number_field(bytes, 3, id.revision.0);
    push_number_field(bytes, 4, version.version);
    push_bytes_field(bytes, 5, &version.value);
    push_number_field(bytes, 6, version.lease.0);
    Ok(())
}

/// A protobuf varint.
fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A protobuf `bytes` field; the empty value is not written.
fn push_bytes_field(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        bytes.push(tag << 3 | 2);
        push_varint(bytes, value.len() as u64);
        bytes.extend_from_slice(value);
    }
}

/// A protobuf `int64` field; zero is not written.
fn push_number_field(bytes: &mut Vec<u8>, tag: u8, value: i64) {
    if value != 0 {
        bytes.push(tag << 3);
        push_varint(bytes, value.cast_unsigned());
    }
}
