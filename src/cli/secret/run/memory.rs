//! Files in memory: on a file system that no disk is behind, for one user alone, and gone when the program has ended.
//!
//! Never writes to a disk, but where memory is swapped out. What is left over by a process that was killed at once is gone
//! when the machine starts again.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;

use super::super::file;
use super::spec::SecretFile;
use crate::base::clock;
use crate::cli::exit::CliError;

/// What the system calls file systems in memory: tmpfs and ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Where such a file system is, if the user has none.
const SHARED_MEMORY: &str = "/dev/shm";

/// The files of a program.
pub(super) struct MemoryFiles {
    /// The folder of those that have a mere name.
    folder: Option<PathBuf>,
    /// Those that were written.
    written: Vec<PathBuf>,
}

impl MemoryFiles {
    /// A place for files; nothing is written yet.
    ///
    /// # Errors
    /// There is no file system in memory, or a file is to lie on another one.
    pub(super) fn prepare(files: &[SecretFile]) -> Result<Self, CliError> {
        let mut prepared = Self {
            folder: None,
            written: Vec::new(),
        };
        for path in files.iter().map(|file| &file.path) {
            if path.is_absolute() {
                check(path)?;
            } else if prepared.folder.is_none() {
                prepared.folder = Some(make_folder()?);
            }
        }
        Ok(prepared)
    }

    /// The folder of files that have a mere name.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Writes a file, in place of what it was.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        let path = match &self.folder {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        };
        if !self.written.contains(&path) {
            self.written.push(path.clone());
        }
        file::replace(&path, bytes)
            .map_err(|error| CliError::failure(format!("cannot write {}: {error}", path.display())))
    }
}

impl Drop for MemoryFiles {
    fn drop(&mut self) {
        // What is gone already is as it should be.
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn is_in_memory(folder: &Path) -> io::Result<bool> {
    let kind = u32::try_from(statfs(folder)?.f_type);
    Ok(kind.is_ok_and(|kind| IN_MEMORY.contains(&kind)))
}

/// Whether a file may be written there: in memory, and over nothing but what such a program left over.
fn check(path: &Path) -> Result<(), CliError> {
    let folder = path.parent().unwrap_or(path);
    let in_memory = is_in_memory(folder)
        .map_err(|error| CliError::invalid(format!("cannot use {}: {error}", folder.display())))?;
    if !in_memory {
        return Err(CliError::invalid(format!(
            "{} is not on a memory file system, so that secrets would reach a disk; name a file in {SHARED_MEMORY}, or a mere \
             name",
            path.display()
        )));
    }
    if matches!(file::is_private(path), Ok(false)) {
        return Err(CliError::invalid(format!(
            "{} is there already, and is not a file for its user alone; remove it",
            path.display()
        )));
    }
    Ok(())
}

fn make_folder() -> Result<PathBuf, CliError> {
    let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let parents = own.into_iter().chain([PathBuf::from(SHARED_MEMORY)]);
    for parent in parents {
        if !is_in_memory(&parent).unwrap_or(false) {
            continue;
        }
        let name = format!(
            "stead-secrets-{}-{:016x}",
            std::process::id(),
            clock::random_u64()
        );
        let folder = parent.join(name);
        if DirBuilder::new().mode(0o700).create(&folder).is_ok() {
            return Ok(folder);
        }
    }
    Err(CliError::failure(format!(
        "there is no memory file system to write to: neither XDG_RUNTIME_DIR nor {SHARED_MEMORY} is one; mount a tmpfs"
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::super::place::Reference;
    use super::*;

    fn file(path: &str) -> SecretFile {
        SecretFile {
            path: PathBuf::from(path),
            reference: Reference::parse("secret/a#b").unwrap(),
        }
    }

    #[test]
    fn files_are_in_memory_for_one_user_and_gone_at_the_end() {
        let mut files = MemoryFiles::prepare(&[file("a")]).unwrap();
        let folder = files.folder().unwrap().to_owned();
        assert!(is_in_memory(&folder).unwrap());
        files.write(Path::new("a"), b"1").unwrap();
        files.write(Path::new("a"), b"2").unwrap();
        assert_eq!(fs::read(folder.join("a")).unwrap(), b"2");
        for (path, mode) in [(folder.clone(), 0o700), (folder.join("a"), 0o600)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
        drop(files);
        assert!(!folder.exists());
    }

    #[test]
    fn a_whole_path_must_be_in_memory_and_not_somebody_elses() {
        let error = |path: &str| MemoryFiles::prepare(&[file(path)]).err().unwrap().message;
        assert!(error("/proc/a").contains("not on a memory file system"));
        assert!(error("/nowhere/a").contains("cannot use /nowhere"));
        let parent = make_folder().unwrap();
        let path = parent.join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(error(path.to_str().unwrap()).contains("is there already"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut files = MemoryFiles::prepare(&[file(path.to_str().unwrap())]).unwrap();
        assert_eq!(files.folder(), None);
        files.write(&path, b"new").unwrap();
        drop(files);
        assert!(!path.exists());
        fs::remove_dir(parent).unwrap();
    }
}
