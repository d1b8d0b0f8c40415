//! A version as another store recorded it, with the revisions it had there.

use bytes::Bytes;

use super::{Change, EventKind, Head, Transition, Version, schema};
use crate::base::LeaseId;
use crate::state::restore::StoredVersion;
use crate::storage::{Family, StorageError};

impl Transition<'_> {
    /// Adds a version that is newer than all others of its key. Attaches the key only to one of the leases for which
    /// `is_known` says yes; the version names its lease in any case, as in etcd.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn restore_version(
        &mut self,
        stored: &StoredVersion,
        is_known: impl Fn(LeaseId) -> bool,
    ) -> Result<(), StorageError> {
        let (namespace, id, found) = (stored.namespace, stored.id, &stored.key_value);
        let old = self.head(namespace, &found.key)?;
        let mut version = Version::default();
        if stored.kind == EventKind::Put {
            version = Version {
                create_revision: found.create_revision,
                version: found.version,
                lease: found.lease,
                value: found.value.clone(),
            };
            let head = Head {
                create_revision: found.create_revision,
                modification_revision: id.revision,
                sub: id.sub,
                version: found.version,
                lease: found.lease,
            };
            let mut record = Vec::new();
            head.push(&mut record)?;
            self.overlay
                .put(Family::Heads, schema::head(namespace, &found.key), record);
        } else {
            self.overlay
                .delete(Family::Heads, schema::head(namespace, &found.key));
        }
        self.put_version(namespace, &found.key, id, &version)?;
        let to = Some(version.lease).filter(|lease| is_known(*lease));
        let from = old.as_ref().map_or(LeaseId::NONE, |old| old.lease);
        self.move_attachment(namespace, &found.key, from, to.unwrap_or_default());
        let change = Change {
            kind: stored.kind,
            namespace,
            key: found.key.clone(),
            superseded: old.as_ref().map(Head::id),
        };
        let mut record = Vec::new();
        change.push(&mut record)?;
        self.overlay
            .put(Family::Events, schema::event(id), Bytes::from(record));
        Ok(())
    }
}
