//! One change as all its watchers share it.
//!
//! A record is built once for each change that anybody watches. It has room for its encoded form, which a front door fills
//! in on first use: this layer does not know any wire format, and no watcher pays for the encoding twice.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::state::ReadView;
use crate::state::applied::{Event, Fatal, KeyValue};

/// What a record costs in memory beside its keys and values, in bytes (two allocations, reference counts, cells).
const RECORD_OVERHEAD_BYTES: usize = 256;

/// A change, what it replaced, and its encoded form.
#[derive(Debug)]
pub struct EventRecord {
    event: Event,
    previous: OnceLock<Option<KeyValue>>,
    encoded: OnceLock<Bytes>,
    encoded_with_previous: OnceLock<Bytes>,
}

impl EventRecord {
    pub(super) fn new(event: Event) -> Arc<Self> {
        Arc::new(Self {
            event,
            previous: OnceLock::new(),
            encoded: OnceLock::new(),
            encoded_with_previous: OnceLock::new(),
        })
    }

    /// The change.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What it replaced: none for a key that was not there, one whose previous version is compacted, and where no
    /// watcher of the change asked for it.
    #[must_use]
    pub fn previous(&self) -> Option<&KeyValue> {
        self.previous.get().and_then(Option::as_ref)
    }

    /// The change in the encoding of the gRPC front door, made by `encode` the first time and shared after that. Other
    /// front doors read [`EventRecord::event`]: there is one cell (each with and without the previous key-value).
    pub fn encoded(
        &self,
        with_previous: bool,
        encode: impl FnOnce(&Event, Option<&KeyValue>) -> Bytes,
    ) -> &Bytes {
        if with_previous && self.previous().is_some() {
            self.encoded_with_previous
                .get_or_init(|| encode(&self.event, self.previous()))
        } else {
            self.encoded.get_or_init(|| encode(&self.event, None))
        }
    }

    /// Looks up what the change replaced, unless that was done already.
    pub(super) fn load_previous(&self, view: &ReadView) -> Result<(), Fatal> {
        if self.previous.get().is_some() {
            return Ok(());
        }
        let event = &self.event;
        // As etcd, which reads the revision before the change: that is compacted even where the version is not removed yet.
        let is_compacted = view
            .compacted()
            .is_some_and(|compacted| event.id.revision <= compacted);
        let previous = match event.superseded {
            Some(id) if !is_compacted => view.version(event.namespace, &event.key_value.key, id)?,
            _ => None,
        };
        // Only the thread that built the record loads it, so that a second value cannot come in between.
        self.previous.get_or_init(|| previous);
        Ok(())
    }

    /// What the record counts for against the limits of a stream, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let key_value = |pair: &KeyValue| pair.key.len().saturating_add(pair.value.len());
        RECORD_OVERHEAD_BYTES
            .saturating_add(key_value(&self.event.key_value))
            .saturating_add(self.previous().map_or(0, key_value))
    }
}
