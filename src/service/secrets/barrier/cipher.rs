//! One record: AES-256-GCM under a key of the keyring, bound to where it lies and which write of that place it is.
//!
//! ```text
//! record: format (1 byte, 1) ‖ term (4, big-endian) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! associated data: format ‖ term ‖ length of the storage key (4, big-endian) ‖ storage key ‖ version (8, big-endian)
//! ```
//!
//! The version is the number of writes of that key as the store counts it, which the proposer fixes by comparing it in the
//! same transaction. A record that is put back after a later write is thereby found out, as is one that is moved.
//!
//! Nonces are 96 random bits of the operating system, drawn where the command is proposed. The chance that any two of the n
//! records of one key share a nonce is below n²/2^97; the keyring ends n at less than 2^32 ([`super::keyring`]), which keeps
//! it below 2^-33. Nothing that could come back after a restart, a restore or a change of leader (a counter, an index of the
//! log) is part of a nonce.
//!
//! What a cipher makes of a key lives as long as one call and is wiped after it. Never tells which byte of a record is wrong.

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};

use super::error::BarrierError;
use crate::base::limits::MAXIMUM_SEALED_RECORD_BYTES;
use crate::base::secret::Secret;
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::Randomness;

/// The format byte of every record written by this program.
pub const FORMAT: u8 = 1;

/// What a record has more than its plaintext.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Format, term and nonce.
const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'key> {
    /// Its storage key, whole.
    pub storage_key: &'key [u8],
    /// The number of writes of that key up to this record, as the store counts them: 1 for the first.
    pub version: u64,
}

impl Place<'_> {
    fn associated_data(&self, term: u32) -> Result<Vec<u8>, BarrierError> {
        let bytes = self.storage_key.len();
        let length = u32::try_from(bytes).map_err(|_| BarrierError::TooLong { bytes })?;
        Ok([
            &[FORMAT][..],
            &term.to_be_bytes(),
            &length.to_be_bytes(),
            self.storage_key,
            &self.version.to_be_bytes(),
        ]
        .concat())
    }
}

/// Encrypts `plaintext` for `place` under `key`, which the keyring calls `term`.
///
/// # Errors
/// [`BarrierError::TooLong`], or there is no randomness.
pub fn encrypt(
    key: &Key,
    term: u32,
    place: Place<'_>,
    plaintext: &[u8],
    randomness: &mut dyn Randomness,
) -> Result<Vec<u8>, BarrierError> {
    let bytes = plaintext.len();
    if bytes > MAXIMUM_SEALED_RECORD_BYTES {
        return Err(BarrierError::TooLong { bytes });
    }
    let associated = place.associated_data(term)?;
    let mut nonce = [0; NONCE_BYTES];
    randomness.fill(&mut nonce)?;
    // As long as it gets: the plaintext is never left behind in a shorter buffer.
    let mut record = Vec::with_capacity(OVERHEAD_BYTES + bytes);
    record.push(FORMAT);
    record.extend_from_slice(&term.to_be_bytes());
    record.extend_from_slice(&nonce);
    record.extend_from_slice(plaintext);
    let (_, body) = record.split_at_mut(HEAD_BYTES);
    let tag = encrypt_in_place(key, &nonce, &associated, body).ok_or(BarrierError::TooLong { bytes })?;
    record.extend_from_slice(&tag);
    Ok(record)
}

/// The term under whose key `record` is.
///
/// # Errors
/// [`BarrierError::Truncated`] and [`BarrierError::UnknownFormat`].
pub fn term_of(record: &[u8]) -> Result<u32, BarrierError> {
    let (term, ..) = parts(record)?;
    Ok(term)
}

/// Decrypts what lies at `place`. `key` is that of the record's term ([`term_of`]).
///
/// # Errors
/// [`BarrierError::Truncated`], [`BarrierError::UnknownFormat`] and [`BarrierError::TamperedOrMoved`].
pub fn decrypt(key: &Key, place: Place<'_>, record: &[u8]) -> Result<Secret<Vec<u8>>, BarrierError> {
    let (term, nonce, ciphertext, tag) = parts(record)?;
    let associated = place.associated_data(term)?;
    let mut plaintext = ciphertext.to_vec();
    let is_authentic = decrypt_in_place(key, nonce, &associated, &mut plaintext, tag);
    let plaintext = Secret::new(plaintext);
    if is_authentic {
        Ok(plaintext)
    } else {
        Err(BarrierError::TamperedOrMoved)
    }
}

/// AES-256-GCM of `body`; returns the tag, or none where the body is longer than the cipher allows.
pub(super) fn encrypt_in_place(
    key: &Key,
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    body: &mut [u8],
) -> Option<[u8; TAG_BYTES]> {
    let cipher = Aes256Gcm::new(key.expose().into());
    let tag = cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), associated, body);
    tag.ok().map(Into::into)
}

/// The reverse; false, with `body` left encrypted, where the tag does not hold.
pub(super) fn decrypt_in_place(
    key: &Key,
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    body: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> bool {
    let cipher = Aes256Gcm::new(key.expose().into());
    let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
    cipher
        .decrypt_in_place_detached(nonce, associated, body, tag)
        .is_ok()
}

type Parts<'record> = (
    u32,
    &'record [u8; NONCE_BYTES],
    &'record [u8],
    &'record [u8; TAG_BYTES],
);

fn parts(record: &[u8]) -> Result<Parts<'_>, BarrierError> {
    let truncated = BarrierError::Truncated {
        bytes: record.len(),
        least: OVERHEAD_BYTES,
    };
    match record.first() {
        None => return Err(truncated),
        Some(&FORMAT) => {}
        Some(&format) => return Err(BarrierError::UnknownFormat { format }),
    }
    let split = || {
        let (_, rest) = record.split_first()?;
        let (term, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some((u32::from_be_bytes(*term), nonce, ciphertext, tag))
    };
    split().ok_or(truncated)
}
