//! A connection, protected or not. Bytes only.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use super::Tls;
use super::carrier::Carrier;
use super::certificate::{CertificateName, Details};
use super::open::Registration;

/// A connection.
#[derive(Debug)]
pub enum Socket {
    /// As the operating system has it.
    Plain(Carrier),
    /// With TLS around it; in a box, so that a plain one is small.
    Protected(Box<Protected>),
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Protected {
    stream: TlsStream<Carrier>,
    /// What ends it if the certificate that the other side has shown is revoked; none if it has shown none.
    registration: Option<Registration>,
    name: Option<CertificateName>,
}

impl Socket {
    /// Wraps a connection after its handshake.
    ///
    /// # Errors
    /// The other side's certificate cannot be read, or was revoked while it was shown.
    pub(super) fn protected(tls: &Tls, stream: TlsStream<Carrier>) -> Result<Self, String> {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let (registration, name) = match chain.split_first() {
            None => (None, None),
            Some((shown, between)) => {
                let (registration, name) = register(tls, shown, between)?;
                (Some(registration), name)
            }
        };
        Ok(Self::Protected(Box::new(Protected {
            stream,
            registration,
            name,
        })))
    }

    /// Whether TLS is around it.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Protected(_))
    }

    /// Where the other side is. None on this machine, and where it is gone.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let carrier = match self {
            Self::Plain(carrier) => carrier,
            Self::Protected(protected) => protected.stream.get_ref().0,
        };
        let address = carrier.address().ok().flatten()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The certificates that the other side has shown, its own first, as DER.
    #[must_use]
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        let shown = match self {
            Self::Plain(_) => None,
            Self::Protected(protected) => protected.stream.get_ref().1.peer_certificates(),
        };
        let shown = shown.unwrap_or_default().iter();
        shown.map(|certificate| certificate.to_vec()).collect()
    }

    /// Who the other side is by its certificate, if certificates say so on this side.
    #[must_use]
    pub fn certificate_name(&self) -> Option<CertificateName> {
        match self {
            Self::Plain(_) => None,
            Self::Protected(protected) => protected.name.clone(),
        }
    }
}

fn register(
    tls: &Tls,
    shown: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
) -> Result<(Registration, Option<CertificateName>), String> {
    let details = Details::of(shown)?;
    let mut chain = vec![details.key];
    for certificate in between {
        chain.push(Details::of(certificate)?.key);
    }
    let registration = tls.shared.open.enter(chain.clone());
    // The lists may have been read anew since the handshake, before this connection was in the table.
    let revoked = &tls.shared.material.load().revoked;
    if chain.iter().any(|certificate| revoked.contains(certificate)) {
        return Err("its certificate is revoked".to_owned());
    }
    let name = details
        .common_name
        .filter(|name| tls.shared.settings.names_callers && !name.is_empty());
    Ok((registration, name.map(|name| CertificateName(name.into()))))
}

impl Protected {
    fn poll_cut(&self, context: &Context<'_>) -> io::Result<()> {
        match &self.registration {
            Some(registration) if registration.cut.poll(context) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the certificate of the other side is revoked",
            )),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Protected(protected) => {
                protected.poll_cut(context)?;
                Pin::new(&mut protected.stream).poll_read(context, buffer)
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Protected(protected) => {
                // Who sends nothing any more, and takes nothing, is cut off as well.
                protected.poll_cut(context)?;
                Pin::new(&mut protected.stream).poll_write(context, bytes)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Protected(protected) => {
                protected.poll_cut(context)?;
                Pin::new(&mut protected.stream).poll_flush(context)
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Protected(protected) => Pin::new(&mut protected.stream).poll_shutdown(context),
        }
    }
}

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
