//! How to write keys into an empty store so that every revision comes out as it was where the keys come from.
//!
//! A store counts one revision for each transaction that changes something, from 2 on. A key that was created at
//! revision c, last changed at m and has version v was put v times: at c, at m, and v - 2 times strictly between. Keys
//! may share a revision, since one transaction may put many. So the plan has one step, a transaction, for each revision
//! up to the highest: it puts the final value of the keys last changed there, and placeholders for keys created or
//! changed in between there. Where no key needs a revision, a scratch key is put; the last step deletes it.
//!
//! Which revisions the puts in between take is free: they go to the keys with the least time left (the rule under which
//! such a plan is found if there is one). Never reads a value: it is a function of the revisions alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The revision of an empty store.
pub(super) const EMPTY_REVISION: i64 = 1;

/// Highest revision that is reached one transaction at a time; beyond it, this would take minutes.
pub(super) const MAXIMUM_EXACT_REVISION: i64 = 200_000;

/// The revisions of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revisions {
    /// When it was created.
    pub(super) create: i64,
    /// When it was last changed.
    pub(super) modify: i64,
    /// How often it was put since its creation.
    pub(super) version: i64,
}

/// The transaction that makes one revision. Keys are named by their index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Keys that are put with their value and lease.
    pub(super) finals: Vec<usize>,
    /// Keys that are put with a placeholder, to be changed later.
    pub(super) placeholders: Vec<usize>,
    /// What happens to the scratch key.
    pub(super) scratch: Scratch,
}

/// What a step does to the scratch key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Scratch {
    /// Nothing.
    #[default]
    Untouched,
    /// Puts it, since nothing else makes this revision.
    Put,
    /// Deletes it, since this is the last step and an earlier one put it.
    Delete,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotExact {
    /// A key's revisions are missing or contradict each other.
    Inconsistent {
        /// Which key.
        index: usize,
    },
    /// The highest revision is too high.
    TooMany {
        /// It.
        revision: i64,
    },
    /// More keys share a revision than one transaction may put.
    TooWide {
        /// The revision.
        revision: i64,
    },
}

impl fmt::Display for NotExact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inconsistent { index } => write!(
                formatter,
                "the revisions of record {} are missing or cannot be",
                index.saturating_add(1)
            ),
            Self::TooMany { revision } => write!(
                formatter,
                "the highest revision, {revision}, is beyond {MAXIMUM_EXACT_REVISION}"
            ),
            Self::TooWide { revision } => write!(
                formatter,
                "more keys were changed at revision {revision} than one transaction may change (--max-txn-ops)"
            ),
        }
    }
}

/// Makes the plan: the step at index i makes revision i + 2. No step has more than `maximum_operations`.
///
/// # Errors
/// There is no such plan.
pub(super) fn plan(keys: &[Revisions], maximum_operations: usize) -> Result<Vec<Step>, NotExact> {
    let mut starting: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut ending: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        let span = key
            .modify
            .checked_sub(key.create)
            .ok_or(NotExact::Inconsistent { index })?;
        let fits = key.create > EMPTY_REVISION
            && key.version >= 1
            && span >= 0
            && (key.version == 1) == (span == 0)
            && key.version - 1 <= span;
        if !fits {
            return Err(NotExact::Inconsistent { index });
        }
        if key.modify > MAXIMUM_EXACT_REVISION {
            return Err(NotExact::TooMany { revision: key.modify });
        }
        ending.entry(key.modify).or_default().push(index);
        if key.version > 1 {
            starting.entry(key.create).or_default().push(index);
        }
    }
    let last = ending.keys().next_back().copied().unwrap_or(EMPTY_REVISION);
    // Keys with puts in between still to do: the last revision at which the next one may happen, and how many.
    let mut between: BTreeSet<(i64, usize, i64)> = BTreeSet::new();
    let mut steps = Vec::new();
    let mut scratch_is_there = false;
    for revision in EMPTY_REVISION + 1..=last {
        let finals = ending.remove(&revision).unwrap_or_default();
        let created = starting.remove(&revision).unwrap_or_default();
        let mut step = Step {
            finals,
            placeholders: created.clone(),
            scratch: Scratch::Untouched,
        };
        let reserved = usize::from(revision == last && scratch_is_there);
        let used = step.finals.len() + step.placeholders.len() + reserved;
        let Some(room) = maximum_operations.checked_sub(used) else {
            return Err(NotExact::TooWide { revision });
        };
        let chosen: Vec<_> = between.iter().take(room).copied().collect();
        for (latest, index, count) in chosen {
            between.remove(&(latest, index, count));
            step.placeholders.push(index);
            if count > 1 {
                between.insert((latest + 1, index, count - 1));
            }
        }
        if between.first().is_some_and(|(latest, ..)| *latest <= revision) {
            return Err(NotExact::TooWide { revision });
        }
        for index in created {
            if let Some(key) = keys.get(index).filter(|key| key.version > 2) {
                let count = key.version - 2;
                between.insert((key.modify - count, index, count));
            }
        }
        if revision == last && scratch_is_there {
            step.scratch = Scratch::Delete;
        } else if step.finals.is_empty() && step.placeholders.is_empty() {
            step.scratch = Scratch::Put;
            scratch_is_there = true;
        }
        steps.push(step);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an etcd makes of the steps: the revisions of every key, by their index.
    fn replay(steps: &[Step]) -> (BTreeMap<usize, Revisions>, bool) {
        let mut keys: BTreeMap<usize, Revisions> = BTreeMap::new();
        let mut scratch = false;
        for (revision, step) in (EMPTY_REVISION + 1..).zip(steps) {
            let mut put: Vec<usize> = [&step.finals[..], &step.placeholders[..]].concat();
            put.sort_unstable();
            let count = put.len();
            put.dedup();
            assert_eq!(put.len(), count, "a key is put twice at {revision}");
            assert!(
                count > 0 || step.scratch == Scratch::Put,
                "nothing makes {revision}"
            );
            for index in put {
                let key = keys.entry(index).or_insert(Revisions {
                    create: revision,
                    modify: revision,
                    version: 0,
                });
                key.modify = revision;
                key.version += 1;
            }
            match step.scratch {
                Scratch::Untouched => {}
                Scratch::Put => scratch = true,
                Scratch::Delete => {
                    assert!(scratch, "what is not there is deleted");
                    scratch = false;
                }
            }
        }
        (keys, scratch)
    }

    /// Lives of keys in a real store: transactions that put and delete some of a few keys.
    fn histories() -> impl Strategy<Value = Vec<Revisions>> {
        prop::collection::vec(
            prop::collection::btree_map(0..12_usize, any::<bool>(), 1..4),
            0..80,
        )
        .prop_map(|transactions| {
            let mut keys: BTreeMap<usize, Revisions> = BTreeMap::new();
            let mut revision = EMPTY_REVISION;
            for transaction in transactions {
                let changes = transaction
                    .iter()
                    .any(|(key, is_put)| *is_put || keys.contains_key(key));
                if !changes {
                    continue;
                }
                revision += 1;
                for (key, is_put) in transaction {
                    if is_put {
                        let key = keys.entry(key).or_insert(Revisions {
                            create: revision,
                            modify: revision,
                            version: 0,
                        });
                        key.modify = revision;
                        key.version += 1;
                    } else {
                        keys.remove(&key);
                    }
                }
            }
            keys.into_values().collect()
        })
    }

    proptest! {
        #[test]
        fn the_revisions_of_any_history_come_out(keys in histories()) {
            // Three keys change in one transaction at most, and the scratch key may be deleted in the last.
            let steps = plan(&keys, 4).unwrap();
            let (replayed, scratch) = replay(&steps);
            prop_assert_eq!(replayed.into_values().collect::<Vec<_>>(), keys);
            prop_assert!(!scratch);
            for step in &steps {
                let scratch = usize::from(step.scratch != Scratch::Untouched);
                prop_assert!(step.finals.len() + step.placeholders.len() + scratch <= 4);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let key = |create, modify, version| Revisions {
            create,
            modify,
            version,
        };
        for bad in [
            key(0, 0, 0),
            key(1, 1, 1),
            key(2, 2, 2),
            key(2, 3, 1),
            key(3, 2, 2),
            key(2, 4, 4),
            key(2, i64::MIN, 1),
        ] {
            let expected = NotExact::Inconsistent { index: 1 };
            assert_eq!(plan(&[key(2, 2, 1), bad], 128), Err(expected), "{bad:?}");
        }
        let high = MAXIMUM_EXACT_REVISION + 1;
        assert_eq!(
            plan(&[key(high, high, 1)], 128),
            Err(NotExact::TooMany { revision: high })
        );
        let wide = [key(2, 2, 1), key(2, 2, 1), key(2, 2, 1)];
        assert_eq!(plan(&wide, 2), Err(NotExact::TooWide { revision: 2 }));
        assert_eq!(
            plan(&[key(2, 4, 3), key(3, 3, 1)], 1),
            Err(NotExact::TooWide { revision: 3 })
        );
    }

    #[test]
    fn revisions_that_no_key_needs_are_made_by_a_scratch_key_that_is_gone_in_the_end() {
        let key = Revisions {
            create: 4,
            modify: 4,
            version: 1,
        };
        let steps = plan(&[key], 128).unwrap();
        let scratch: Vec<Scratch> = steps.iter().map(|step| step.scratch).collect();
        assert_eq!(scratch, [Scratch::Put, Scratch::Put, Scratch::Delete]);
        assert_eq!(plan(&[], 128), Ok(Vec::new()));
    }
}
