//! A key with its versions, as they are stored: the settings in one record, and each version in one of its own, so that
//! what uses a version reads no other.
//!
//! Never gives a version that the settings forbid.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::KeyType;
use super::material::{KeyBytes, Material};
use super::versioned::Subject;
use crate::base::limits::{MAXIMUM_TRANSIT_NAME_BYTES, MAXIMUM_TRANSIT_VERSIONS};
use crate::service::secrets::engine::{Answer, Call, Fault, Storage, storage};
use crate::service::secrets::randomness::Randomness;

/// The directory of the settings of keys.
pub const KEYS: &str = "key";

const TOO_OLD: &str = "ciphertext or signature version is disallowed by policy (too old)";

/// Bytes of the key for HMAC that each version has besides.
const HMAC_KEY_BYTES: usize = 32;

/// The settings of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    /// Its type.
    pub kind: KeyType,
    /// Whether what is used is derived of it, for a context.
    pub derived: bool,
    /// Whether the same plaintext gives the same ciphertext.
    pub convergent: bool,
    /// Whether its secrets can be exported. Never taken back.
    pub exportable: bool,
    /// Whether it can be backed up. Never taken back.
    pub plaintext_backup: bool,
    /// Whether it can be deleted.
    pub deletion_allowed: bool,
    /// The newest version.
    pub latest: u32,
    /// When that was made, since 1970.
    pub latest_made: Duration,
    /// The oldest version that decrypts and verifies.
    pub min_decryption: u32,
    /// The oldest version that encrypts and signs; 0: only the newest does, unless another is asked for.
    pub min_encryption: u32,
    /// The oldest version that is kept; 0: all are.
    pub min_available: u32,
    /// Seconds after which it is rotated; 0: not by itself.
    pub rotation_seconds: u64,
    /// Bytes of its secrets if it is for HMAC alone.
    pub hmac_bytes: usize,
    /// Whether it was imported.
    pub imported: bool,
    /// Whether it may be rotated though it was imported.
    pub rotates_imported: bool,
}

impl Key {
    /// A key without versions.
    #[must_use]
    pub fn new(kind: KeyType) -> Self {
        Self {
            kind,
            derived: false,
            convergent: false,
            exportable: false,
            plaintext_backup: false,
            deletion_allowed: false,
            latest: 0,
            latest_made: Duration::ZERO,
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
            rotation_seconds: 0,
            hmac_bytes: HMAC_KEY_BYTES,
            imported: false,
            rotates_imported: false,
        }
    }

    /// Whether there can be such a key.
    ///
    /// # Errors
    /// Its type cannot do what it is to do.
    pub fn check(&self) -> Result<(), Fault> {
        let name = self.kind.name();
        if (self.derived || self.convergent) && !self.kind.derives() {
            return Err(Fault::Invalid(format!(
                "key derivation and convergent encryption not supported for keys of type {name}"
            )));
        }
        if self.convergent && !self.kind.is_cipher() {
            return Err(Fault::Invalid(format!(
                "convergent encryption not supported for keys of type {name}"
            )));
        }
        if self.convergent && !self.derived {
            return Err(Fault::Invalid(
                "convergent encryption requires derivation to be enabled".to_owned(),
            ));
        }
        Ok(())
    }

    /// The oldest version that is kept.
    #[must_use]
    pub fn oldest(&self) -> u32 {
        self.min_available.max(1)
    }

    /// The version with which something new is made: the one that is asked for, else the newest.
    ///
    /// # Errors
    /// There is none of that number, or it must not be used.
    pub fn chosen(&self, wanted: Option<i64>, action: &str) -> Result<u32, Fault> {
        let refused = |reason: &str| {
            Err(Fault::Invalid(format!(
                "requested version for {action} is {reason}"
            )))
        };
        let wanted = match wanted {
            None | Some(0) => return Ok(self.latest),
            Some(wanted) => wanted,
        };
        match u32::try_from(wanted) {
            Err(_) if wanted < 0 => refused("negative"),
            Ok(number) if number <= self.latest => {
                if number < self.min_encryption || number < self.oldest() {
                    return refused("less than the minimum encryption key version");
                }
                Ok(number)
            }
            _ => refused("higher than the latest key version"),
        }
    }

    /// Whether a version may decrypt or verify.
    ///
    /// # Errors
    /// It may not, or there is none of that number.
    pub fn admit(&self, number: u32, subject: Subject) -> Result<(), Fault> {
        if number > self.latest {
            return Err(subject.invalid("version is too new"));
        }
        if number < self.min_decryption || number < self.oldest() {
            return Err(Fault::Invalid(TOO_OLD.to_owned()));
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.latest - self.oldest().min(self.latest) + 1 >= MAXIMUM_TRANSIT_VERSIONS
    }

    fn is_due(&self, now: Duration) -> bool {
        let period = Duration::from_secs(self.rotation_seconds);
        !period.is_zero() && now.saturating_sub(self.latest_made) >= period
    }
}

/// A version of a key, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionRecord {
    /// When it was made, since 1970.
    pub made: Duration,
    /// Its secret.
    pub secret: KeyBytes,
    /// Its key for HMAC.
    pub hmac: KeyBytes,
    /// Its public key, as it is shown; empty: it has none.
    pub public: String,
}

impl VersionRecord {
    /// The record of a secret. A key for HMAC alone has no other for HMAC.
    ///
    /// # Errors
    /// The secret cannot be encoded, which is so for none.
    pub fn new(key: &Key, material: &Material, made: Duration, hmac: KeyBytes) -> Result<Self, Fault> {
        let secret = material.stored()?;
        Ok(Self {
            made,
            hmac: if key.kind == KeyType::Hmac {
                secret.clone()
            } else {
                hmac
            },
            secret,
            // That of a derived key depends on the context.
            public: if key.derived {
                String::new()
            } else {
                material.public()?
            },
        })
    }
}

/// A version of a key, to be used.
pub struct Version {
    /// Which.
    pub number: u32,
    /// Its secret.
    pub material: Material,
    /// Its record.
    pub record: VersionRecord,
}

/// A key for one request, with the versions that the request needed so far.
pub struct Opened {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub key: Key,
    versions: BTreeMap<u32, Rc<Version>>,
    warnings: Vec<String>,
}

impl Opened {
    /// A key that is not stored yet.
    #[must_use]
    pub fn new(name: &str, key: Key) -> Self {
        Self {
            name: name.to_owned(),
            key,
            versions: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// The key of that name; none: there is none.
    ///
    /// # Errors
    /// The name is none, or the store cannot be read.
    pub fn load(storage: &mut dyn Storage, name: &str) -> Result<Option<Self>, Fault> {
        check_name(name)?;
        let key = storage::read(storage, &key_path(name))?;
        Ok(key.map(|key| Self::new(name, key)))
    }

    /// The key of that name.
    ///
    /// # Errors
    /// There is none, which is said with `missing`.
    pub fn required(storage: &mut dyn Storage, name: &str, missing: &str) -> Result<Self, Fault> {
        let opened = Self::load(storage, name)?;
        opened.ok_or_else(|| Fault::Invalid(missing.to_owned()))
    }

    /// The key of that name to be used, rotated before if that is due.
    ///
    /// # Errors
    /// As [`Opened::required`].
    pub fn used(
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
        name: &str,
        missing: &str,
    ) -> Result<Self, Fault> {
        let mut opened = Self::required(storage, name, missing)?;
        opened.rotate_if_due(call.now, storage, randomness)?;
        Ok(opened)
    }

    fn rotate_if_due(
        &mut self,
        now: Duration,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<(), Fault> {
        if !self.key.is_due(now) {
            return Ok(());
        }
        if self.key.is_full() {
            // What is encrypted stays of use to its owner, who is told what to do.
            self.warnings.push(format!("the key was not rotated: {}", full()));
            return Ok(());
        }
        self.rotate(now, storage, randomness)
    }

    /// Adds a version that is made anew, and stores the key.
    ///
    /// # Errors
    /// There are too many, or there is no randomness to be had.
    pub fn rotate(
        &mut self,
        now: Duration,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<(), Fault> {
        let material = Material::generate(self.key.kind, self.key.hmac_bytes, randomness)?;
        self.push(material, now, storage, randomness)
    }

    /// Adds a version, and stores the key.
    ///
    /// # Errors
    /// There are too many, or there is no randomness to be had.
    pub fn push(
        &mut self,
        material: Material,
        now: Duration,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<(), Fault> {
        if self.key.latest > 0 && self.key.is_full() {
            return Err(Fault::Invalid(full()));
        }
        let hmac = KeyBytes(randomness.bytes(HMAC_KEY_BYTES)?);
        let record = VersionRecord::new(&self.key, &material, now, hmac)?;
        self.key.latest += 1;
        self.key.latest_made = now;
        let number = self.key.latest;
        self.write_version(storage, number, &record)?;
        self.versions.insert(
            number,
            Rc::new(Version {
                number,
                material,
                record,
            }),
        );
        self.save(storage)
    }

    /// Stores the settings.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn save(&self, storage: &mut dyn Storage) -> Result<(), Fault> {
        storage::write(storage, &key_path(&self.name), &self.key, None)
    }

    /// Stores a version.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_version(
        &self,
        storage: &mut dyn Storage,
        number: u32,
        record: &VersionRecord,
    ) -> Result<(), Fault> {
        storage::write(storage, &version_path(&self.name, number), record, None)
    }

    /// The record of a version.
    ///
    /// # Errors
    /// It cannot be read, or is not there.
    pub fn record(&self, storage: &mut dyn Storage, number: u32) -> Result<VersionRecord, Fault> {
        storage::read(storage, &version_path(&self.name, number))?
            .ok_or_else(|| Fault::Internal("a version of a key is not stored".to_owned()))
    }

    /// A version, to be used.
    ///
    /// # Errors
    /// It cannot be read, or is not there.
    pub fn version(&mut self, storage: &mut dyn Storage, number: u32) -> Result<Rc<Version>, Fault> {
        if let Some(version) = self.versions.get(&number) {
            return Ok(Rc::clone(version));
        }
        let record = self.record(storage, number)?;
        let material = Material::from_stored(self.key.kind, &record.secret, &record.public)
            .ok_or_else(|| Fault::Internal("a stored key is broken".to_owned()))?;
        let version = Rc::new(Version {
            number,
            material,
            record,
        });
        self.versions.insert(number, Rc::clone(&version));
        Ok(version)
    }

    /// Removes the versions before the oldest that is kept, and stores the key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trim(&mut self, storage: &mut dyn Storage, oldest: u32) -> Result<(), Fault> {
        for number in self.key.oldest()..oldest {
            storage.delete(&version_path(&self.name, number))?;
        }
        self.key.min_available = oldest;
        self.save(storage)
    }

    /// Removes the key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn delete(&self, storage: &mut dyn Storage) -> Result<(), Fault> {
        storage.delete_below(&format!("version/{}", self.name))?;
        storage.delete(&key_path(&self.name))
    }

    /// An answer with what the client is to be warned of.
    #[must_use]
    pub fn warned(self, mut answer: Answer) -> Answer {
        answer.warnings.extend(self.warnings);
        answer
    }
}

fn full() -> String {
    format!("it has {MAXIMUM_TRANSIT_VERSIONS} versions, which is the most; trim older ones")
}

fn key_path(name: &str) -> String {
    format!("{KEYS}/{name}")
}

fn version_path(name: &str, number: u32) -> String {
    format!("version/{name}/{number}")
}

/// Whether a name can be one of a key: letters, digits and `_`, and between them `-` and `.` too.
///
/// # Errors
/// It cannot.
pub fn check_name(name: &str) -> Result<(), Fault> {
    if name.len() > MAXIMUM_TRANSIT_NAME_BYTES {
        return Err(Fault::Invalid(format!(
            "the name of the key has {} bytes; the most is {MAXIMUM_TRANSIT_NAME_BYTES}",
            name.len()
        )));
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = name.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    let has_ends = ends.is_some_and(|(first, last)| is_word(*first) && is_word(*last));
    if has_ends
        && bytes
            .iter()
            .all(|byte| is_word(*byte) || matches!(byte, b'-' | b'.'))
    {
        return Ok(());
    }
    Err(Fault::NoPath(
        "unsupported path: the name of a key has letters, digits and _, and between them - and .".to_owned(),
    ))
}
