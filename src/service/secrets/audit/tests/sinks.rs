//! Sockets and syslog, against real ones.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::Duration;

use super::super::sink::Sink;
use super::super::sink::socket::{Address, Socket};
use super::super::sink::syslog::{Syslog, facility};
use super::super::{Allowed, Target};

/// Long enough that no test ends by it.
const LONG: Duration = Duration::from_secs(60);

fn loopback() -> Vec<ipnet::IpNet> {
    Allowed::within(Some(PathBuf::from("/"))).networks
}

#[test]
fn a_tcp_socket_gets_lines_and_is_connected_to_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut socket = Socket::open(Address::Tcp(address), loopback(), LONG).unwrap();
    let read = |lines: usize| {
        let reader = BufReader::new(listener.accept().unwrap().0);
        reader.lines().take(lines).map(Result::unwrap).collect::<Vec<_>>()
    };
    socket.write(b"one").unwrap();
    socket.write(b"two").unwrap();
    assert_eq!(read(2), ["one", "two"]);
    // The other side has ended the connection, and what comes now is not lost.
    socket.write(b"three").unwrap();
    assert_eq!(read(1), ["three"]);
    drop(listener);
    assert!(socket.write(b"four").is_err());
}

#[test]
fn nothing_is_sent_to_other_networks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    for address in [Address::Tcp(address.clone()), Address::Udp(address)] {
        let error = Socket::open(address, networks.clone(), LONG).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn a_udp_socket_gets_a_datagram_for_each_line() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap().to_string();
    let mut socket = Socket::open(Address::Udp(address), loopback(), LONG).unwrap();
    assert!(
        socket.write(&vec![b'x'; 70_000]).is_err(),
        "no datagram is that large"
    );
    socket.write(b"one").unwrap();
    socket.write(b"two").unwrap();
    let mut bytes = [0; 16];
    for line in ["one", "two"] {
        let length = receiver.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], line.as_bytes());
    }
}

#[test]
fn a_unix_socket_that_nobody_reads_fails_in_time_and_works_when_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("s")).unwrap();
    let address = Address::Unix {
        directory: folder.path().to_owned(),
        steps: "s".into(),
    };
    let target = Target::Socket {
        address,
        networks: Vec::new(),
        timeout: Duration::from_millis(200),
    };
    let mut sink = target.open().unwrap().sink;
    let large = vec![b'x'; 1 << 20];
    let error = (0..100).find_map(|_| sink.write(&large).err()).unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // That connection was dropped: a line of which a part was sent is not gone on with.
    drop(listener.accept().unwrap());
    sink.write(b"next").unwrap();
    let mut line = String::new();
    BufReader::new(listener.accept().unwrap().0)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "next\n");
}

#[test]
fn syslog_gets_datagrams_with_their_priority() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    assert!(Syslog::open(path.clone(), 4, "vault").is_err());
    let receive = |receiver: &UnixDatagram| {
        let mut bytes = [0; 64];
        let length = receiver.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let receiver = UnixDatagram::bind(&path).unwrap();
    let mut syslog = Syslog::open(path.clone(), facility("auth").unwrap(), "vault").unwrap();
    syslog.write(b"{}").unwrap();
    let golden = format!("<38>vault[{}]: {{}}", std::process::id());
    assert_eq!(receive(&receiver), golden);
    // The daemon is started anew.
    drop(receiver);
    std::fs::remove_file(&path).unwrap();
    assert!(syslog.write(b"{}").is_err());
    let receiver = UnixDatagram::bind(&path).unwrap();
    syslog.write(b"{}").unwrap();
    assert_eq!(receive(&receiver), golden);
    assert_eq!((facility("LOCAL7"), facility("none")), (Some(23), None));
}
