//! TLS for every listener and every connection that is dialled: settings, files, rules for certificates, handshakes.
//!
//! A [`Tls`] is what one side needs, clients or peers: the material made from its files, which [`Tls::follow`] makes anew
//! when a file changes, and the connections that are open under it. [`Entrance`] turns what a listener accepts into a
//! [`Socket`]; [`Tls::connect`] does it for what is dialled. A plain connection is a [`Socket`] too, at the price of a
//! comparison or two for each read and write.
//!
//! Invariants: a handshake uses the newest material that could be read whole; a revoked certificate gets no new
//! connection and loses its old ones; replaced certificates and authorities end no connection; sessions are never resumed,
//! so that every connection is checked. Never decides what a certificate's owner may do.

mod accept;
mod anybody;
mod carrier;
mod certificate;
mod connect;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod material;
mod open;
mod protocol;
mod self_signed;
mod settings;
mod socket;
mod verify;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use accept::Entrance;
pub use carrier::Carrier;
pub use certificate::CertificateName;
pub use protocol::{CipherSuites, TlsVersion};
pub use settings::{AllowedNames, CertificateFiles, Identity, Part, SelfSigned, Side, TlsError, TlsSettings};
pub use socket::Socket;

use accept::MAXIMUM_HANDSHAKES;
use follow::Watched;
use material::Material;
use open::OpenConnections;

/// TLS for one side. A handle: clones share one.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    settings: TlsSettings,
    material: ArcSwap<Material>,
    open: OpenConnections,
    handshakes: Semaphore,
    watched: Mutex<Watched>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Tls").field(&self.shared.settings).finish()
    }
}

impl Tls {
    /// Reads all files; self-signed certificates that are wanted and not there are made first.
    ///
    /// # Errors
    /// A file cannot be read or used, or the self-signed certificate cannot be written.
    pub fn load(mut settings: TlsSettings) -> Result<Self, TlsError> {
        if let Some(Identity::SelfSigned(wanted)) = &settings.identity {
            settings.identity = Some(Identity::Files(self_signed::obtain(wanted)?));
        }
        // First, so that a file that changes meanwhile is seen to have changed.
        let watched = Watched::new(&settings);
        let material = Material::load(&settings)?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                material: ArcSwap::from_pointee(material),
                open: OpenConnections::default(),
                handshakes: Semaphore::new(MAXIMUM_HANDSHAKES),
                watched: Mutex::new(watched),
            }),
        })
    }

    /// Reads all files as [`Tls::load`] would, and writes none.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn check(settings: &TlsSettings) -> Result<(), TlsError> {
        if let Some(Identity::SelfSigned(_)) = &settings.identity {
            let without = TlsSettings {
                identity: None,
                ..settings.clone()
            };
            return Material::load(&without).map(drop);
        }
        Material::load(settings).map(drop)
    }
}

#[cfg(test)]
#[path = "../../../tests/support/pki.rs"]
pub(crate) mod pki;

#[cfg(test)]
mod tests;
