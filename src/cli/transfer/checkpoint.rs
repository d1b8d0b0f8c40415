//! The file that lets an interrupted import go on where it was.
//!
//! It names the source (by its SHA-256) and the target (by its cluster id), so that it is never used for another pair.
//! Everything before its position is acknowledged by the target; what comes behind may be there as well, and is safe to
//! write again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::exit::CliError;

/// The layout of the file.
const FORMAT: u32 = 1;

/// How keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// With the revisions of the source; the target's revision says how far it is.
    Exact,
    /// With revisions of the target's own.
    Plain,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    format: u32,
    source_sha256: String,
    cluster: String,
    /// How keys are written.
    pub(super) mode: Mode,
    /// Bytes of the source that are done (plain mode).
    pub(super) position_bytes: u64,
}

/// The file of one import.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    source_sha256: String,
    cluster: String,
}

impl CheckpointFile {
    /// The file for importing this source into this cluster.
    pub(super) fn new(path: PathBuf, source_sha256: String, cluster: String) -> Self {
        Self {
            path,
            source_sha256,
            cluster,
        }
    }

    /// What an earlier run left, if there is anything.
    ///
    /// # Errors
    /// It is about another source or target, or cannot be read.
    pub(super) fn load(&self) -> Result<Option<Checkpoint>, CliError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error(&format!("cannot be read: {error}"))),
        };
        let checkpoint: Checkpoint = serde_json::from_slice(&text)
            .map_err(|error| self.error(&format!("is no checkpoint of an import: {error}")))?;
        let differs = |what: &str| self.error(&format!("was left by an import {what}"));
        if checkpoint.format != FORMAT {
            return Err(differs("of another version of stead"));
        }
        if checkpoint.source_sha256 != self.source_sha256 {
            return Err(differs("of another file"));
        }
        if checkpoint.cluster != self.cluster {
            return Err(differs("into another cluster"));
        }
        Ok(Some(checkpoint))
    }

    /// Replaces the file, atomically.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self, mode: Mode, position_bytes: u64) -> Result<(), CliError> {
        let checkpoint = Checkpoint {
            format: FORMAT,
            source_sha256: self.source_sha256.clone(),
            cluster: self.cluster.clone(),
            mode,
            position_bytes,
        };
        let text = serde_json::to_vec(&checkpoint)
            .map_err(|error| self.error(&format!("cannot be written: {error}")))?;
        let part = part_of(&self.path);
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, &self.path))
            .map_err(|error| self.error(&format!("cannot be written: {error}")))
    }

    /// Removes the file: the import is done.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(&self) -> Result<(), CliError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.error(&format!("cannot be removed: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn error(&self, reason: &str) -> CliError {
        CliError::failure(format!(
            "the checkpoint {} {reason}; remove it to start from the beginning, or name another with --resume-file",
            self.path.display()
        ))
    }
}

/// Where a file is written before it takes its name.
pub(in super::super) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_only_used_for_its_own_source_and_target() {
        let folder = tempfile::tempdir().unwrap();
        let file = |sha: &str, cluster: &str| {
            CheckpointFile::new(
                folder.path().join("checkpoint"),
                sha.to_owned(),
                cluster.to_owned(),
            )
        };
        let own = file("a", "1");
        assert_eq!(own.load().unwrap(), None);
        own.save(Mode::Plain, 42).unwrap();
        let loaded = own.load().unwrap().unwrap();
        assert_eq!((loaded.mode, loaded.position_bytes), (Mode::Plain, 42));
        assert!(
            file("b", "1")
                .load()
                .unwrap_err()
                .message
                .contains("of another file")
        );
        assert!(
            file("a", "2")
                .load()
                .unwrap_err()
                .message
                .contains("into another cluster")
        );
        fs::write(folder.path().join("checkpoint"), "{").unwrap();
        assert!(own.load().unwrap_err().message.contains("is no checkpoint"));
        own.remove().unwrap();
        own.remove().unwrap();
        assert_eq!(own.load().unwrap(), None);
    }
}
