//! Tells a service manager that the node is ready, in the way of systemd: a datagram to the socket that `NOTIFY_SOCKET`
//! names. Where that is not set, nobody is told.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What is said.
const READY: &[u8] = b"READY=1";

/// Says that the node serves clients.
pub(super) fn announce() {
    let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    if let Err(error) = send(name.as_bytes()) {
        tracing::warn!(socket = ?name, %error, "cannot tell the service manager of NOTIFY_SOCKET that the node is ready");
    }
}

/// Sends it to a socket: a path, or a name without one behind `@`.
fn send(name: &[u8]) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(name)))?,
    };
    UnixDatagram::unbound()?.send_to_addr(READY, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_by_path_and_one_by_name_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes()).unwrap();
        let name = format!("stead-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(format!("@{name}").as_bytes()).unwrap();
        for socket in [by_path, by_name] {
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], READY);
        }
        assert!(send(b"/nowhere/notify").is_err());
    }
}
