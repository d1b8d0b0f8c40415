//! Keys with many versions: reading them at any revision that is not compacted, hashing and forgetting them.
//!
//! Works on any [`View`]: the published state, or the one that apply is changing. Never writes; [`compaction`] only says
//! what to remove.

pub mod compaction;
pub mod compare;
pub mod hash;
pub mod history;
pub mod range;
pub mod records;

use bytes::Bytes;

use super::applied::{KeyValue, VersionId};
use super::format::{self, Head, Version};
use super::schema;
use crate::base::{Namespace, Revision};
use crate::storage::{Family, StorageError, View};

/// The header of the newest version of a live key.
///
/// # Errors
/// The disk failed, or the record is damaged.
pub fn head(view: &dyn View, namespace: Namespace, key: &[u8]) -> Result<Option<Head>, StorageError> {
    view.get(Family::Heads, &schema::head(namespace, key))?
        .map(|record| format::decode("head", &record))
        .transpose()
}

/// A stored version of a key; none if it is a tombstone or compaction has removed it.
///
/// # Errors
/// The disk failed, or the record is damaged.
pub fn version(
    view: &dyn View,
    namespace: Namespace,
    key: &Bytes,
    id: VersionId,
) -> Result<Option<KeyValue>, StorageError> {
    let Some(record) = view.get(Family::Versions, &schema::version(namespace, key, id))? else {
        return Ok(None);
    };
    let version = Version::decode(&record)?;
    Ok((!version.is_tombstone()).then(|| key_value(key.clone(), id.revision, version)))
}

/// A stored version that must be there, because a header or an event names it.
///
/// # Errors
/// The disk failed, or the version is missing.
pub fn expected_version(
    view: &dyn View,
    namespace: Namespace,
    key: &Bytes,
    id: VersionId,
) -> Result<KeyValue, StorageError> {
    version(view, namespace, key, id)?.ok_or_else(|| StorageError::Corrupt {
        what: "version",
        reason: format!("version {}.{} of a live key is missing", id.revision, id.sub),
    })
}

fn key_value(key: Bytes, modification_revision: Revision, version: Version) -> KeyValue {
    KeyValue {
        key,
        value: version.value,
        create_revision: version.create_revision,
        modification_revision,
        version: version.version,
        lease: version.lease,
    }
}
