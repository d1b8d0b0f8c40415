//! How many bytes of records lie behind an index, without remembering every entry: one mark for each mebibyte.

use std::collections::VecDeque;

/// Bytes of records between two marks.
const MARK_BYTES: u64 = 1024 * 1024;

/// Size of the log, by index. Counts what was appended since the log was opened, plus what it held then.
#[derive(Default)]
pub struct LogSize {
    appended_bytes: u64,
    /// (index, bytes appended before it), ascending.
    marks: VecDeque<(u64, u64)>,
}

impl LogSize {
    /// Counts the entries found when the log was opened, all at `first`.
    pub fn start(&mut self, first: u64, bytes: u64) {
        self.marks.push_back((first, 0));
        self.appended_bytes = bytes;
    }

    /// Counts an appended entry.
    pub fn add(&mut self, index: u64, bytes: usize) {
        let is_due = self
            .marks
            .back()
            .is_none_or(|(_, before)| self.appended_bytes - before >= MARK_BYTES);
        if is_due {
            self.marks.push_back((index, self.appended_bytes));
        }
        self.appended_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// Forgets entries up to `upto`.
    pub fn purge(&mut self, upto: u64) {
        while self
            .marks
            .get(1)
            .is_some_and(|(index, _)| *index <= upto.saturating_add(1))
        {
            self.marks.pop_front();
        }
    }

    /// Bytes of the entries that are kept.
    pub fn bytes(&self) -> u64 {
        self.marks
            .front()
            .map_or(0, |(_, before)| self.appended_bytes - before)
    }

    /// The first index such that no more than about `bytes` lie from it to the end.
    pub fn index_before_last_bytes(&self, bytes: u64) -> u64 {
        let fits = |(_, before): &&(u64, u64)| self.appended_bytes - before <= bytes;
        match self.marks.iter().find(fits) {
            Some((index, _)) => *index,
            None => self.marks.back().map_or(0, |(index, _)| *index),
        }
    }
}
