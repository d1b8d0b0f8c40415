//! Keys and values, and the locks on them.
//!
//! A write of what is there already is none: it moves no revision, since locks and watches rely on that. A removal moves
//! the index of what the key was in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::keys::Room;
pub use super::pair::Pair;
use super::pair::check_value;
use super::plan::{Found, Plan, delete};
use super::record::{StoredValue, encode};
use super::{Consul, ConsulError, Watched};
use crate::base::limits::MAXIMUM_CONSUL_ANSWER_BYTES;
use crate::base::{Namespace, Revision};
use crate::service::ServiceError;
use crate::state::ReadView;
use crate::state::applied::KeyValue;
use crate::state::command::{Compare, CompareTarget, Comparison, Keys, Operation, Put, Range, Txn};

/// Keys that are read at a time.
const PAGE_KEYS: usize = 4_096;
/// Bytes that are read at a time.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What was read, and how new it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<T> {
    /// What was read.
    pub content: T,
    /// The revision of its newest change.
    pub index: Revision,
    /// The revision at which it was read.
    pub revision: Revision,
}

/// How a write is bound to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Not at all.
    Always,
    /// To the revision of the key's last change; 0: that it is not there.
    Revision(u64),
    /// It locks the key for a session.
    Acquire(Uuid),
    /// It unlocks the key that a session has locked.
    Release(Uuid),
}

/// What a single key is made of, for whoever waits for it.
#[must_use]
pub fn watched_key(key: &[u8]) -> Watched {
    Watched::Keys(vec![Room::Value.single(key), Room::Lock.single(key)])
}

/// What the keys of a prefix are made of, for whoever waits for them.
#[must_use]
pub fn watched_prefix(prefix: &[u8]) -> Watched {
    Watched::Keys(vec![Room::Value.prefix(prefix), Room::Lock.prefix(prefix)])
}

impl Consul {
    /// Reads a key; `is_exact`: with an index that knows of every removal.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn pair(
        &self,
        key: &[u8],
        is_stale: bool,
        is_exact: bool,
    ) -> Result<Snapshot<Option<Pair>>, ConsulError> {
        let view = self.view(is_stale).await?;
        let pair = Plan::new(&view).pair(key)?;
        if let Some(pair) = pair {
            return Ok(Snapshot {
                index: pair.modified,
                content: Some(pair),
                revision: view.revision(),
            });
        }
        Ok(Snapshot {
            content: None,
            index: self.removed(&Room::Value.single(key), &view, is_exact).await?,
            revision: view.revision(),
        })
    }

    /// Reads all keys that begin with `prefix`, in the order of their bytes; as [`Consul::pair`].
    ///
    /// # Errors
    /// They are larger than an answer may be, or no quorum in time.
    pub async fn pairs(
        &self,
        prefix: &[u8],
        is_stale: bool,
        is_exact: bool,
    ) -> Result<Snapshot<Vec<Pair>>, ConsulError> {
        let (values, locks, view) = self.read_prefix(prefix, is_stale, false).await?;
        let mut pairs = Vec::with_capacity(values.len());
        let mut newest = Revision(0);
        for found in values {
            let Some(name) = Room::Value.name(&found.key) else {
                continue;
            };
            let pair = Pair::of(&name, &found.into(), locks.get(&name))?;
            newest = newest.max(pair.modified);
            pairs.push(pair);
        }
        self.snapshot(prefix, &view, is_exact, newest, pairs).await
    }

    /// The names of all keys that begin with `prefix`: each up to its first `separator` after the prefix, once. As
    /// [`Consul::pairs`].
    ///
    /// # Errors
    /// As [`Consul::pairs`].
    pub async fn names(
        &self,
        prefix: &[u8],
        separator: &[u8],
        is_stale: bool,
        is_exact: bool,
    ) -> Result<Snapshot<Vec<Bytes>>, ConsulError> {
        let (values, locks, view) = self.read_prefix(prefix, is_stale, true).await?;
        let mut newest = locks.values().map(|lock| lock.modified).max().unwrap_or_default();
        let mut names = BTreeSet::new();
        for found in values {
            newest = newest.max(found.modification_revision);
            if let Some(name) = Room::Value.name(&found.key) {
                names.insert(cut(&name, prefix.len(), separator));
            }
        }
        let names = names.into_iter().collect();
        self.snapshot(prefix, &view, is_exact, newest, names).await
    }

    async fn snapshot<T>(
        &self,
        prefix: &[u8],
        view: &ReadView,
        is_exact: bool,
        newest: Revision,
        content: T,
    ) -> Result<Snapshot<T>, ConsulError> {
        let removed = self.removed(&Room::Value.prefix(prefix), view, is_exact).await?;
        Ok(Snapshot {
            content,
            index: newest.max(removed),
            revision: view.revision(),
        })
    }

    async fn read_prefix(
        &self,
        prefix: &[u8],
        is_stale: bool,
        without_values: bool,
    ) -> Result<(Vec<KeyValue>, BTreeMap<Bytes, Found>, Arc<ReadView>), ConsulError> {
        let view = self.view(is_stale).await?;
        let (values, locks) = (Room::Value.prefix(prefix), Room::Lock.prefix(prefix));
        let reading = tokio::task::spawn_blocking({
            let view = Arc::clone(&view);
            move || {
                let values = read_all(&view, values, without_values)?;
                Ok::<_, ConsulError>((values, read_all(&view, locks, false)?))
            }
        });
        let (values, locks) = match reading.await {
            Ok(read) => read?,
            Err(_) => return Err(ServiceError::Stopped.into()),
        };
        let locks = locks
            .into_iter()
            .filter_map(|lock| Some((Room::Lock.name(&lock.key)?, lock.into())));
        Ok((values, locks.collect(), view))
    }

    /// Writes a key. Whether its condition held.
    ///
    /// # Errors
    /// The value is too large, no such session, no space, or no answer in time.
    pub async fn put(
        &self,
        key: &[u8],
        flags: u64,
        value: Bytes,
        condition: Condition,
    ) -> Result<bool, ConsulError> {
        check_value(key, &value)?;
        let changed = match condition {
            Condition::Always => return self.put_always(key, flags, value).await.map(|()| true),
            Condition::Revision(index) => {
                self.change(|plan| {
                    let is_at = plan.is_at(key, index)?;
                    if is_at {
                        plan.set(key, flags, &value)?;
                    }
                    Ok(is_at)
                })
                .await
            }
            Condition::Acquire(session) => {
                self.change(|plan| plan.acquire(key, flags, &value, session))
                    .await
            }
            Condition::Release(session) => {
                self.change(|plan| plan.release(key, flags, &value, session))
                    .await
            }
        };
        changed.map(|(done, _)| done)
    }

    /// A write without a condition needs nothing but what it writes: if that is there already, nothing is done.
    async fn put_always(&self, key: &[u8], flags: u64, value: Bytes) -> Result<(), ConsulError> {
        let record = encode(&StoredValue { flags, value })?;
        let is_there = Compare {
            keys: Room::Value.single(key),
            comparison: Comparison::Equal,
            target: CompareTarget::Value(record.clone()),
        };
        let put = Put {
            namespace: Namespace::CONSUL,
            key: Room::Value.key(key),
            value: record,
            ..Put::default()
        };
        self.propose(Txn {
            compare: vec![is_there],
            success: Vec::new(),
            failure: vec![Operation::Put(put)],
        })
        .await?;
        Ok(())
    }

    /// Removes a key: if its last change was at this revision, where one is given. Whether that was so, or it is not there.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn remove(&self, key: &[u8], index: Option<u64>) -> Result<bool, ConsulError> {
        let removed = self.change(|plan| {
            let Some(pair) = plan.pair(key)? else {
                return Ok(true);
            };
            if index.is_some_and(|index| i64::try_from(index) != Ok(pair.modified.0)) {
                return Ok(false);
            }
            plan.remove_pair(key)?;
            Ok(true)
        });
        removed.await.map(|(done, _)| done)
    }

    /// Removes all keys that begin with `prefix`.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn remove_prefix(&self, prefix: &[u8]) -> Result<(), ConsulError> {
        // What sessions are said to hold of them goes with the sessions.
        self.propose(Txn {
            success: vec![
                delete(Room::Value.prefix(prefix)),
                delete(Room::Lock.prefix(prefix)),
            ],
            ..Txn::default()
        })
        .await?;
        Ok(())
    }
}

/// Reads a range whole.
pub(super) fn read_all(view: &ReadView, keys: Keys, keys_only: bool) -> Result<Vec<KeyValue>, ConsulError> {
    let mut range = Range {
        keys,
        keys_only,
        ..Range::default()
    };
    let mut all: Vec<KeyValue> = Vec::new();
    let mut bytes: usize = 0;
    loop {
        let page = view.range_page(&range, PAGE_KEYS, PAGE_BYTES)??;
        let sizes = page
            .key_values
            .iter()
            .map(|found| found.key.len().saturating_add(found.value.len()));
        bytes = bytes.saturating_add(sizes.sum());
        if bytes > MAXIMUM_CONSUL_ANSWER_BYTES {
            return Err(ConsulError::TooLarge(format!(
                "the answer would be larger than {MAXIMUM_CONSUL_ANSWER_BYTES} bytes; ask for a longer prefix"
            )));
        }
        let last = page.key_values.last().map(|found| found.key.clone());
        all.extend(page.key_values);
        match last {
            Some(last) if page.more => range.keys.key = [&last[..], &[0]].concat().into(),
            _ => return Ok(all),
        }
    }
}

/// A name up to its first separator after the prefix, that included.
fn cut(name: &Bytes, prefix_bytes: usize, separator: &[u8]) -> Bytes {
    let rest = name.get(prefix_bytes..).unwrap_or_default();
    if separator.is_empty() {
        return name.clone();
    }
    let position = rest
        .windows(separator.len())
        .position(|window| window == separator);
    position.map_or_else(
        || name.clone(),
        |position| {
            let end = prefix_bytes
                .saturating_add(position)
                .saturating_add(separator.len());
            name.slice(..end)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_after_the_first_separator_past_the_prefix() {
        let cut = |name: &'static str, prefix: usize, separator: &str| {
            cut(&Bytes::from(name), prefix, separator.as_bytes())
        };
        assert_eq!(cut("a/b/c", 0, "/"), "a/");
        assert_eq!(cut("a/b/c", 2, "/"), "a/b/");
        assert_eq!(cut("a/b/c", 1, "/"), "a/");
        assert_eq!(cut("abc", 0, "/"), "abc");
        assert_eq!(cut("a--b--c", 0, "--"), "a--");
        assert_eq!(cut("abc", 0, ""), "abc");
    }
}
