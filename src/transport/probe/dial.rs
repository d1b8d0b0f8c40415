//! Connections of probes: only to addresses that checks may go to.
//!
//! A name is resolved once, and what is connected to is an address of that answer that was looked at.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::base::tls::{Side, Socket, Tls, TlsSettings};
use crate::service::checks::Policy;
use crate::service::registry::{TargetTls, host_and_port};

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Connects. Shared by all probes of a member.
pub(super) struct Dialer {
    policy: Policy,
    /// By whether any certificate will do, and by protocol.
    tls: [OnceCell<Tls>; 4],
}

impl Dialer {
    /// Goes where `policy` lets it.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            tls: Default::default(),
        }
    }

    /// The addresses of a host that a probe may connect to.
    ///
    /// # Errors
    /// It has none, in a sentence.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => tokio::net::lookup_host((host, port))
                .await
                .map_err(|error| format!("{host} cannot be resolved: {error}"))?
                .collect(),
        };
        let allowed: Vec<SocketAddr> = found
            .iter()
            .copied()
            .filter(|address| self.policy.allows(address.ip()))
            .collect();
        match (found.first(), allowed.is_empty()) {
            (_, false) => Ok(allowed),
            (None, true) => Err(format!("{host} has no address")),
            (Some(refused), true) => Err(format!(
                "refused: {} is in none of the ranges that checks may connect to (--check-targets)",
                refused.ip()
            )),
        }
    }

    async fn connect_plain(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let mut failure = String::new();
        for address in self.addresses(host, port).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Answers are short; what cannot be set does not matter.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failure = format!("dial {address}: {error}"),
            }
        }
        Err(failure)
    }

    /// Connects to a host, with TLS if it is given.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) async fn connect_to(
        &self,
        host: &str,
        port: u16,
        tls: Option<(&TargetTls, Protocol)>,
    ) -> Result<Socket, String> {
        let stream = self.connect_plain(host, port).await?;
        let Some((wanted, protocol)) = tls else {
            return Ok(Socket::Plain(stream.into()));
        };
        let name = match wanted.server_name.as_str() {
            "" => host,
            name => name,
        };
        let tls = self.tls(wanted.skip_verify, protocol).await?;
        tls.connect(stream, name)
            .await
            .map_err(|error| format!("TLS with {name}: {error}"))
    }

    /// Connects to `host:port`, with HTTP/2 over TLS if it is given.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) async fn connect(&self, address: &str, tls: Option<&TargetTls>) -> Result<Socket, String> {
        let (host, port) = host_and_port(address).map_err(|error| error.to_string())?;
        self.connect_to(host, port, tls.map(|tls| (tls, Protocol::Http2)))
            .await
    }

    async fn tls(&self, skip_verify: bool, protocol: Protocol) -> Result<Tls, String> {
        let place = usize::from(skip_verify) * 2 + usize::from(protocol == Protocol::Http1);
        let cell = self.tls.get(place).ok_or("there is no such TLS")?;
        let load = || async {
            let settings = TlsSettings {
                dials_http1: protocol == Protocol::Http1,
                trusts_any_server: skip_verify,
                ..TlsSettings::new(Side::Client)
            };
            // Reads the authorities of the system.
            let loaded = tokio::task::spawn_blocking(|| Tls::load(settings)).await;
            loaded.map_err(io::Error::other)?.map_err(io::Error::other)
        };
        let tls = cell.get_or_try_init(load).await;
        tls.cloned()
            .map_err(|error: io::Error| format!("TLS cannot be spoken: {error}"))
    }
}
