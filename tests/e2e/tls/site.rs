//! A cluster with an authority for clients and one for peers, and the files that its flags name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stead::proto::etcdserverpb::RangeRequest;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::MAXIMUM_WAIT;
use crate::support::pki::{Authority, Issued, Pair, replace};
use crate::support::{Clients, Cluster, ClusterBuilder, Credentials, Program, Result, Security, free_port};

/// The addresses that certificates of nodes are for.
pub const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// Authorities and files. Every node has its own certificates and the same authorities and revocation lists.
pub struct Site {
    pub folder: TempDir,
    pub clients: Authority,
    pub peers: Authority,
    /// A client that is good from the beginning.
    pub alice: Issued,
    /// Where each node serves metrics.
    pub metrics_ports: Vec<u16>,
}

impl Site {
    pub fn new(nodes: usize) -> Result<Self> {
        let (clients, peers) = (Authority::new("clients")?, Authority::new("peers")?);
        let site = Self {
            folder: tempfile::tempdir()?,
            alice: clients.issue("alice", &[])?,
            clients,
            peers,
            metrics_ports: (0..nodes).map(|_| free_port()).collect::<Result<_>>()?,
        };
        site.replace("client-ca.pem", &site.clients.pem())?;
        site.replace("peer-ca.pem", &site.peers.pem())?;
        site.replace("client-crl.pem", &site.clients.revoke(&[])?)?;
        site.replace("peer-crl.pem", &site.peers.revoke(&[])?)?;
        site.alice.write(site.folder.path(), "alice")?;
        for node in 0..nodes {
            site.issue_node(node, &site.clients, &site.peers)?;
        }
        Ok(site)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn replace(&self, name: &str, text: &str) -> Result<()> {
        replace(&self.path(name), text.as_bytes())
    }

    /// Gives a node new certificates; that for peers is returned.
    pub fn issue_node(&self, node: usize, clients: &Authority, peers: &Authority) -> Result<Issued> {
        let folder = self.folder.path();
        clients
            .issue("server", &HOSTS)?
            .write(folder, &format!("server{node}"))?;
        let peer = peers.issue(&format!("peer{node}"), &HOSTS)?;
        peer.write(folder, &format!("peer{node}"))?;
        Ok(peer)
    }

    /// What alice's clients need.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            authorities: self.clients.pem(),
            identity: Some(self.alice.clone()),
        }
    }

    pub fn alice_pair(&self) -> Pair {
        Pair {
            certificate: self.path("alice.pem"),
            key: self.path("alice.key"),
        }
    }

    /// A cluster that is protected by all of this.
    pub fn cluster(&self, program: Program) -> ClusterBuilder {
        let path = |name: &str| self.path(name).display().to_string();
        let mut builder = Cluster::builder(program)
            .nodes(self.metrics_ports.len())
            .security(Security::Tls(self.credentials()))
            .argument("--client-cert-auth")
            .argument(format!("--trusted-ca-file={}", path("client-ca.pem")))
            .argument(format!("--client-crl-file={}", path("client-crl.pem")))
            .argument("--peer-client-cert-auth")
            .argument(format!("--peer-trusted-ca-file={}", path("peer-ca.pem")))
            .argument(format!("--peer-crl-file={}", path("peer-crl.pem")));
        for (node, port) in self.metrics_ports.iter().enumerate() {
            for argument in [
                format!("--cert-file={}", path(&format!("server{node}.pem"))),
                format!("--key-file={}", path(&format!("server{node}.key"))),
                format!("--peer-cert-file={}", path(&format!("peer{node}.pem"))),
                format!("--peer-key-file={}", path(&format!("peer{node}.key"))),
                format!("--listen-metrics-urls=https://127.0.0.1:{port}"),
            ] {
                builder = builder.argument_of(node, argument);
            }
        }
        builder
    }
}

/// Whether a new connection of a client with these credentials is good for a read.
pub async fn is_let_in(endpoint: &str, credentials: &Credentials) -> Result<bool> {
    let mut clients = Clients::protected(endpoint, credentials)?;
    let request = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    Ok(timeout(MAXIMUM_WAIT, clients.kv.range(request)).await?.is_ok())
}

/// A connection with `address` after a handshake and an exchange of bytes, or why there is none: with TLS 1.3 a client
/// learns that its certificate is refused only by reading.
pub async fn speak(
    address: &str,
    credentials: &Credentials,
    says: &[u8],
) -> Result<std::io::Result<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(credentials.authorities.as_bytes()) {
        roots.add(authority?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match &credentials.identity {
        Some(issued) => builder.with_client_auth_cert(
            CertificateDer::pem_slice_iter(issued.certificate.as_bytes()).collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?,
        )?,
        None => builder.with_no_client_auth(),
    };
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("127.0.0.1").map_err(std::io::Error::other)?;
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(says).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    Ok(timeout(MAXIMUM_WAIT, exchange).await?)
}

/// Whether there is such a connection.
pub async fn is_spoken_with(address: &str, credentials: &Credentials, says: &[u8]) -> Result<bool> {
    Ok(speak(address, credentials, says).await?.is_ok())
}

/// What begins a connection between peers, and makes the server say something.
pub const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A page over HTTP/1.1.
pub const GET_METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The same on a connection that goes on.
pub const GET_METRICS_AND_STAY: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

/// The text of a file.
pub fn text(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path)?)
}
