//! Why a seal refused. The texts never hold a key or a share, and never say which share is wrong.

use std::path::PathBuf;

use thiserror::Error;
use uuid::Uuid;

use super::wrap::SealKind;
use crate::base::limits::{MAXIMUM_KEY_FILE_BYTES, MAXIMUM_SEAL_ID_BYTES, MAXIMUM_SEALS};
use crate::storage::StorageError;

/// Why a key was not split, wrapped, unwrapped or put together.
#[derive(Debug, Error)]
pub enum SealError {
    /// Numbers of shares that cannot be.
    #[error(
        "stead: a key cannot be split into {shares} shares of which {threshold} are needed: there are 1 to 255 shares, and \
         at least two and at most all of several are needed"
    )]
    ShareNumbers {
        /// How many were asked for.
        shares: u8,
        /// How many of them were to be needed.
        threshold: u8,
    },
    /// A threshold that cannot be.
    #[error("stead: a threshold of 0 shares would open to nobody's key; it is 1 to 255")]
    ThresholdOfZero,
    /// Fewer shares than needed.
    #[error("stead: {given} shares were given; {needed} are needed")]
    TooFewShares {
        /// How many there were.
        given: usize,
        /// The threshold.
        needed: u8,
    },
    /// Two shares of one coordinate.
    #[error("stead: a share was given twice; give different ones")]
    RepeatedShare,
    /// Bytes that are no share.
    #[error("stead: a share has {bytes} bytes; one of several has 33, a single one 32")]
    ShareLength {
        /// How many there were.
        bytes: usize,
    },
    /// A single share among several, or one of several where one is enough.
    #[error("stead: the share is not one of a key that needs {threshold} shares")]
    ShareKind {
        /// The threshold.
        threshold: u8,
    },
    /// A coordinate at which the key itself would stand.
    #[error("stead: the last byte of a share is 0, which no share has")]
    ShareCoordinate,
    /// Shares that do not open the root key, for whatever reason.
    #[error("stead: the shares do not open the root key; unsealing begins again with the first share")]
    WrongShares,
    /// A share for another attempt.
    #[error("stead: there is no unseal attempt {nonce}; begin again with the first share")]
    WrongNonce {
        /// What was given.
        nonce: Uuid,
    },
    /// A seal whose key does not open what was wrapped.
    #[error(
        "stead: seal {id:?} ({kind}) does not open the root key: its key is another, or what was wrapped was changed"
    )]
    CannotUnwrap {
        /// The seal.
        id: String,
        /// Its kind.
        kind: SealKind,
    },
    /// Nothing was wrapped by such a seal.
    #[error(
        "stead: the root key is not wrapped by seal {id:?} ({kind}); unseal by another, and add it: stead secret seals --apply"
    )]
    UnknownSeal {
        /// The seal.
        id: String,
        /// Its kind.
        kind: SealKind,
    },
    /// Two seals of one name.
    #[error("stead: there are two seals {id:?}; give each an id of its own")]
    RepeatedSeal {
        /// The id.
        id: String,
    },
    /// Too many seals.
    #[error("stead: there are {number} seals; the most is {MAXIMUM_SEALS}")]
    TooManySeals {
        /// How many.
        number: usize,
    },
    /// No seal of people.
    #[error(
        "stead: none of the seals is one of shares; without it, losing the others would lose all secrets"
    )]
    NoShares,
    /// An id that cannot be.
    #[error("stead: the id of a seal has {bytes} bytes; it has 1 to {MAXIMUM_SEAL_ID_BYTES}")]
    SealId {
        /// How many.
        bytes: usize,
    },
    /// A key that is no key. The value is not told.
    #[error(
        "stead: {source_name} does not hold a key: {reason}; it is 32 random bytes, in hexadecimal or base64"
    )]
    Key {
        /// Which file or variable.
        source_name: String,
        /// Why.
        reason: &'static str,
    },
    /// A key file that others may read.
    #[error("stead: key file {path} may be used by group or others (mode {mode:03o}); make it 600 or 400")]
    KeyFileIsOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A key file that is too long, or no file.
    #[error("stead: key file {path} is not a file of at most {MAXIMUM_KEY_FILE_BYTES} bytes")]
    KeyFileKind {
        /// The file.
        path: PathBuf,
    },
    /// A key file that cannot be read.
    #[error("stead: cannot read key file {path}: {source}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The record of the wrapped root key cannot be read or written.
    #[error("stead: {0}")]
    Record(#[from] StorageError),
    /// Nothing could be drawn or wrapped.
    #[error("stead: the system gives no random bytes: {0}")]
    Randomness(#[from] std::io::Error),
}
