//! The newest entries of the log, in memory: replication and apply read from here and touch the disk only for laggards.
//!
//! Holds a run of indexes without holes that ends at the last entry. An entry that is not durable yet always stays, so
//! that a read never misses one; beyond that the run is bounded in bytes.

use std::collections::VecDeque;

use openraft::entry::RaftEntry;

use crate::replication::types::Entry;

/// Bytes of durable entries that stay in memory. Enough for a follower that is a few seconds behind, small beside the
/// memory a node may use.
pub const MAXIMUM_RECENT_BYTES: usize = 32 * 1024 * 1024;

/// The run of recent entries.
#[derive(Default)]
pub struct RecentEntries {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl RecentEntries {
    /// The index of the first entry held, if any.
    pub fn first_index(&self) -> Option<u64> {
        self.entries.front().map(RaftEntry::index)
    }

    /// Adds the next entry. One that does not follow the last one starts a new run.
    pub fn push(&mut self, entry: Entry) {
        let follows = self
            .entries
            .back()
            .is_none_or(|last| last.index().saturating_add(1) == entry.index());
        if !follows {
            self.clear();
        }
        self.bytes += entry.record_bytes();
        self.entries.push_back(entry);
    }

    /// Drops durable entries from the front until the rest fits.
    pub fn shrink(&mut self, durable_end: u64, maximum_bytes: usize) {
        while self.bytes > maximum_bytes {
            match self.entries.front() {
                Some(first) if first.index() < durable_end => self.pop_front(),
                _ => break,
            }
        }
    }

    /// Drops entries from `end` on.
    pub fn truncate(&mut self, end: u64) {
        while let Some(last) = self.entries.back() {
            if last.index() < end {
                break;
            }
            self.bytes -= last.record_bytes();
            self.entries.pop_back();
        }
    }

    /// Drops entries below `first`.
    pub fn purge(&mut self, first: u64) {
        while self.entries.front().is_some_and(|entry| entry.index() < first) {
            self.pop_front();
        }
    }

    /// Entries of `[start, end)` from `start` on, up to `maximum_bytes` of records but at least one; none if `start` is
    /// not held.
    pub fn range(&self, start: u64, end: u64, maximum_bytes: usize) -> Vec<Entry> {
        let mut found = Vec::new();
        let offset = self.first_index().and_then(|first| start.checked_sub(first));
        let Some(offset) = offset.and_then(|offset| usize::try_from(offset).ok()) else {
            return found;
        };
        let mut bytes = 0;
        for entry in self.entries.range(offset.min(self.entries.len())..) {
            bytes += entry.record_bytes();
            if entry.index() >= end || (bytes > maximum_bytes && !found.is_empty()) {
                break;
            }
            found.push(entry.clone());
        }
        found
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.record_bytes();
        }
    }
}
