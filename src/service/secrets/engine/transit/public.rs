//! Public keys: as they are imported, stored and shown, and of what they are of.
//!
//! Never holds a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use rsa::RsaPublicKey;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;

use super::kind::KeyType;
use super::material::unencoded;
use crate::service::secrets::engine::Fault;

/// A public key.
#[derive(Clone)]
pub enum PublicKey {
    /// Of Ed25519.
    Ed25519(VerifyingKey),
    /// On P-256.
    P256(p256::PublicKey),
    /// On P-384.
    P384(p384::PublicKey),
    /// On P-521.
    P521(p521::PublicKey),
    /// Of RSA.
    Rsa(Box<RsaPublicKey>),
}

impl PublicKey {
    /// The key that a PEM holds; none: it is no key of that type.
    #[must_use]
    pub fn from_pem(kind: KeyType, pem: &str) -> Option<Self> {
        match kind {
            KeyType::Ed25519 => VerifyingKey::from_public_key_pem(pem).ok().map(Self::Ed25519),
            KeyType::EcdsaP256 => p256::PublicKey::from_public_key_pem(pem).ok().map(Self::P256),
            KeyType::EcdsaP384 => p384::PublicKey::from_public_key_pem(pem).ok().map(Self::P384),
            KeyType::EcdsaP521 => p521::PublicKey::from_public_key_pem(pem).ok().map(Self::P521),
            _ => {
                let key = RsaPublicKey::from_public_key_pem(pem).ok()?;
                (kind.modulus_bits() == Some(key.n().bits())).then(|| Self::Rsa(Box::new(key)))
            }
        }
    }

    /// The key that was written so; none: it is no key of that type.
    #[must_use]
    pub fn from_written(kind: KeyType, text: &str) -> Option<Self> {
        if kind != KeyType::Ed25519 {
            return Self::from_pem(kind, text);
        }
        let bytes = STANDARD.decode(text).ok()?;
        VerifyingKey::try_from(bytes.as_slice()).ok().map(Self::Ed25519)
    }

    /// The key as it is shown: as PEM, or of Ed25519 in base64.
    ///
    /// # Errors
    /// It cannot be encoded, which is so for none.
    pub fn written(&self) -> Result<String, Fault> {
        let pem = match self {
            Self::Ed25519(key) => return Ok(STANDARD.encode(key.as_bytes())),
            Self::P256(key) => key.to_public_key_pem(LineEnding::LF),
            Self::P384(key) => key.to_public_key_pem(LineEnding::LF),
            Self::P521(key) => key.to_public_key_pem(LineEnding::LF),
            Self::Rsa(key) => key.to_public_key_pem(LineEnding::LF),
        };
        pem.map_err(unencoded)
    }
}
