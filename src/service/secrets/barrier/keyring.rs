//! The data keys, one for each term. New records are under the active term, the newest; records of all terms decrypt.
//!
//! ```text
//! keyring: format (1 byte, 1) ‖ name key (32) ‖ hash key (32) ‖ number of terms (4) ‖ terms
//! term:    term (4) ‖ installed, unix seconds (8) ‖ encryptions (8) ‖ key (32)
//! ```
//!
//! All numbers are big-endian, terms ascend from 1. The whole is sealed as one record ([`super::cipher`]) by the root key,
//! which goes by term [`ROOT_TERM`]. It is written by hand and not as other records of the store are, because those are built
//! in buffers that nobody wipes.
//!
//! Of every term it is counted how often it encrypted, because random nonces bound that ([`MAXIMUM_TERM_ENCRYPTIONS`]). A node
//! counts its own encryptions in memory ([`Keyring::uncounted`]) and adds them to the stored keyring: it opens that, calls
//! [`Keyring::count`], seals it with a comparison of the version, and then calls [`Keyring::follow`]. A node that owes
//! [`MAXIMUM_UNCOUNTED_ENCRYPTIONS`] encrypts no more until it did. What nodes made and died without writing, and what others
//! have not written yet, has room between the limit and 2^32: 64 times that much for each term.
//!
//! The key of names and the key of hashes never rotate: what they make is looked up by its bytes. Never forgets a term; never
//! reads a clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cipher::{self, Place};
use super::error::BarrierError;
use crate::base::limits::{
    MAXIMUM_KEYRING_TERMS, MAXIMUM_TERM_ENCRYPTIONS, MAXIMUM_UNCOUNTED_ENCRYPTIONS, ROTATION_DUE_ENCRYPTIONS,
};
use crate::base::secret::Secret;
use crate::service::secrets::memory::{KEY_BYTES, Key};
use crate::service::secrets::randomness::Randomness;

/// What the root key is called in the head of the sealed keyring. No data key has this term.
pub const ROOT_TERM: u32 = 0;

/// The format byte of every keyring written by this program.
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 2 * KEY_BYTES + 4;
const TERM_BYTES: usize = 4 + 8 + 8 + KEY_BYTES;

/// The data keys, and the keys that never rotate.
pub struct Keyring {
    name_key: Key,
    hash_key: Key,
    terms: BTreeMap<u32, Term>,
}

struct Term {
    key: Key,
    installed_unix_seconds: u64,
    /// What the stored keyring says.
    counted: u64,
    /// What this node made since.
    uncounted: AtomicU64,
}

impl Term {
    fn encryptions(&self) -> u64 {
        self.counted
            .saturating_add(self.uncounted.load(Ordering::Relaxed))
    }
}

/// Encryptions that the stored keyring does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncounted {
    /// The term.
    pub term: u32,
    /// How many.
    pub encryptions: u64,
}

/// What may be told of the active term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyStatus {
    /// The term.
    pub term: u32,
    /// When it was installed.
    pub installed_unix_seconds: u64,
    /// How often it encrypted, as far as this node knows.
    pub encryptions: u64,
}

impl KeyStatus {
    /// Whether the keyring must be rotated: 90 % of what its key may encrypt is used.
    #[must_use]
    pub fn is_rotation_due(&self) -> bool {
        self.encryptions >= ROTATION_DUE_ENCRYPTIONS
    }
}

impl Keyring {
    /// A keyring of one term, installed at `now_unix_seconds`.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(now_unix_seconds: u64, randomness: &mut dyn Randomness) -> Result<Self, BarrierError> {
        let mut keyring = Self {
            name_key: randomness.key()?,
            hash_key: randomness.key()?,
            terms: BTreeMap::new(),
        };
        keyring.rotate(now_unix_seconds, randomness)?;
        Ok(keyring)
    }

    /// Adds a term, under which all is encrypted from now on, and returns it.
    ///
    /// # Errors
    /// [`BarrierError::TooManyTerms`], or there is no randomness.
    pub fn rotate(
        &mut self,
        now_unix_seconds: u64,
        randomness: &mut dyn Randomness,
    ) -> Result<u32, BarrierError> {
        if self.terms.len() >= MAXIMUM_KEYRING_TERMS {
            return Err(BarrierError::TooManyTerms);
        }
        let newest = self.terms.last_key_value().map_or(ROOT_TERM, |(term, _)| *term);
        let term = newest.checked_add(1).ok_or(BarrierError::TooManyTerms)?;
        let installed = Term {
            key: randomness.key()?,
            installed_unix_seconds: now_unix_seconds,
            counted: 0,
            uncounted: AtomicU64::new(0),
        };
        self.terms.insert(term, installed);
        Ok(term)
    }

    /// The key from which storage keys are made ([`super::names`]).
    #[must_use]
    pub fn name_key(&self) -> &Key {
        &self.name_key
    }

    /// The key from which keyed hashes are made ([`super::hashed`]).
    #[must_use]
    pub fn hash_key(&self) -> &Key {
        &self.hash_key
    }

    /// Encrypts `plaintext` for `place` under the active term.
    ///
    /// # Errors
    /// [`BarrierError::Exhausted`], [`BarrierError::Uncounted`] and those of [`cipher::encrypt`].
    pub fn encrypt(
        &self,
        place: Place<'_>,
        plaintext: &[u8],
        randomness: &mut dyn Randomness,
    ) -> Result<Vec<u8>, BarrierError> {
        let (term, active) = self.active()?;
        // Counted before the nonce is drawn: what fails after this point is counted too.
        let room = MAXIMUM_TERM_ENCRYPTIONS.saturating_sub(active.counted);
        active
            .uncounted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made| {
                (made < room.min(MAXIMUM_UNCOUNTED_ENCRYPTIONS)).then_some(made + 1)
            })
            .map_err(|made| {
                if made >= room {
                    BarrierError::Exhausted { term }
                } else {
                    BarrierError::Uncounted { term }
                }
            })?;
        cipher::encrypt(&active.key, term, place, plaintext, randomness)
    }

    /// Decrypts what lies at `place`, of whatever term.
    ///
    /// # Errors
    /// [`BarrierError::UnknownTerm`] and those of [`cipher::decrypt`].
    pub fn decrypt(&self, place: Place<'_>, record: &[u8]) -> Result<Secret<Vec<u8>>, BarrierError> {
        let term = cipher::term_of(record)?;
        let held = self.terms.get(&term).ok_or(BarrierError::UnknownTerm { term })?;
        cipher::decrypt(&held.key, place, record)
    }

    /// What may be told of the active term.
    ///
    /// # Errors
    /// The keyring has no term, which none that was made or opened here is.
    pub fn status(&self) -> Result<KeyStatus, BarrierError> {
        let (term, active) = self.active()?;
        Ok(KeyStatus {
            term,
            installed_unix_seconds: active.installed_unix_seconds,
            encryptions: active.encryptions(),
        })
    }

    /// What this node made that the stored keyring does not count yet.
    #[must_use]
    pub fn uncounted(&self) -> Vec<Uncounted> {
        self.terms
            .iter()
            .map(|(term, held)| Uncounted {
                term: *term,
                encryptions: held.uncounted.load(Ordering::Relaxed),
            })
            .filter(|made| made.encryptions > 0)
            .collect()
    }

    /// Whether half of what this node may owe the stored keyring is reached: the time to write it.
    #[must_use]
    pub fn must_count(&self) -> bool {
        self.terms
            .values()
            .any(|held| held.uncounted.load(Ordering::Relaxed) >= MAXIMUM_UNCOUNTED_ENCRYPTIONS / 2)
    }

    /// Adds what a node made to a keyring that is to be stored. Terms that it does not hold are passed over: nothing in the
    /// store can be under them.
    pub fn count(&mut self, made: &[Uncounted]) {
        for Uncounted { term, encryptions } in made {
            if let Some(held) = self.terms.get_mut(term) {
                held.counted = held.counted.saturating_add(*encryptions);
            }
        }
    }

    /// Takes the place of `before` as what this node works with, once `self` is what is stored. What this node made goes on
    /// to be owed, until it is [paid](Self::pay).
    ///
    /// Nothing may encrypt with `before` meanwhile, for which its owner holds it alone.
    #[must_use]
    pub fn follow(self, before: &mut Self) -> Self {
        for (term, held) in &self.terms {
            let owed = before.terms.get_mut(term);
            let owed = owed.map_or(0, |old| *old.uncounted.get_mut());
            held.uncounted.store(owed, Ordering::Relaxed);
        }
        self
    }

    /// Forgets what a stored keyring counts by now: it is not owed any more. To be done once for each time that it was
    /// [counted](Self::count).
    pub fn pay(&self, counted: &[Uncounted]) {
        for Uncounted { term, encryptions } in counted {
            if let Some(held) = self.terms.get(term) {
                let left = |owed: u64| Some(owed.saturating_sub(*encryptions));
                // What is always some is always stored.
                let _ = held
                    .uncounted
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
            }
        }
    }

    /// Seals the keyring by the root key, for `place`. What this node made and did not count is not in it.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn seal(
        &self,
        root: &Key,
        place: Place<'_>,
        randomness: &mut dyn Randomness,
    ) -> Result<Vec<u8>, BarrierError> {
        cipher::encrypt(root, ROOT_TERM, place, self.encode()?.expose(), randomness)
    }

    /// Opens a sealed keyring.
    ///
    /// # Errors
    /// Those of [`cipher::decrypt`], [`BarrierError::UnknownTerm`] where it is not under a root key, and
    /// [`BarrierError::Keyring`].
    pub fn open(root: &Key, place: Place<'_>, sealed: &[u8]) -> Result<Self, BarrierError> {
        let term = cipher::term_of(sealed)?;
        if term != ROOT_TERM {
            return Err(BarrierError::UnknownTerm { term });
        }
        Self::decode(cipher::decrypt(root, place, sealed)?.expose())
    }

    /// As if `term` had made so many encryptions on this node.
    #[cfg(test)]
    pub fn owe(&self, term: u32, encryptions: u64) {
        if let Some(held) = self.terms.get(&term) {
            held.uncounted.store(encryptions, Ordering::Relaxed);
        }
    }

    fn active(&self) -> Result<(u32, &Term), BarrierError> {
        let (term, active) = self.terms.last_key_value().ok_or(BarrierError::Keyring {
            reason: "it has no term",
        })?;
        Ok((*term, active))
    }

    fn encode(&self) -> Result<Secret<Vec<u8>>, BarrierError> {
        let number = u32::try_from(self.terms.len()).map_err(|_| BarrierError::TooManyTerms)?;
        // As long as it gets: no key is left behind in a shorter buffer.
        let mut encoded = Vec::with_capacity(HEAD_BYTES + TERM_BYTES * self.terms.len());
        encoded.push(FORMAT);
        encoded.extend_from_slice(self.name_key.expose());
        encoded.extend_from_slice(self.hash_key.expose());
        encoded.extend_from_slice(&number.to_be_bytes());
        for (term, held) in &self.terms {
            encoded.extend_from_slice(&term.to_be_bytes());
            encoded.extend_from_slice(&held.installed_unix_seconds.to_be_bytes());
            encoded.extend_from_slice(&held.counted.to_be_bytes());
            encoded.extend_from_slice(held.key.expose());
        }
        Ok(Secret::new(encoded))
    }

    /// Reads what [`Keyring::encode`] wrote.
    ///
    /// # Errors
    /// [`BarrierError::UnknownFormat`] and [`BarrierError::Keyring`].
    pub(super) fn decode(encoded: &[u8]) -> Result<Self, BarrierError> {
        let fail = |reason| BarrierError::Keyring { reason };
        match encoded.first() {
            None => return Err(fail("it is empty")),
            Some(&FORMAT) => {}
            Some(&format) => return Err(BarrierError::UnknownFormat { format }),
        }
        let short = || fail("it is too short");
        let (_, rest) = encoded.split_first().ok_or_else(short)?;
        let (name_key, rest) = rest.split_first_chunk::<KEY_BYTES>().ok_or_else(short)?;
        let (hash_key, rest) = rest.split_first_chunk::<KEY_BYTES>().ok_or_else(short)?;
        let (number, mut rest) = rest.split_first_chunk().ok_or_else(short)?;
        let number = u32::from_be_bytes(*number);
        if number == 0 || usize::try_from(number).is_ok_and(|number| number > MAXIMUM_KEYRING_TERMS) {
            return Err(fail("it has no term, or more than there may be"));
        }
        let mut terms = BTreeMap::new();
        let mut last = ROOT_TERM;
        for _ in 0..number {
            let (term, after) = rest.split_first_chunk().ok_or_else(short)?;
            let (installed, after) = after.split_first_chunk().ok_or_else(short)?;
            let (counted, after) = after.split_first_chunk().ok_or_else(short)?;
            let (key, after) = after.split_first_chunk::<KEY_BYTES>().ok_or_else(short)?;
            rest = after;
            let term = u32::from_be_bytes(*term);
            if term <= last {
                return Err(fail("its terms do not ascend from 1"));
            }
            last = term;
            let held = Term {
                key: Key::copied_from(key),
                installed_unix_seconds: u64::from_be_bytes(*installed),
                counted: u64::from_be_bytes(*counted),
                uncounted: AtomicU64::new(0),
            };
            terms.insert(term, held);
        }
        if !rest.is_empty() {
            return Err(fail("it is too long"));
        }
        Ok(Self {
            name_key: Key::copied_from(name_key),
            hash_key: Key::copied_from(hash_key),
            terms,
        })
    }
}
