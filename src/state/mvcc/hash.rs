//! The hash of all versions, in etcd's definition, so that it agrees between members (and with etcd) at a revision.
//!
//! CRC-32C over the bytes `key`, then for every change in revision order its [record](super::records) key and value. Of the
//! changes at or before the compacted revision only those count that a read at the hashed revision still sees, so that the
//! hash does not depend on how far the physical removal has got. Keys of other namespaces than the default one are hashed
//! with the namespace's number in front.

use super::records::{Selection, holds_live_key, records};
use crate::base::{Namespace, Revision};
use crate::state::applied::EventKind;
use crate::storage::{StorageError, View};

/// Hashes all versions up to `revision`, on a store that was compacted at `compacted`.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn hash(view: &dyn View, revision: Revision, compacted: Option<Revision>) -> Result<u32, StorageError> {
    let seen_at = match compacted {
        // etcd skips nothing that its compaction left if no key is live at the hashed revision.
        Some(compacted) if !holds_live_key(view, revision)? => compacted,
        _ => revision,
    };
    let selection = Selection {
        until: revision,
        compacted,
        seen_at,
        with_compacted_tombstones: false,
    };
    let mut hash = crc32c::crc32c(b"key");
    records(view, selection, &mut |record| {
        hash = crc32c::crc32c_append(hash, &record.revision_key());
        if record.namespace != Namespace::DEFAULT {
            hash = crc32c::crc32c_append(hash, &[record.namespace.0]);
        }
        if record.kind == EventKind::Delete {
            hash = crc32c::crc32c_append(hash, b"t");
        }
        hash = crc32c::crc32c_append(hash, record.value);
        Ok(())
    })?;
    Ok(hash)
}
