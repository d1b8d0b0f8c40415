//! Connections of peers: accepted, and let in one by one, so that nobody who is slow keeps others waiting.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::base::gather::Gathered;
use crate::base::tls::Socket;
use crate::replication::interface::PeerListener;

/// Connections of one listener that have not been let in yet. More wait to be accepted.
const MAXIMUM_ARRIVING: usize = 1_024;
/// Connections that were let in and wait for the server to take them, which it does at once.
const MAXIMUM_ARRIVED: usize = 64;
/// Pause after a connection could not be accepted, which happens when file descriptors run out.
const ACCEPT_PAUSE_MILLISECONDS: u64 = 100;

/// The connections of `listener`, until `stop`.
///
/// # Errors
/// The listener cannot be used.
pub fn connections(
    PeerListener { listener, entrance }: PeerListener,
    stop: CancellationToken,
) -> io::Result<ReceiverStream<Gathered<Socket>>> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (arrived, connections) = mpsc::channel(MAXIMUM_ARRIVED);
    let places = Arc::new(Semaphore::new(MAXIMUM_ARRIVING));
    let accepting = async move {
        // Never closed, so that there is always a place to wait for.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let accepted = listener
                .accept()
                .await
                // Small messages leave at once.
                .and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
            match accepted {
                Ok(stream) => {
                    let (entrance, arrived) = (entrance.clone(), arrived.clone());
                    tokio::spawn(async move {
                        let let_in = async {
                            if let Some(socket) = entrance.admit(stream).await {
                                // A server that has stopped takes nobody any more.
                                let _ = arrived.send(Gathered::new(socket)).await;
                            }
                        };
                        tokio::select! {
                            () = let_in => {}
                            // The server ends with the last sender.
                            () = arrived.closed() => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a peer; trying again");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
                }
            }
        }
    };
    tokio::spawn(stop.run_until_cancelled_owned(accepting));
    Ok(ReceiverStream::new(connections))
}
