//! Changes in revision order, for watches that catch up.

use bytes::Bytes;

use super::expected_version;
use crate::base::limits::MAXIMUM_HISTORY_PAGE_CHANGES;
use crate::base::{Namespace, Revision};
use crate::state::applied::{Event, EventKind, KeyValue, VersionId};
use crate::state::format::Change;
use crate::state::schema;
use crate::storage::{Family, StorageError, View};

/// A page of history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// Matching changes in order; all of a revision are in one page.
    pub events: Vec<Event>,
    /// The first revision that was not looked at: the view's revision + 1 when the page reached the end.
    pub next: Revision,
}

/// How much one page of history holds at most; at least one revision is always whole.
#[derive(Debug, Clone, Copy)]
pub struct PageLimits {
    /// Revisions with a matching change.
    pub revisions: usize,
    /// Bytes of the keys and values of matching changes.
    pub bytes: usize,
}

/// Changes from revision `from` on, up to `current`, for which `matches` says yes.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn events(
    view: &dyn View,
    current: Revision,
    from: Revision,
    limits: PageLimits,
    matches: &mut dyn FnMut(Namespace, &[u8], EventKind) -> bool,
) -> Result<EventPage, StorageError> {
    let mut page = EventPage {
        events: Vec::new(),
        next: Revision(current.0 + 1),
    };
    let mut revisions = 0;
    let mut bytes = 0;
    let mut looked_at = 0;
    let mut last_revision = None;
    let mut last_matched = None;
    let mut cursor = view.scan(Family::Events, schema::event_range(from, None))?;
    while let Some((encoded, record)) = cursor.item() {
        let id = schema::event_id(encoded)?;
        let starts_revision = last_revision != Some(id.revision);
        let is_full = revisions >= limits.revisions
            || bytes >= limits.bytes
            || looked_at >= MAXIMUM_HISTORY_PAGE_CHANGES;
        if starts_revision && is_full {
            page.next = id.revision;
            return Ok(page);
        }
        looked_at += 1;
        last_revision = Some(id.revision);
        let change = Change::decode(&Bytes::copy_from_slice(record))?;
        if matches(change.namespace, &change.key, change.kind) {
            if last_matched != Some(id.revision) {
                revisions += 1;
                last_matched = Some(id.revision);
            }
            let event = event(view, id, change)?;
            bytes += event.key_value.key.len() + event.key_value.value.len();
            page.events.push(event);
        }
        cursor.advance()?;
    }
    Ok(page)
}

fn event(view: &dyn View, id: VersionId, change: Change) -> Result<Event, StorageError> {
    let key_value = match change.kind {
        EventKind::Put => expected_version(view, change.namespace, &change.key, id)?,
        EventKind::Delete => tombstone(change.key, id.revision),
    };
    Ok(Event {
        namespace: change.namespace,
        kind: change.kind,
        key_value,
        id,
        superseded: change.superseded,
    })
}

/// What a removal leaves of a key-value: the key and the revision.
#[must_use]
pub fn tombstone(key: Bytes, revision: Revision) -> KeyValue {
    KeyValue {
        key,
        modification_revision: revision,
        ..KeyValue::default()
    }
}
