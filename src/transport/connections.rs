//! Connections of one listener: accepted, bounded in number, closed in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authority::LenientAuthority;
use super::{ConnectionSettings, Door, FrontDoors, Origin};
use crate::base::gather::Gathered;
use crate::base::tls::{Carrier, Entrance, Socket};

/// Connections of one listener at one time. More wait to be accepted.
const MAXIMUM_CONNECTIONS: usize = 16_384;
/// Bytes that a client may send on one stream before they are read.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes that a client may send on one connection before they are read.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Bytes of the headers of one request.
const MAXIMUM_HEADER_BYTES: u32 = 64 * 1024;
/// Time in which an HTTP/1.1 client must have sent the headers of a request.
const HEADER_SECONDS: u64 = 30;
/// Longest wait for the answer to a ping if none is set: as good as for ever.
const ENDLESS_KEEPALIVE: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Time that calls have to end when the node stops.
const DRAIN_SECONDS: u64 = 5;
/// Pause after a connection could not be accepted, which happens when file descriptors run out.
const ACCEPT_PAUSE_MILLISECONDS: u64 = 100;

/// Serves `listener` until `stopping`; then lets open calls end for at most [`DRAIN_SECONDS`].
pub(super) async fn serve(
    listener: impl Accept,
    entrance: Entrance,
    doors: FrontDoors,
    settings: ConnectionSettings,
    stopping: CancellationToken,
) {
    let builder = Arc::new(builder(settings));
    let permits = Arc::new(Semaphore::new(MAXIMUM_CONNECTIONS));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let accepting = async {
        loop {
            // Never closed, so that there is always a permit to wait for.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            match listener.accept_one().await {
                Ok(stream) => {
                    let (builder, entrance, doors) = (Arc::clone(&builder), entrance.clone(), doors.clone());
                    let (stopping, cut) = (stopping.clone(), cut.clone());
                    connections.spawn(async move {
                        // A handshake is never waited for in the loop that accepts.
                        let admitted = stopping.run_until_cancelled(entrance.admit(stream)).await;
                        if let Some(Some(socket)) = admitted {
                            let served = serve_connection(&builder, socket, doors, stopping);
                            cut.run_until_cancelled(served).await;
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
                }
            }
        }
    };
    stopping.run_until_cancelled(accepting).await;
    drop(listener);
    connections.close();
    if timeout(Duration::from_secs(DRAIN_SECONDS), connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "closing connections whose calls do not end"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// A listener of any kind.
pub trait Accept: Send + Sync + 'static {
    /// Waits for the next connection.
    fn accept_one(&self) -> impl Future<Output = io::Result<Carrier>> + Send;
}

impl Accept for TcpListener {
    async fn accept_one(&self) -> io::Result<Carrier> {
        let (stream, _) = self.accept().await?;
        // Small answers leave at once.
        stream.set_nodelay(true)?;
        Ok(stream.into())
    }
}

impl Accept for UnixListener {
    async fn accept_one(&self) -> io::Result<Carrier> {
        let (stream, _) = self.accept().await?;
        Ok(stream.into())
    }
}

fn builder(settings: ConnectionSettings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADER_SECONDS));
    builder
        .http2()
        .timer(TokioTimer::new())
        // No gRPC client reads the date, and it would be in every answer.
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(settings.maximum_concurrent_streams)
        .max_header_list_size(MAXIMUM_HEADER_BYTES)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout.unwrap_or(ENDLESS_KEEPALIVE));
    builder
}

async fn serve_connection(
    builder: &Builder<TokioExecutor>,
    socket: Socket,
    doors: FrontDoors,
    stopping: CancellationToken,
) {
    let door = Door {
        doors,
        is_protected: socket.is_protected(),
        certificate: socket.certificate_name(),
        origin: Origin {
            address: socket.address(),
            certificates: socket.certificates().into(),
        },
    };
    let stream = TokioIo::new(Gathered::new(LenientAuthority::new(socket)));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, door));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // What a client sends, or how it leaves, is its own affair.
        tracing::debug!(%error, "a connection ended");
    }
}
