//! What the watch hub reads of the state, as a trait: the hub is tested against histories made by hand as well as
//! against the state machine.
//!
//! Never changes anything.

use std::sync::Arc;

use crate::base::{Namespace, Revision};
use crate::state::applied::{Event, EventKind, Fatal, KeyValue};
use crate::state::{EventPage, ReadView, Reader};

/// The state at one applied index.
pub(super) trait History: Send + Sync {
    /// The store's revision.
    fn revision(&self) -> Revision;

    /// The oldest readable revision, none if never compacted.
    fn compacted(&self) -> Option<Revision>;

    /// Changes from `from` on that `matches`; see [`ReadView::events`].
    fn events(
        &self,
        from: Revision,
        maximum_revisions: usize,
        maximum_bytes: usize,
        matches: &mut dyn FnMut(Namespace, &[u8], EventKind) -> bool,
    ) -> Result<EventPage, Fatal>;

    /// What `event` replaced: none if the key was not there or compaction removed it.
    fn superseded(&self, event: &Event) -> Result<Option<KeyValue>, Fatal>;
}

impl History for ReadView {
    fn revision(&self) -> Revision {
        self.revision()
    }

    fn compacted(&self) -> Option<Revision> {
        self.compacted()
    }

    fn events(
        &self,
        from: Revision,
        maximum_revisions: usize,
        maximum_bytes: usize,
        matches: &mut dyn FnMut(Namespace, &[u8], EventKind) -> bool,
    ) -> Result<EventPage, Fatal> {
        self.events(from, maximum_revisions, maximum_bytes, matches)
    }

    fn superseded(&self, event: &Event) -> Result<Option<KeyValue>, Fatal> {
        match event.superseded {
            Some(id) => self.version(event.namespace, &event.key_value.key, id),
            None => Ok(None),
        }
    }
}

/// Where the newest [`History`] is found.
pub(super) trait Source: Send + Sync {
    /// The state after the last applied batch.
    fn newest(&self) -> Arc<dyn History>;
}

impl Source for Reader {
    fn newest(&self) -> Arc<dyn History> {
        self.view()
    }
}
