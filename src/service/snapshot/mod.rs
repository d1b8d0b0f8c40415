//! Snapshots: the whole store in one file, to be kept, restored into a new cluster, or taken to an etcd.
//!
//! The file is the one that etcd makes: a bbolt database with etcd's buckets (`schema`) and the SHA-256 of it at the end,
//! so that `etcdctl` and `etcdutl` take Stead's files, and Stead takes theirs and the database file of an etcd. Revisions,
//! versions and leases stay what they are.
//!
//! A snapshot is of one revision: it is written from a pinned view, beside all that reads and writes, into a file without
//! a name that goes when the call ends or the process dies. Never changes a store that is there.

#[cfg(fuzzing)]
pub mod fuzzing;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod users;
mod write;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prometheus::Histogram;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::ServiceError;
use crate::replication::{NewMember, Replication, StartError, create_member};
use crate::state::applied::Fatal;
use crate::storage::StorageError;
pub use read::{Restored, SnapshotFile, Summary};

/// Bytes in one piece of a stream, as etcd's.
const PIECE_BYTES: usize = 32 * 1024;
/// Pieces that wait for a client that is slower than the disk.
const MAXIMUM_WAITING_PIECES: usize = 8;
/// Snapshots that one member sends at the same time: each takes the space of the database once more.
const MAXIMUM_SNAPSHOTS: usize = 2;
/// The length of the checksum at the end of a file.
const CHECKSUM_BYTES: usize = 32;

/// Why a snapshot file cannot be used.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It cannot be read, or is damaged; or the data folder cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The state cannot be written.
    #[error(transparent)]
    State(#[from] Fatal),
    /// The data folder cannot be made.
    #[error(transparent)]
    Folder(#[from] StartError),
    /// It does not end in a checksum.
    #[error(
        "it does not end in a checksum: it is cut short or was not made by `snapshot save`; for a copy of the file `db` of \
         an etcd that was stopped, leave the check out with --skip-hash-check"
    )]
    NoChecksum,
    /// The checksum is of other bytes.
    #[error("its checksum is not that of its content: it is damaged; use another copy")]
    WrongChecksum,
    /// It is a bbolt file of another program.
    #[error("it has no bucket {0:?}: it is no snapshot of etcd or stead")]
    Foreign(&'static str),
    /// A record of it says what it cannot.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The raised revision is none.
    #[error("the revision {0} cannot be raised by {1}: it would be larger than any revision can be")]
    Bump(i64, u64),
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the database that come after it. The checksum, which comes last, does not count.
    pub remaining_bytes: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// A stream of pieces. It ends early if nobody takes them any more.
pub type Pieces = mpsc::Receiver<Result<Piece, ServiceError>>;

/// Makes the snapshots of a member.
pub(super) struct Snapshots {
    permits: Arc<Semaphore>,
}

impl Snapshots {
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAXIMUM_SNAPSHOTS)),
        }
    }

    /// A snapshot of the member's state as it is now, in pieces; how long that takes is put into `seconds`.
    ///
    /// # Errors
    /// Too many are sent already.
    pub(super) fn send(&self, replication: &Replication, seconds: Histogram) -> Result<Pieces, ServiceError> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| ServiceError::TooManyRequests)?;
        let (sender, pieces) = mpsc::channel(MAXIMUM_WAITING_PIECES);
        let replication = replication.clone();
        // It blocks on the disk and on the client.
        tokio::task::spawn_blocking(move || {
            let timer = seconds.start_timer();
            if let Err(error) = write_and_send(&replication, &sender, permit) {
                tracing::warn!(%error, "a snapshot was not sent");
                // Nobody may be there any more to be told.
                let _ = sender.blocking_send(Err(ServiceError::Internal(error.to_string())));
            }
            timer.observe_duration();
        });
        Ok(pieces)
    }
}

fn write_and_send(
    replication: &Replication,
    sender: &mpsc::Sender<Result<Piece, ServiceError>>,
    _permit: OwnedSemaphorePermit,
) -> Result<(), Fatal> {
    let view = replication.reader().view();
    let (mut file, length) = write::write(&view, replication.scratch_file()?)?;
    drop(view);
    let failed = |source| {
        Fatal::Storage(StorageError::File {
            action: "read",
            path: "the snapshot".to_owned(),
            source,
        })
    };
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut checksum = Sha256::new();
    let mut remaining_bytes = length;
    while remaining_bytes > 0 {
        let piece = PIECE_BYTES.min(usize::try_from(remaining_bytes).unwrap_or(PIECE_BYTES));
        let mut bytes = vec![0; piece];
        file.read_exact(&mut bytes).map_err(failed)?;
        checksum.update(&bytes);
        remaining_bytes -= piece as u64;
        let piece = Piece {
            remaining_bytes,
            bytes: bytes.into(),
        };
        if sender.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
    let piece = Piece {
        remaining_bytes: 0,
        bytes: Bytes::copy_from_slice(&checksum.finalize()),
    };
    // A client that is gone needs no checksum.
    let _ = sender.blocking_send(Ok(piece));
    Ok(())
}

/// Makes the data folder of a member of a new cluster from a snapshot file. Every member of it is made from the same file.
/// With `bump_revision` the store begins that much later and its history is forgotten, so that nobody who watched the old
/// cluster takes a revision of the new one for one that he has seen.
///
/// # Errors
/// The file cannot be used, or the folder is not empty or cannot be written: nothing is left behind then.
pub fn restore(
    file: &SnapshotFile,
    data_folder: &Path,
    member: &NewMember,
    bump_revision: Option<u64>,
) -> Result<Restored, SnapshotError> {
    create_member(data_folder, member, |engine, applied| {
        file.fill(engine, applied, bump_revision)
    })
}
