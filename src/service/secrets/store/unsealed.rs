//! What a node has while it is not sealed.
//!
//! The root key, the keyring as it was last read, what makes sealed names and keyed hashes, and what was made of records that
//! are read for every request (mounts, policies, tokens), good for as long as their revision is the same. All of it is wiped
//! when the node is sealed and the last request that was under way has ended.
//!
//! Never decides who may have it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

use super::keys;
use crate::base::Revision;
use crate::base::limits::MAXIMUM_SECRET_CACHE_ENTRIES;
#[cfg(test)]
use crate::base::limits::MAXIMUM_UNCOUNTED_ENCRYPTIONS;
use crate::base::secret::Secret;
use crate::service::secrets::barrier::NameError;
use crate::service::secrets::barrier::cipher::Place;
use crate::service::secrets::barrier::hashed::{Hasher, Purpose};
use crate::service::secrets::barrier::keyring::{KeyStatus, Keyring, Uncounted};
use crate::service::secrets::barrier::names::Names;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::memory::Key;
use crate::service::secrets::policy::{Merged, Policy, PolicyError, Values};
use crate::service::secrets::randomness::SystemRandomness;
use crate::state::ReadView;
use crate::state::applied::KeyValue;
use crate::state::command::Range;

/// See the module.
pub struct Unsealed {
    root: Key,
    held: RwLock<Held>,
    names: Names,
    tokens: Hasher,
    is_counting: AtomicBool,
    counting: AsyncMutex<()>,
    made: Mutex<HashMap<Bytes, Made>>,
    tables: Mutex<HashMap<String, Table>>,
    directories: Mutex<HashMap<String, Arc<[u8]>>>,
    merged: Mutex<HashMap<Vec<String>, MergedOf>>,
}

/// Policies, and what they are together.
type MergedOf = (Vec<Arc<Policy>>, Arc<Merged>);

struct Held {
    keyring: Keyring,
    /// The revision at which it was written.
    revision: Revision,
}

struct Made {
    revision: Revision,
    thing: Arc<dyn Any + Send + Sync>,
}

/// What was made of a table, when the tables had last changed at that revision.
struct Table {
    changed: Revision,
    /// None: there is no such table.
    thing: Option<Arc<dyn Any + Send + Sync>>,
}

/// The record at a key, in a view.
///
/// # Errors
/// The disk failed.
pub fn stored(view: &ReadView, key: &Bytes, keys_only: bool) -> Result<Option<KeyValue>, SecretsError> {
    let range = Range {
        keys: keys::single(key.clone()),
        keys_only,
        ..Range::default()
    };
    let answer = view.range(&range).map_err(crate::service::ServiceError::from)?;
    let answer = answer.map_err(crate::service::ServiceError::from)?;
    Ok(answer.key_values.into_iter().next())
}

/// Where a record lies that the store holds.
pub(super) fn place(record: &KeyValue) -> Place<'_> {
    Place {
        storage_key: &record.key,
        version: u64::try_from(record.version).unwrap_or_default(),
    }
}

impl Unsealed {
    /// What a store begins with, before it is written.
    #[must_use]
    pub fn new(root: Key, keyring: Keyring) -> Self {
        Self::at(root, keyring, Revision(0))
    }

    fn at(root: Key, keyring: Keyring, revision: Revision) -> Self {
        Self {
            names: Names::new(keyring.name_key()),
            tokens: Hasher::new(keyring.hash_key(), Purpose::Token),
            root,
            held: RwLock::new(Held { keyring, revision }),
            is_counting: AtomicBool::new(false),
            counting: AsyncMutex::default(),
            made: Mutex::default(),
            tables: Mutex::default(),
            directories: Mutex::default(),
            merged: Mutex::default(),
        }
    }

    /// What `root` opens in `view`.
    ///
    /// # Errors
    /// There is no keyring, or it is not under this root key.
    pub fn open(root: Key, view: &ReadView) -> Result<Self, SecretsError> {
        let (keyring, revision) = read_keyring(&root, view)?;
        Ok(Self::at(root, keyring, revision))
    }

    /// Takes the keyring of `view` if it is newer than what is known, so that whatever the view holds can be read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn follow(&self, view: &ReadView) -> Result<(), SecretsError> {
        let newest = stored(view, &Bytes::from_static(keys::KEYRING), true)?;
        let newest = newest.map_or(Revision(0), |record| record.modification_revision);
        if newest > self.held.read().revision {
            let (keyring, revision) = read_keyring(&self.root, view)?;
            let mut held = self.held.write();
            if revision > held.revision {
                held.keyring = keyring.follow(&mut held.keyring);
                held.revision = revision;
            }
        }
        Ok(())
    }

    /// A keyring to be stored in place of that of `view`: with what this node owes it counted and, where `rotate` says when
    /// it is since 1970, with another term. Comes with what it counts, for [`Unsealed::pay`].
    ///
    /// # Errors
    /// It cannot be read, has too many terms, or there is no randomness.
    pub fn next_keyring(
        &self,
        view: &ReadView,
        rotate: Option<u64>,
    ) -> Result<(KeyValue, Bytes, Vec<Uncounted>), SecretsError> {
        let written = self.held.read().keyring.uncounted();
        let record = keyring_record(view)?;
        let mut keyring = Keyring::open(&self.root, place(&record), &record.value)?;
        keyring.count(&written);
        if let Some(now_unix_seconds) = rotate {
            keyring.rotate(now_unix_seconds, &mut SystemRandomness)?;
        }
        let next = Place {
            version: place(&record).version + 1,
            ..place(&record)
        };
        let sealed = keyring.seal(&self.root, next, &mut SystemRandomness)?;
        Ok((record, Bytes::from(sealed), written))
    }

    /// A keyring of [`Unsealed::next_keyring`] is stored: what it counts is not owed any more.
    pub fn pay(&self, counted: &[Uncounted]) {
        self.held.read().keyring.pay(counted);
    }

    /// As if this node had made all encryptions but one that it may without writing it down; how many those are.
    #[cfg(test)]
    pub fn owe_all_but_one(&self) -> u64 {
        let owed = MAXIMUM_UNCOUNTED_ENCRYPTIONS - 1;
        self.held.read().keyring.owe(1, owed);
        owed
    }

    /// The place of who writes the keyring of this node: whoever has it has [paid](Self::pay) before the next one counts.
    pub async fn turn_to_count(&self) -> AsyncMutexGuard<'_, ()> {
        self.counting.lock().await
    }

    /// Whether the count of encryptions is to be written, and nobody does so yet: the caller does, and says when it is done.
    #[must_use]
    pub fn begin_counting(&self) -> bool {
        self.held.read().keyring.must_count() && !self.is_counting.swap(true, Ordering::Relaxed)
    }

    /// The count is written, or cannot be.
    pub fn end_counting(&self) {
        self.is_counting.store(false, Ordering::Relaxed);
    }

    /// The active term.
    ///
    /// # Errors
    /// The keyring has none.
    pub fn key_status(&self) -> Result<KeyStatus, SecretsError> {
        Ok(self.held.read().keyring.status()?)
    }

    /// A copy of the root key, in memory of its own.
    #[must_use]
    pub fn copy_of_root(&self) -> Key {
        Key::copied_from(self.root.expose())
    }

    /// What makes sealed names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What storage knows a token by: hexadecimal digits.
    #[must_use]
    pub fn token_id(&self, token: &str) -> String {
        hexadecimal(self.tokens.hash(token.as_bytes()).bytes())
    }

    /// A copy of the key of hashes, in memory of its own.
    #[must_use]
    pub fn copy_of_hash_key(&self) -> Key {
        Key::copied_from(self.held.read().keyring.hash_key().expose())
    }

    /// What hashes values for an audit device.
    #[must_use]
    pub fn audit_hasher(&self, device: &str) -> Hasher {
        Hasher::new(self.held.read().keyring.hash_key(), Purpose::Audit { device })
    }

    /// Encrypts for a place.
    ///
    /// # Errors
    /// Those of [`Keyring::encrypt`].
    pub fn encrypt(&self, place: Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let held = self.held.read();
        Ok(held.keyring.encrypt(place, plaintext, &mut SystemRandomness)?)
    }

    /// Decrypts a record of the store.
    ///
    /// # Errors
    /// Those of [`Keyring::decrypt`].
    pub fn decrypt(&self, record: &KeyValue) -> Result<Secret<Vec<u8>>, SecretsError> {
        self.decrypt_at(place(record), &record.value)
    }

    /// Decrypts what lies at a place.
    ///
    /// # Errors
    /// Those of [`Keyring::decrypt`].
    pub fn decrypt_at(&self, place: Place<'_>, record: &[u8]) -> Result<Secret<Vec<u8>>, SecretsError> {
        Ok(self.held.read().keyring.decrypt(place, record)?)
    }

    /// What was made of the record at a key when it was of that revision, if it was kept.
    pub(super) fn made<Thing: Send + Sync + 'static>(
        &self,
        key: &Bytes,
        revision: Revision,
    ) -> Option<Arc<Thing>> {
        let made = self.made.lock();
        let kept = made.get(key).filter(|kept| kept.revision == revision)?;
        Arc::clone(&kept.thing).downcast().ok()
    }

    /// Keeps what was made of a record.
    pub(super) fn keep<Thing: Send + Sync + 'static>(
        &self,
        key: Bytes,
        revision: Revision,
        thing: &Arc<Thing>,
    ) {
        let mut made = self.made.lock();
        if made.len() >= MAXIMUM_SECRET_CACHE_ENTRIES {
            made.clear();
        }
        let thing: Arc<dyn Any + Send + Sync> = Arc::clone(thing) as _;
        made.insert(key, Made { revision, thing });
    }

    /// What was made of the table at a path when the tables had last changed at that revision, if it was kept; none inside:
    /// there was no such table.
    pub(super) fn table<Thing: Send + Sync + 'static>(
        &self,
        path: &str,
        changed: Revision,
    ) -> Option<Option<Arc<Thing>>> {
        let tables = self.tables.lock();
        let kept = tables.get(path).filter(|kept| kept.changed == changed)?;
        match &kept.thing {
            Some(thing) => Some(Some(Arc::clone(thing).downcast().ok()?)),
            None => Some(None),
        }
    }

    /// Keeps what was made of a table.
    pub(super) fn keep_table<Thing: Send + Sync + 'static>(
        &self,
        path: &str,
        changed: Revision,
        thing: Option<&Arc<Thing>>,
    ) {
        let mut tables = self.tables.lock();
        if tables.len() >= MAXIMUM_SECRET_CACHE_ENTRIES {
            tables.clear();
        }
        let thing = thing.map(|thing| Arc::clone(thing) as Arc<dyn Any + Send + Sync>);
        tables.insert(path.to_owned(), Table { changed, thing });
    }

    /// The sealed name of a directory, kept.
    ///
    /// # Errors
    /// The path is too long or too deep.
    pub fn directory(&self, path: &str) -> Result<Arc<[u8]>, NameError> {
        let mut directories = self.directories.lock();
        if let Some(name) = directories.get(path) {
            return Ok(Arc::clone(name));
        }
        let name: Arc<[u8]> = self.names.encode(path)?.into();
        if directories.len() >= MAXIMUM_SECRET_CACHE_ENTRIES {
            directories.clear();
        }
        directories.insert(path.to_owned(), Arc::clone(&name));
        Ok(name)
    }

    /// Policies merged, kept for as long as these names stand for the same ones.
    ///
    /// # Errors
    /// The root policy is beside others.
    pub fn merged(&self, names: &[String], policies: Vec<Arc<Policy>>) -> Result<Arc<Merged>, PolicyError> {
        let mut kept = self.merged.lock();
        if let Some((of, merged)) = kept.get(names)
            && of.len() == policies.len()
            && of
                .iter()
                .zip(&policies)
                .all(|(one, other)| Arc::ptr_eq(one, other))
        {
            return Ok(Arc::clone(merged));
        }
        let merged = Arc::new(Merged::new(policies.iter().map(Arc::as_ref), &Values::default())?);
        if kept.len() >= MAXIMUM_SECRET_CACHE_ENTRIES {
            kept.clear();
        }
        kept.insert(names.to_vec(), (policies, Arc::clone(&merged)));
        Ok(merged)
    }
}

/// Hexadecimal digits, in lower case.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn keyring_record(view: &ReadView) -> Result<KeyValue, SecretsError> {
    stored(view, &Bytes::from_static(keys::KEYRING), false)?.ok_or(SecretsError::NotInitialized)
}

fn read_keyring(root: &Key, view: &ReadView) -> Result<(Keyring, Revision), SecretsError> {
    let record = keyring_record(view)?;
    let keyring = Keyring::open(root, place(&record), &record.value)?;
    Ok((keyring, record.modification_revision))
}
