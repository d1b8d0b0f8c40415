//! Ranges: etcd's order of evaluation (read in key order, filter, sort, cut to the limit), at any readable revision.
//!
//! A read of the current revision takes single keys and headers from `heads`; whole key-values of a range, and every read
//! of the past, come from one pass over `versions`. Holds no more key-values than the answer and its sort need.

use std::cmp::Ordering;

use bytes::Bytes;

use super::{expected_version, head, key_value};
use crate::base::{LeaseId, Namespace, Revision};
use crate::state::applied::{KeyValue, RangeAnswer, Refusal, VersionId};
use crate::state::command::{Keys, Range, SortOrder, SortTarget};
use crate::state::format::{self, Head, Version};
use crate::state::recent::{Known, Newest, RecentKeys};
use crate::state::schema;
use crate::storage::{Cursor, Family, StorageError, View};

/// Older versions of one key that are stepped over one by one before the cursor seeks past them.
const STEPS_BEFORE_SEEK: usize = 8;

/// The beginning of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangePage {
    /// The key-values, in key order.
    pub key_values: Vec<KeyValue>,
    /// Whether the range holds more keys after them.
    pub more: bool,
}

/// How much of a range one page takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Most key-values.
    pub keys: usize,
    /// Bytes of keys and values after which nothing more is taken.
    pub bytes: usize,
}

/// Where a read stands: which view, and what that view's revisions are.
#[derive(Clone, Copy)]
pub struct Moment<'view> {
    /// The data.
    pub view: &'view dyn View,
    /// The keys that were written last.
    pub recent: &'view RecentKeys,
    /// The newest revision in it.
    pub revision: Revision,
    /// The oldest readable revision.
    pub compacted: Option<Revision>,
}

impl Moment<'_> {
    /// The revision that a request for `requested` reads at; 0 or less means the newest.
    ///
    /// # Errors
    /// Compacted, or yet to come.
    pub fn resolve(&self, requested: Revision) -> Result<Revision, Refusal> {
        if requested.0 <= 0 {
            return Ok(self.revision);
        }
        if requested > self.revision {
            return Err(Refusal::FutureRevision);
        }
        if self.compacted.is_some_and(|compacted| requested < compacted) {
            return Err(Refusal::Compacted);
        }
        Ok(requested)
    }

    /// Reads a range.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: compacted or future revision.
    pub fn range(&self, range: &Range) -> Result<Result<RangeAnswer, Refusal>, StorageError> {
        let revision = match self.resolve(range.revision) {
            Ok(revision) => revision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut collector = Collector::new(range);
        self.scan(revision, &mut collector)?;
        Ok(Ok(collector.finish(self.revision)))
    }

    /// Reads the beginning of a range in key order, at most `limits` of it (at least one key-value). Costs what it
    /// returns: nothing is counted, and of `range` only the keys, the revision and `keys_only` matter.
    ///
    /// # Errors
    /// As [`Moment::range`].
    pub fn page(
        &self,
        range: &Range,
        limits: PageLimits,
    ) -> Result<Result<RangePage, Refusal>, StorageError> {
        let revision = match self.resolve(range.revision) {
            Ok(revision) => revision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut collector = Collector::new(range);
        collector.capacity = limits.keys.max(1);
        collector.page_bytes = Some(limits.bytes);
        self.scan(revision, &mut collector)?;
        let more = collector.cut;
        let key_values = collector.finish(self.revision).key_values;
        Ok(Ok(RangePage { key_values, more }))
    }

    fn scan(&self, revision: Revision, collector: &mut Collector<'_>) -> Result<(), StorageError> {
        let range = collector.range;
        if revision < self.revision {
            return self.scan_versions(&range.keys, revision, collector);
        }
        if schema::is_point(&range.keys) {
            return self.read_point(&range.keys, collector);
        }
        let headers_suffice = range.count_only || (range.keys_only && range.sort_target != SortTarget::Value);
        if headers_suffice || collector.limit_is_pushed_down() {
            self.scan_heads(&range.keys, headers_suffice, collector)
        } else {
            self.scan_versions(&range.keys, revision, collector)
        }
    }

    fn read_point(&self, keys: &Keys, collector: &mut Collector<'_>) -> Result<(), StorageError> {
        let Some(Newest { head, value }) = self.newest(keys.namespace, &keys.key)? else {
            return Ok(());
        };
        collector.count += 1;
        if !collector.wants_more() {
            return Ok(());
        }
        collector.keep(match value {
            Some(value) => KeyValue {
                value,
                ..header_only(keys.key.clone(), &head)
            },
            None if collector.range.keys_only => header_only(keys.key.clone(), &head),
            None => {
                let version = expected_version(self.view, keys.namespace, &keys.key, head.id())?;
                let found = Some((head, Some(version.value.as_ref())));
                self.recent.learn(keys.namespace, &keys.key, found, self.revision);
                version
            }
        });
        Ok(())
    }

    /// The header of the newest version of a live key.
    ///
    /// # Errors
    /// As [`head`].
    pub fn head(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Head>, StorageError> {
        Ok(self.newest(namespace, key)?.map(|newest| newest.head))
    }

    /// The same, with its value where that is remembered.
    fn newest(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Newest>, StorageError> {
        match self.recent.known(namespace, key, self.revision) {
            Some(Known::Newest(newest)) => return Ok(Some(newest)),
            Some(Known::Absent) => return Ok(None),
            None => {}
        }
        let head = head(self.view, namespace, key)?;
        let found = head.map(|head| (head, None));
        self.recent.learn(namespace, key, found, self.revision);
        Ok(head.map(|head| Newest { head, value: None }))
    }

    /// One pass over the headers: the cheap way to count, to list keys, and to fetch the few first key-values.
    fn scan_heads(
        &self,
        keys: &Keys,
        headers_suffice: bool,
        collector: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let mut cursor = self.view.scan(Family::Heads, schema::head_range(keys))?;
        while let Some((encoded, record)) = cursor.item() {
            if !collector.arrives() {
                break;
            }
            if collector.wants_more() {
                let head: Head = format::decode("head", &Bytes::copy_from_slice(record))?;
                let key = Bytes::copy_from_slice(schema::head_user_key(encoded));
                collector.keep(if headers_suffice {
                    header_only(key, &head)
                } else {
                    expected_version(self.view, keys.namespace, &key, head.id())?
                });
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// One pass over the versions, keeping for each key the newest one at or before `revision`.
    fn scan_versions(
        &self,
        keys: &Keys,
        revision: Revision,
        collector: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let newest_readable = VersionId {
            revision,
            sub: u32::MAX,
        };
        let mut prefix: Vec<u8> = Vec::new();
        let mut cursor = self.view.scan(Family::Versions, schema::version_range(keys))?;
        while let Some((encoded, record)) = cursor.item() {
            let (item_prefix, id) = schema::split_version(encoded)?;
            prefix.clear();
            prefix.extend_from_slice(item_prefix);
            if id > newest_readable {
                skip_newer(cursor.as_mut(), &mut prefix, newest_readable)?;
                continue;
            }
            let version = if collector.wants_more() {
                Version::decode(&Bytes::copy_from_slice(record))?
            } else {
                Version::decode_header(record)?
            };
            if !version.is_tombstone() {
                if !collector.arrives() {
                    break;
                }
                if collector.wants_more() {
                    collector.keep(key_value(schema::prefix_user_key(&prefix), id.revision, version));
                }
            }
            skip_key(cursor.as_mut(), &mut prefix)?;
        }
        Ok(())
    }
}

/// Moves to the first version of the key that is at or before `newest`, or to the next key if there is none.
fn skip_newer(cursor: &mut dyn Cursor, prefix: &mut Vec<u8>, newest: VersionId) -> Result<(), StorageError> {
    for _ in 0..STEPS_BEFORE_SEEK {
        cursor.advance()?;
        match cursor.item() {
            Some((encoded, _)) => {
                let (item_prefix, id) = schema::split_version(encoded)?;
                if item_prefix != prefix.as_slice() || id <= newest {
                    return Ok(());
                }
            }
            None => return Ok(()),
        }
    }
    schema::push_version_suffix(prefix, newest);
    cursor.seek(prefix)
}

/// Moves to the first version of the next key.
fn skip_key(cursor: &mut dyn Cursor, prefix: &mut Vec<u8>) -> Result<(), StorageError> {
    for _ in 0..STEPS_BEFORE_SEEK {
        cursor.advance()?;
        match cursor.item() {
            Some((encoded, _)) if schema::split_version(encoded)?.0 == prefix.as_slice() => {}
            _ => return Ok(()),
        }
    }
    schema::push_past_versions(prefix);
    cursor.seek(prefix)
}

fn header_only(key: Bytes, head: &Head) -> KeyValue {
    KeyValue {
        key,
        value: Bytes::new(),
        create_revision: head.create_revision,
        modification_revision: head.modification_revision,
        version: head.version,
        lease: head.lease,
    }
}

/// Gathers the answer to a range while its keys come by in key order.
struct Collector<'range> {
    range: &'range Range,
    /// Most key-values that are kept while scanning.
    capacity: usize,
    kept: Vec<KeyValue>,
    count: i64,
    /// For a page: bytes of keys and values after which nothing more is kept.
    page_bytes: Option<usize>,
    kept_bytes: usize,
    /// Whether a page is full and another key came by.
    cut: bool,
}

impl<'range> Collector<'range> {
    fn new(range: &'range Range) -> Self {
        let mut collector = Self {
            range,
            capacity: usize::MAX,
            kept: Vec::new(),
            count: 0,
            page_bytes: None,
            kept_bytes: 0,
            cut: false,
        };
        if range.count_only {
            collector.capacity = 0;
        } else if collector.limit_is_pushed_down() {
            // One more than the limit: whether there is more.
            collector.capacity = usize::try_from(range.limit)
                .unwrap_or(usize::MAX)
                .saturating_add(1);
        }
        collector
    }

    fn has_filters(&self) -> bool {
        [
            self.range.minimum_modification,
            self.range.maximum_modification,
            self.range.minimum_create,
            self.range.maximum_create,
        ]
        .iter()
        .any(|bound| bound.0 != 0)
    }

    /// Whether the scan itself may stop keeping at the limit. As in etcd, that is so for an order of NONE even when a
    /// sort by something else follows.
    fn limit_is_pushed_down(&self) -> bool {
        let natural = match self.range.sort_order {
            SortOrder::None => true,
            SortOrder::Ascend => self.range.sort_target == SortTarget::Key,
            SortOrder::Descend => false,
        };
        self.range.limit > 0 && natural && !self.has_filters()
    }

    /// Takes note of a key of the range. False if the scan is over: the page is full.
    fn arrives(&mut self) -> bool {
        if self.page_bytes.is_some() && !self.wants_more() {
            self.cut = true;
            return false;
        }
        self.count += 1;
        true
    }

    fn wants_more(&self) -> bool {
        let has_room = self
            .page_bytes
            .is_none_or(|bytes| self.kept.is_empty() || self.kept_bytes < bytes);
        has_room && self.kept.len() < self.capacity
    }

    fn passes_filters(&self, key_value: &KeyValue) -> bool {
        let within = |revision: Revision, minimum: Revision, maximum: Revision| {
            (minimum.0 == 0 || revision >= minimum) && (maximum.0 == 0 || revision <= maximum)
        };
        within(
            key_value.modification_revision,
            self.range.minimum_modification,
            self.range.maximum_modification,
        ) && within(
            key_value.create_revision,
            self.range.minimum_create,
            self.range.maximum_create,
        )
    }

    fn keep(&mut self, key_value: KeyValue) {
        if self.passes_filters(&key_value) {
            self.kept_bytes += key_value.key.len() + key_value.value.len();
            self.kept.push(key_value);
        }
    }

    fn finish(mut self, revision: Revision) -> RangeAnswer {
        self.sort();
        let limit = usize::try_from(self.range.limit).ok().filter(|limit| *limit > 0);
        let more = limit.is_some_and(|limit| self.kept.len() > limit);
        if let Some(limit) = limit {
            self.kept.truncate(limit);
        }
        if self.range.keys_only {
            for key_value in &mut self.kept {
                key_value.value = Bytes::new();
                if self.range.sort_target != SortTarget::Value {
                    // etcd 3.7 answers from its index, which does not know leases.
                    key_value.lease = LeaseId::NONE;
                }
            }
        }
        RangeAnswer {
            revision,
            key_values: self.kept,
            more,
            count: self.count,
        }
    }

    fn sort(&mut self) {
        let target = self.range.sort_target;
        match (self.range.sort_order, target) {
            (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
            (SortOrder::None | SortOrder::Ascend, _) => self.kept.sort_by(|a, b| compare(target, a, b)),
            (SortOrder::Descend, _) => self.kept.sort_by(|a, b| compare(target, b, a)),
        }
    }
}

fn compare(target: SortTarget, a: &KeyValue, b: &KeyValue) -> Ordering {
    match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Modification => a.modification_revision.cmp(&b.modification_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}
