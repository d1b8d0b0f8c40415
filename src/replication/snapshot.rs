//! Snapshots of the state, and the folder that holds the current one.
//!
//! In the data folder: `state-<number>` is a state database, the file `current` names the one in use; `snapshots/<id>`
//! is a checkpoint (hard links) of it, `incoming-<number>` one that arrives from a peer. Invariants: what a snapshot covers
//! is read from the checkpoint itself, never from memory; `current` changes by rename, after everything it names is
//! durable, so a crash leaves either the old state or the new one. Snapshots are a cache: they are deleted at start and
//! made again when somebody needs one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::machine::{Snapshot, decode_applied};
use super::types::SnapshotMeta;
use crate::base::clock;
use crate::state::position;
use crate::storage::{Engine, StorageError};

/// Opens the state database in a folder, or creates it there.
pub type OpenState = fn(&Path) -> Result<Arc<dyn Engine>, StorageError>;

const CURRENT_FILE: &str = "current";
const SNAPSHOTS_FOLDER: &str = "snapshots";
const STATE_PREFIX: &str = "state-";
const INCOMING_PREFIX: &str = "incoming-";

/// A folder with the files of a snapshot. It is removed with the last handle.
#[derive(Debug)]
pub struct SnapshotFolder {
    /// Names it among the snapshots of all members.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
}

impl SnapshotFolder {
    /// Its files and their sizes, by name, without those that a database writes for its operator only.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn files(&self) -> Result<Vec<(String, u64)>, StorageError> {
        let failed = |source| file_error("list", &self.path, source);
        let mut files = Vec::new();
        for item in fs::read_dir(&self.path).map_err(failed)? {
            let item = item.map_err(failed)?;
            let name = item.file_name().to_string_lossy().into_owned();
            if name != "LOCK" && !name.starts_with("LOG") {
                files.push((name, item.metadata().map_err(failed)?.len()));
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Drop for SnapshotFolder {
    fn drop(&mut self) {
        remove_folder(&self.path);
    }
}

/// The state databases and snapshots of one node.
pub struct SnapshotStore {
    data_folder: PathBuf,
    open_state: OpenState,
    current: Mutex<Current>,
    /// Held for reading by what writes files of a state beside apply, for writing while replaced states are removed:
    /// such work may have begun before the state was replaced.
    beside_apply: RwLock<()>,
}

struct Current {
    engine: Arc<dyn Engine>,
    folder: PathBuf,
    snapshot: Option<Snapshot>,
    /// State folders that are no longer in use.
    superseded: Vec<PathBuf>,
}

impl SnapshotStore {
    /// Opens the state that `current` names, or creates the first one, and removes what earlier runs left behind.
    ///
    /// # Errors
    /// The disk failed, or the state that `current` names is not there.
    pub fn open(data_folder: &Path, open_state: OpenState) -> Result<Self, StorageError> {
        let pointer = data_folder.join(CURRENT_FILE);
        let folder = match fs::read_to_string(&pointer) {
            Ok(name) => data_folder.join(checked_state_name(name.trim())?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create_first_state(data_folder)?,
            Err(source) => return Err(file_error("read", &pointer, source)),
        };
        if !folder.is_dir() {
            return Err(StorageError::Corrupt {
                what: "data folder",
                reason: format!("{} is named in {CURRENT_FILE} but missing", folder.display()),
            });
        }
        remove_leftovers(data_folder, &folder)?;
        Ok(Self {
            data_folder: data_folder.to_path_buf(),
            open_state,
            current: Mutex::new(Current {
                engine: open_state(&folder)?,
                folder,
                snapshot: None,
                superseded: Vec::new(),
            }),
            beside_apply: RwLock::new(()),
        })
    }

    /// The state database in use.
    #[must_use]
    pub fn engine(&self) -> Arc<dyn Engine> {
        self.current.lock().engine.clone()
    }

    /// The newest snapshot of this run.
    #[must_use]
    pub fn current(&self) -> Option<Snapshot> {
        self.current.lock().snapshot.clone()
    }

    /// Makes the state on disk as new as that in memory. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn flush(&self) -> Result<(), StorageError> {
        let _beside_apply = self.beside_apply.read();
        self.engine().flush()
    }

    /// Gives back the space of what was removed from the state. Blocks on the disk, for long.
    ///
    /// # Errors
    /// The disk failed.
    pub fn reclaim(&self) -> Result<(), StorageError> {
        let _beside_apply = self.beside_apply.read();
        self.engine().reclaim()
    }

    /// Makes a snapshot of the state as it is and keeps it as the current one. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn build(&self) -> Result<Snapshot, StorageError> {
        let _beside_apply = self.beside_apply.read();
        let engine = self.engine();
        let snapshots = self.data_folder.join(SNAPSHOTS_FOLDER);
        fs::create_dir_all(&snapshots).map_err(|source| file_error("create", &snapshots, source))?;
        let id = format!("{:016x}", clock::random_u64());
        let folder = SnapshotFolder {
            path: snapshots.join(&id),
            id,
        };
        engine.checkpoint(&folder.path)?;
        let meta = self.covers(&folder.path)?;
        tracing::info!(covers = ?meta.last_log_id, id = folder.id, "made a snapshot");
        let snapshot = Snapshot {
            meta,
            snapshot: Arc::new(folder),
        };
        let mut current = self.current.lock();
        let is_newer = current
            .snapshot
            .as_ref()
            .is_none_or(|known| known.meta.last_log_id <= snapshot.meta.last_log_id);
        if is_newer {
            current.snapshot = Some(snapshot.clone());
        }
        Ok(snapshot)
    }

    /// A new file on the same disk without a name, which goes with its last handle.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn scratch_file(&self) -> Result<File, StorageError> {
        // What a crash leaves between the two calls goes at the next start, with the folder.
        let snapshots = self.data_folder.join(SNAPSHOTS_FOLDER);
        fs::create_dir_all(&snapshots).map_err(|source| file_error("create", &snapshots, source))?;
        let path = snapshots.join(format!("scratch-{:016x}", clock::random_u64()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| file_error("create", &path, source))?;
        fs::remove_file(&path).map_err(|source| file_error("remove", &path, source))?;
        Ok(file)
    }

    /// A new folder in which the files of an arriving snapshot are put together.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create_incoming(&self, id: String) -> Result<SnapshotFolder, StorageError> {
        // Unique: the same snapshot may arrive again while the first copy is still in use.
        let path = self
            .data_folder
            .join(format!("{INCOMING_PREFIX}{:016x}", clock::random_u64()));
        fs::create_dir_all(&path).map_err(|source| file_error("create", &path, source))?;
        Ok(SnapshotFolder { id, path })
    }

    /// Makes the state in `snapshot` the one that is in use from the next start on, and opens it. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed, or the snapshot is damaged or covers something else; the old state stays in use then.
    pub fn adopt(&self, snapshot: Snapshot) -> Result<Arc<dyn Engine>, StorageError> {
        let number = self.next_state_number();
        let name = format!("{STATE_PREFIX}{number}");
        let folder = self.data_folder.join(&name);
        copy_files(&snapshot.snapshot, &folder)?;
        let engine = (self.open_state)(&folder)?;
        let (last, _) = decode_applied(&position(&*engine.view())?)?;
        if last != snapshot.meta.last_log_id {
            return Err(StorageError::Corrupt {
                what: "snapshot",
                reason: format!(
                    "it holds the state at {last:?}, not at {:?}",
                    snapshot.meta.last_log_id
                ),
            });
        }
        write_pointer(&self.data_folder, &name)?;
        let mut current = self.current.lock();
        let superseded = std::mem::replace(&mut current.folder, folder);
        current.superseded.push(superseded);
        current.engine = engine.clone();
        current.snapshot = Some(snapshot);
        Ok(engine)
    }

    /// Takes the folders of states that were replaced, to be removed when apply uses them no more.
    #[must_use]
    pub fn take_superseded_states(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.current.lock().superseded)
    }

    /// Removes the files of states that were replaced, when nothing is written to them any more. Files that readers still
    /// hold open stay until they let go. Blocks on the disk.
    pub fn remove_states(&self, superseded: &[PathBuf]) {
        let _alone = self.beside_apply.write();
        for folder in superseded {
            remove_folder(folder);
        }
    }

    fn covers(&self, folder: &Path) -> Result<SnapshotMeta, StorageError> {
        let engine = (self.open_state)(folder)?;
        let (last_log_id, last_membership) = decode_applied(&position(&*engine.view())?)?;
        Ok(SnapshotMeta {
            last_log_id,
            last_membership,
        })
    }

    fn next_state_number(&self) -> u64 {
        let current = self.current.lock().folder.clone();
        let number = current
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(STATE_PREFIX)?.parse::<u64>().ok());
        number.unwrap_or(0).saturating_add(1)
    }
}

/// Creates the folder of the first state, and names it as the one in use. Returns its path.
///
/// # Errors
/// The disk failed.
pub fn create_first_state(data_folder: &Path) -> Result<PathBuf, StorageError> {
    let name = format!("{STATE_PREFIX}1");
    let folder = data_folder.join(&name);
    fs::create_dir_all(&folder).map_err(|source| file_error("create", &folder, source))?;
    write_pointer(data_folder, &name)?;
    Ok(folder)
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> StorageError {
    StorageError::File {
        action,
        path: path.display().to_string(),
        source,
    }
}

fn checked_state_name(name: &str) -> Result<&str, StorageError> {
    let number = name
        .strip_prefix(STATE_PREFIX)
        .and_then(|number| number.parse::<u64>().ok());
    number.map(|_| name).ok_or_else(|| StorageError::Corrupt {
        what: "data folder",
        reason: format!("the file {CURRENT_FILE} says {name:?}, not {STATE_PREFIX}<number>"),
    })
}

/// Makes a folder's entries durable.
///
/// # Errors
/// The disk failed.
pub fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| file_error("sync", folder, source))
}

/// Replaces a small file as a whole: after a crash it holds the old content or the new one.
///
/// # Errors
/// The disk failed.
pub fn replace_file(folder: &Path, name: &str, content: &[u8]) -> Result<(), StorageError> {
    let target = folder.join(name);
    let temporary = folder.join(format!("{name}.new"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    };
    write().map_err(|source| file_error("write", &target, source))?;
    sync_folder(folder)
}

fn write_pointer(data_folder: &Path, name: &str) -> Result<(), StorageError> {
    replace_file(data_folder, CURRENT_FILE, format!("{name}\n").as_bytes())
}

/// Table files are immutable and shared; the others are small and changed by an open database, so they are copied.
fn copy_files(snapshot: &SnapshotFolder, folder: &Path) -> Result<(), StorageError> {
    if folder.exists() {
        remove_folder(folder);
    }
    fs::create_dir_all(folder).map_err(|source| file_error("create", folder, source))?;
    for (name, _) in snapshot.files()? {
        let (from, to) = (snapshot.path.join(&name), folder.join(&name));
        let is_immutable = Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "sst");
        let copy = || -> std::io::Result<()> {
            if is_immutable && fs::hard_link(&from, &to).is_ok() {
                return Ok(());
            }
            fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()
        };
        copy().map_err(|source| file_error("copy", &from, source))?;
    }
    sync_folder(folder)
}

fn remove_leftovers(data_folder: &Path, state: &Path) -> Result<(), StorageError> {
    let failed = |source| file_error("list", data_folder, source);
    for item in fs::read_dir(data_folder).map_err(failed)? {
        let path = item.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_leftover = name.is_some_and(|name| {
            name == SNAPSHOTS_FOLDER || name.starts_with(INCOMING_PREFIX) || name.starts_with(STATE_PREFIX)
        });
        if is_leftover && path != state {
            remove_folder(&path);
        }
    }
    Ok(())
}

fn remove_folder(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a folder that is no longer needed");
        }
        Ok(()) | Err(_) => {}
    }
}
