//! What a listener has accepted, made into a connection: the handshake, and a clear end for who speaks something else.
//!
//! Runs in a task for each connection, so that nobody who is slow or hostile keeps others from being accepted. A handshake
//! has a time limit and a place among [`MAXIMUM_HANDSHAKES`]; who sends nothing takes no place.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificate::Details;
use super::settings::Side;
use super::{Carrier, Socket, Tls};
use crate::base::clock;

/// Handshakes of one side at one time; more wait. Each costs about a millisecond of a processor.
pub(super) const MAXIMUM_HANDSHAKES: usize = 1_024;

/// Time in which a handshake must be done, from the connection on.
const HANDSHAKE_SECONDS: u64 = 10;

/// Time in which a connection without TLS must send its first byte.
const FIRST_BYTE_SECONDS: u64 = 60;

/// Time between two lines in the log about connections that are refused.
const LOG_PAUSE_SECONDS: u64 = 1;

/// The first byte of a handshake.
const HANDSHAKE_BYTE: u8 = 0x16;

/// Bytes that tell an HTTP/1 request from everything else.
const BEGIN_BYTES: usize = 4;

/// What Go's servers say to a client that speaks HTTP where TLS is spoken.
const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Bytes of a plain request that are read, so that the answer to it is not lost.
const MAXIMUM_PLAIN_BYTES: usize = 64 * 1024;

/// Why a connection is refused.
#[derive(Debug, Error)]
enum Refused {
    /// It ended before it said anything, as probes do: no line in the log.
    #[error("it ended")]
    Ended,
    #[error("it does not speak TLS: use https:// in its endpoint")]
    Plain,
    #[error(
        "it speaks TLS, and this address does not: use http:// in its endpoint, or https:// in the listen URL"
    )]
    Protected,
    #[error("it did not finish its handshake within {HANDSHAKE_SECONDS} s")]
    TooSlow,
    #[error("handshake failed: {0}")]
    Handshake(io::Error),
    #[error("{0}")]
    Certificate(String),
    #[error("this address has no certificate")]
    NoCertificate,
}

/// What stands between a listener and its server. Clones share one.
#[derive(Debug, Clone)]
pub struct Entrance {
    side: Side,
    tls: Option<Tls>,
    patience: Patience,
    pace: Arc<Mutex<Pace>>,
}

/// How long is waited for who connects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a handshake, from the connection on.
    pub(super) handshake: Duration,
    /// For the first byte of a connection without TLS.
    pub(super) first_byte: Duration,
}

const PATIENCE: Patience = Patience {
    handshake: Duration::from_secs(HANDSHAKE_SECONDS),
    first_byte: Duration::from_secs(FIRST_BYTE_SECONDS),
};

/// Keeps the log from being filled by who cannot connect.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    left_out: u64,
}

impl Entrance {
    /// For a listener of `side`, with TLS or without.
    #[must_use]
    pub fn new(side: Side, tls: Option<Tls>) -> Self {
        Self {
            side,
            tls,
            patience: PATIENCE,
            pace: Arc::default(),
        }
    }

    /// The same with less patience.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Lets a connection in; none if it is refused, which the log says.
    pub async fn admit(&self, stream: impl Into<Carrier>) -> Option<Socket> {
        let stream = stream.into();
        let from = stream.address().ok().flatten();
        let admitted = match &self.tls {
            None => plain(stream, self.patience.first_byte).await,
            Some(tls) => match timeout(self.patience.handshake, protected(tls, stream)).await {
                Ok(admitted) => admitted,
                Err(_) => Err(Refused::TooSlow),
            },
        };
        match admitted {
            Ok(socket) => Some(socket),
            Err(refused) => {
                self.log(from, &refused);
                None
            }
        }
    }

    fn log(&self, from: Option<SocketAddr>, refused: &Refused) {
        if matches!(refused, Refused::Ended) {
            return;
        }
        let left_out = {
            let mut pace = self.pace.lock();
            let now = clock::now();
            let pause = Duration::from_secs(LOG_PAUSE_SECONDS);
            if pace.last.is_some_and(|last| now.duration_since(last) < pause) {
                pace.left_out = pace.left_out.saturating_add(1);
                return;
            }
            pace.last = Some(now);
            std::mem::take(&mut pace.left_out)
        };
        let from = from.map_or_else(|| "this machine, or unknown".to_owned(), |from| from.to_string());
        tracing::warn!(from, listener = %self.side, reason = %refused, left_out, "refused a connection");
    }
}

async fn plain(stream: Carrier, patience: Duration) -> Result<Socket, Refused> {
    let mut begin = [0; BEGIN_BYTES];
    match timeout(patience, stream.peek(&mut begin)).await {
        Ok(Ok(1..)) if begin.first() == Some(&HANDSHAKE_BYTE) => Err(Refused::Protected),
        Ok(Ok(1..)) => Ok(Socket::Plain(stream)),
        _ => Err(Refused::Ended),
    }
}

async fn protected(tls: &Tls, mut stream: Carrier) -> Result<Socket, Refused> {
    let mut begin = [0; BEGIN_BYTES];
    let Ok(1..) = stream.peek(&mut begin).await else {
        return Err(Refused::Ended);
    };
    if begin.first() != Some(&HANDSHAKE_BYTE) {
        if [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI"].contains(&&begin) {
            answer_plain(&mut stream).await;
        }
        return Err(Refused::Plain);
    }
    let from = stream.address().map_err(Refused::Handshake)?;
    let Some(config) = tls.shared.material.load().accepting.clone() else {
        return Err(Refused::NoCertificate);
    };
    // Never closed, so that there is always a place to wait for.
    let place = tls.shared.handshakes.acquire().await;
    let stream = TlsAcceptor::from(config)
        .accept(stream)
        .await
        .map_err(Refused::Handshake)?;
    drop(place);
    if tls.shared.settings.checks_address
        && let Some(from) = from
        && let Some(shown) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first)
    {
        let details = Details::of(shown).map_err(Refused::Certificate)?;
        check_address(&details, from.ip().to_canonical())
            .await
            .map_err(Refused::Certificate)?;
    }
    Socket::protected(tls, stream.into()).map_err(Refused::Certificate)
}

/// Tells who speaks HTTP that TLS is spoken here. What it has sent is read first: the answer would be lost otherwise.
async fn answer_plain(stream: &mut Carrier) {
    let mut request = vec![0; MAXIMUM_PLAIN_BYTES];
    // The connection ends in any case.
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(PLAIN_ANSWER).await;
    let _ = stream.shutdown().await;
}

/// Whether a certificate is for the address that its owner connects from, by etcd's rule: one of its addresses, or one of
/// its names, looked up in both directions. A certificate without either is for all.
async fn check_address(details: &Details, from: IpAddr) -> Result<(), String> {
    if details.addresses.is_empty() && details.host_names.is_empty() {
        return Ok(());
    }
    if details
        .addresses
        .iter()
        .any(|address| address.to_canonical() == from)
    {
        return Ok(());
    }
    for name in details.host_names.iter().filter(|name| !name.starts_with("*.")) {
        if let Ok(mut found) = lookup_host((name.as_str(), 0)).await
            && found.any(|address| address.ip().to_canonical() == from)
        {
            return Ok(());
        }
    }
    if !details.host_names.is_empty() {
        let reverse = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&from)).await;
        if let Ok(Ok(found)) = reverse
            && details.host_names.iter().any(|name| covers(name, &found))
        {
            return Ok(());
        }
    }
    Err(format!(
        "its certificate is for {:?} and {:?}, not for {from}; give the member a certificate for its address, or set \
         --peer-skip-client-san-verification",
        details.addresses, details.host_names
    ))
}

/// Whether a certificate's name, which may begin with `*.`, covers a host's.
fn covers(name: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    match name.strip_prefix('*') {
        Some(domain) => host.ends_with(domain) && host.len() > domain.len(),
        None => host == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_what_is_below_it_and_nothing_else() {
        assert!(covers("*.example.com", "a.Example.com."));
        assert!(covers("a.example.com", "a.example.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "a.example.org"));
        assert!(!covers("a.example.com", "b.example.com"));
    }
}
