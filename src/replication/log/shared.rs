//! What the log's handles and its writer share: the recent entries and the positions.
//!
//! `durable_end` is the first index that is not durable yet. A truncation lowers it at once, and an append that was
//! queued before a truncation never raises it afterwards: apply waits for exactly the entries that are in the log now.

use std::sync::Arc;

use openraft::entry::RaftEntry;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::recent::{MAXIMUM_RECENT_BYTES, RecentEntries};
use super::size::LogSize;
use crate::base::metrics::Metrics;
use crate::replication::failure::Failure;
use crate::replication::types::{Entry, LogId, Vote};

/// Positions and recent entries.
#[derive(Default)]
pub struct Positions {
    /// The newest entries.
    pub recent: RecentEntries,
    /// The last entry, purged or not.
    pub last: Option<LogId>,
    /// The last purged entry.
    pub purged: Option<LogId>,
    /// The durable vote.
    pub vote: Option<Vote>,
    /// The newest entry known to be committed.
    pub committed: Option<LogId>,
    /// Whether `committed` is newer than what was handed to the writer.
    pub committed_is_unsaved: bool,
    /// How often the log was truncated since it was opened.
    pub truncations: u64,
    /// How large the log is.
    pub size: LogSize,
}

/// See the module.
pub struct Shared {
    /// Guarded for moments only: never across I/O.
    pub positions: Mutex<Positions>,
    /// The first index that is not durable.
    pub durable_end: watch::Sender<u64>,
    /// Where the writer reports its death.
    pub failure: Failure,
    /// Where the writer measures.
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// Adds entries at the end; the writer has yet to see them. Returns the number of truncations so far.
    pub fn append(&self, entries: Vec<Entry>) -> u64 {
        let durable_end = *self.durable_end.borrow();
        let mut positions = self.positions.lock();
        for entry in entries {
            positions.last = Some(entry.log_id());
            positions.size.add(entry.index(), entry.record_bytes());
            positions.recent.push(entry);
        }
        positions.recent.shrink(durable_end, MAXIMUM_RECENT_BYTES);
        positions.truncations
    }

    /// Removes entries after `last`. Returns the first index that goes and the number of truncations, this included.
    pub fn truncate_after(&self, last: Option<LogId>) -> (u64, u64) {
        let mut positions = self.positions.lock();
        positions.last = positions.last.min(last).max(positions.purged);
        let end = positions.last.map_or(0, |last| last.index().saturating_add(1));
        positions.recent.truncate(end);
        positions.truncations += 1;
        self.durable_end.send_if_modified(|durable| {
            let is_lowered = *durable > end;
            *durable = (*durable).min(end);
            is_lowered
        });
        (end, positions.truncations)
    }

    /// Removes entries up to `upto`, which may be past the last one (a snapshot was installed).
    pub fn purge(&self, upto: LogId) {
        let first = upto.index().saturating_add(1);
        let mut positions = self.positions.lock();
        positions.recent.purge(first);
        positions.size.purge(upto.index());
        positions.purged = positions.purged.max(Some(upto));
        if positions.last < Some(upto) {
            positions.last = Some(upto);
        }
        drop(positions);
        self.raise_durable(first);
    }

    /// The writer made these durable: for each, the end and the number of truncations when it was queued.
    pub fn set_durable(&self, ends: &[(u64, u64)]) {
        let positions = self.positions.lock();
        let current = ends
            .iter()
            .filter(|(_, truncations)| *truncations == positions.truncations)
            .map(|(end, _)| *end)
            .max();
        if let Some(end) = current {
            self.raise_durable(end);
        }
    }

    /// The committed position, if it is newer than what was taken before.
    pub fn take_unsaved_committed(&self) -> Option<LogId> {
        let mut positions = self.positions.lock();
        if !std::mem::take(&mut positions.committed_is_unsaved) {
            return None;
        }
        positions.committed
    }

    fn raise_durable(&self, end: u64) {
        self.durable_end.send_if_modified(|durable| {
            let is_raised = *durable < end;
            *durable = (*durable).max(end);
            is_raised
        });
    }
}
