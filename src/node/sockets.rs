//! Unix sockets on which a node listens.
//!
//! The file of a socket outlives a node that was killed: such a file is taken away, one on which somebody listens is not,
//! and neither is a file that is no socket.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listener, whose file is taken away with it.
#[derive(Debug)]
pub(super) struct Bound {
    /// Where it is.
    path: PathBuf,
    /// Until it is served.
    pub(super) listener: Option<UnixListener>,
}

impl Bound {
    /// Listens at `path`.
    ///
    /// # Errors
    /// Somebody else does, or the file is something else, or cannot be made.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            match UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                _ => return Err(io::ErrorKind::AddrInUse.into()),
            }
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            path: path.to_owned(),
            listener: Some(listener),
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket's file outlives it");
        let bound = Bound::at(&path).unwrap();
        assert_eq!(Bound::at(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert_eq!(Bound::at(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
