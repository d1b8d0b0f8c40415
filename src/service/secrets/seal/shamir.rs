//! Shares of a key (Shamir 1979, over the field of AES): for each byte of the key a random polynomial of degree
//! `threshold - 1` whose value at 0 is that byte; a share is the values at one coordinate, and the coordinate.
//!
//! Any `threshold` shares give the key; fewer say nothing of it, whatever is computed. Coordinates are random and distinct and
//! never 0; they are no secret. With one share there is nothing to divide, and the share is the key.
//!
//! Nothing in a share tells a wrong one from a right one: what they give either opens the root key or does not.

use zeroize::Zeroizing;

use super::error::SealError;
use super::field;
use crate::service::secrets::memory::{KEY_BYTES, Key, Locked};
use crate::service::secrets::randomness::Randomness;

/// Bytes of one share of several: the values, then the coordinate.
pub const SHARE_BYTES: usize = KEY_BYTES + 1;

/// One share of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Share {
    /// The only one: the key itself.
    Whole(Key),
    /// One of several: 32 values, and the coordinate as the last byte.
    Part(Locked<SHARE_BYTES>),
}

impl Share {
    /// A share that somebody kept.
    ///
    /// # Errors
    /// [`SealError::ShareLength`] and [`SealError::ShareCoordinate`].
    pub fn new(bytes: &[u8]) -> Result<Self, SealError> {
        if let Ok(key) = bytes.try_into() {
            return Ok(Self::Whole(Key::copied_from(key)));
        }
        let part: &[u8; SHARE_BYTES] = bytes
            .try_into()
            .map_err(|_| SealError::ShareLength { bytes: bytes.len() })?;
        if part.last() == Some(&0) {
            return Err(SealError::ShareCoordinate);
        }
        Ok(Self::Part(Locked::copied_from(part)))
    }

    /// Its bytes, 33 or 32, for whoever is to keep them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        match self {
            Self::Whole(key) => key.expose(),
            Self::Part(bytes) => bytes.expose(),
        }
    }

    /// Whether it may be a share of a key that needs `threshold` of them.
    pub(super) fn check_kind(&self, threshold: u8) -> Result<(), SealError> {
        if matches!(self, Self::Whole(_)) == (threshold == 1) {
            Ok(())
        } else {
            Err(SealError::ShareKind { threshold })
        }
    }
}

/// Splits `key` into `shares`, any `threshold` of which give it back.
///
/// # Errors
/// [`SealError::ShareNumbers`], or there is no randomness.
pub fn split(
    key: &Key,
    shares: u8,
    threshold: u8,
    randomness: &mut dyn Randomness,
) -> Result<Vec<Share>, SealError> {
    if (shares, threshold) == (1, 1) {
        return Ok(vec![Share::Whole(Key::copied_from(key.expose()))]);
    }
    if threshold < 2 || threshold > shares {
        return Err(SealError::ShareNumbers { shares, threshold });
    }
    // For each byte of the key a row: the byte, then what is drawn.
    let row_bytes = usize::from(threshold);
    let mut coefficients = Zeroizing::new(vec![0; row_bytes * KEY_BYTES]);
    randomness.fill(&mut coefficients)?;
    for (row, byte) in coefficients.chunks_exact_mut(row_bytes).zip(key.expose()) {
        if let Some(constant) = row.first_mut() {
            *constant = *byte;
        }
    }
    let coordinates = coordinates(shares, randomness)?;
    let part = |coordinate: u8| {
        Locked::filled(|bytes| {
            let (values, last) = bytes.split_at_mut(KEY_BYTES);
            for (value, row) in values.iter_mut().zip(coefficients.chunks_exact(row_bytes)) {
                *value = field::evaluate(row.iter(), coordinate);
            }
            last.fill(coordinate);
            Ok(())
        })
    };
    coordinates
        .into_iter()
        .map(|coordinate| part(coordinate).map(Share::Part))
        .collect()
}

/// Distinct coordinates from 1 to 255: the first of all of them, shuffled.
fn coordinates(number: u8, randomness: &mut dyn Randomness) -> Result<Vec<u8>, SealError> {
    let mut all: Vec<u8> = (1..=u8::MAX).collect();
    for place in 0..number {
        let other = place + randomness.below(u8::MAX - place)?;
        all.swap(usize::from(place), usize::from(other));
    }
    all.truncate(usize::from(number));
    Ok(all)
}

/// The key of which `shares` are. Whether they are right, only what the key opens can tell.
///
/// # Errors
/// [`SealError::TooFewShares`], [`SealError::RepeatedShare`], [`SealError::ShareKind`] and [`SealError::ThresholdOfZero`].
pub fn combine(shares: &[Share], threshold: u8) -> Result<Key, SealError> {
    if threshold == 0 {
        return Err(SealError::ThresholdOfZero);
    }
    if shares.len() < usize::from(threshold) {
        return Err(SealError::TooFewShares {
            given: shares.len(),
            needed: threshold,
        });
    }
    let mut parts = Vec::with_capacity(shares.len());
    for share in shares {
        share.check_kind(threshold)?;
        match share {
            Share::Whole(key) if shares.len() == 1 => return Ok(Key::copied_from(key.expose())),
            Share::Whole(_) => return Err(SealError::RepeatedShare),
            Share::Part(part) => parts.push(part.expose()),
        }
    }
    let points: Vec<u8> = parts.iter().filter_map(|part| part.last().copied()).collect();
    let has_twice = |point| points.iter().filter(|other| **other == point).count() > 1;
    if points.iter().any(|point| has_twice(*point)) {
        return Err(SealError::RepeatedShare);
    }
    Key::filled(|key| {
        for (number, part) in parts.iter().enumerate() {
            let weight = field::weight_at_zero(&points, number);
            for (byte, value) in key.iter_mut().zip(part.iter()) {
                *byte ^= field::multiply(weight, *value);
            }
        }
        Ok(())
    })
}
