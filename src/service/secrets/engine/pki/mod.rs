//! PKI: an authority for certificates, which people and programs ask for by the name of a role.
//!
//! | module | does |
//! |---|---|
//! | [`authority`] | roots, intermediates, and what they sign for each other |
//! | [`issue`] | leaves by a role, for a new key or that of a request |
//! | [`role`], [`constraints`] | what may be issued, and under which names |
//! | [`revocation`] | what is taken back, and the signed lists that say so |
//! | [`issuers`], [`manage`], [`settings`] | issuers and keys as they are stored and managed, and settings of the mount |
//! | [`fetch`], [`answers`] | what is public, and the forms in which clients get certificates and keys |
//! | [`certificate`], [`extensions`], [`subject`], [`request`], [`validity`] | what X.509 and PKCS #10 write |
//! | [`keys`], [`verify`], [`pem`], [`oids`] | keys, signatures and their encodings |
//!
//! Never lets anything outlast its issuer, never shows a key but in the answer to the request that made it, and has no
//! cryptography of its own.

pub mod answers;
pub mod authority;
pub mod certificate;
pub mod constraints;
pub mod extensions;
pub mod fetch;
pub mod fields;
pub mod issue;
pub mod issuers;
pub mod keys;
pub mod manage;
pub mod oids;
pub mod pem;
pub mod request;
pub mod revocation;
pub mod role;
mod routes;
pub mod settings;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod validity;
pub mod verify;

use super::{Answer, Call, Engine, Fault, Storage};
use crate::service::secrets::randomness::Randomness;

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pki;

/// A request with all that it may use.
pub struct Work<'work> {
    /// The request.
    pub call: &'work Call<'work>,
    /// What is stored.
    pub storage: &'work mut dyn Storage,
    /// Where keys and serial numbers come from.
    pub randomness: &'work mut dyn Randomness,
}

impl Engine for Pki {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        routes::handle(&mut Work {
            call,
            storage,
            randomness,
        })
    }

    fn is_open(&self, path: &str) -> bool {
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        matches!(
            segments.as_slice(),
            ["ca" | "ca_chain" | "crl" | "issuers"]
                | ["ca" | "crl", "pem"]
                | ["cert", _]
                | ["cert", _, "raw"]
                | ["cert", _, "raw", "pem"]
                | ["issuer", _, "der" | "pem" | "json" | "crl"]
                | ["issuer", _, "crl", "der" | "pem"]
        )
    }

    fn needs_sudo(&self, path: &str) -> bool {
        let segments: Vec<&str> = path.split('/').collect();
        matches!(
            segments.as_slice(),
            ["root"] | ["root", "sign-self-issued"] | ["issuer", _, "sign-self-issued"]
        )
    }

    fn revoke(&self, call: &Call<'_>, details: &[u8], storage: &mut dyn Storage) -> Result<(), Fault> {
        revocation::release(call, details, storage)
    }
}
