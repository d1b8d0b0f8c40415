//! Forgetting history before a revision, at a cost in proportion to what has changed since the last time.
//!
//! Compaction at R keeps, of every key, the newest version at or before R, unless that is a tombstone. The rows of
//! `events` between the last compaction and R say exactly what goes: each names the version it superseded. A tombstone at R
//! itself, and versions that were superseded inside R, stay until the next compaction, because a watch may still start
//! at R.
//!
//! Only says what to remove: the caller writes it. Never touches a version that a read at or after R could see, so it
//! needs no lock against apply.

use bytes::Bytes;

use crate::base::Revision;
use crate::state::applied::{EventKind, VersionId};
use crate::state::format::{self, Change};
use crate::state::schema;
use crate::storage::{Batch, Family, StorageError, View};

/// One bounded piece of a compaction.
#[derive(Debug, Default)]
pub struct Step {
    /// What to write: the removals, and where the next step goes on.
    pub batch: Batch,
    /// Versions that it removes.
    pub removed: u64,
    /// Whether nothing is left to remove after it.
    pub finished: bool,
}

/// Where the removal has got to: the first revision whose events it has not dealt with yet.
fn cursor(view: &dyn View) -> Result<Revision, StorageError> {
    let record = view.get(Family::Meta, schema::COMPACTION_CURSOR)?;
    Ok(record
        .map(|record| format::decode("compaction cursor", &record))
        .transpose()?
        .unwrap_or_default())
}

/// The versions that an event makes unreadable once history before `compacted` is forgotten.
fn removed_by(id: VersionId, change: &Change, compacted: Revision) -> impl Iterator<Item = VersionId> {
    let superseded = change
        .superseded
        .filter(|superseded| id.revision < compacted || superseded.revision < compacted);
    let tombstone = (change.kind == EventKind::Delete && id.revision < compacted).then_some(id);
    superseded.into_iter().chain(tombstone)
}

/// The next piece of the compaction at `compacted`, over at least `maximum_events` events if there are as many, and
/// always whole revisions.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn step(view: &dyn View, compacted: Revision, maximum_events: usize) -> Result<Step, StorageError> {
    let mut step = Step {
        finished: true,
        ..Step::default()
    };
    let from = cursor(view)?;
    // The events of the compacted revision itself are looked at again by the next compaction.
    let mut next = compacted;
    let mut scanned = 0;
    let mut revision = None;
    let until = Revision(compacted.0 + 1);
    let mut events = view.scan(Family::Events, schema::event_range(from, Some(until)))?;
    while let Some((encoded, record)) = events.item() {
        let id = schema::event_id(encoded)?;
        if scanned >= maximum_events && revision != Some(id.revision) {
            step.finished = false;
            next = id.revision;
            break;
        }
        revision = Some(id.revision);
        scanned += 1;
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        for version in removed_by(id, &change, compacted) {
            step.batch.delete(
                Family::Versions,
                schema::version(change.namespace, &change.key, version),
            );
            step.batch.delete(Family::Events, schema::event(version));
            step.removed += 1;
        }
        events.advance()?;
    }
    if next > from {
        let record = format::encode("compaction cursor", &next)?;
        step.batch.put(Family::Meta, schema::COMPACTION_CURSOR, record);
    }
    Ok(step)
}
