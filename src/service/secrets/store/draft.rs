//! What a request reads and writes, as one transaction.
//!
//! Every record that is read is remembered with its revision, and the transaction holds only if none of them has changed;
//! what is written is seen by whoever reads after it. A list is not remembered: names that come or go beside it change
//! nothing. Never waits and never encrypts: [`super::commit`] does.

mod lists;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::keys;
use super::unsealed::{Unsealed, stored};
use crate::base::limits::{MAXIMUM_SECRET_PORTION_BYTES, MAXIMUM_SECRET_PORTION_RECORDS};
use crate::base::secret::Secret;
use crate::base::{LeaseId, Revision};
use crate::service::secrets::barrier::names;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::error::SecretsError;
use crate::state::ReadView;
use crate::state::applied::KeyValue;

/// Bytes that a comparison or a write is taken to need in the log besides its key and its value.
const OVERHEAD_BYTES: usize = 64;

/// See the module.
pub struct Draft {
    pub(super) unsealed: Arc<Unsealed>,
    pub(super) view: Arc<ReadView>,
    /// The time since 1970 that the request is served at.
    now: Duration,
    pub(super) seen: BTreeMap<Bytes, Seen>,
    pub(super) writes: BTreeMap<Bytes, Write>,
    /// What was decrypted: it is asked for again before it is written.
    decrypted: BTreeMap<Bytes, Secret<Vec<u8>>>,
    /// The sealed names of paths, as [`super::Room`] made them: it is asked for them again too.
    pub(super) names: BTreeMap<String, Vec<u8>>,
}

/// What the store has at a key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// 0: nothing.
    pub revision: Revision,
    pub version: i64,
    pub lease: LeaseId,
}

/// What is to become of a key.
pub(super) enum Write {
    /// What is no secret, as it is.
    Plain(Bytes),
    Put {
        plaintext: Secret<Vec<u8>>,
        ttl: Option<Duration>,
    },
    Delete,
}

impl Draft {
    /// Nothing read, nothing written.
    #[must_use]
    pub fn new(unsealed: Arc<Unsealed>, view: Arc<ReadView>, now: Duration) -> Self {
        Self {
            unsealed,
            view,
            now,
            seen: BTreeMap::new(),
            writes: BTreeMap::new(),
            decrypted: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// The keys of this node.
    #[must_use]
    pub fn unsealed(&self) -> &Arc<Unsealed> {
        &self.unsealed
    }

    /// The state that is read.
    #[must_use]
    pub fn view(&self) -> &ReadView {
        &self.view
    }

    /// The time since 1970.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Whether there is anything to be written.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Whether a change that may be cut into several takes more: it is not nearly as large as the log refuses.
    #[must_use]
    pub fn has_room(&self) -> bool {
        if self.seen.len().max(self.writes.len()) >= MAXIMUM_SECRET_PORTION_RECORDS {
            return false;
        }
        let unread = self.writes.keys().filter(|key| !self.seen.contains_key(*key));
        let compared = self.seen.keys().chain(unread);
        let compared: usize = compared.map(|key| key.len() + OVERHEAD_BYTES).sum();
        let written = self.writes.iter().map(|(key, write)| {
            let value = match write {
                Write::Plain(value) => value.len(),
                Write::Put { plaintext, .. } => plaintext.expose().len(),
                Write::Delete => 0,
            };
            key.len() + value + OVERHEAD_BYTES
        });
        compared + written.sum::<usize>() < MAXIMUM_SECRET_PORTION_BYTES
    }

    /// The sealed name of a path.
    ///
    /// # Errors
    /// The path is too long or too deep.
    pub fn name(&self, path: &str) -> Result<Vec<u8>, Fault> {
        self.name_below(names::ROOT_DIRECTORY, path)
    }

    /// The sealed name of a path below a directory, given by its sealed name.
    ///
    /// # Errors
    /// The path is too long or too deep.
    pub fn name_below(&self, directory: &[u8], path: &str) -> Result<Vec<u8>, Fault> {
        let name = self.unsealed.names().encode_below(directory, path);
        name.map_err(|error| Fault::Invalid(error.to_string()))
    }

    /// The sealed name of a directory of the store itself, which is kept: there are few.
    ///
    /// # Errors
    /// The path is too long or too deep.
    pub fn directory(&self, path: &str) -> Result<Arc<[u8]>, Fault> {
        let name = self.unsealed.directory(path);
        name.map_err(|error| Fault::Invalid(error.to_string()))
    }

    /// The record of a sealed name.
    ///
    /// # Errors
    /// It cannot be read, or was tampered with.
    pub fn get(&mut self, name: &[u8]) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let key = keys::of_name(name);
        match self.writes.get(&key) {
            Some(Write::Put { plaintext, .. }) => return Ok(Some(plaintext.clone())),
            Some(Write::Delete) => return Ok(None),
            Some(Write::Plain(_)) | None => {}
        }
        if let Some(plaintext) = self.decrypted.get(&key) {
            return Ok(Some(plaintext.clone()));
        }
        let Some(record) = self.read(key.clone(), false)? else {
            return Ok(None);
        };
        let plaintext = self.unsealed.decrypt(&record).map_err(internal)?;
        self.decrypted.insert(key, plaintext.clone());
        Ok(Some(plaintext))
    }

    /// What `make` makes of the record of a sealed name, kept for as long as the record is the same.
    ///
    /// # Errors
    /// The record cannot be read, or nothing can be made of it.
    pub fn made<Thing: Send + Sync + 'static>(
        &mut self,
        name: &[u8],
        make: impl FnOnce(&[u8]) -> Result<Thing, Fault>,
    ) -> Result<Option<Arc<Thing>>, Fault> {
        let key = keys::of_name(name);
        if !self.writes.contains_key(&key) {
            let Some(head) = self.read(key.clone(), true)? else {
                return Ok(None);
            };
            if let Some(made) = self.unsealed.made(&key, head.modification_revision) {
                return Ok(Some(made));
            }
        }
        let Some(record) = self.get(name)? else {
            return Ok(None);
        };
        let made = Arc::new(make(record.expose())?);
        if !self.writes.contains_key(&key)
            && let Some(seen) = self.seen.get(&key)
        {
            self.unsealed.keep(key, seen.revision, &made);
        }
        Ok(Some(made))
    }

    /// What `make` makes of a table: a record, given by its path, that nearly every request reads and few change. It is
    /// kept for as long as no table has changed, which takes one look for all of them.
    ///
    /// # Errors
    /// As [`Draft::made`].
    pub fn table<Thing: Send + Sync + 'static>(
        &mut self,
        path: &str,
        make: impl FnOnce(&[u8]) -> Result<Thing, Fault>,
    ) -> Result<Option<Arc<Thing>>, Fault> {
        let changed = Bytes::from_static(keys::TABLES);
        if self.writes.contains_key(&changed) {
            let name = self.name(path)?;
            return self.made(&name, make);
        }
        let revision = match self.seen.get(&changed) {
            Some(seen) => seen.revision,
            None => self
                .read(changed, true)?
                .map_or_else(Revision::default, |record| record.modification_revision),
        };
        if let Some(kept) = self.unsealed.table(path, revision) {
            return Ok(kept);
        }
        let key = keys::of_name(&self.name(path)?);
        let made = match stored(&self.view, &key, false).map_err(internal)? {
            Some(record) => {
                let plaintext = self.unsealed.decrypt(&record).map_err(internal)?;
                Some(Arc::new(make(plaintext.expose())?))
            }
            None => None,
        };
        self.unsealed.keep_table(path, revision, made.as_ref());
        Ok(made)
    }

    /// Writes a table.
    ///
    /// # Errors
    /// As [`Draft::name`].
    pub fn put_table(&mut self, path: &str, plaintext: Secret<Vec<u8>>) -> Result<(), Fault> {
        let name = self.name(path)?;
        self.put(&name, plaintext, None);
        self.put_plain(keys::TABLES, Bytes::new());
        Ok(())
    }

    /// Removes a table, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn delete_table(&mut self, path: &str) -> Result<(), Fault> {
        let name = self.name(path)?;
        if self.has(&name)? {
            self.delete(&name)?;
            self.put_plain(keys::TABLES, Bytes::new());
        }
        Ok(())
    }

    /// Whether there is a record of a sealed name.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn has(&mut self, name: &[u8]) -> Result<bool, Fault> {
        let key = keys::of_name(name);
        match self.writes.get(&key) {
            Some(Write::Put { .. } | Write::Plain(_)) => Ok(true),
            Some(Write::Delete) => Ok(false),
            None => Ok(self.read(key, true)?.is_some()),
        }
    }

    /// Writes the record of a sealed name. With a `ttl` it is gone so long after the request.
    pub fn put(&mut self, name: &[u8], plaintext: Secret<Vec<u8>>, ttl: Option<Duration>) {
        self.writes
            .insert(keys::of_name(name), Write::Put { plaintext, ttl });
    }

    /// Writes what is no secret at a key that is no sealed name.
    pub fn put_plain(&mut self, key: &'static [u8], value: Bytes) {
        self.writes.insert(Bytes::from_static(key), Write::Plain(value));
    }

    /// What is written holds only if a record is still the one that was read.
    pub fn needs_unchanged(&mut self, record: &KeyValue) {
        let seen = Seen {
            revision: record.modification_revision,
            version: record.version,
            lease: record.lease,
        };
        self.seen.insert(record.key.clone(), seen);
    }

    /// Forgets what was read and what was to be written.
    pub fn discard(&mut self) {
        self.seen.clear();
        self.writes.clear();
        self.decrypted.clear();
    }

    /// Removes the record of a sealed name, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), Fault> {
        let key = keys::of_name(name);
        if self.read(key.clone(), true)?.is_some() {
            self.writes.insert(key, Write::Delete);
        } else {
            self.writes.remove(&key);
        }
        Ok(())
    }

    /// The record of a sealed name as the store has it. Not remembered: who decides by it writes only what is read again.
    ///
    /// # Errors
    /// It cannot be read, or was tampered with.
    pub fn peek(&self, name: &[u8]) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let record = stored(&self.view, &keys::of_name(name), false).map_err(internal)?;
        let plaintext = record.map(|record| self.unsealed.decrypt(&record));
        plaintext.transpose().map_err(internal)
    }

    /// Whether the store has a record at a path. Not remembered.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_there(&self, path: &str) -> Result<bool, Fault> {
        let key = keys::of_name(&self.name(path)?);
        Ok(stored(&self.view, &key, true).map_err(internal)?.is_some())
    }

    /// What the store has at a key; remembered.
    pub(super) fn read(&mut self, key: Bytes, keys_only: bool) -> Result<Option<KeyValue>, Fault> {
        let record = stored(&self.view, &key, keys_only).map_err(internal)?;
        let seen = record.as_ref().map_or_else(Seen::default, |record| Seen {
            revision: record.modification_revision,
            version: record.version,
            lease: record.lease,
        });
        self.seen.insert(key, seen);
        Ok(record)
    }
}

fn internal(error: impl Into<SecretsError>) -> Fault {
    Fault::Internal(error.into().to_string())
}
