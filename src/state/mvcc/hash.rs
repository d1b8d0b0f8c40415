//! The hash of all versions, in etcd's definition, so that it agrees between members (and with etcd) at a revision.
//!
//! CRC-32C over the bytes `key`, then for every stored change in revision order its record key (revision `_` sub-revision,
//! `t` for a tombstone) and its record value (protobuf `mvccpb.KeyValue`). What compaction does not keep is left out, whether
//! it is physically removed yet or not. Keys of other namespaces than the default one are hashed with the namespace's number
//! in front.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::compaction;
use crate::base::{Namespace, Revision};
use crate::state::applied::{EventKind, VersionId};
use crate::state::format::{Change, Version};
use crate::state::schema;
use crate::storage::{Family, StorageError, View};

/// Hashes all versions up to `revision` that a compaction at `compacted` keeps.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn hash(view: &dyn View, revision: Revision, compacted: Option<Revision>) -> Result<u32, StorageError> {
    let removed = pending_removals(view, compacted)?;
    let mut hash = crc32c::crc32c(b"key");
    let mut record_bytes = Vec::new();
    let range = schema::event_range(Revision(0), Some(Revision(revision.0 + 1)));
    let mut events = view.scan(Family::Events, range)?;
    while let Some((encoded, record)) = events.item() {
        let id = schema::event_id(encoded)?;
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        let forgotten_tombstone =
            change.kind == EventKind::Delete && compacted.is_some_and(|at| id.revision <= at);
        if !forgotten_tombstone && !removed.contains(&id) {
            record_bytes.clear();
            push_record(&mut record_bytes, view, id, &change)?;
            hash = crc32c::crc32c_append(hash, &record_bytes);
        }
        events.advance()?;
    }
    Ok(hash)
}

/// What the running compaction has yet to remove, and what it leaves for the next one.
fn pending_removals(
    view: &dyn View,
    compacted: Option<Revision>,
) -> Result<BTreeSet<VersionId>, StorageError> {
    let mut removed = BTreeSet::new();
    let Some(compacted) = compacted else {
        return Ok(removed);
    };
    let from = compaction::cursor(view)?;
    let range = schema::event_range(from, Some(Revision(compacted.0 + 1)));
    let mut events = view.scan(Family::Events, range)?;
    while let Some((encoded, record)) = events.item() {
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        // A version that was superseded inside the compacted revision itself is not kept either.
        removed.extend(change.superseded);
        removed.extend(compaction::removed_by(
            schema::event_id(encoded)?,
            &change,
            compacted,
        ));
        events.advance()?;
    }
    Ok(removed)
}

fn push_record(
    bytes: &mut Vec<u8>,
    view: &dyn View,
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
    let record = view
        .get(Family::Versions, &stored)?
        .ok_or_else(|| StorageError::Corrupt {
            what: "version",
            reason: format!("event {}.{} has no version", id.revision, id.sub),
        })?;
    let version = Version::decode(&record)?;
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
