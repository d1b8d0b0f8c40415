//! Why the barrier refused. The texts name the kind of what is wrong: never a key, a plaintext or a place within a record.

use thiserror::Error;

use crate::base::limits::{
    MAXIMUM_KEYRING_TERMS, MAXIMUM_SEALED_RECORD_BYTES, MAXIMUM_SECRET_PATH_BYTES,
    MAXIMUM_SECRET_PATH_SEGMENTS, MAXIMUM_SECRET_SEGMENT_BYTES, MAXIMUM_TERM_ENCRYPTIONS,
    MAXIMUM_UNCOUNTED_ENCRYPTIONS,
};

/// Why a record was not encrypted or decrypted.
#[derive(Debug, Error)]
pub enum BarrierError {
    /// A record ends before its head and tag do.
    #[error("stead: the sealed record is truncated: {bytes} bytes, the least is {least}")]
    Truncated {
        /// What there is.
        bytes: usize,
        /// What the shortest record has.
        least: usize,
    },
    /// A record of a format that this program does not know.
    #[error("stead: the sealed record has format {format}, which this program does not know; update it")]
    UnknownFormat {
        /// The first byte.
        format: u8,
    },
    /// The keyring has no such key.
    #[error("stead: the sealed record is of term {term}, which the keyring of this node does not hold")]
    UnknownTerm {
        /// The term of the record.
        term: u32,
    },
    /// The tag does not hold: other bytes, another place, another version, another key.
    #[error(
        "stead: the sealed record was changed, moved or replaced by one of another version, or is under another key"
    )]
    TamperedOrMoved,
    /// More than one record may hold.
    #[error(
        "stead: {bytes} bytes are too many for one sealed record; the most is {MAXIMUM_SEALED_RECORD_BYTES}"
    )]
    TooLong {
        /// What was given.
        bytes: usize,
    },
    /// A data key was used as often as it may be.
    #[error(
        "stead: term {term} of the keyring made {MAXIMUM_TERM_ENCRYPTIONS} encryptions, the most; rotate the keyring"
    )]
    Exhausted {
        /// The active term.
        term: u32,
    },
    /// This node owes the stored keyring its count.
    #[error(
        "stead: this node made {MAXIMUM_UNCOUNTED_ENCRYPTIONS} encryptions under term {term} that the stored keyring does not \
         count; try again when their number is written"
    )]
    Uncounted {
        /// The active term.
        term: u32,
    },
    /// The keyring is full.
    #[error("stead: the keyring has {MAXIMUM_KEYRING_TERMS} terms, the most; it cannot be rotated again")]
    TooManyTerms,
    /// A keyring that was sealed by the right key and does not say what it must.
    #[error("stead: the keyring cannot be read: {reason}")]
    Keyring {
        /// What is wrong.
        reason: &'static str,
    },
    /// No nonce or key could be drawn.
    #[error("stead: the system gives no random bytes: {0}")]
    Randomness(#[from] std::io::Error),
}

/// Why a name has no storage key, or a storage key no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing before, after or between slashes.
    #[error(
        "stead: the path has an empty segment; write it without slashes at its ends and with single ones inside"
    )]
    EmptySegment,
    /// Too long a segment.
    #[error("stead: a segment of the path has {bytes} bytes; the most is {MAXIMUM_SECRET_SEGMENT_BYTES}")]
    SegmentTooLong {
        /// What it has.
        bytes: usize,
    },
    /// Too long a path.
    #[error("stead: the path has {bytes} bytes; the most is {MAXIMUM_SECRET_PATH_BYTES}")]
    PathTooLong {
        /// What it has.
        bytes: usize,
    },
    /// Too many segments.
    #[error("stead: the path has more than {MAXIMUM_SECRET_PATH_SEGMENTS} segments, the most")]
    TooDeep,
    /// The storage key is not a sequence of sealed segments.
    #[error("stead: the storage key is not one of a sealed name")]
    Malformed,
    /// A segment was changed or moved below another directory, or is under another key.
    #[error("stead: the sealed name was changed or moved, or is under another key")]
    TamperedOrMoved,
    /// The storage key is not below the directory that it was looked for in.
    #[error("stead: the storage key is not below the directory")]
    Elsewhere,
}
