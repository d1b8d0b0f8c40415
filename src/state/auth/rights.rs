//! The keys that a user may read and write: the ranges of all the user's roles, merged.
//!
//! Answers in logarithmic time. Ranges that overlap or touch are one, so that a range is allowed if together they hold
//! it. Only keys of the default namespace are ever granted.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Permission, PermissionKind};
use crate::base::Namespace;
use crate::state::access::{Access, Right};
use crate::state::command::Keys;

/// Where a range ends. Ordered: no end is past every end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Before(Bytes),
    Never,
}

impl End {
    /// The end of what `key` and `end` mean together in etcd's convention.
    fn of(key: &Bytes, end: &Bytes) -> Self {
        match end.as_ref() {
            [] => Self::Before([key, &[0][..]].concat().into()),
            [0] => Self::Never,
            _ => Self::Before(end.clone()),
        }
    }
}

/// Disjoint ranges that do not touch: start to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges {
    ends: BTreeMap<Bytes, End>,
}

impl Ranges {
    fn insert(&mut self, key: &Bytes, end: &Bytes) {
        let (mut start, mut end) = (key.clone(), End::of(key, end));
        // Every turn removes one range that the new one touches; those that start last first.
        loop {
            let touching = match &end {
                End::Never => self.ends.iter().next_back(),
                End::Before(end) => self.ends.range::<Bytes, _>(..=end).next_back(),
            };
            let Some((other_start, other_end)) = touching else {
                break;
            };
            if let End::Before(other_end) = other_end
                && *other_end < start
            {
                break;
            }
            let (other_start, other_end) = (other_start.clone(), other_end.clone());
            self.ends.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.ends.insert(start, end);
    }

    fn hold(&self, key: &Bytes, end: &Bytes) -> bool {
        let Some((_, own_end)) = self.ends.range::<Bytes, _>(..=key).next_back() else {
            return false;
        };
        // A range that ends before it starts holds nothing, but still needs its first key, as in etcd.
        let has_key = match own_end {
            End::Never => true,
            End::Before(own_end) => key < own_end,
        };
        has_key && End::of(key, end) <= *own_end
    }
}

/// What a user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    read: Ranges,
    write: Ranges,
}

impl Rights {
    /// The rights that these permissions give together.
    #[must_use]
    pub fn of<'permission>(permissions: impl Iterator<Item = &'permission Permission>) -> Self {
        let mut rights = Self::default();
        for Permission { kind, key, end } in permissions {
            if PermissionKind::reads(*kind) {
                rights.read.insert(key, end);
            }
            if PermissionKind::writes(*kind) {
                rights.write.insert(key, end);
            }
        }
        rights
    }

    /// Whether they suffice for an access.
    #[must_use]
    pub fn allow(&self, access: &Access) -> bool {
        let Keys { namespace, key, end } = &access.keys;
        let ranges = match access.right {
            Right::Read => &self.read,
            Right::Write => &self.write,
        };
        *namespace == Namespace::DEFAULT && ranges.hold(key, end)
    }
}
