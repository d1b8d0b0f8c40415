//! TCP, UDP and Unix sockets.
//!
//! A line is sent whole within the time for writes, or the connection is dropped. A connection that the other side has ended
//! is made anew, once for each line. Never connects outside of the allowed networks, whatever a name resolves to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::{Sink, ended, folder};
use crate::base::clock;

/// How a socket is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`, over TCP.
    Tcp(String),
    /// `host:port`, over UDP: a line is a datagram, and nothing says whether it arrives.
    Udp(String),
    /// In the allowed directory.
    Unix {
        /// The directory.
        directory: PathBuf,
        /// The steps from there.
        steps: PathBuf,
    },
}

enum Connection {
    Tcp(TcpStream),
    Udp(UdpSocket),
    Unix(UnixStream),
}

/// A socket.
pub struct Socket {
    address: Address,
    networks: Vec<IpNet>,
    timeout: Duration,
    connection: Option<Connection>,
}

impl Socket {
    /// Connects, within `timeout`, which every write has too.
    ///
    /// # Errors
    /// Nobody listens there, or it is in none of the networks.
    pub fn open(address: Address, networks: Vec<IpNet>, timeout: Duration) -> io::Result<Self> {
        let mut socket = Self {
            address,
            networks,
            timeout,
            connection: None,
        };
        socket.connection = Some(socket.connect()?);
        Ok(socket)
    }

    fn connect(&self) -> io::Result<Connection> {
        match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(&self.resolve(address)?, self.timeout)?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
            Address::Udp(address) => {
                let address = self.resolve(address)?;
                let any = match address {
                    SocketAddr::V4(_) => "0.0.0.0:0",
                    SocketAddr::V6(_) => "[::]:0",
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_write_timeout(Some(self.timeout))?;
                Ok(Connection::Udp(socket))
            }
            Address::Unix { directory, steps } => {
                let path = folder::socket(directory, steps)?;
                UnixStream::connect(path).map(Connection::Unix)
            }
        }
    }

    /// The first address in an allowed network.
    fn resolve(&self, address: &str) -> io::Result<SocketAddr> {
        let is_allowed = |found: &SocketAddr| {
            let address = found.ip().to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        };
        address.to_socket_addrs()?.find(is_allowed).ok_or_else(|| {
            let text = format!("{address} is in none of the networks that audit devices may send to");
            io::Error::new(io::ErrorKind::PermissionDenied, text)
        })
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        match &mut connection {
            Connection::Tcp(stream) => write_all(stream, line, self.timeout, |stream, rest| {
                stream.set_write_timeout(Some(rest))
            })?,
            Connection::Unix(stream) => write_all(stream, line, self.timeout, |stream, rest| {
                stream.set_write_timeout(Some(rest))
            })?,
            Connection::Udp(socket) => {
                // What is too large for a datagram does not become smaller by another connection.
                let sent = socket.send(line);
                self.connection = Some(connection);
                return sent.map(drop);
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Drops a connection that the other side has ended: a first write to it would succeed and be lost.
    fn drop_ended(&mut self) {
        let is_ended = match &mut self.connection {
            Some(Connection::Tcp(stream)) => is_ended(stream, TcpStream::set_nonblocking),
            Some(Connection::Unix(stream)) => is_ended(stream, UnixStream::set_nonblocking),
            Some(Connection::Udp(_)) | None => false,
        };
        if is_ended {
            self.connection = None;
        }
    }
}

impl Sink for Socket {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let line = match self.address {
            Address::Udp(_) => line.to_vec(),
            Address::Tcp(_) | Address::Unix { .. } => ended(line),
        };
        self.drop_ended();
        let was_connected = self.connection.is_some();
        match self.send(&line) {
            Err(error) if was_connected && is_lost(&error) => self.send(&line),
            sent => sent,
        }
    }
}

/// Whether the other side has ended the connection. What it sends is thrown away.
fn is_ended<Stream: Read>(stream: &mut Stream, set_nonblocking: fn(&Stream, bool) -> io::Result<()>) -> bool {
    if set_nonblocking(stream, true).is_err() {
        return true;
    }
    let mut sent = [0; 512];
    let is_ended = match stream.read(&mut sent) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    };
    is_ended || set_nonblocking(stream, false).is_err()
}

/// Writes all within a time, of which each write gets what is left.
fn write_all<Stream: Write>(
    stream: &mut Stream,
    line: &[u8],
    timeout: Duration,
    set_timeout: impl Fn(&Stream, Duration) -> io::Result<()>,
) -> io::Result<()> {
    let start: Instant = clock::now();
    let mut written = 0;
    while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
        let left = timeout.saturating_sub(clock::now().duration_since(start));
        if left.is_zero() && written > 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Zero would be no limit.
        set_timeout(stream, left.max(Duration::from_millis(1)))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected
    )
}
