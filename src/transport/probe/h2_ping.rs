//! A ping of HTTP/2.

use h2::Ping;
use tokio::task::JoinSet;

use super::dial::Dialer;
use crate::service::registry::TargetTls;

/// Waits for the answer to a ping.
///
/// # Errors
/// There is none, in a sentence.
pub(super) async fn ask(dialer: &Dialer, address: &str, tls: Option<&TargetTls>) -> Result<(), String> {
    let socket = dialer.connect(address, tls).await?;
    let no_http2 = |error: h2::Error| format!("no HTTP/2: {error}");
    // The connection lasts for as long as there is somebody who could ask for something.
    let (_asker, mut connection) = h2::client::handshake(socket).await.map_err(no_http2)?;
    let mut pings = connection.ping_pong().ok_or("there are no pings")?;
    let mut connections = JoinSet::new();
    connections.spawn(async move {
        // What goes wrong is told to whoever waits for the ping.
        let _ = connection.await;
    });
    pings.ping(Ping::opaque()).await.map(drop).map_err(no_http2)
}
