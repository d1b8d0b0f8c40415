//! Free loopback ports that stay free while a node is down.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use rand::Rng;

use super::Result;

/// The ports to choose from lie below Linux' range for outgoing connections (32768 and up), so that no outgoing
/// connection takes the port of a node while that node is down.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 32_767;

const MAXIMUM_ATTEMPTS: u32 = 1_000;

/// What this process has handed out: a port is never given twice, even when its node has been stopped.
static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 and the listener that keeps it until the node that will use it is about to start.
pub struct Reservation {
    pub port: u16,
    _listener: TcpListener,
}

/// Takes a port that nothing listens on and keeps it.
pub fn reserve_port() -> Result<Reservation> {
    let mut handed_out = HANDED_OUT.lock().expect("no holder of this lock panics");
    for _ in 0..MAXIMUM_ATTEMPTS {
        let port = rand::rng().random_range(FIRST_PORT..=LAST_PORT);
        if handed_out.contains(&port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            handed_out.insert(port);
            return Ok(Reservation {
                port,
                _listener: listener,
            });
        }
    }
    Err(format!("no free port of 127.0.0.1 between {FIRST_PORT} and {LAST_PORT}").into())
}

/// A port of 127.0.0.1 that nothing listens on now and that this process will not choose again.
pub fn free_port() -> Result<u16> {
    Ok(reserve_port()?.port)
}
