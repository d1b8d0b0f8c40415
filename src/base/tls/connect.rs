//! A connection that is dialled, protected. The other side's certificate must be for the host that was meant.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Carrier, Socket, Tls};

/// Time in which a handshake must be done.
const HANDSHAKE_SECONDS: u64 = 5;

impl Tls {
    /// Protects a connection that was made to reach `host`, a name or an address, without brackets.
    ///
    /// # Errors
    /// The handshake fails, or takes too long.
    pub async fn connect(&self, stream: impl Into<Carrier>, host: &str) -> io::Result<Socket> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid(format!("{host:?} is no name that a certificate can have")))?;
        let config = self.shared.material.load().dialling.clone();
        let config = config.ok_or_else(|| invalid("nobody is dialled on this side".to_owned()))?;
        let limit = Duration::from_secs(HANDSHAKE_SECONDS);
        let stream = timeout(limit, TlsConnector::from(config).connect(name, stream.into()))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
        Socket::protected(self, stream.into()).map_err(invalid)
    }
}
