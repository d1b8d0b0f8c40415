//! The raft log on an engine of the log families.
//!
//! One thread writes ([`writer`]), everybody reads: recent entries from memory ([`recent`]), older ones from disk.
//! Invariants: indexes have no hole; nothing is reported durable before its fsync; vote, appends and truncations reach
//! the disk in the order of the calls; the purged position is written together with the removal. Never blocks the caller
//! of `append` on the disk; never keeps a committed position of its own worth: it rides along with the next write.

pub(super) mod format;
mod recent;
mod shared;
mod size;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::thread::JoinHandle;

use futures::Stream;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use self::shared::{Positions, Shared};
use self::writer::{Operation, Queue, Writer};
use crate::base::metrics::Metrics;
use crate::replication::failure::Failure;
use crate::replication::types::{Entry, LogId, TypeConfig, Vote};
use crate::storage::{Engine, Family, KeyRange, StorageError, View};

/// Bytes of records in one read: what one message to a peer carries, and one step of apply.
pub const MAXIMUM_READ_BYTES: usize = 1024 * 1024;

/// The log. A handle: clones share it.
#[derive(Clone)]
pub struct LogStore {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
    writer: Arc<WriterHandle>,
}

/// The writer's thread and its queue. Without a handle of the log, nobody can write: the thread ends.
struct WriterHandle {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterHandle {
    /// Waits for the thread: a process that ends while it still uses the engine may abort instead.
    fn drop(&mut self) {
        self.queue.close();
        let is_own = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        if let Some(thread) = self.thread.get_mut().take()
            && !is_own(&thread)
            && thread.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}

impl LogStore {
    /// Opens the log that `engine` holds and starts its writer.
    ///
    /// # Errors
    /// The disk failed, or what is on it is damaged.
    pub fn open(
        engine: Arc<dyn Engine>,
        metrics: Arc<Metrics>,
        failure: Failure,
    ) -> Result<Self, StorageError> {
        let positions = recover(&*engine.view(), engine.size_bytes())?;
        let durable_end = next_index(positions.last);
        let shared = Arc::new(Shared {
            positions: Mutex::new(positions),
            durable_end: watch::Sender::new(durable_end),
            failure,
            metrics,
        });
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(engine.clone(), shared.clone());
        let writer_queue = queue.clone();
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&writer_queue))
            .map_err(|source| StorageError::File {
                action: "start the thread of",
                path: "the log".to_owned(),
                source,
            })?;
        Ok(Self {
            engine,
            shared,
            writer: Arc::new(WriterHandle {
                queue,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Resolves the first index that is not durable; changes wake the receiver.
    #[must_use]
    pub fn durable_end(&self) -> watch::Receiver<u64> {
        self.shared.durable_end.subscribe()
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        self.shared.positions.lock().last
    }

    /// The last purged entry.
    #[must_use]
    pub fn purged(&self) -> Option<LogId> {
        self.shared.positions.lock().purged
    }

    /// The newest entry that this node knows to be committed.
    #[must_use]
    pub fn committed(&self) -> Option<LogId> {
        self.shared.positions.lock().committed
    }

    /// Bytes of the records that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.shared.positions.lock().size.bytes()
    }

    /// The first index such that no more than about `bytes` of records lie from it to the end.
    #[must_use]
    pub fn index_before_last_bytes(&self, bytes: u64) -> u64 {
        self.shared.positions.lock().size.index_before_last_bytes(bytes)
    }

    /// Writes what waits and ends the writer. Blocks until it has ended.
    pub fn close(&self) {
        self.writer.queue.close();
        let thread = self.writer.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            self.shared.failure.report("the log's writer panicked");
        }
    }

    fn push(&self, operation: Operation) -> io::Result<()> {
        if self.writer.queue.push(operation) {
            Ok(())
        } else {
            Err(io::Error::other("the log is closed"))
        }
    }

    /// Entries of `[start, end)` from `start` on: up to `maximum_bytes` of records, at least one if there is one.
    async fn read(&self, start: u64, end: u64, maximum_bytes: usize) -> io::Result<Vec<Entry>> {
        let (start, end, disk_end) = {
            let positions = self.shared.positions.lock();
            // The disk may still hold what was truncated or purged a moment ago.
            let start = start.max(next_index(positions.purged));
            let end = end.min(next_index(positions.last));
            match positions.recent.first_index() {
                Some(first) if start >= first => {
                    return Ok(positions.recent.range(start, end, maximum_bytes));
                }
                Some(first) => (start, end, end.min(first)),
                None => (start, end, end),
            }
        };
        if start >= end {
            return Ok(Vec::new());
        }
        let engine = self.engine.clone();
        let read = move || read_from_disk(&*engine.view(), start, disk_end, maximum_bytes);
        let found = tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        if found.is_empty() && disk_end < end {
            // Nothing lies before the recent entries: the log begins with them.
            let positions = self.shared.positions.lock();
            return Ok(positions.recent.range(disk_end, end, maximum_bytes));
        }
        Ok(found)
    }
}

fn next_index(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index().saturating_add(1))
}

/// Finds the positions of a log on disk.
fn recover(view: &dyn View, size_bytes: u64) -> Result<Positions, StorageError> {
    let meta = |key: &[u8]| view.get(Family::LogMeta, key);
    let mut positions = Positions {
        purged: meta(format::PURGED_KEY)?
            .map(|value| format::decode_log_id(&value))
            .transpose()?,
        vote: meta(format::VOTE_KEY)?
            .map(|value| format::decode_vote(&value))
            .transpose()?,
        committed: meta(format::COMMITTED_KEY)?
            .map(|value| format::decode_log_id(&value))
            .transpose()?,
        ..Positions::default()
    };
    let first = next_index(positions.purged);
    positions.size.start(first, size_bytes);
    positions.last = last_entry(view, first)?.or(positions.purged);
    // A committed position rides along with later writes, so after a crash it may name an entry whose truncation or
    // purge was written, never one that is past the log.
    positions.committed = positions
        .committed
        .filter(|committed| Some(*committed) <= positions.last);
    Ok(positions)
}

/// The last entry from `first` on. The log has no holes, so the last index is found by doubling and halving.
fn last_entry(view: &dyn View, first: u64) -> Result<Option<LogId>, StorageError> {
    let exists = |index: u64| -> Result<bool, StorageError> {
        Ok(view.get(Family::Log, &format::log_key(index))?.is_some())
    };
    if !exists(first)? {
        return Ok(None);
    }
    let mut present = first;
    let mut step = 1_u64;
    let mut absent = loop {
        let candidate = present.saturating_add(step);
        if !exists(candidate)? {
            break candidate;
        }
        present = candidate;
        step = step.saturating_mul(2);
    };
    while absent - present > 1 {
        let middle = present + (absent - present) / 2;
        if exists(middle)? {
            present = middle;
        } else {
            absent = middle;
        }
    }
    let record = view.get(Family::Log, &format::log_key(present))?;
    let entry = record.map(Entry::decode).transpose()?;
    Ok(entry.map(|entry| entry.log_id()))
}

fn read_from_disk(
    view: &dyn View,
    start: u64,
    end: u64,
    maximum_bytes: usize,
) -> Result<Vec<Entry>, StorageError> {
    let range = KeyRange {
        start: format::log_key(start).to_vec(),
        end: Some(format::log_key(end).to_vec()),
    };
    let mut cursor = view.scan(Family::Log, range)?;
    let mut bytes = 0;
    let mut entries = Vec::new();
    while let Some((_, record)) = cursor.item() {
        bytes += record.len();
        if bytes > maximum_bytes && !entries.is_empty() {
            break;
        }
        entries.push(Entry::decode(bytes::Bytes::copy_from_slice(record))?);
        cursor.advance()?;
    }
    Ok(entries)
}

fn index_bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = index_bounds(&range);
        let log = self.clone();
        let chunks = futures::stream::try_unfold((log, start), move |(log, start)| async move {
            let entries = log.read(start, end, MAXIMUM_READ_BYTES).await?;
            match entries.last() {
                None if start < end && log.last().is_some_and(|last| last.index() >= start) => {
                    Err(io::Error::other(format!(
                        "log entry {start} is missing, though later ones are there"
                    )))
                }
                None => Ok(None),
                Some(last) => {
                    let next = last.index().saturating_add(1);
                    Ok(Some((
                        futures::stream::iter(entries.into_iter().map(Ok)),
                        (log, next),
                    )))
                }
            }
        });
        futures::TryStreamExt::try_flatten(chunks)
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = index_bounds(&range);
        let mut next = start;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let chunk = self.read(next, end, MAXIMUM_READ_BYTES).await?;
            match chunk.last() {
                None => return Ok(entries),
                Some(last) => next = last.index().saturating_add(1),
            }
            entries.extend(chunk);
        }
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.positions.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, MAXIMUM_READ_BYTES).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let positions = self.shared.positions.lock();
        Ok(LogState {
            last_purged_log_id: positions.purged,
            last_log_id: positions.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.push(Operation::Vote {
            value: format::encode_vote(vote),
            done,
        })?;
        written.await.map_err(io::Error::other)??;
        self.shared.positions.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut positions = self.shared.positions.lock();
        positions.committed = committed;
        positions.committed_is_unsaved = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.positions.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        let records = entries
            .iter_mut()
            .map(|entry| (entry.index(), entry.encode()))
            .collect();
        let truncations = self.shared.append(entries);
        self.push(Operation::Append {
            records,
            truncations,
            callback,
        })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let (end, truncations) = self.shared.truncate_after(last_log_id);
        self.push(Operation::Truncate { end, truncations })
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.shared.purge(log_id);
        self.push(Operation::Purge { upto: log_id })
    }
}
