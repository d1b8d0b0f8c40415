//! The stored versions as etcd stores them: record keys and record values, in revision order.
//!
//! A record key is the revision, `_` and the sub-revision, and `t` for a tombstone; a record value the protobuf
//! `mvccpb.KeyValue`. Hashes are defined over them, and files for etcd hold them. Only ever written from here; never read
//! back.

use bytes::Bytes;

use crate::base::{Namespace, Revision};
use crate::state::applied::{EventKind, VersionId};
use crate::state::format::{Change, Version};
use crate::state::schema;
use crate::storage::{Cursor, Family, KeyRange, StorageError, View};

/// Which records are meant. Of those at or before the compacted revision only what a read at `seen_at` sees, so that it
/// makes no difference how far the physical removal has got.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// The last revision.
    pub until: Revision,
    /// The compacted revision.
    pub compacted: Option<Revision>,
    /// See above.
    pub seen_at: Revision,
    /// Whether tombstones at the compacted revision itself are meant, which a watch from there on still needs.
    pub with_compacted_tombstones: bool,
}

/// One record.
pub struct Record<'record> {
    /// Where its key lives.
    pub namespace: Namespace,
    /// Which version it is.
    pub id: VersionId,
    /// Put or removed.
    pub kind: EventKind,
    /// Its value.
    pub value: &'record [u8],
}

impl Record<'_> {
    /// Its key without the mark of a tombstone: 17 bytes.
    #[must_use]
    pub fn revision_key(&self) -> [u8; 17] {
        let mut key = [b'_'; 17];
        let (revision, rest) = key.split_at_mut(8);
        revision.copy_from_slice(&self.id.revision.0.to_be_bytes());
        let (_, sub) = rest.split_at_mut(1);
        sub.copy_from_slice(&i64::from(self.id.sub).to_be_bytes());
        key
    }
}

/// Hands the records that `selection` means to `visit`, in revision order.
///
/// # Errors
/// The disk failed, a record is damaged, or `visit` failed.
pub fn records(
    view: &dyn View,
    selection: Selection,
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut versions = view.scan(Family::Versions, KeyRange::prefix(&[]))?;
    let mut value = Vec::new();
    let mut events = view.scan(Family::Events, up_to(selection.until))?;
    while let Some((encoded, record)) = events.item() {
        let id = schema::event_id(encoded)?;
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        let is_meant = selection.compacted.is_none_or(|compacted| {
            let is_tombstone_there = change.kind == EventKind::Delete && id.revision == compacted;
            id.revision > compacted || (selection.with_compacted_tombstones && is_tombstone_there)
        }) || is_seen(versions.as_mut(), id, &change, selection.seen_at)?;
        if is_meant {
            value.clear();
            push_value(&mut value, versions.as_mut(), id, &change)?;
            visit(&Record {
                namespace: change.namespace,
                id,
                kind: change.kind,
                value: &value,
            })?;
        }
        events.advance()?;
    }
    Ok(())
}

/// The events up to and at `revision`.
fn up_to(revision: Revision) -> KeyRange {
    schema::event_range(Revision(0), Some(Revision(revision.0.saturating_add(1))))
}

/// Whether a read at `revision` would find any key. Ends at the first one.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn holds_live_key(view: &dyn View, revision: Revision) -> Result<bool, StorageError> {
    let mut versions = view.scan(Family::Versions, KeyRange::prefix(&[]))?;
    let mut events = view.scan(Family::Events, up_to(revision))?;
    while let Some((encoded, record)) = events.item() {
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        if is_seen(versions.as_mut(), schema::event_id(encoded)?, &change, revision)? {
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

fn push_value(
    bytes: &mut Vec<u8>,
    versions: &mut dyn Cursor,
    id: VersionId,
    change: &Change,
) -> Result<(), StorageError> {
    if change.kind == EventKind::Delete {
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
