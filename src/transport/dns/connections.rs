//! Connections: questions and answers behind their length, one after the other. A client that says nothing for a while, or
//! does not take its answers, is left.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::DnsDoor;
use super::message::{Carrier, Draft};
use super::reply::Reply;
use super::tally::Arrival;
use crate::base::limits::{DNS_IDLE_SECONDS, MAXIMUM_DNS_CONNECTIONS};

/// Pause after a connection could not be accepted, which happens when file descriptors run out.
const ACCEPT_PAUSE_MILLISECONDS: u64 = 100;

impl DnsDoor {
    /// Answers what comes in on the connections of a listener, until the node stops.
    pub async fn serve_connections(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAXIMUM_DNS_CONNECTIONS));
        let accepting = async {
            loop {
                // Never closed, so that there is always a place to wait for.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, client)) => {
                        let door = self.clone();
                        tokio::spawn(async move {
                            let ended = tokio::select! {
                                () = door.shared.stopping.cancelled() => Ok(()),
                                ended = door.converse(stream) => ended,
                            };
                            if let Err(error) = ended {
                                tracing::debug!(%client, %error, "a connection of DNS ended");
                            }
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection of DNS; trying again");
                        sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = self.shared.stopping.cancelled() => {}
            () = accepting => {}
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        // An answer is one write.
        stream.set_nodelay(true)?;
        let patience = Duration::from_secs(DNS_IDLE_SECONDS);
        let mut packet = Vec::new();
        let mut out = Vec::new();
        loop {
            let reading = async {
                let length = stream.read_u16().await?;
                packet.resize(usize::from(length), 0);
                stream.read_exact(&mut packet).await
            };
            match timeout(patience, reading).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => return Err(error),
                // Nothing was asked for a while.
                Err(_) => return Ok(()),
            }
            let arrival = Arrival::now(Carrier::Tcp);
            match self.shared.at_once(&packet, arrival, &mut out) {
                // Whoever sends this has nothing to ask.
                Reply::Nothing => return Ok(()),
                Reply::Written(_) => {}
                Reply::Later(question, waiting) => match self.shared.waiting.try_acquire() {
                    Ok(_place) => self.shared.later(arrival, &question, *waiting, &mut out).await,
                    Err(_) => {
                        let draft = Draft::only(ResponseCode::ServFail);
                        self.shared.say(arrival, &question, &draft, &mut out);
                    }
                },
            }
            let Ok(length) = u16::try_from(out.len()) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let framed = [&length.to_be_bytes()[..], &out].concat();
            timeout(patience, stream.write_all(&framed)).await??;
        }
    }
}
