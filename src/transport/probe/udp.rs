//! A datagram: whoever does not listen is told of by its machine. Silence is no failure.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::dial::Dialer;
use crate::service::registry::host_and_port;

/// How much of the time of a probe is spent on waiting, so that it ends before its time is over.
const WAITED_PERCENT: u32 = 90;

/// Sends an empty datagram and waits for what comes back.
///
/// # Errors
/// Nobody listens, in a sentence.
pub(super) async fn ask(dialer: &Dialer, address: &str, limit: Duration) -> Result<(), String> {
    let (host, port) = host_and_port(address).map_err(|error| error.to_string())?;
    let addresses = dialer.addresses(host, port).await?;
    let target = addresses.first().ok_or("there is no address")?;
    let local: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let failed = |error: std::io::Error| format!("{target}: {error}");
    let socket = UdpSocket::bind(local).await.map_err(failed)?;
    socket.connect(target).await.map_err(failed)?;
    socket.send(&[]).await.map_err(failed)?;
    let mut answer = [0; 1];
    let waiting = limit / 100 * WAITED_PERCENT;
    match tokio::time::timeout(waiting, socket.recv(&mut answer)).await {
        Ok(Ok(_)) | Err(_) => Ok(()),
        Ok(Err(error)) => Err(failed(error)),
    }
}
