//! Storage keys in which the names of secrets cannot be read.
//!
//! A path `a/b/c` becomes one sealed segment after another:
//!
//! ```text
//! segment: length of what follows (2 bytes, big-endian) ‖ synthetic nonce (16) ‖ encrypted name, padded
//! ```
//!
//! Each is AES-256-SIV (RFC 5297) of the segment's name, with the storage key of its directory as associated data. The same
//! path always has the same storage key, which is what makes it a key; the same name in two directories has nothing in
//! common. Names are padded (a byte 0x80, then zeros) to a multiple of 16 bytes, so that lengths show in steps of 16.
//!
//! No segment begins another, so all that is below a directory is one range: the keys that begin with the directory's.
//! [`after`] is where the next sibling of a child begins, so that listing a directory seeks over what is deep below it.
//! The order is that of the sealed names: whoever lists in the order of the names sorts.
//!
//! What whoever reads the store still learns: which keys are written when, how many secrets there are, how deep they lie and
//! which share a directory. Never hides that two writes are of the same name.

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use zeroize::Zeroizing;

use super::error::NameError;
use super::hashed::derived;
use crate::base::limits::{
    MAXIMUM_SECRET_PATH_BYTES, MAXIMUM_SECRET_PATH_SEGMENTS, MAXIMUM_SECRET_SEGMENT_BYTES,
};
use crate::service::secrets::memory::{Key, Locked};
use crate::storage::KeyRange;

/// Names are padded to a multiple of this.
const PADDING_BYTES: usize = 16;
const PADDING_MARK: u8 = 0x80;
/// The synthetic nonce in front of each encrypted name.
const SYNTHETIC_BYTES: usize = 16;
const LENGTH_BYTES: usize = 2;
/// The two keys of AES-256-SIV.
const SIV_KEY_BYTES: usize = 64;
const LABEL: &str = "stead names aes-256-siv";

/// The storage key of the directory that holds all others.
pub const ROOT_DIRECTORY: &[u8] = &[];

/// Seals names and opens them.
pub struct Names {
    key: Locked<SIV_KEY_BYTES>,
}

/// What a listing of a directory found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name in the directory.
    pub name: String,
    /// Its storage key, with which all that is below it begins.
    pub storage_key: Vec<u8>,
    /// Whether the key that was found is of the child itself, and not of something below it.
    pub is_itself: bool,
}

impl Names {
    /// Seals with a key derived from the keyring's `name_key`.
    #[must_use]
    pub fn new(name_key: &Key) -> Self {
        Self {
            key: derived(name_key, LABEL),
        }
    }

    /// The storage key of `path`, whose segments are divided by slashes.
    ///
    /// # Errors
    /// An empty segment, or a limit: [`NameError`].
    pub fn encode(&self, path: &str) -> Result<Vec<u8>, NameError> {
        self.encode_below(ROOT_DIRECTORY, path)
    }

    /// The storage key of `path` below `directory` (its storage key). The limits are those of `path` alone.
    ///
    /// # Errors
    /// As [`Names::encode`].
    pub fn encode_below(&self, directory: &[u8], path: &str) -> Result<Vec<u8>, NameError> {
        check_path(path)?;
        let mut storage_key = directory.to_vec();
        for name in path.split('/') {
            let sealed = self.seal(&storage_key, name)?;
            storage_key.extend_from_slice(&sealed);
        }
        Ok(storage_key)
    }

    /// The path of a storage key.
    ///
    /// # Errors
    /// [`NameError::Malformed`] and [`NameError::TamperedOrMoved`], and the limits, which no key of [`Names::encode`] passes.
    pub fn decode(&self, storage_key: &[u8]) -> Result<String, NameError> {
        let mut path = String::new();
        let mut start = 0;
        let mut depth = 0;
        while start < storage_key.len() || depth == 0 {
            depth += 1;
            if depth > MAXIMUM_SECRET_PATH_SEGMENTS {
                return Err(NameError::TooDeep);
            }
            let (directory, rest) = storage_key.split_at_checked(start).ok_or(NameError::Malformed)?;
            let segment = first_segment(rest)?;
            if depth > 1 {
                path.push('/');
            }
            path.push_str(&self.open(directory, segment)?);
            start += segment.len();
        }
        check_path(&path)?;
        Ok(path)
    }

    /// The child of `directory` (its storage key) that `found`, a storage key below it, is or lies below.
    ///
    /// # Errors
    /// [`NameError::Elsewhere`], and those of [`Names::decode`].
    pub fn child(&self, directory: &[u8], found: &[u8]) -> Result<Child, NameError> {
        let below = found.strip_prefix(directory).ok_or(NameError::Elsewhere)?;
        if below.is_empty() {
            return Err(NameError::Elsewhere);
        }
        let segment = first_segment(below)?;
        Ok(Child {
            name: self.open(directory, segment)?,
            storage_key: [directory, segment].concat(),
            is_itself: segment.len() == below.len(),
        })
    }

    fn seal(&self, directory: &[u8], name: &str) -> Result<Vec<u8>, NameError> {
        let mut padded = Zeroizing::new(Vec::with_capacity(name.len() + PADDING_BYTES));
        padded.extend_from_slice(name.as_bytes());
        padded.push(PADDING_MARK);
        let length = padded.len().next_multiple_of(PADDING_BYTES);
        padded.resize(length, 0);
        let synthetic = Aes256Siv::new(self.key.expose().into())
            .encrypt_in_place_detached([directory], &mut padded)
            .map_err(|_| NameError::TooDeep)?;
        let length = u16::try_from(SYNTHETIC_BYTES + padded.len())
            .map_err(|_| NameError::SegmentTooLong { bytes: name.len() })?;
        Ok([&length.to_be_bytes()[..], &synthetic, &padded].concat())
    }

    fn open(&self, directory: &[u8], segment: &[u8]) -> Result<String, NameError> {
        let (synthetic, sealed) = segment
            .get(LENGTH_BYTES..)
            .and_then(<[u8]>::split_first_chunk::<SYNTHETIC_BYTES>)
            .ok_or(NameError::Malformed)?;
        let mut padded = Zeroizing::new(sealed.to_vec());
        Aes256Siv::new(self.key.expose().into())
            .decrypt_in_place_detached([directory], &mut padded, synthetic.into())
            .map_err(|_| NameError::TamperedOrMoved)?;
        // What is authentic was written by `seal`, and is padded and text.
        let mark = padded
            .iter()
            .rposition(|byte| *byte == PADDING_MARK)
            .ok_or(NameError::Malformed)?;
        let name = padded.get(..mark).ok_or(NameError::Malformed)?;
        let name = std::str::from_utf8(name).map_err(|_| NameError::Malformed)?;
        check_segment(name)?;
        Ok(name.to_owned())
    }
}

/// The least storage key after that of `child` and all that is below it; none where nothing can be.
#[must_use]
pub fn after(child: &[u8]) -> Option<Vec<u8>> {
    KeyRange::prefix(child).end
}

/// What lies below `directory`, the directory itself not among it.
#[must_use]
pub fn below(directory: &[u8]) -> KeyRange {
    KeyRange {
        start: [directory, &[0]].concat(),
        end: after(directory),
    }
}

/// The first segment of what is not empty, with its length.
fn first_segment(rest: &[u8]) -> Result<&[u8], NameError> {
    let length = rest.first_chunk().ok_or(NameError::Malformed)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let least = SYNTHETIC_BYTES + PADDING_BYTES;
    let most = SYNTHETIC_BYTES + (MAXIMUM_SECRET_SEGMENT_BYTES + 1).next_multiple_of(PADDING_BYTES);
    if !(least..=most).contains(&length) || !length.is_multiple_of(PADDING_BYTES) {
        return Err(NameError::Malformed);
    }
    rest.get(..LENGTH_BYTES + length).ok_or(NameError::Malformed)
}

/// Whether a path can have a sealed name.
///
/// # Errors
/// As [`Names::encode`].
pub fn check_path(path: &str) -> Result<(), NameError> {
    let bytes = path.len();
    if bytes > MAXIMUM_SECRET_PATH_BYTES {
        return Err(NameError::PathTooLong { bytes });
    }
    if path.split('/').count() > MAXIMUM_SECRET_PATH_SEGMENTS {
        return Err(NameError::TooDeep);
    }
    path.split('/').try_for_each(check_segment)
}

fn check_segment(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::EmptySegment);
    }
    let bytes = name.len();
    if bytes > MAXIMUM_SECRET_SEGMENT_BYTES {
        return Err(NameError::SegmentTooLong { bytes });
    }
    Ok(())
}
