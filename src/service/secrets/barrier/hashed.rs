//! Keyed hashes (HMAC-SHA256, RFC 2104) of what is looked up or recorded but never told. Each purpose has a key of its own,
//! made of the keyring's hash key by HKDF-SHA256 (RFC 5869), so that a hash of one purpose says nothing of another's.
//!
//! Never hashes a password: those are short, and need a hash that is slow.

use std::fmt;

use hkdf::Hkdf;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::service::secrets::memory::{Key, Locked};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// What SHA-256 takes at a time, which is how long the keys are.
pub(super) const BLOCK_BYTES: usize = 64;

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'name> {
    /// Tokens, whose hashes are what they are stored under.
    Token,
    /// Accessors of tokens.
    Accessor,
    /// Values in what an audit device writes.
    Audit {
        /// The name of the device.
        device: &'name str,
    },
    /// The records that an audit device writes. Not the key of the values: clients may ask for hashes of those.
    AuditChain {
        /// The name of the device.
        device: &'name str,
    },
}

impl Purpose<'_> {
    /// The label from which the key is derived. Never changes.
    fn label(self) -> String {
        match self {
            Self::Token => "stead hash token".to_owned(),
            Self::Accessor => "stead hash accessor".to_owned(),
            Self::Audit { device } => format!("stead hash audit {device}"),
            Self::AuditChain { device } => format!("stead hash audit-chain {device}"),
        }
    }
}

/// A keyed hash. Equality takes the same time wherever two differ.
#[derive(Clone, Copy)]
pub struct KeyedHash([u8; HASH_BYTES]);

impl KeyedHash {
    /// A hash that was stored.
    #[must_use]
    pub fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl PartialEq for KeyedHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyedHash {}

/// `hmac-sha256:` and 64 hexadecimal digits, as audit records show it.
impl fmt::Display for KeyedHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hmac-sha256:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Hashes for one purpose.
pub struct Hasher {
    key: Locked<BLOCK_BYTES>,
}

impl Hasher {
    /// Hashes for `purpose`, with a key derived from the keyring's `hash_key`.
    #[must_use]
    pub fn new(hash_key: &Key, purpose: Purpose<'_>) -> Self {
        Self {
            key: derived(hash_key, &purpose.label()),
        }
    }

    /// The hash of `value`.
    #[must_use]
    pub fn hash(&self, value: &[u8]) -> KeyedHash {
        KeyedHash(hmac(self.key.expose(), value))
    }
}

/// HMAC-SHA256 with a key as long as the hash's block.
pub(super) fn hmac(key: &[u8; BLOCK_BYTES], value: &[u8]) -> [u8; HASH_BYTES] {
    let mac = <Hmac<Sha256> as KeyInit>::new(key.into());
    mac.chain_update(value).finalize().into_bytes().into()
}

/// A key that is derived from `key` for what `label` says, by HKDF-SHA256 without salt.
pub(super) fn derived<const LENGTH: usize>(key: &Key, label: &str) -> Locked<LENGTH> {
    const { assert!(LENGTH <= 255 * HASH_BYTES, "RFC 5869 derives no more") };
    let filled =
        Locked::filled(|bytes| Hkdf::<Sha256>::new(None, key.expose()).expand(label.as_bytes(), bytes));
    match filled {
        Ok(derived) => derived,
        Err(_) => unreachable!("the length was asserted"),
    }
}
