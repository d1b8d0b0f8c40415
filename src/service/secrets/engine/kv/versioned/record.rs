//! What is stored of a secret: its metadata, and the value of each version.
//!
//! Never holds a value together with the metadata, so that the record which every request reads stays small.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::base::secret::Secret;
use crate::service::secrets::engine::kv::check_size;
use crate::service::secrets::engine::{Fault, Storage};
use crate::service::secrets::randomness::Randomness;

/// The first byte of a record of metadata: what follows is bincode.
const METADATA_FORMAT: u8 = 1;
/// The first byte of a value: what follows is the number of the version (8 bytes, big-endian), and JSON.
const VALUE_FORMAT: u8 = 1;
/// Format and number.
const VALUE_HEAD_BYTES: usize = 1 + 8;
/// As many as fill one block of a sealed name when they are written in base64. That two of a billion secrets share an id has
/// a chance below 2^-29.
const ID_BYTES: usize = 11;
const DIRECTORY: &str = "versions/";

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
    /// The place of its value among those of the secret.
    place: u64,
}

impl Version {
    /// One that is written at `now`, and lives for so many seconds, or for ever.
    #[must_use]
    pub fn new(now: Duration, life_seconds: Option<u64>) -> Self {
        Self {
            created: now,
            deletion: end_of_life(now, life_seconds),
            is_destroyed: false,
            place: 0,
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

    /// Adds a version with its JSON, and forgets those before the last `maximum`, values and all.
    ///
    /// A version takes the place of one that is forgotten: where as many are kept as there may be, a write changes two
    /// records, and none comes or goes.
    ///
    /// # Errors
    /// The JSON is too large, or the store cannot be read.
    pub fn add(
        &mut self,
        storage: &mut dyn Storage,
        version: &Version,
        maximum: u32,
        json: &str,
    ) -> Result<(), Fault> {
        let first = self.first();
        self.updated = version.created;
        self.current = self.current.saturating_add(1);
        let kept_from = self.current.saturating_add(1).saturating_sub(u64::from(maximum));
        self.oldest = self.oldest.max(kept_from);
        let forgotten = usize::try_from(kept_from.saturating_sub(first)).unwrap_or(usize::MAX);
        let forgotten = self.versions.drain(..forgotten.min(self.versions.len()));
        let mut free: Vec<u64> = forgotten.map(|version| version.place).collect();
        let place = free.pop().unwrap_or_else(|| self.next_place());
        for place in free {
            storage.delete(&self.value_at(place))?;
        }
        self.put_value(storage, place, json)?;
        self.versions.push(Version {
            place,
            ..version.clone()
        });
        Ok(())
    }

    /// The JSON of a version.
    ///
    /// # Errors
    /// It cannot be read, or is that of another.
    pub fn value(&self, storage: &mut dyn Storage, number: u64) -> Result<Value, Fault> {
        let version = self.version(number).ok_or(Fault::Missing)?;
        let record = storage.get(&self.value_at(version.place))?;
        Value::of(number, record.ok_or_else(unreadable)?)
    }

    /// Removes the JSON of a version.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn remove_value(&self, storage: &mut dyn Storage, number: u64) -> Result<(), Fault> {
        match self.version(number) {
            Some(version) => storage.delete(&self.value_at(version.place)),
            None => Ok(()),
        }
    }

    /// Writes the JSON of the newest version.
    fn put_value(&self, storage: &mut dyn Storage, place: u64, json: &str) -> Result<(), Fault> {
        check_size(json.len())?;
        let mut record = Vec::with_capacity(VALUE_HEAD_BYTES + json.len());
        record.push(VALUE_FORMAT);
        record.extend_from_slice(&self.current.to_be_bytes());
        record.extend_from_slice(json.as_bytes());
        storage.put(&self.value_at(place), Secret::new(record), None)
    }

    /// A place that no version has.
    fn next_place(&self) -> u64 {
        let places = self.versions.iter().map(|version| version.place);
        places.max().map_or(0, |last| last.saturating_add(1))
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
        [DIRECTORY, &URL_SAFE_NO_PAD.encode(self.id)].concat()
    }

    fn value_at(&self, place: u64) -> String {
        format!("{}/{place}", self.directory())
    }
}

/// The value of a version.
pub struct Value(Secret<Vec<u8>>);

impl Value {
    /// A record, if it is that of the version of that number.
    fn of(number: u64, record: Secret<Vec<u8>>) -> Result<Self, Fault> {
        let of = body(record.expose(), VALUE_FORMAT)?.first_chunk();
        match of.map(|of| u64::from_be_bytes(*of)) {
            Some(of) if of == number => Ok(Self(record)),
            _ => Err(unreadable()),
        }
    }

    /// Its JSON, as the client wrote it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn json(&self) -> Result<&str, Fault> {
        let json = self.0.expose().get(VALUE_HEAD_BYTES..).ok_or_else(unreadable)?;
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
