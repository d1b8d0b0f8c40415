//! Where an audit device writes to.
//!
//! | module | writes to |
//! |---|---|
//! | [`mod@file`] | a file in the allowed directory, found by [`folder`]; standard output; nowhere |
//! | [`socket`] | TCP, UDP or a Unix socket |
//! | [`syslog`] | the syslog of the machine |
//! | [`log`] | the log of this process |
//!
//! A sink may block: each has a thread of its own. Never knows what it writes.

pub mod file;
pub mod folder;
pub mod log;
pub mod socket;
pub mod syslog;

use std::io;

/// What takes lines.
pub trait Sink: Send {
    /// Writes a line, its end not included in `line`, in one call to the system where the sink allows it. After an error
    /// nothing, or a line that is cut, was written.
    ///
    /// # Errors
    /// It was not written.
    fn write(&mut self, line: &[u8]) -> io::Result<()>;

    /// Returns when what was written survives a loss of power, where the sink can say so.
    ///
    /// # Errors
    /// That cannot be said.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether what it writes to was removed meanwhile, and it is to be opened again.
    fn is_gone(&self) -> bool {
        false
    }
}

/// What was opened.
pub struct Opened {
    /// It.
    pub sink: Box<dyn Sink>,
    /// Bytes at the end of what is there already; empty: nothing is, or it cannot be read.
    pub tail: Vec<u8>,
    /// Whether nothing is there.
    pub is_first: bool,
}

impl Opened {
    /// A sink that nothing can be read from.
    #[must_use]
    pub fn fresh(sink: Box<dyn Sink>) -> Self {
        Self {
            sink,
            tail: Vec::new(),
            is_first: true,
        }
    }
}

/// A line with its end, to be written in one call.
fn ended(line: &[u8]) -> Vec<u8> {
    let mut ended = Vec::with_capacity(line.len() + 1);
    ended.extend_from_slice(line);
    ended.push(b'\n');
    ended
}
