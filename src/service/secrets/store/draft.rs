//! What a request reads and writes, as one transaction.
//!
//! Every record that is read is remembered with its revision, and the transaction holds only if none of them has changed;
//! what is written is seen by whoever reads after it. A list is not remembered: names that come or go beside it change
//! nothing. Never waits and never encrypts: [`super::commit`] does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::keys;
use super::unsealed::{Unsealed, stored};
use crate::base::limits::MAXIMUM_SECRET_CLEARED_RECORDS;
use crate::base::secret::Secret;
use crate::base::{LeaseId, Revision};
use crate::service::ServiceError;
use crate::service::secrets::barrier::names;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::error::SecretsError;
use crate::state::ReadView;
use crate::state::applied::KeyValue;
use crate::state::command::{Keys, Range};

/// Names that are read at once for a list.
const LIST_PAGE_KEYS: usize = 1_000;
/// Bytes of names that are read at once for a list.
const LIST_PAGE_BYTES: usize = 1 << 20;

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

    /// The names in a directory, given by its sealed name, sorted; those of directories end with a slash.
    ///
    /// # Errors
    /// They cannot be read, or were tampered with.
    pub fn list(&self, directory: &[u8]) -> Result<Vec<String>, Fault> {
        let mut found = BTreeMap::new();
        let mut keys = keys::below(directory);
        loop {
            let (page, more) = self.page(keys.clone())?;
            let Some(last) = page.last() else { break };
            let last = last.key.clone();
            let mut over: Option<Bytes> = None;
            for record in &page {
                // All of one child but the first is passed over without looking into it.
                if over.as_ref().is_some_and(|over| record.key.starts_with(over)) {
                    continue;
                }
                let (child, is_itself) = self.child(directory, &record.key)?;
                if is_itself {
                    found.insert(child.name, true);
                } else {
                    over = Some(keys::of_name(&child.storage_key));
                    found.insert(format!("{}/", child.name), true);
                }
            }
            if !more {
                break;
            }
            let next = over.filter(|over| last.starts_with(over)).and_then(|over| {
                let name = keys::name_of(&over)?;
                names::after(name).map(|after| keys::of_name(&after))
            });
            keys.key = next.unwrap_or_else(|| following(&last));
        }
        for (key, write) in &self.writes {
            if keys::below(directory).key <= *key && self.is_below(directory, key) {
                let (child, is_itself) = self.child(directory, key)?;
                match (is_itself, write) {
                    (true, Write::Put { .. }) => drop(found.insert(child.name, true)),
                    (true, Write::Delete) => drop(found.remove(&child.name)),
                    (false, Write::Put { .. }) => drop(found.insert(format!("{}/", child.name), true)),
                    // Whether others are left there is found out when this is done.
                    (false, Write::Delete) | (_, Write::Plain(_)) => {}
                }
            }
        }
        Ok(found.into_keys().collect())
    }

    /// The sealed names of all records below a directory, as many as one transaction takes; and whether there are more.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn all_below(&self, directory: &[u8]) -> Result<(Vec<Vec<u8>>, bool), Fault> {
        let mut all = Vec::new();
        let mut from = None;
        loop {
            let (names, next) = self.walk(directory, from)?;
            all.extend(names);
            if all.len() > MAXIMUM_SECRET_CLEARED_RECORDS {
                all.truncate(MAXIMUM_SECRET_CLEARED_RECORDS);
                return Ok((all, true));
            }
            match next {
                Some(next) => from = Some(next),
                None => return Ok((all, false)),
            }
        }
    }

    /// The sealed names of some records below a directory, beginning at `from`, and where to go on; none: that was all.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn walk(
        &self,
        directory: &[u8],
        from: Option<Bytes>,
    ) -> Result<(Vec<Vec<u8>>, Option<Bytes>), Fault> {
        let mut keys = keys::below(directory);
        if let Some(from) = from {
            keys.key = from;
        }
        let (page, more) = self.page(keys)?;
        let next = page.last().filter(|_| more).map(|last| following(&last.key));
        let names = page.iter().filter_map(|record| keys::name_of(&record.key));
        Ok((names.map(<[u8]>::to_vec).collect(), next))
    }

    /// Whether the store has a record at a path. Not remembered.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_there(&self, path: &str) -> Result<bool, Fault> {
        let key = keys::of_name(&self.name(path)?);
        Ok(stored(&self.view, &key, true).map_err(internal)?.is_some())
    }

    /// Removes all records below a directory, given by its sealed name.
    ///
    /// # Errors
    /// They cannot be read, or are more than one transaction may remove.
    pub fn delete_below(&mut self, directory: &[u8]) -> Result<(), Fault> {
        let (all, more) = self.all_below(directory)?;
        if more {
            return Err(Fault::Invalid(format!(
                "more than {MAXIMUM_SECRET_CLEARED_RECORDS} records would be removed at once; remove a part of them first"
            )));
        }
        let written: Vec<Bytes> = self.writes.keys().cloned().collect();
        for key in written {
            if self.is_below(directory, &key) {
                self.writes.remove(&key);
            }
        }
        all.iter().try_for_each(|name| self.delete(name))
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

    fn page(&self, keys: Keys) -> Result<(Vec<KeyValue>, bool), Fault> {
        let range = Range {
            keys,
            keys_only: true,
            ..Range::default()
        };
        let page = self.view.range_page(&range, LIST_PAGE_KEYS, LIST_PAGE_BYTES);
        let page = page.map_err(ServiceError::from).map_err(internal)?;
        let page = page.map_err(ServiceError::from).map_err(internal)?;
        Ok((page.key_values, page.more))
    }

    fn child(&self, directory: &[u8], key: &Bytes) -> Result<(names::Child, bool), Fault> {
        let name = keys::name_of(key).unwrap_or_default();
        let child = self.unsealed.names().child(directory, name).map_err(internal)?;
        let is_itself = child.is_itself;
        Ok((child, is_itself))
    }

    fn is_below(&self, directory: &[u8], key: &Bytes) -> bool {
        let name = keys::name_of(key).unwrap_or_default();
        name.len() > directory.len() && name.starts_with(directory)
    }
}

fn following(key: &Bytes) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Bytes::from(next)
}

fn internal(error: impl Into<SecretsError>) -> Fault {
    Fault::Internal(error.into().to_string())
}
