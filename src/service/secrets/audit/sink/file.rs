//! Files, standard output, and nowhere.
//!
//! A line that the system took only in part (the disk is full) is taken back, where nobody else has written behind it.
//! Never syncs unless asked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Opened, Sink, ended, folder};
use crate::base::limits::MAXIMUM_AUDIT_TAIL_BYTES;

/// What the file is made with where no mode is given: its owner reads and writes it.
pub const DEFAULT_MODE: u32 = 0o600;

/// A file that is appended to.
pub struct AppendedFile {
    file: File,
    /// Whether its last line is cut.
    is_torn: bool,
}

/// Opens a file in the allowed directory. `mode`: which an existing file gets too; none: it keeps its own.
///
/// # Errors
/// Those of [`folder::open`], or its end cannot be read.
pub fn open(directory: &Path, steps: &Path, mode: Option<u32>) -> io::Result<Opened> {
    let mut file = folder::open(directory, steps, mode.unwrap_or(DEFAULT_MODE))?;
    if let Some(mode) = mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAXIMUM_AUDIT_TAIL_BYTES)))?;
    let mut tail = Vec::new();
    Read::by_ref(&mut file)
        .take(MAXIMUM_AUDIT_TAIL_BYTES)
        .read_to_end(&mut tail)?;
    let is_torn = tail.last().is_some_and(|last| *last != b'\n');
    Ok(Opened {
        sink: Box::new(AppendedFile { file, is_torn }),
        tail,
        is_first: length == 0,
    })
}

impl Sink for AppendedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        let line = ended(line);
        let mut written = 0;
        while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return Err(self.tear(written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.tear(written, error)),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_gone(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }
}

impl AppendedFile {
    /// Takes back what was written of a line.
    fn tear(&mut self, written: usize, error: io::Error) -> io::Error {
        if written > 0 {
            self.is_torn = self.take_back(written).is_err();
        }
        error
    }

    fn take_back(&mut self, written: usize) -> io::Result<()> {
        let end = self.file.stream_position()?;
        let written = u64::try_from(written).map_err(io::Error::other)?;
        // The position is where the last write of this process ended.
        if self.file.metadata()?.len() != end {
            return Err(io::Error::other("somebody else has written to it"));
        }
        self.file.set_len(end.saturating_sub(written))
    }
}

/// Standard output, past the buffer and the lock of the library: whoever does not read it blocks nobody else.
pub struct StandardOutput(File);

impl StandardOutput {
    /// Standard output.
    ///
    /// # Errors
    /// The process has none.
    pub fn open() -> io::Result<Self> {
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(File::from(output)))
    }
}

impl Sink for StandardOutput {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(&ended(line))
    }
}

/// Takes all and keeps nothing.
pub struct Discard;

impl Sink for Discard {
    fn write(&mut self, _line: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
