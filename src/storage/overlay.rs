//! A view with changes on top that are not written yet, so that the next entry of a batch sees those of the one before.
//!
//! Invariants: what is read is what would be read after writing [`Overlay::into_batch`]; for each family, the keys
//! under `changes` win over the ranges under `deleted`, and those over the view; the deleted ranges neither overlap nor
//! touch; two overlays that were given the same changes yield equal batches.
//!
//! Never writes, and never takes a change back: who refuses does so before the first change. Its memory is that of the
//! pending keys and values, which the caller bounds by the size of its batches.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use bytes::{Bytes, BytesMut};

use super::{Batch, Cursor, Family, KeyRange, StorageError, View};

/// A [`View`] and pending changes on top of it.
pub struct Overlay<'view> {
    base: &'view dyn View,
    families: BTreeMap<Family, FamilyChanges>,
    /// Where copied keys and values lie, one behind the other: one allocation for many.
    copies: BytesMut,
}

/// What is allocated at once for copied keys and values.
const COPIES_BYTES: usize = 16 * 1024;

impl<'view> Overlay<'view> {
    /// No changes on top of `base`.
    #[must_use]
    pub fn new(base: &'view dyn View) -> Self {
        Self {
            base,
            families: BTreeMap::new(),
            copies: BytesMut::new(),
        }
    }

    /// Sets a key.
    pub fn put(&mut self, family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.family(family).changes.insert(key.into(), Some(value.into()));
    }

    /// Sets a key to copies of what is given.
    pub fn put_copy(&mut self, family: Family, key: &[u8], value: &[u8]) {
        let (key, value) = (self.copy(key), self.copy(value));
        self.put(family, key, value);
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.copies.capacity() < bytes.len() {
            self.copies = BytesMut::with_capacity(bytes.len().max(COPIES_BYTES));
        }
        self.copies.extend_from_slice(bytes);
        self.copies.split().freeze()
    }

    /// Removes a key; removing what is not there is no error.
    pub fn delete(&mut self, family: Family, key: impl Into<Bytes>) {
        let key = key.into();
        let pending = self.family(family);
        if pending.deleted.covering(&key).is_some() {
            pending.changes.remove(&key);
        } else {
            pending.changes.insert(key, None);
        }
    }

    /// Removes all keys of a range.
    pub fn delete_range(&mut self, family: Family, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        let pending = self.family(family);
        while let Some((key, _)) = pending.changes.range::<[u8], _>(range.bounds()).next() {
            let key = key.clone();
            pending.changes.remove(&key);
        }
        pending.deleted.insert(range);
    }

    /// The changes in an order that depends on nothing but the changes: by family, the deleted ranges first, then the
    /// keys, both ascending.
    #[must_use]
    pub fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        for (family, pending) in self.families {
            for (start, end) in pending.deleted.end_by_start {
                batch.delete_range(family, KeyRange { start, end });
            }
            for (key, value) in pending.changes {
                match value {
                    Some(value) => batch.put(family, key, value),
                    None => batch.delete(family, key),
                }
            }
        }
        batch
    }

    fn family(&mut self, family: Family) -> &mut FamilyChanges {
        self.families.entry(family).or_default()
    }
}

impl View for Overlay<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if let Some(pending) = self.families.get(&family) {
            if let Some(value) = pending.changes.get(key) {
                return Ok(value.clone());
            }
            if pending.deleted.covering(key).is_some() {
                return Ok(None);
            }
        }
        self.base.get(family, key)
    }

    fn scan<'view>(
        &'view self,
        family: Family,
        range: KeyRange,
    ) -> Result<Box<dyn Cursor + 'view>, StorageError> {
        let Some(pending) = self.families.get(&family) else {
            return self.base.scan(family, range);
        };
        let mut cursor = OverlayCursor {
            base: self.base.scan(family, range.clone())?,
            base_is_past: false,
            pending,
            changes: pending
                .changes
                .range::<[u8], _>((Bound::Included(range.start.as_slice()), Bound::Unbounded)),
            upcoming: None,
            range,
            position: Position::End,
        };
        cursor.next_change();
        cursor.settle()?;
        Ok(Box::new(cursor))
    }
}

/// What is pending for one family.
#[derive(Default)]
struct FamilyChanges {
    /// The new value of each key, none for removed ones. Wins over `deleted`.
    changes: BTreeMap<Bytes, Option<Bytes>>,
    deleted: DeletedRanges,
}

/// Ranges of keys that neither overlap nor touch.
#[derive(Default)]
struct DeletedRanges {
    end_by_start: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl DeletedRanges {
    /// The end of the range that holds `key`.
    fn covering(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let mut before = self
            .end_by_start
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        let end = before.next_back()?.1.as_deref();
        end.is_none_or(|end| key < end).then_some(end)
    }

    /// Adds a range that is not empty, joined with those that it overlaps or touches.
    fn insert(&mut self, mut range: KeyRange) {
        let reaches = |end: &Option<Vec<u8>>, start: &[u8]| end.as_deref().is_none_or(|end| end >= start);
        let up_to_start = (Bound::Unbounded, Bound::Included(range.start.as_slice()));
        if let Some((start, end)) = self.end_by_start.range::<[u8], _>(up_to_start).next_back()
            && reaches(end, &range.start)
        {
            range.start.clone_from(start);
        }
        let from_start = (Bound::Included(range.start.as_slice()), Bound::Unbounded);
        while let Some((start, _)) = self.end_by_start.range::<[u8], _>(from_start).next()
            && reaches(&range.end, start)
        {
            let start = start.clone();
            if let Some(end) = self.end_by_start.remove(&start) {
                // None is the end of the family, past every key.
                range.end = range.end.zip(end).map(|(one, other)| one.max(other));
            }
        }
        self.end_by_start.insert(range.start, range.end);
    }
}

/// Which item an [`OverlayCursor`] stands on.
enum Position<'view> {
    /// That of the base cursor.
    Base,
    /// A pending one, which may hide the one of the base cursor.
    Pending {
        key: &'view Bytes,
        value: &'view Bytes,
        hides_base: bool,
    },
    /// Past the last one.
    End,
}

/// Merges the cursor of the view with the pending changes of the family.
struct OverlayCursor<'view> {
    base: Box<dyn Cursor + 'view>,
    /// Everything from the base cursor on is deleted.
    base_is_past: bool,
    pending: &'view FamilyChanges,
    /// The changes after `upcoming`.
    changes: btree_map::Range<'view, Bytes, Option<Bytes>>,
    /// The first change at or after the position.
    upcoming: Option<(&'view Bytes, &'view Option<Bytes>)>,
    range: KeyRange,
    position: Position<'view>,
}

impl OverlayCursor<'_> {
    fn next_change(&mut self) {
        // The end is compared here: a map panics when asked for a range that ends before it starts.
        let next = self.changes.next();
        self.upcoming =
            next.filter(|(key, _)| self.range.end.as_deref().is_none_or(|end| key.as_ref() < end));
    }

    /// Moves the base cursor past what is deleted by range.
    fn skip_deleted(&mut self) -> Result<(), StorageError> {
        while !self.base_is_past
            && let Some((key, _)) = self.base.item()
            && let Some(end) = self.pending.deleted.covering(key)
        {
            match end {
                Some(end) => self.base.seek(end)?,
                None => self.base_is_past = true,
            }
        }
        Ok(())
    }

    /// Finds the first item at or after both cursors.
    fn settle(&mut self) -> Result<(), StorageError> {
        loop {
            self.skip_deleted()?;
            let base_key = self
                .base
                .item()
                .map(|(key, _)| key)
                .filter(|_| !self.base_is_past);
            let Some((key, value)) = self.upcoming else {
                self.position = if base_key.is_some() {
                    Position::Base
                } else {
                    Position::End
                };
                return Ok(());
            };
            let order = base_key.map_or(Ordering::Less, |base_key| key.as_ref().cmp(base_key));
            match (order, value) {
                (Ordering::Greater, _) => {
                    self.position = Position::Base;
                    return Ok(());
                }
                (_, Some(value)) => {
                    let hides_base = order == Ordering::Equal;
                    self.position = Position::Pending {
                        key,
                        value,
                        hides_base,
                    };
                    return Ok(());
                }
                (Ordering::Equal, None) => {
                    self.base.advance()?;
                    self.next_change();
                }
                (Ordering::Less, None) => self.next_change(),
            }
        }
    }
}

impl Cursor for OverlayCursor<'_> {
    fn item(&self) -> Option<(&[u8], &[u8])> {
        match &self.position {
            Position::Base => self.base.item(),
            Position::Pending { key, value, .. } => Some((key, value)),
            Position::End => None,
        }
    }

    fn advance(&mut self) -> Result<(), StorageError> {
        match self.position {
            Position::Base => self.base.advance()?,
            Position::Pending { hides_base, .. } => {
                if hides_base {
                    self.base.advance()?;
                }
                self.next_change();
            }
            Position::End => return Ok(()),
        }
        self.settle()
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StorageError> {
        let start = (
            Bound::Included(key.max(self.range.start.as_slice())),
            Bound::Unbounded,
        );
        self.changes = self.pending.changes.range::<[u8], _>(start);
        self.next_change();
        self.base_is_past = false;
        self.base.seek(key)?;
        self.settle()
    }
}
