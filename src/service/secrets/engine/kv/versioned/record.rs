//! What is stored of a secret: its metadata, and the value of each version.
//!
//! Never holds a value together with the metadata, so that the record which every request reads stays small.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::secret::Secret;
use crate::service::secrets::engine::kv::check_size;
use crate::service::secrets::engine::{Fault, Storage};
use crate::service::secrets::randomness::Randomness;

/// The first byte of a record of metadata: what follows is bincode.
const METADATA_FORMAT: u8 = 1;
/// The first byte of a value: what follows is JSON.
const VALUE_FORMAT: u8 = 1;
const ID_BYTES: usize = 16;

/// A secret without its values.
#[derive(Debug, Serialize, Deserialize)]
pub struct Metadata {
    /// The directory of its values.
    id: [u8; ID_BYTES],
    /// When it was first written, since 1970.
    pub created: Duration,
    /// When a version was last written.
    pub updated: Duration,
    /// The number of the newest version; zero: there was none yet.
    pub current: u64,
    /// The number of the oldest version that is kept; zero as long as none had to go.
    pub oldest: u64,
    /// The versions that are kept, up to the newest, without a gap.
    versions: Vec<Version>,
    /// How many are kept; zero: as the mount says.
    pub maximum_versions: u32,
    /// Whether each write must say which version it replaces.
    pub is_cas_required: bool,
    /// After how many seconds a version is deleted; zero: as the mount says.
    pub version_life_seconds: u64,
    /// What clients say of it.
    pub custom: BTreeMap<String, String>,
}

/// A version without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was written, since 1970.
    pub created: Duration,
    /// From when on it is deleted.
    pub deletion: Option<Duration>,
    /// Whether its value is gone for good.
    pub is_destroyed: bool,
}

impl Version {
    /// One that is written at `now`, and lives for so many seconds, or for ever.
    #[must_use]
    pub fn new(now: Duration, life_seconds: Option<u64>) -> Self {
        Self {
            created: now,
            deletion: end_of_life(now, life_seconds),
            is_destroyed: false,
        }
    }

    /// Deletes it, unless it is gone; tells whether it was not.
    pub fn delete(&mut self, now: Duration) -> bool {
        if self.is_gone(now) {
            return false;
        }
        self.deletion = Some(now);
        true
    }

    /// Brings it back, unless it is destroyed. Its life begins anew.
    pub fn undelete(&mut self, now: Duration, life_seconds: Option<u64>) {
        if !self.is_destroyed {
            self.deletion = end_of_life(now, life_seconds);
        }
    }

    /// Whether its value is not to be had.
    #[must_use]
    pub fn is_gone(&self, now: Duration) -> bool {
        self.is_destroyed || self.deletion.is_some_and(|deletion| deletion <= now)
    }
}

fn end_of_life(now: Duration, life_seconds: Option<u64>) -> Option<Duration> {
    life_seconds.map(|seconds| now.saturating_add(Duration::from_secs(seconds)))
}

impl Metadata {
    /// A secret that has no version yet.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn new(now: Duration, randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        let mut id = [0; ID_BYTES];
        randomness.fill(&mut id)?;
        Ok(Self {
            id,
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            versions: Vec::new(),
            maximum_versions: 0,
            is_cas_required: false,
            version_life_seconds: 0,
            custom: BTreeMap::new(),
        })
    }

    /// The metadata of the secret at a path.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(storage: &mut dyn Storage, path: &str) -> Result<Option<Self>, Fault> {
        let Some(record) = storage.get(&at(path))? else {
            return Ok(None);
        };
        let encoded = body(record.expose(), METADATA_FORMAT)?;
        match bincode::serde::decode_from_slice(encoded, bincode::config::standard()) {
            Ok((metadata, read)) if read == encoded.len() => Ok(Some(metadata)),
            _ => Err(unreadable()),
        }
    }

    /// Whether there is a secret at a path.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn exists(storage: &mut dyn Storage, path: &str) -> Result<bool, Fault> {
        Ok(storage.get(&at(path))?.is_some())
    }

    /// Writes it as that of the secret at a path.
    ///
    /// # Errors
    /// The path is too long.
    pub fn write(&self, storage: &mut dyn Storage, path: &str) -> Result<(), Fault> {
        let mut record = vec![METADATA_FORMAT];
        bincode::serde::encode_into_std_write(self, &mut record, bincode::config::standard())
            .map_err(|error| Fault::Internal(error.to_string()))?;
        storage.put(&at(path), Secret::new(record), None)
    }

    /// Removes it, and the values of all versions.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn remove(&self, storage: &mut dyn Storage, path: &str) -> Result<(), Fault> {
        if self.current > 0 {
            storage.delete_below(&self.directory())?;
        }
        storage.delete(&at(path))
    }

    /// The versions that are kept, by number.
    pub fn versions(&self) -> impl Iterator<Item = (u64, &Version)> {
        (self.first()..).zip(&self.versions)
    }

    /// The version of that number.
    #[must_use]
    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.get(self.index(number)?)
    }

    /// The same, to be changed.
    pub fn version_mut(&mut self, number: u64) -> Option<&mut Version> {
        let index = self.index(number)?;
        self.versions.get_mut(index)
    }

    /// Adds a version, and forgets those before the last `maximum`. The numbers of these are told: their values are to be
    /// removed.
    pub fn add(&mut self, version: Version, maximum: u32) -> Range<u64> {
        let first = self.first();
        self.updated = version.created;
        self.current = self.current.saturating_add(1);
        self.versions.push(version);
        let kept_from = self.current.saturating_add(1).saturating_sub(u64::from(maximum));
        if kept_from <= self.oldest {
            return first..first;
        }
        self.oldest = kept_from;
        let forgotten = usize::try_from(kept_from.saturating_sub(first)).unwrap_or(usize::MAX);
        self.versions.drain(..forgotten.min(self.versions.len()));
        first..kept_from.max(first)
    }

    /// The JSON of a version.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn value(&self, storage: &mut dyn Storage, number: u64) -> Result<Value, Fault> {
        let record = storage.get(&self.value_at(number))?;
        Ok(Value(record.ok_or_else(unreadable)?))
    }

    /// Writes the JSON of a version.
    ///
    /// # Errors
    /// It is too large.
    pub fn put_value(&self, storage: &mut dyn Storage, number: u64, json: &str) -> Result<(), Fault> {
        check_size(json.len())?;
        let mut record = Vec::with_capacity(1 + json.len());
        record.push(VALUE_FORMAT);
        record.extend_from_slice(json.as_bytes());
        storage.put(&self.value_at(number), Secret::new(record), None)
    }

    /// Removes the JSON of a version.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn remove_value(&self, storage: &mut dyn Storage, number: u64) -> Result<(), Fault> {
        storage.delete(&self.value_at(number))
    }

    /// The number of the first version that is kept.
    fn first(&self) -> u64 {
        let kept = u64::try_from(self.versions.len()).unwrap_or(u64::MAX);
        self.current.saturating_add(1).saturating_sub(kept)
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first())?).ok()
    }

    fn directory(&self) -> String {
        let mut path = String::with_capacity("versions/".len() + 2 * ID_BYTES + "/1000000".len());
        path.push_str("versions/");
        for byte in self.id {
            for digit in [byte >> 4, byte & 15] {
                path.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        path
    }

    fn value_at(&self, number: u64) -> String {
        let mut path = self.directory();
        // Writing to a text never fails.
        let _ = write!(path, "/{number}");
        path
    }
}

/// The value of a version.
pub struct Value(Secret<Vec<u8>>);

impl Value {
    /// Its JSON, as the client wrote it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn json(&self) -> Result<&str, Fault> {
        let json = body(self.0.expose(), VALUE_FORMAT)?;
        std::str::from_utf8(json).map_err(|_| unreadable())
    }
}

/// Where the metadata of a secret are, or in a list those of a directory.
pub fn at(path: &str) -> String {
    ["metadata", path].join("/")
}

fn body(record: &[u8], format: u8) -> Result<&[u8], Fault> {
    match record.split_first() {
        Some((first, body)) if *first == format => Ok(body),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Fault {
    Fault::Internal("what is stored of a secret cannot be read by this program".to_owned())
}
