//! The syslog of the machine, by its socket.
//!
//! A line is one datagram in the form of RFC 3164, without time and host, which the receiver adds (4.3.3). What is larger
//! than the system takes as one fails. Never sends to another machine.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::Sink;

/// Where the machine's syslog listens.
pub const SOCKET: &str = "/dev/log";

/// `info`, of the eight severities.
const SEVERITY: u8 = 6;

/// Names of facilities, by their numbers.
const FACILITIES: [&str; 24] = [
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
    "NTP", "SECURITY", "CONSOLE", "CLOCK", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5",
    "LOCAL6", "LOCAL7",
];

/// The number of a facility, in whatever case its name is.
#[must_use]
pub fn facility(name: &str) -> Option<u8> {
    let at = FACILITIES
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))?;
    u8::try_from(at).ok()
}

/// A connection to the syslog.
pub struct Syslog {
    path: PathBuf,
    opening: Vec<u8>,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Sends to the socket at `path`. `tag`: the name of the program that the receiver shows.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(path: PathBuf, facility: u8, tag: &str) -> io::Result<Self> {
        let priority = u32::from(facility) * 8 + u32::from(SEVERITY);
        let mut syslog = Self {
            path,
            opening: format!("<{priority}>{tag}[{}]: ", std::process::id()).into_bytes(),
            socket: None,
        };
        syslog.connect()?;
        Ok(syslog)
    }

    fn connect(&mut self) -> io::Result<&UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        Ok(self.socket.insert(socket))
    }
}

impl Sink for Syslog {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut message = self.opening.clone();
        message.extend_from_slice(line);
        if let Some(socket) = &self.socket {
            match socket.send(&message) {
                Ok(_) => return Ok(()),
                // The daemon was started anew.
                Err(error) if is_lost(&error) => self.socket = None,
                Err(error) => return Err(error),
            }
        }
        self.connect()?.send(&message).map(drop)
    }
}

fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected, NotFound};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | NotConnected | BrokenPipe | NotFound
    )
}
