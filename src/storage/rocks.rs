//! The engine on disk: one RocksDB instance for the state, one for the raft log.
//!
//! | | [`DatabaseKind::State`] | [`DatabaseKind::Log`] |
//! |---|---|---|
//! | write-ahead log | none: after a crash the raft log is replayed | recycled files, one fsync for each synced batch |
//! | durable after | [`Engine::flush`] or a checkpoint, all families together | a [`Durability::Synced`] write |
//! | tuned for | random reads in bounded memory | appending, reading the newest entries, dropping the oldest |
//!
//! Invariants: a batch is visible and recoverable as a whole or not at all, over all families (atomic flush, so that
//! files on disk never show half a batch); every read of a [`View`] sees one RocksDB snapshot; every error of the
//! engine reaches the caller, also at the end of a scan.
//!
//! A range that is deleted costs one record. Its space comes back when the files are next compacted, which RocksDB
//! schedules by how much a range deletion covers. Whole files are never unlinked early: that would ignore older views,
//! and could bring deleted keys back when the file that recorded their deletion goes first.
//!
//! What it cannot tell: a damaged record of the write-ahead log from the torn end that a crash leaves. The log database
//! then opens as of the record before it, so its reader must know from elsewhere how far the log reached.
//!
//! Never knows what it stores, never retries, never repairs: a damaged folder is an error that names the mend.

mod closing;
mod cursor;
mod errors;
mod options;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, FlushOptions, ReadOptions, Snapshot,
    WriteBatch, WriteOptions,
};
use self_cell::self_cell;

use self::closing::Closed;
use self::cursor::RocksCursor;
use self::errors::{engine_error, file_error};
pub use self::options::{MAXIMUM_WRITE_BUFFERS, RocksOptions};
use super::{Batch, Change, Cursor, Durability, Engine, Family, KeyRange, StorageError, View};

/// An upper bound of what a record of a RocksDB write batch takes beside its key and value, in bytes: the type, the
/// family and two lengths as variable-length integers.
const BATCH_RECORD_OVERHEAD_BYTES: usize = 16;

/// What a database is for, which decides its families and its tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// [`Family::STATE`], without a write-ahead log.
    State,
    /// [`Family::LOG`], with a synced write-ahead log.
    Log,
}

impl DatabaseKind {
    /// The families that the database holds.
    #[must_use]
    pub fn families(self) -> &'static [Family] {
        match self {
            Self::State => &Family::STATE,
            Self::Log => &Family::LOG,
        }
    }
}

/// An open RocksDB database and its folder.
struct Database {
    rocks: DB,
    folder: PathBuf,
    /// The last field: it outlives the database.
    _closed: Closed,
}

impl Drop for Database {
    fn drop(&mut self) {
        closing::begin();
    }
}

impl Database {
    fn handle(&self, family: Family) -> Result<&ColumnFamily, StorageError> {
        self.rocks
            .cf_handle(family.name())
            .ok_or_else(|| StorageError::Engine {
                action: "find a family",
                reason: format!(
                    "the database in {} has no family {:?}: it is of the other kind",
                    self.folder.display(),
                    family.name()
                ),
            })
    }

    fn error(&self, action: &'static str, error: rocksdb::Error) -> StorageError {
        engine_error(action, &self.folder, error)
    }

    /// A key past every key of `family`, now and after the first `earlier` changes of a batch.
    ///
    /// RocksDB has no range deletion without an end.
    fn end_of_family(&self, family: Family, earlier: &[Change]) -> Result<Vec<u8>, StorageError> {
        let mut cursor = self.rocks.raw_iterator_cf(self.handle(family)?);
        cursor.seek_to_last();
        cursor
            .status()
            .map_err(|error| self.error("find the last key", error))?;
        let pending = earlier.iter().filter_map(|change| match change {
            Change::Put(of, key, _) if *of == family => Some(key.as_ref()),
            _ => None,
        });
        let mut end = cursor
            .key()
            .into_iter()
            .chain(pending)
            .max()
            .unwrap_or_default()
            .to_vec();
        end.push(0);
        Ok(end)
    }
}

/// RocksDB behind the [`Engine`] trait.
pub struct RocksEngine {
    database: Arc<Database>,
    kind: DatabaseKind,
    synced: WriteOptions,
    buffered: WriteOptions,
    /// Held for reading by every write, and for writing by one that looks up the last key before it deletes up to it.
    last_key: RwLock<()>,
}

impl RocksEngine {
    /// Opens the database in `folder`, or creates it there.
    ///
    /// # Errors
    /// The folder cannot be made, read or written, is in use by another process, holds a damaged database or one that
    /// is not of this `kind` or version, or the disk is full. The text says which, with the folder and the mend.
    pub fn open(folder: &Path, kind: DatabaseKind, options: RocksOptions) -> Result<Arc<Self>, StorageError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| file_error("create the database folder", folder, error))?;
        errors::refuse_partial_folder(folder)?;
        let (database_options, shared_memory) = options::database(kind, folder, &options);
        let families = kind.families().iter().map(|family| {
            ColumnFamilyDescriptor::new(
                family.name(),
                options::family(kind, *family, &options, &shared_memory),
            )
        });
        let rocks = DB::open_cf_descriptors(&database_options, folder, families)
            .map_err(|error| engine_error("open the database", folder, error))?;
        closing::guard();
        let mut synced = WriteOptions::default();
        let mut buffered = WriteOptions::default();
        match kind {
            DatabaseKind::Log => synced.set_sync(true),
            DatabaseKind::State => {
                synced.disable_wal(true);
                buffered.disable_wal(true);
            }
        }
        Ok(Arc::new(Self {
            database: Arc::new(Database {
                rocks,
                folder: folder.to_path_buf(),
                _closed: Closed,
            }),
            kind,
            synced,
            buffered,
            last_key: RwLock::new(()),
        }))
    }

    /// Copies the batch once, into the form in which RocksDB logs it and reads it back into its memory tables.
    fn encode(&self, batch: &Batch) -> Result<WriteBatch, StorageError> {
        let bytes = batch.changes.iter().map(|change| match change {
            Change::Put(_, key, value) => key.len() + value.len(),
            Change::Delete(_, key) => key.len(),
            Change::DeleteRange(_, range) => range.start.len() + range.end.as_ref().map_or(0, Vec::len),
        });
        let capacity = bytes
            .map(|bytes| bytes + BATCH_RECORD_OVERHEAD_BYTES)
            .sum::<usize>();
        let mut encoded = WriteBatch::with_capacity_bytes(capacity + BATCH_RECORD_OVERHEAD_BYTES);
        let mut latest: Option<(Family, &ColumnFamily)> = None;
        for (position, change) in batch.changes.iter().enumerate() {
            let family = change.family();
            let handle = match latest {
                Some((of, handle)) if of == family => handle,
                _ => self.database.handle(family)?,
            };
            latest = Some((family, handle));
            match change {
                Change::Put(_, key, value) => encoded.put_cf(handle, key, value),
                Change::Delete(_, key) => encoded.delete_cf(handle, key),
                Change::DeleteRange(_, range) if range.is_empty() => {}
                Change::DeleteRange(
                    _,
                    KeyRange {
                        start,
                        end: Some(end),
                    },
                ) => {
                    encoded.delete_range_cf(handle, start, end);
                }
                Change::DeleteRange(_, KeyRange { start, end: None }) => {
                    let earlier = batch.changes.get(..position).unwrap_or_default();
                    let end = self.database.end_of_family(family, earlier)?;
                    if *start < end {
                        encoded.delete_range_cf(handle, start, &end);
                    }
                }
            }
        }
        Ok(encoded)
    }

    /// The sum of a property over all families.
    fn sum(&self, property: &rocksdb::properties::PropName) -> u64 {
        let values = self.kind.families().iter().filter_map(|family| {
            let handle = self.database.rocks.cf_handle(family.name())?;
            // The properties that are asked for exist in every database: nothing to report when one is absent.
            self.database
                .rocks
                .property_int_value_cf(handle, property)
                .ok()
                .flatten()
        });
        values.sum()
    }
}

impl Engine for RocksEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        let options = match durability {
            Durability::Synced => &self.synced,
            Durability::Buffered => &self.buffered,
        };
        let write = || {
            let encoded = self.encode(&batch)?;
            let written = self.database.rocks.write_opt(encoded, options);
            written.map_err(|error| self.database.error("write a batch", error))
        };
        if batch.changes.iter().any(Change::is_unbounded) {
            let _alone = self.last_key.write();
            write()?;
        } else {
            let _shared = self.last_key.read();
            write()?;
        }
        match (self.kind, durability) {
            (DatabaseKind::State, Durability::Synced) => self.flush(),
            _ => Ok(()),
        }
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::new(RocksView(PinnedSnapshot::new(
            Arc::clone(&self.database),
            |database| {
                let snapshot = database.rocks.snapshot();
                let mut point_reads = ReadOptions::default();
                point_reads.set_snapshot(&snapshot);
                SnapshotReads {
                    snapshot,
                    point_reads,
                }
            },
        )))
    }

    fn flush(&self) -> Result<(), StorageError> {
        match self.kind {
            DatabaseKind::Log => {
                let flushed = self.database.rocks.flush_wal(true);
                flushed.map_err(|error| self.database.error("sync the write-ahead log", error))
            }
            DatabaseKind::State => {
                let handles = self
                    .kind
                    .families()
                    .iter()
                    .map(|family| self.database.handle(*family));
                let handles = handles.collect::<Result<Vec<_>, _>>()?;
                let flushed = self
                    .database
                    .rocks
                    .flush_cfs_opt(&handles, &FlushOptions::default());
                flushed.map_err(|error| self.database.error("flush", error))
            }
        }
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError> {
        if folder.exists() {
            let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(file_error("create the checkpoint", folder, exists));
        }
        // Flushes first: a size of zero means that no write may be left to a write-ahead log.
        Checkpoint::new(&self.database.rocks)
            .and_then(|checkpoint| checkpoint.create_checkpoint_with_log_size(folder, 0))
            .map_err(|error| engine_error("create the checkpoint", folder, error))?;
        sync_folder(folder)?;
        folder.parent().map_or(Ok(()), sync_folder)
    }

    fn reclaim(&self) -> Result<(), StorageError> {
        self.flush()?;
        let mut options = CompactOptions::default();
        // Beside what RocksDB merges by itself, which would wait otherwise, and writers with it.
        options.set_exclusive_manual_compaction(false);
        for family in self.kind.families() {
            let handle = self.database.handle(*family)?;
            self.database
                .rocks
                .compact_range_cf_opt(handle, None::<&[u8]>, None::<&[u8]>, &options);
        }
        // It reports no error by itself; one that matters makes the next write fail.
        self.flush()
    }

    /// The table files, and what waits in memory to be written to them. The write-ahead log of the log database holds
    /// the same bytes as its memory, and is not counted again.
    fn size_bytes(&self) -> u64 {
        self.sum(rocksdb::properties::TOTAL_SST_FILES_SIZE)
            .saturating_add(self.sum(rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES))
    }

    fn live_bytes(&self) -> u64 {
        self.sum(rocksdb::properties::ESTIMATE_LIVE_DATA_SIZE)
            .saturating_add(self.sum(rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES))
    }
}

/// Makes the names in `folder` durable.
fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let synced = File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(|error| file_error("sync the folder", folder, error))
}

/// A snapshot and the options of point reads that are bound to it.
struct SnapshotReads<'database> {
    snapshot: Snapshot<'database>,
    point_reads: ReadOptions,
}

self_cell!(
    /// A snapshot that keeps its database open.
    struct PinnedSnapshot {
        owner: Arc<Database>,
        #[covariant]
        dependent: SnapshotReads,
    }
);

struct RocksView(PinnedSnapshot);

impl View for RocksView {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let database = self.0.borrow_owner();
        let options = &self.0.borrow_dependent().point_reads;
        let value = database
            .rocks
            .get_pinned_cf_opt(database.handle(family)?, key, options);
        let value = value.map_err(|error| database.error("read a key", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan<'view>(
        &'view self,
        family: Family,
        range: KeyRange,
    ) -> Result<Box<dyn Cursor + 'view>, StorageError> {
        let database = self.0.borrow_owner();
        let snapshot = &self.0.borrow_dependent().snapshot;
        let cursor = RocksCursor::open(snapshot, database.handle(family)?, &database.folder, range)?;
        Ok(Box::new(cursor))
    }
}
