//! The seam that every seal implements, and the record of the root key as all of them wrapped it.
//!
//! A seal encrypts 32 bytes and gives them back. What it makes is bound to its id and its kind, so that what one wrapped is
//! not taken for what another did. A seal may be a device or a service elsewhere: its calls may block.
//!
//! The record holds no key and may be read by anybody who reads the store.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::SealError;
use crate::base::limits::{MAXIMUM_SEAL_ID_BYTES, MAXIMUM_SEALS};
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::Randomness;
use crate::state::format;

const RECORD: &str = "wrapped root key";

/// What keeps the key of a seal. Variants are only appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealKind {
    /// People with shares.
    Shares,
    /// A file.
    KeyFile,
    /// An environment variable.
    Environment,
}

impl SealKind {
    /// Its name. Never changes: what is wrapped is bound to it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shares => "shares",
            Self::KeyFile => "key-file",
            Self::Environment => "environment",
        }
    }
}

impl fmt::Display for SealKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What wraps the root key. [`super::LocalSeal`] does so with a key of this machine.
pub trait SealKey: Send + Sync {
    /// Which of the cluster's seals it is: 1 to [`MAXIMUM_SEAL_ID_BYTES`] bytes, the same on all nodes.
    fn id(&self) -> &str;

    /// What keeps its key.
    fn kind(&self) -> SealKind;

    /// Encrypts the root key, bound to the seal's id and kind. May block.
    ///
    /// # Errors
    /// The seal cannot be used, or there is no randomness.
    fn wrap(&self, root: &Key, randomness: &mut dyn Randomness) -> Result<Vec<u8>, SealError>;

    /// Decrypts what [`SealKey::wrap`] made. May block.
    ///
    /// # Errors
    /// [`SealError::CannotUnwrap`], or the seal cannot be used.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Key, SealError>;
}

/// The root key as one seal wrapped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrappedKey {
    id: String,
    kind: SealKind,
    wrapped: Bytes,
}

impl WrappedKey {
    fn new(root: &Key, seal: &dyn SealKey, randomness: &mut dyn Randomness) -> Result<Self, SealError> {
        Ok(Self {
            id: seal.id().to_owned(),
            kind: seal.kind(),
            wrapped: Bytes::from(seal.wrap(root, randomness)?),
        })
    }
}

/// The root key as every seal wrapped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKeys(Vec<WrappedKey>);

impl WrappedKeys {
    /// Wraps `root` by each of `seals`, of which one is a seal of shares.
    ///
    /// # Errors
    /// [`SealError::NoShares`], [`SealError::RepeatedSeal`], [`SealError::TooManySeals`], [`SealError::SealId`], and those of
    /// [`SealKey::wrap`].
    pub fn wrap(
        root: &Key,
        seals: &[&dyn SealKey],
        randomness: &mut dyn Randomness,
    ) -> Result<Self, SealError> {
        let mut keys = Vec::with_capacity(seals.len());
        for seal in seals {
            keys.push(WrappedKey::new(root, *seal, randomness)?);
        }
        let keys = Self(keys);
        keys.check()?;
        Ok(keys)
    }

    /// With `root` wrapped anew by `seals`, in place of what seals of their ids wrapped. Of the others those stay that `keeps`
    /// says of.
    ///
    /// # Errors
    /// As [`WrappedKeys::wrap`].
    pub fn replaced(
        &self,
        root: &Key,
        seals: &[&dyn SealKey],
        keeps: impl Fn(SealKind) -> bool,
        randomness: &mut dyn Randomness,
    ) -> Result<Self, SealError> {
        let is_replaced = |key: &WrappedKey| seals.iter().any(|seal| seal.id() == key.id);
        let others = self.0.iter().filter(|key| keeps(key.kind) && !is_replaced(key));
        let mut keys: Vec<WrappedKey> = others.cloned().collect();
        for seal in seals {
            keys.push(WrappedKey::new(root, *seal, randomness)?);
        }
        let keys = Self(keys);
        keys.check()?;
        Ok(keys)
    }

    /// Whether the same shares open it as open `other`: what they unwrap is the same.
    #[must_use]
    pub fn has_shares_of(&self, other: &Self) -> bool {
        self.shares().eq(other.shares())
    }

    /// The same, with the shares of `other`, of the same root key.
    #[must_use]
    pub fn with_shares_of(&self, other: &Self) -> Self {
        let others = self.0.iter().filter(|key| key.kind != SealKind::Shares);
        Self(other.shares().chain(others).cloned().collect())
    }

    fn shares(&self) -> impl Iterator<Item = &WrappedKey> {
        self.0.iter().filter(|key| key.kind == SealKind::Shares)
    }

    /// The root key, by one seal.
    ///
    /// # Errors
    /// [`SealError::UnknownSeal`] and those of [`SealKey::unwrap`].
    pub fn unwrap(&self, seal: &dyn SealKey) -> Result<Key, SealError> {
        let own = |key: &&WrappedKey| key.id == seal.id() && key.kind == seal.kind();
        let found = self.0.iter().find(own).ok_or_else(|| SealError::UnknownSeal {
            id: seal.id().to_owned(),
            kind: seal.kind(),
        })?;
        seal.unwrap(&found.wrapped)
    }

    /// The ids and kinds of the seals.
    pub fn seals(&self) -> impl Iterator<Item = (&str, SealKind)> {
        self.0.iter().map(|key| (key.id.as_str(), key.kind))
    }

    /// The record to be stored.
    ///
    /// # Errors
    /// The record cannot be written, which none that was made here is.
    pub fn encode(&self) -> Result<Bytes, SealError> {
        Ok(format::encode(RECORD, self)?)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`SealError::Record`], and those of seals that cannot be together.
    pub fn decode(encoded: &Bytes) -> Result<Self, SealError> {
        let keys: Self = format::decode(RECORD, encoded)?;
        keys.check()?;
        Ok(keys)
    }

    fn check(&self) -> Result<(), SealError> {
        let number = self.0.len();
        if number > MAXIMUM_SEALS {
            return Err(SealError::TooManySeals { number });
        }
        for (place, WrappedKey { id, .. }) in self.0.iter().enumerate() {
            let bytes = id.len();
            if bytes == 0 || bytes > MAXIMUM_SEAL_ID_BYTES {
                return Err(SealError::SealId { bytes });
            }
            if self.0.iter().take(place).any(|other| other.id == *id) {
                return Err(SealError::RepeatedSeal { id: id.clone() });
            }
        }
        if self.0.iter().any(|key| key.kind == SealKind::Shares) {
            Ok(())
        } else {
            Err(SealError::NoShares)
        }
    }
}
