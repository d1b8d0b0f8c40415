//! The one directory that files of audit devices are in.
//!
//! Whoever may enable a device could otherwise have this process write to any file. The way from the directory to the file is
//! walked step by step, and no step follows a symbolic link: so none leads out, whoever makes links there meanwhile.
//!
//! Never opens anything but regular files, and never outside of the directory.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use thiserror::Error;

/// A path that no device may write to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// No directory is allowed.
    #[error("no file may be written: the server was started without a directory for audit files")]
    NoDirectory,
    /// It is not in the directory.
    #[error("{path:?} is not in {directory:?}, the directory for audit files")]
    Outside {
        /// The path.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
}

/// The steps from the allowed directory to `path`. A relative path begins there.
///
/// # Errors
/// It is not below the directory, or has a step back.
pub fn steps(directory: Option<&Path>, path: &Path) -> Result<PathBuf, PathError> {
    let directory = directory.ok_or(PathError::NoDirectory)?;
    let outside = || PathError::Outside {
        path: path.to_owned(),
        directory: directory.to_owned(),
    };
    let below = if path.is_absolute() {
        // The directory may be given by way of a link.
        let whole = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let below = path.strip_prefix(directory).or_else(|_| path.strip_prefix(whole));
        below.map_err(|_| outside())?
    } else {
        path
    };
    let mut steps = PathBuf::new();
    for step in below.components() {
        match step {
            Component::Normal(name) => steps.push(name),
            Component::CurDir => {}
            _ => return Err(outside()),
        }
    }
    if steps.as_os_str().is_empty() {
        return Err(outside());
    }
    Ok(steps)
}

/// A file to read its end and to append to; it is made if there is none, and so are the directories on the way.
///
/// # Errors
/// A step is a symbolic link, the file is no regular one, or the system refuses.
pub fn open(directory: &Path, steps: &Path, mode: u32) -> io::Result<File> {
    let (folder, name) = walk(directory, steps, true)?;
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NOCTTY
        // A pipe without a reader would be waited for.
        | OFlags::NONBLOCK;
    let opened = fs::openat(&folder, &name, flags, Mode::from_raw_mode(mode)).map_err(refused)?;
    let found = fs::fstat(&opened)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    Ok(File::from(opened))
}

/// Where a socket is, if no step to it is a symbolic link.
///
/// # Errors
/// One is, or it is not there.
pub fn socket(directory: &Path, steps: &Path) -> io::Result<PathBuf> {
    let (folder, name) = walk(directory, steps, false)?;
    let found = fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket"));
    }
    Ok(directory.join(steps))
}

fn walk(directory: &Path, steps: &Path, makes_folders: bool) -> io::Result<(OwnedFd, OsString)> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = fs::openat(CWD, directory, flags, Mode::empty())?;
    let name = steps.file_name().ok_or(Errno::INVAL)?;
    let between = steps.parent().unwrap_or(Path::new(""));
    for step in between.components() {
        let step = step.as_os_str();
        if makes_folders {
            match fs::mkdirat(&folder, step, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        folder = fs::openat(&folder, step, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(refused)?;
    }
    Ok((folder, name.to_owned()))
}

fn refused(error: Errno) -> io::Error {
    match error {
        // With O_NOFOLLOW; with O_DIRECTORY besides, a link is no directory.
        Errno::LOOP | Errno::NOTDIR => io::Error::new(
            io::ErrorKind::InvalidInput,
            "a step of its path is a symbolic link or no directory",
        ),
        // A pipe that nobody reads, or a socket.
        Errno::NXIO => io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"),
        error => error.into(),
    }
}
