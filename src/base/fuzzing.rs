//! For fuzzing: files that hold what a decoder is to read.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file without a name, which goes with the process.
pub struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    /// A new file, empty.
    ///
    /// # Panics
    /// The folder for temporary files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let name = std::env::temp_dir().join(format!(
            "stead-fuzz-{}-{:x}",
            std::process::id(),
            super::clock::random_u64()
        ));
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&name);
        let file = file.expect("the folder for temporary files can be written");
        fs::remove_file(&name).expect("what was created can be removed");
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Self { file, path }
    }

    /// Replaces what is in it.
    ///
    /// # Panics
    /// The disk is full.
    pub fn fill(&self, bytes: &[u8]) -> (&File, &Path) {
        self.file.set_len(0).expect("a file can be cut");
        // Handles that were made of it share the place where they write.
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).expect("a file can be rewound");
        self.file.write_all_at(bytes, 0).expect("there is room");
        (&self.file, &self.path)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// The first byte, which chooses among what a target decodes, and the rest.
#[must_use]
pub fn choice(bytes: &[u8]) -> (u8, &[u8]) {
    bytes
        .split_first()
        .map_or((0, bytes), |(first, rest)| (*first, rest))
}

/// A seed for a target that chooses by the first byte.
#[must_use]
pub fn seed(choice: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[choice], bytes.as_ref()].concat()
}
