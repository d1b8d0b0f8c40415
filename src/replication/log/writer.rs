//! The one thread that writes the log.
//!
//! It drains everything that waits into one batch, writes it with one fsync, and only then completes the callbacks, in
//! the order in which they were queued. Votes, appends and truncations share the queue, so their order on disk is their
//! order of issue by construction. A failed write or fsync is final: nothing is retried, every later callback fails, and
//! the node is told to stop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::storage::IOFlushed;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::format;
use super::shared::Shared;
use crate::replication::fault;
use crate::replication::types::{LogId, TypeConfig};
use crate::storage::{Batch, Durability, Engine, Family, KeyRange, StorageError};

/// Bytes of records that go into one write; more wait for the next.
const MAXIMUM_WRITE_BYTES: usize = 8 * 1024 * 1024;

/// Something to write.
pub enum Operation {
    /// Entries, with what to call when they are durable.
    Append {
        /// Index and record of each, in order.
        records: Vec<(u64, Bytes)>,
        /// How often the log had been truncated before.
        truncations: u64,
        /// Called after the fsync.
        callback: IOFlushed<TypeConfig>,
    },
    /// A vote.
    Vote {
        /// Its encoding.
        value: Bytes,
        /// Told after the fsync.
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Removal of all entries from `end` on.
    Truncate {
        /// The first index that goes.
        end: u64,
        /// How often the log has been truncated, this time included.
        truncations: u64,
    },
    /// Removal of all entries up to this one. Lazy: it is not synced for its own sake.
    Purge {
        /// The last entry that goes.
        upto: LogId,
    },
}

impl Operation {
    fn record_bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.iter().map(|(_, record)| record.len()).sum(),
            Self::Vote { .. } | Self::Truncate { .. } | Self::Purge { .. } => 0,
        }
    }
}

/// The queue in front of the writer. Its bytes are bounded by what raft has in flight: proposals by admission, appends
/// of a leader by the windows of its stream.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    operations: VecDeque<Operation>,
    is_closed: bool,
}

impl Queue {
    /// Adds an operation; false when the writer is gone, and the operation with it.
    pub fn push(&self, operation: Operation) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return false;
        }
        waiting.operations.push_back(operation);
        self.arrived.notify_one();
        true
    }

    /// Lets the writer finish what waits, then ends it.
    pub fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Waits for operations and takes as many as one write may hold; none when closed and empty, an empty list when
    /// `patience` is over.
    fn take(&self, patience: Option<Duration>) -> Option<Vec<Operation>> {
        let mut waiting = self.waiting.lock();
        while waiting.operations.is_empty() {
            if waiting.is_closed {
                return None;
            }
            match patience {
                None => self.arrived.wait(&mut waiting),
                Some(patience) => {
                    if self.arrived.wait_for(&mut waiting, patience).timed_out() {
                        return Some(Vec::new());
                    }
                }
            }
        }
        let mut bytes = 0;
        let mut taken = Vec::with_capacity(waiting.operations.len());
        while let Some(operation) = waiting.operations.front() {
            bytes += operation.record_bytes();
            if bytes > MAXIMUM_WRITE_BYTES && !taken.is_empty() {
                break;
            }
            taken.extend(waiting.operations.pop_front());
        }
        Some(taken)
    }
}

/// The thread's state.
pub struct Writer {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
    /// What the fault `ack-before-fsync` has acknowledged but not written, and since when.
    held: Option<(Batch, Instant)>,
}

/// What to do once a batch is durable.
struct Completion {
    callbacks: Vec<IOFlushed<TypeConfig>>,
    votes: Vec<oneshot::Sender<io::Result<()>>>,
    /// (end, truncations) of each append and truncation, in order.
    durable: Vec<(u64, u64)>,
}

impl Writer {
    /// A writer of `engine`.
    pub fn new(engine: Arc<dyn Engine>, shared: Arc<Shared>) -> Self {
        Self {
            engine,
            shared,
            held: None,
        }
    }

    /// Writes until the queue is closed and empty, or a write fails.
    pub fn run(mut self, queue: &Queue) {
        let patience =
            fault::acknowledges_before_fsync().then(|| Duration::from_millis(fault::HELD_WRITE_MILLISECONDS));
        while let Some(operations) = queue.take(patience) {
            let (batch, durability, completion) = self.prepare(operations);
            let written = if patience.is_some() {
                self.hold(batch)
            } else {
                self.write(batch, durability)
            };
            if let Err(error) = written {
                queue.close();
                self.fail(&error, completion, queue);
                return;
            }
            self.complete(completion);
        }
        if let Some((batch, _)) = self.held.take()
            && let Err(error) = self.write(batch, Durability::Synced)
        {
            self.shared
                .failure
                .report(format!("the log cannot be written: {error}"));
        }
    }

    fn prepare(&self, operations: Vec<Operation>) -> (Batch, Durability, Completion) {
        let mut batch = Batch::default();
        let mut durability = Durability::Buffered;
        let mut completion = Completion {
            callbacks: Vec::new(),
            votes: Vec::new(),
            durable: Vec::new(),
        };
        for operation in operations {
            match operation {
                Operation::Append {
                    records,
                    truncations,
                    callback,
                } => {
                    durability = Durability::Synced;
                    if let Some((last, _)) = records.last() {
                        completion.durable.push((last.saturating_add(1), truncations));
                    }
                    for (index, record) in records {
                        batch.put(Family::Log, format::log_key(index), record);
                    }
                    completion.callbacks.push(callback);
                }
                Operation::Vote { value, done } => {
                    durability = Durability::Synced;
                    batch.put(Family::LogMeta, format::VOTE_KEY, value);
                    completion.votes.push(done);
                }
                Operation::Truncate { end, truncations } => {
                    durability = Durability::Synced;
                    let range = KeyRange {
                        start: format::log_key(end).to_vec(),
                        end: None,
                    };
                    batch.delete_range(Family::Log, range);
                    completion.durable.push((end, truncations));
                }
                Operation::Purge { upto } => {
                    let range = KeyRange {
                        start: format::log_key(0).to_vec(),
                        end: Some(format::log_key(upto.index().saturating_add(1)).to_vec()),
                    };
                    batch.delete_range(Family::Log, range);
                    batch.put(Family::LogMeta, format::PURGED_KEY, format::encode_log_id(&upto));
                }
            }
        }
        if let Some(committed) = self.shared.take_unsaved_committed() {
            batch.put(
                Family::LogMeta,
                format::COMMITTED_KEY,
                format::encode_log_id(&committed),
            );
        }
        (batch, durability, completion)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        if batch.is_empty() {
            return Ok(());
        }
        let bytes: usize = batch.changes.iter().map(format::change_bytes).sum();
        let started = Instant::now();
        self.engine.write(batch, durability)?;
        let seconds = started.elapsed().as_secs_f64();
        self.shared.metrics.log_write_seconds.observe(seconds);
        if durability == Durability::Synced {
            self.shared.metrics.log_fsync_seconds.observe(seconds);
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.shared.metrics.log_written_bytes.add(bytes);
        Ok(())
    }

    fn hold(&mut self, mut batch: Batch) -> Result<(), StorageError> {
        let (held, since) = self
            .held
            .get_or_insert_with(|| (Batch::default(), Instant::now()));
        held.changes.append(&mut batch.changes);
        if since.elapsed() >= Duration::from_millis(fault::HELD_WRITE_MILLISECONDS)
            && let Some((batch, _)) = self.held.take()
        {
            return self.write(batch, Durability::Synced);
        }
        Ok(())
    }

    fn complete(&self, completion: Completion) {
        self.shared.set_durable(&completion.durable);
        for vote in completion.votes {
            // The caller may have given up: the vote is on disk all the same.
            let _ = vote.send(Ok(()));
        }
        for callback in completion.callbacks {
            callback.io_completed(Ok(()));
        }
    }

    fn fail(&self, error: &StorageError, completion: Completion, queue: &Queue) {
        let reason = format!("the log cannot be written: {error}");
        self.shared.failure.report(reason.clone());
        let mut failed = vec![completion];
        while let Some(operations) = queue.take(None) {
            failed.push(self.prepare(operations).2);
        }
        for completion in failed {
            for vote in completion.votes {
                let _ = vote.send(Err(io::Error::other(reason.clone())));
            }
            for callback in completion.callbacks {
                callback.io_completed(Err(io::Error::other(reason.clone())));
            }
        }
    }
}
