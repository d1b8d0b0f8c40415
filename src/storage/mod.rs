//! The only seam to disk: ordered key spaces ([`Family`]) behind three small traits.
//!
//! An [`Engine`] takes atomic [`Batch`]es and gives out [`View`]s: immutable, consistent pictures of all families at one
//! moment. [`rocks`] is the real one; [`memory`] is its twin for simulation and unit tests, and can lose what was not
//! synced, as a machine that loses power does.
//!
//! Never knows what a revision, a lease or a raft entry is; never retries a failed write.

pub mod bbolt;
pub mod memory;
pub mod overlay;
pub mod rocks;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

/// A family of keys with an order of its own (a column family of RocksDB).
///
/// The state database holds all but the two log families, the log database holds these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The newest header of every live key.
    Heads,
    /// Every stored version of every key.
    Versions,
    /// Every change, in revision order.
    Events,
    /// Leases.
    Leases,
    /// The keys attached to each lease.
    LeaseKeys,
    /// Users, roles and their settings.
    Auth,
    /// Counters, the applied position, membership, alarms, format version.
    Meta,
    /// Entries of the raft log.
    Log,
    /// Vote, purged position, committed position and format version of the raft log.
    LogMeta,
}

impl Family {
    /// The families of the state database.
    pub const STATE: [Self; 7] = [
        Self::Heads,
        Self::Versions,
        Self::Events,
        Self::Leases,
        Self::LeaseKeys,
        Self::Auth,
        Self::Meta,
    ];
    /// The families of the log database.
    pub const LOG: [Self; 2] = [Self::Log, Self::LogMeta];

    /// The name on disk. Never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Versions => "versions",
            Self::Events => "events",
            Self::Leases => "leases",
            Self::LeaseKeys => "lease-keys",
            Self::Auth => "auth",
            Self::Meta => "meta",
            Self::Log => "log",
            Self::LogMeta => "log-meta",
        }
    }
}

/// A failure of the disk or of what is on it. Always fatal for the node: nothing here is retried.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The engine said no.
    #[error("storage engine failed to {action}: {reason}")]
    Engine {
        /// What was being done.
        action: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// A file or folder could not be used.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Bytes on disk do not say what they must.
    #[error("stored {what} is damaged or of an unknown format: {reason}")]
    Corrupt {
        /// Which record.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// A half-open range of keys, `start` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub start: Vec<u8>,
    /// The first key that is past the range, or none for "to the end of the family".
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                return Self {
                    start: prefix.to_vec(),
                    end: Some(end),
                };
            }
        }
        Self {
            start: prefix.to_vec(),
            end: None,
        }
    }

    /// Whether no key can be in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// The range as bounds of a `BTreeMap<Vec<u8>, _>`.
    #[must_use]
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.start.as_slice()), end)
    }
}

/// A position in a range of a family that moves forward.
///
/// Fresh from [`View::scan`] it stands on the first item of the range.
pub trait Cursor {
    /// The item under the cursor, or none past the end of the range.
    fn item(&self) -> Option<(&[u8], &[u8])>;

    /// Moves to the next item.
    ///
    /// # Errors
    /// The engine failed to read.
    fn advance(&mut self) -> Result<(), StorageError>;

    /// Moves to the first item at or after `key`. Keys before the range's start mean the start.
    ///
    /// # Errors
    /// The engine failed to read.
    fn seek(&mut self, key: &[u8]) -> Result<(), StorageError>;
}

/// An immutable picture of all families at one moment.
pub trait View: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// The engine failed to read.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// A cursor over `range`, in ascending byte order.
    ///
    /// # Errors
    /// The engine failed to read.
    fn scan<'view>(
        &'view self,
        family: Family,
        range: KeyRange,
    ) -> Result<Box<dyn Cursor + 'view>, StorageError>;
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set a key.
    Put(Family, Bytes, Bytes),
    /// Remove a key; removing what is not there is no error.
    Delete(Family, Bytes),
    /// Remove all keys of a range.
    DeleteRange(Family, KeyRange),
}

impl Change {
    /// The family that changes.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Put(family, ..) | Self::Delete(family, _) | Self::DeleteRange(family, _) => *family,
        }
    }

    /// Whether this removes everything up to the end of its family.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        matches!(self, Self::DeleteRange(_, KeyRange { end: None, .. }))
    }
}

/// Changes that reach the disk together or not at all, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes; a later one wins over an earlier one.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.push(Change::Put(family, key.into(), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, family: Family, key: impl Into<Bytes>) {
        self.changes.push(Change::Delete(family, key.into()));
    }

    /// Removes a range of keys.
    pub fn delete_range(&mut self, family: Family, range: KeyRange) {
        self.changes.push(Change::DeleteRange(family, range));
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// When a batch counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After its fsync: it survives the loss of power.
    Synced,
    /// At once: it may be lost until a later synced write (log database) or [`Engine::flush`] (state database).
    Buffered,
}

/// An ordered store of [`Family`]s.
pub trait Engine: Send + Sync + 'static {
    /// Writes a batch atomically.
    ///
    /// # Errors
    /// The disk failed. The caller must stop the node: whether the batch is there is unknown.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StorageError>;

    /// A picture of everything written so far.
    fn view(&self) -> Arc<dyn View>;

    /// Makes everything written so far durable, whatever its [`Durability`] was.
    ///
    /// # Errors
    /// The disk failed.
    fn flush(&self) -> Result<(), StorageError>;

    /// Writes an independent, durable copy (hard links where possible) into `folder`, which must not exist yet.
    ///
    /// # Errors
    /// The disk failed, or the folder exists.
    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError>;

    /// Gives back the space of what was removed, by rewriting what lies around it. Takes time in proportion to the data;
    /// reads and writes go on meanwhile.
    ///
    /// # Errors
    /// The disk failed.
    fn reclaim(&self) -> Result<(), StorageError>;

    /// Bytes on disk.
    fn size_bytes(&self) -> u64;

    /// An estimate of the bytes on disk that live data takes.
    fn live_bytes(&self) -> u64;
}
