//! Receives a snapshot into a folder of its own, file by file.
//!
//! A file gets its name only when its checksum is right and it is durable, so a transfer that breaks is resumed at the
//! first missing file. One snapshot arrives at a time; leftovers of another one are removed first. Names of files come
//! from a peer: one that could lead out of the folder is refused.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus::IntCounter;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tonic::{Status, Streaming};

use super::count;
use crate::proto::peer;
use crate::proto::peer::snapshot_part::Part;
use crate::replication::snapshot::{SnapshotFolder, SnapshotStore, sync_folder};

/// Length of a file name or snapshot id that is accepted.
const MAXIMUM_NAME_BYTES: usize = 128;

/// The receiver of one node.
pub struct Receiver {
    snapshots: Arc<SnapshotStore>,
    /// The snapshot that arrives, or arrived last. Held while a transfer runs.
    arriving: Arc<Mutex<Option<Arriving>>>,
}

struct Arriving {
    folder: Arc<SnapshotFolder>,
    files: Vec<peer::SnapshotFile>,
}

/// A whole snapshot, with what opened its transfer. No other one is accepted while this lives.
pub struct Received {
    /// What opened the transfer.
    pub start: peer::SnapshotStart,
    /// Its files.
    pub folder: Arc<SnapshotFolder>,
    arriving: OwnedMutexGuard<Option<Arriving>>,
}

impl Received {
    /// It was installed: its files are no longer needed.
    pub fn forget(mut self) {
        *self.arriving = None;
    }
}

impl Receiver {
    /// A receiver that puts snapshots where `snapshots` says.
    #[must_use]
    pub fn new(snapshots: Arc<SnapshotStore>) -> Self {
        Self {
            snapshots,
            arriving: Arc::default(),
        }
    }

    fn begin(&self) -> Result<OwnedMutexGuard<Option<Arriving>>, Status> {
        let arriving = self.arriving.clone().try_lock_owned();
        arriving.map_err(|_| Status::unavailable("another snapshot is arriving; try again later"))
    }

    /// Takes an offer: the answer names the files that are missing.
    pub fn offer(&self, offer: peer::SnapshotOffer) -> Result<peer::SnapshotWanted, Status> {
        check_name(&offer.id)?;
        for file in &offer.files {
            check_name(&file.name)?;
        }
        let mut arriving = self.begin()?;
        let folder = match arriving.take() {
            Some(known) if known.folder.id == offer.id => known.folder,
            // Dropping another one's folder removes it.
            Some(_) | None => {
                let folder = self.snapshots.create_incoming(offer.id);
                Arc::new(folder.map_err(|error| Status::internal(error.to_string()))?)
            }
        };
        let names = offer
            .files
            .iter()
            .filter(|file| !has_file(&folder.path, file))
            .map(|file| file.name.clone())
            .collect();
        *arriving = Some(Arriving {
            folder,
            files: offer.files,
        });
        Ok(peer::SnapshotWanted { names })
    }

    /// Receives the missing files of the snapshot that was offered last, and counts their bytes.
    pub async fn receive(
        &self,
        mut parts: Streaming<peer::SnapshotPart>,
        received_bytes: &IntCounter,
    ) -> Result<Received, Status> {
        let arriving = self.begin()?;
        let start = match parts.message().await?.and_then(|part| part.part) {
            Some(Part::Start(start)) => start,
            Some(_) | None => return Err(Status::invalid_argument("a snapshot begins with its start")),
        };
        let folder = match &*arriving {
            Some(offered) if offered.folder.id == start.id => offered.folder.clone(),
            Some(_) | None => return Err(Status::failed_precondition("this snapshot was not offered")),
        };
        let mut file: Option<IncomingFile> = None;
        while let Some(part) = parts.message().await? {
            count(received_bytes, &part);
            match part.part {
                Some(Part::Chunk(chunk)) => {
                    let incoming = match file.take() {
                        Some(incoming) if incoming.name == chunk.name => incoming,
                        Some(_) | None => IncomingFile::create(&folder.path, &chunk.name)?,
                    };
                    file = Some(incoming.write(chunk.data).await?);
                }
                Some(Part::FileEnd(end)) => {
                    let incoming = match file.take() {
                        Some(incoming) if incoming.name == end.name => incoming,
                        Some(_) | None => IncomingFile::create(&folder.path, &end.name)?,
                    };
                    incoming.finish(end).await?;
                }
                Some(Part::Start(_)) | None => {
                    return Err(Status::invalid_argument("unexpected part of a snapshot"));
                }
            }
        }
        let files = arriving
            .as_ref()
            .map(|offered| offered.files.as_slice())
            .unwrap_or_default();
        if let Some(missing) = files.iter().find(|file| !has_file(&folder.path, file)) {
            return Err(Status::data_loss(format!("file {} did not arrive", missing.name)));
        }
        sync_folder(&folder.path).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Received {
            start,
            folder,
            arriving,
        })
    }
}

pub fn check_name(name: &str) -> Result<(), Status> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_good = name.len() <= MAXIMUM_NAME_BYTES
        && name.bytes().all(is_plain)
        && !name.is_empty()
        && !name.starts_with('.');
    if is_good {
        Ok(())
    } else {
        Err(Status::invalid_argument(format!(
            "{name:?} is no name for a file of a snapshot"
        )))
    }
}

fn has_file(folder: &Path, file: &peer::SnapshotFile) -> bool {
    fs::metadata(folder.join(&file.name)).is_ok_and(|found| found.len() == file.size)
}

fn disk_error(path: &Path, error: &std::io::Error) -> Status {
    tracing::error!(path = %path.display(), %error, "cannot write an arriving snapshot");
    Status::internal(format!("cannot write {}: {error}", path.display()))
}

struct IncomingFile {
    name: String,
    partial: PathBuf,
    path: PathBuf,
    file: fs::File,
    size: u64,
    checksum: u32,
}

impl IncomingFile {
    fn create(folder: &Path, name: &str) -> Result<Self, Status> {
        check_name(name)?;
        let partial = folder.join(format!("{name}.partial"));
        let file = fs::File::create(&partial).map_err(|error| disk_error(&partial, &error))?;
        Ok(Self {
            name: name.to_owned(),
            path: folder.join(name),
            partial,
            file,
            size: 0,
            checksum: 0,
        })
    }

    async fn write(mut self, data: bytes::Bytes) -> Result<Self, Status> {
        blocking(move || {
            self.size += u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.checksum = crc32c::crc32c_append(self.checksum, &data);
            self.file
                .write_all(&data)
                .map_err(|error| disk_error(&self.partial, &error))?;
            Ok(self)
        })
        .await
    }

    async fn finish(self, end: peer::SnapshotFileEnd) -> Result<(), Status> {
        if (self.size, self.checksum) != (end.size, end.checksum) {
            return Err(Status::data_loss(format!(
                "file {} arrived damaged: {} bytes with checksum {:08x} instead of {} bytes with {:08x}",
                end.name, self.size, self.checksum, end.size, end.checksum
            )));
        }
        blocking(move || {
            self.file
                .sync_all()
                .and_then(|()| fs::rename(&self.partial, &self.path))
                .map_err(|error| disk_error(&self.path, &error))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(error.to_string()))?
}
