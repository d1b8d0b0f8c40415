//! The types of keys, and what each is good for.
//!
//! Never holds a key.

use serde::{Deserialize, Serialize};

/// A type of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// AES-128 in GCM, with nonces of 96 bits.
    #[serde(rename = "aes128-gcm96")]
    Aes128Gcm,
    /// AES-256 in GCM, with nonces of 96 bits.
    #[serde(rename = "aes256-gcm96")]
    Aes256Gcm,
    /// `ChaCha20` with Poly1305 (RFC 8439).
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// The same with nonces of 192 bits.
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// ECDSA on P-521.
    #[serde(rename = "ecdsa-p521")]
    EcdsaP521,
    /// RSA with 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// A key for HMAC alone.
    #[serde(rename = "hmac")]
    Hmac,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Aes128Gcm,
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
        Self::XChaCha20Poly1305,
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Hmac,
    ];

    /// As requests and answers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes128-gcm96",
            Self::Aes256Gcm => "aes256-gcm96",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::Hmac => "hmac",
        }
    }

    /// The type of that name; none: there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How a version of it is called among the public keys of an answer; none: it has no public key.
    #[must_use]
    pub fn public_name(self) -> Option<&'static str> {
        match self {
            Self::EcdsaP256 => Some("P-256"),
            Self::EcdsaP384 => Some("P-384"),
            Self::EcdsaP521 => Some("P-521"),
            Self::Ed25519 | Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => Some(self.name()),
            _ => None,
        }
    }

    /// Bytes of the secret where it is random bytes and nothing more; none: it is made otherwise, or of any length.
    #[must_use]
    pub fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128Gcm => Some(16),
            Self::Aes256Gcm | Self::ChaCha20Poly1305 | Self::XChaCha20Poly1305 | Self::Ed25519 => Some(32),
            _ => None,
        }
    }

    /// Bytes of the nonces; none: it is no authenticated cipher with one key.
    #[must_use]
    pub fn nonce_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm | Self::ChaCha20Poly1305 => Some(12),
            Self::XChaCha20Poly1305 => Some(24),
            _ => None,
        }
    }

    /// Bits of the modulus; none: it is not RSA.
    #[must_use]
    pub fn modulus_bits(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(2_048),
            Self::Rsa3072 => Some(3_072),
            Self::Rsa4096 => Some(4_096),
            _ => None,
        }
    }

    /// Whether it encrypts with the key that decrypts.
    #[must_use]
    pub fn is_cipher(self) -> bool {
        self.nonce_bytes().is_some()
    }

    /// Whether it encrypts.
    #[must_use]
    pub fn encrypts(self) -> bool {
        self.is_cipher() || self.modulus_bits().is_some()
    }

    /// Whether it signs.
    #[must_use]
    pub fn signs(self) -> bool {
        self.public_name().is_some()
    }

    /// Whether it signs a hash of what is to be signed, and not that itself.
    #[must_use]
    pub fn signs_hashes(self) -> bool {
        self.signs() && self != Self::Ed25519
    }

    /// Whether keys can be derived of it.
    #[must_use]
    pub fn derives(self) -> bool {
        self.secret_bytes().is_some()
    }
}
