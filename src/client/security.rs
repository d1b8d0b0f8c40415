//! How connections are protected, and how they are made.
//!
//! The rules for endpoints with and without a scheme are etcdctl's. Never decides whom to trust: the settings do.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::error::ClientError;
use super::handshake::{Greeted, greet};
use crate::base::tls::{Side, Socket, Tls, TlsSettings};

/// A connection to a server that has greeted.
type Connection = TokioIo<Greeted<Socket>>;

/// How connections are protected.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    settings: TlsSettings,
    /// Whether endpoints that do not say it are spoken with over TLS.
    without_scheme: bool,
}

impl Default for Security {
    /// In the clear, unless an endpoint says `https`; then with the authorities of the system.
    fn default() -> Self {
        Self {
            settings: TlsSettings::new(Side::Client),
            without_scheme: false,
        }
    }
}

impl Security {
    /// Without a scheme, TLS is spoken if something asks for it, or if the clear is not wanted.
    pub(crate) fn new(settings: TlsSettings, is_insecure: bool) -> Self {
        let asks_for_it = settings.authorities.is_some()
            || settings.dialling_identity.is_some()
            || settings.trusts_any_server;
        Self {
            without_scheme: asks_for_it || !is_insecure,
            settings,
        }
    }

    /// Whether an endpoint is spoken with over TLS: its scheme says so, or nothing says otherwise.
    pub(crate) fn protects(&self, endpoint: &str) -> bool {
        match endpoint.split_once(':') {
            Some(("https" | "unixs", _)) => true,
            Some(("http", _)) => false,
            // As in etcdctl, also for `unix`.
            _ => self.without_scheme,
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// One of them is of no use.
    pub(crate) fn load(&self) -> Result<Tls, ClientError> {
        Ok(Tls::load(self.settings.clone())?)
    }
}

/// Connects to the host and port of `url`, speaks TLS with `host`, if there is any, and waits for the server's greeting.
///
/// # Errors
/// There is no connection, the server cannot be trusted, or speaks something else.
pub(crate) async fn connect(url: Uri, tls: Option<Tls>, host: String) -> io::Result<Connection> {
    let address = url.authority().map_or("", Authority::as_str);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = match tls {
        None => Socket::Plain(stream.into()),
        Some(tls) => tls.connect(stream, &host).await.map_err(explain)?,
    };
    Ok(TokioIo::new(greet(socket).await?))
}

/// Connects to the Unix socket at `path`, speaks TLS, if there is any, with the name of its file, and waits for the
/// server's greeting.
///
/// # Errors
/// There is no connection, the server cannot be trusted, or speaks something else.
pub(crate) async fn connect_to_socket(path: PathBuf, tls: Option<Tls>) -> io::Result<Connection> {
    let stream = UnixStream::connect(&path).await?;
    let socket = match tls {
        None => Socket::Plain(stream.into()),
        Some(tls) => {
            let file = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
            let host = file.split(':').next().unwrap_or_default();
            tls.connect(stream, host).await.map_err(explain)?
        }
    };
    Ok(TokioIo::new(greet(socket).await?))
}

/// Adds the mend where there is one, to what failed before TLS was there.
fn explain(error: io::Error) -> io::Error {
    const NO_TLS: &str = "it may not speak TLS: write http:// in front of the endpoint";
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let mend = match (cause, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => {
            "give the authority that signed the server's certificate with --cacert, and an endpoint that it is for"
        }
        (Some(rustls::Error::InvalidMessage(_)), _)
        | (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => NO_TLS,
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {mend}"))
}
