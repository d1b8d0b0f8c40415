//! From the words of RocksDB to errors that name the folder and the mend.

use std::io;
use std::path::Path;

use rocksdb::ErrorKind;

use crate::storage::StorageError;

/// What RocksDB says when another process has the folder open, or this one does.
const LOCKED: [&str; 2] = ["While lock file", "lock hold by current process"];

/// The texts of the operating system that RocksDB passes on without their number, the kind of each, and the mend.
const CAUSES: [(&str, io::ErrorKind, &str); 5] = [
    (
        "No space left on device",
        io::ErrorKind::StorageFull,
        "the disk is full: make room, then start again",
    ),
    (
        "Disk quota exceeded",
        io::ErrorKind::QuotaExceeded,
        "the disk quota is used up: raise it or make room, then start again",
    ),
    (
        "Read-only file system",
        io::ErrorKind::ReadOnlyFilesystem,
        "mount the file system for writing, then start again",
    ),
    (
        "Permission denied",
        io::ErrorKind::PermissionDenied,
        "let the user of this process read and write the folder and all files in it",
    ),
    (
        "Too many open files",
        io::ErrorKind::Other,
        "raise the limit of open files (ulimit -n), then start again",
    ),
];

/// The mend of a database that cannot be read.
const DAMAGED: &str =
    "nothing was changed: check the disk, and bring this member back from a snapshot or as a new member";

/// An error of the file system.
pub(super) fn file_error(action: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::File {
        action,
        path: path.display().to_string(),
        source,
    }
}

/// An error of RocksDB in `folder`, sorted by what to do about it.
pub(super) fn engine_error(action: &'static str, folder: &Path, error: rocksdb::Error) -> StorageError {
    let kind = error.kind();
    let words = error.into_string();
    let file = |kind, mend| file_error(action, folder, io::Error::new(kind, format!("{mend} ({words})")));
    if LOCKED.iter().any(|locked| words.contains(locked)) {
        return file(
            io::ErrorKind::WouldBlock,
            "in use by another process: stop that one, or choose another data folder",
        );
    }
    if let Some((_, kind, mend)) = CAUSES.iter().find(|(cause, _, _)| words.contains(cause)) {
        return file(*kind, mend);
    }
    match kind {
        ErrorKind::Corruption => StorageError::Corrupt {
            what: "database",
            reason: format!("cannot {action} {}: {words}; {DAMAGED}", folder.display()),
        },
        ErrorKind::IOError if words.contains("No such file or directory") => file(
            io::ErrorKind::NotFound,
            "a file of the database is gone: bring this member back from a snapshot or as a new member",
        ),
        ErrorKind::InvalidArgument if words.contains("olumn families not opened") => StorageError::Corrupt {
            what: "database",
            reason: format!(
                "{} was written by a newer version, or is a database for something else: {words}",
                folder.display()
            ),
        },
        _ => StorageError::Engine {
            action,
            reason: format!("{words} (in {})", folder.display()),
        },
    }
}

/// The first file that RocksDB writes into a new folder: alone, it says that the creation was cut short.
const FIRST_MANIFEST: &str = "MANIFEST-000001";

/// Refuses a folder that holds files of a database without its `CURRENT` file, where RocksDB would start an empty one.
pub(super) fn refuse_partial_folder(folder: &Path) -> Result<(), StorageError> {
    let failed = |error| file_error("read the database folder", folder, error);
    if folder.join("CURRENT").try_exists().map_err(failed)? {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let is_manifest = name.starts_with("MANIFEST-") && name != FIRST_MANIFEST;
        if is_manifest || name.ends_with(".sst") || name.ends_with(".log") {
            return Err(StorageError::Corrupt {
                what: "database",
                reason: format!(
                    "{} holds {name} but no file CURRENT, as after a copy that was cut short; {DAMAGED}",
                    folder.display()
                ),
            });
        }
    }
    Ok(())
}
