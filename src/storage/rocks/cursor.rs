//! Cursors over one family, bounded by RocksDB itself so that it never reads past the range.

use std::path::Path;

use rocksdb::{ColumnFamily, DBRawIterator, ReadOptions, Snapshot};

use super::errors::engine_error;
use crate::storage::{Cursor, KeyRange, StorageError};

/// A cursor that reads under the snapshot of its view.
pub(super) struct RocksCursor<'view> {
    iterator: DBRawIterator<'view>,
    folder: &'view Path,
}

impl<'view> RocksCursor<'view> {
    /// A cursor on the first item of `range`.
    pub(super) fn open(
        snapshot: &'view Snapshot<'view>,
        family: &ColumnFamily,
        folder: &'view Path,
        range: KeyRange,
    ) -> Result<Self, StorageError> {
        let mut options = ReadOptions::default();
        // Closing a cursor may be what lets go of the last reference to old files: unlinking them is not for a reader.
        options.set_background_purge_on_iterator_cleanup(true);
        options.set_iterate_lower_bound(range.start);
        if let Some(end) = range.end {
            options.set_iterate_upper_bound(end);
        }
        let mut iterator = snapshot.raw_iterator_cf_opt(family, options);
        iterator.seek_to_first();
        let cursor = Self { iterator, folder };
        cursor.check("start a scan")?;
        Ok(cursor)
    }

    /// Tells the end of the range from a failure to read on.
    fn check(&self, action: &'static str) -> Result<(), StorageError> {
        if self.iterator.valid() {
            return Ok(());
        }
        self.iterator
            .status()
            .map_err(|error| engine_error(action, self.folder, error))
    }
}

impl Cursor for RocksCursor<'_> {
    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.iterator.item()
    }

    fn advance(&mut self) -> Result<(), StorageError> {
        if self.iterator.valid() {
            self.iterator.next();
        }
        self.check("continue a scan")
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StorageError> {
        self.iterator.seek(key);
        self.check("seek in a scan")
    }
}
