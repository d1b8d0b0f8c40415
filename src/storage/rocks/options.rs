//! How the two databases are tuned, and why.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteBufferManager,
};

use super::DatabaseKind;
use crate::storage::Family;

const KIBIBYTE_BYTES: usize = 1 << 10;
const MEBIBYTE_BYTES: usize = 1 << 20;

/// How much memory a database may take.
///
/// The defaults keep both databases near 200 MiB resident while a million keys of 64 bytes with values of 256 bytes are
/// written and read (measured), so that a whole node stays below 400 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RocksOptions {
    /// The memory of the state database in bytes: blocks of its files, their indexes and filters, and its unflushed
    /// writes together.
    pub state_cache_bytes: usize,
    /// The part of `state_cache_bytes` that unflushed writes may take, in bytes, before all families are flushed. It
    /// also bounds how much of the raft log a restart replays. Small ones stay in the processor's cache, which makes writing
    /// into them cheaper (measured: a third less for each put with 8 MiB than with 64 MiB).
    pub state_write_buffer_bytes: usize,
    /// The unflushed writes of the log database in bytes before they go to a table file. Twice that much is in memory
    /// while one is written out, and [`MAXIMUM_WRITE_BUFFERS`] times that much at most.
    pub log_write_buffer_bytes: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            state_cache_bytes: 128 * MEBIBYTE_BYTES,
            state_write_buffer_bytes: 8 * MEBIBYTE_BYTES,
            log_write_buffer_bytes: 32 * MEBIBYTE_BYTES,
        }
    }
}

/// The write buffers of a family that wait to be flushed, the one being filled included, before writers wait too.
pub const MAXIMUM_WRITE_BUFFERS: i32 = 4;

/// Files of the write-ahead log that are kept to be overwritten: an fsync that does not grow a file costs a third less
/// (measured: 150 instead of 200 microseconds).
const RECYCLED_LOG_FILES: usize = 4;

/// Bits of bloom filter for each key: one useless read in a hundred.
const BLOOM_FILTER_BITS_PER_KEY: f64 = 10.0;

/// The size of a block before compression. Larger ones make smaller indexes, smaller ones cheaper point reads.
const BLOCK_BYTES: usize = 8 * KIBIBYTE_BYTES;

/// What a memory table takes from the heap at a time. Small, as most families hold little.
const ARENA_BLOCK_BYTES: usize = 256 * KIBIBYTE_BYTES;

/// Table files are written back in steps of this size, so that an fsync never waits for a whole file.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// An empty file that shows whether a folder's file system writes past the page cache.
const PROBE_FILE: &str = "direct-write-probe";

/// The diagnostic log of RocksDB: at most this many files of at most this many bytes.
const MAXIMUM_DIAGNOSTIC_FILES: usize = 4;
/// See [`MAXIMUM_DIAGNOSTIC_FILES`].
const MAXIMUM_DIAGNOSTIC_FILE_BYTES: usize = 4 * MEBIBYTE_BYTES;

/// The memory that all families of a database share.
pub(super) struct SharedMemory {
    /// None for the log database, whose newest entries are read from its memory tables and the page cache.
    block_cache: Option<Cache>,
}

/// Whether files in `folder` can be written past the page cache; not every file system does that.
fn writes_past_page_cache(folder: &Path) -> bool {
    let probe = folder.join(PROBE_FILE);
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(direct)
        .open(&probe);
    // What is left behind is empty, and overwritten the next time.
    let _ = std::fs::remove_file(&probe);
    opened.is_ok()
}

/// The options of the database in `folder` as a whole, and what its families share.
pub(super) fn database(kind: DatabaseKind, folder: &Path, options: &RocksOptions) -> (Options, SharedMemory) {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_paranoid_checks(true);
    database.set_atomic_flush(true);
    database.set_avoid_unnecessary_blocking_io(true);
    database.set_bytes_per_sync(BYTES_PER_SYNC);
    database.set_log_level(LogLevel::Warn);
    database.set_keep_log_file_num(MAXIMUM_DIAGNOSTIC_FILES);
    database.set_max_log_file_size(MAXIMUM_DIAGNOSTIC_FILE_BYTES);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    let block_cache = match kind {
        DatabaseKind::State => {
            let cache = Cache::new_hyper_clock_cache(options.state_cache_bytes, 0);
            // Writers are not stalled at the limit: it starts a flush, and the write buffers are few.
            database.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
                options.state_write_buffer_bytes,
                false,
                cache.clone(),
            ));
            database.set_max_background_jobs(background_jobs());
            Some(cache)
        }
        DatabaseKind::Log => {
            database.set_recycle_log_file_num(RECYCLED_LOG_FILES);
            // Its table files are read only by a follower that lags: not worth a copy in the page cache (measured: 4 % of the
            // processor time of a put). Those of the state are read, and must not come from the disk each time.
            database.set_use_direct_io_for_flush_and_compaction(writes_past_page_cache(folder));
            // The only mode that goes with recycled files: what follows the last whole record is of an older life.
            database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
            database.set_track_and_verify_wals_in_manifest(true);
            database.set_max_background_jobs(MINIMUM_BACKGROUND_JOBS);
            None
        }
    };
    (database, SharedMemory { block_cache })
}

/// One flush and one compaction at the same time.
const MINIMUM_BACKGROUND_JOBS: i32 = 2;
/// More would take the processors from the requests.
const MAXIMUM_BACKGROUND_JOBS: i32 = 4;

fn background_jobs() -> i32 {
    let processors = thread::available_parallelism().map_or(MINIMUM_BACKGROUND_JOBS, |processors| {
        i32::try_from(processors.get()).unwrap_or(MAXIMUM_BACKGROUND_JOBS)
    });
    processors.clamp(MINIMUM_BACKGROUND_JOBS, MAXIMUM_BACKGROUND_JOBS)
}

/// The options of one family.
pub(super) fn family(
    kind: DatabaseKind,
    family: Family,
    options: &RocksOptions,
    shared: &SharedMemory,
) -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_size(BLOCK_BYTES);
    match &shared.block_cache {
        Some(cache) => {
            tables.set_block_cache(cache);
            tables.set_cache_index_and_filter_blocks(true);
            tables.set_cache_index_and_filter_blocks_with_high_priority(true);
            tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
        }
        None => tables.disable_cache(),
    }
    if is_read_by_whole_key(family) {
        tables.set_bloom_filter(BLOOM_FILTER_BITS_PER_KEY, false);
        tables.set_whole_key_filtering(true);
    }
    let mut result = Options::default();
    result.set_block_based_table_factory(&tables);
    result.set_arena_block_size(ARENA_BLOCK_BYTES);
    result.set_level_compaction_dynamic_level_bytes(true);
    match kind {
        DatabaseKind::State => {
            // The first level is rewritten soon, and its files are made while writers wait: not worth compressing.
            result.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);
            // The write buffer manager says when to flush; this only keeps one family from exceeding it alone.
            result.set_write_buffer_size(options.state_write_buffer_bytes);
            result.set_level_zero_file_num_compaction_trigger(LEVEL_ZERO_FILES);
            result.set_level_zero_slowdown_writes_trigger(3 * LEVEL_ZERO_FILES);
            result.set_level_zero_stop_writes_trigger(4 * LEVEL_ZERO_FILES);
        }
        DatabaseKind::Log => {
            result.set_compression_type(DBCompressionType::None);
            result.set_write_buffer_size(options.log_write_buffer_bytes);
        }
    }
    result.set_max_write_buffer_number(MAXIMUM_WRITE_BUFFERS);
    result
}

/// Files of the first level that are merged into the next one at a time. With small write buffers, four times RocksDB's
/// default keeps the merging as rare as it would be with larger ones; a point read passes by a file's filter. Writers are
/// slowed down and stopped at the multiples of it that RocksDB has by default, or nearly.
const LEVEL_ZERO_FILES: i32 = 16;

/// Whether single keys are looked up that may be absent, which is what a filter makes cheap.
fn is_read_by_whole_key(family: Family) -> bool {
    match family {
        Family::Heads | Family::Versions | Family::Leases | Family::LeaseKeys => true,
        Family::Events | Family::Auth | Family::Meta | Family::Log | Family::LogMeta => false,
    }
}
