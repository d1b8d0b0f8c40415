//! What lies below a directory: listed, walked, removed.
//!
//! Never reads what a record says, and remembers nothing but what is removed: names that come or go meanwhile are no conflict.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Draft, Write, internal};
use crate::base::Revision;
use crate::base::limits::MAXIMUM_SECRET_CLEARED_RECORDS;
use crate::service::ServiceError;
use crate::service::secrets::barrier::names;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::store::keys;
use crate::state::applied::KeyValue;
use crate::state::command::{Keys, Range};

/// Names that are read at once for a list.
const LIST_PAGE_KEYS: usize = 1_000;
/// Bytes of names that are read at once for a list.
const LIST_PAGE_BYTES: usize = 1 << 20;

impl Draft {
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
        self.old_below(directory, None, self.view.revision())
    }

    /// The same of those that are there since a revision or longer, in the order of their sealed names, behind `after`.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn old_below(
        &self,
        directory: &[u8],
        after: Option<&[u8]>,
        since: Revision,
    ) -> Result<(Vec<Vec<u8>>, bool), Fault> {
        let mut keys = keys::below(directory);
        if let Some(after) = after {
            keys.key = following(&keys::of_name(after));
        }
        let mut all = Vec::new();
        loop {
            let (page, more) = self.page(keys.clone())?;
            let old = page.iter().filter(|record| record.create_revision <= since);
            all.extend(old.filter_map(|record| keys::name_of(&record.key).map(<[u8]>::to_vec)));
            if all.len() > MAXIMUM_SECRET_CLEARED_RECORDS {
                all.truncate(MAXIMUM_SECRET_CLEARED_RECORDS);
                return Ok((all, true));
            }
            match page.last().filter(|_| more) {
                Some(last) => keys.key = following(&last.key),
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
