//! What can be refused by looking at a request alone. The rules, their order and their holes are etcd's: what etcd
//! takes, this takes; what etcd refuses, this refuses with the same error.
//!
//! Never reads the state.

use std::collections::{BTreeMap, HashSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::ServiceError;
use crate::state::command::{DeleteRange, Operation, Put, Range, Txn};

/// Checks a range.
///
/// # Errors
/// No key.
pub fn range(request: &Range) -> Result<(), ServiceError> {
    key(&request.keys.key)
}

/// Checks a put.
///
/// # Errors
/// No key; a value or a lease that the request also says to ignore.
pub fn put(request: &Put) -> Result<(), ServiceError> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(ServiceError::ValueProvided);
    }
    if request.ignore_lease && !request.lease.is_none() {
        return Err(ServiceError::LeaseProvided);
    }
    Ok(())
}

/// Checks a removal.
///
/// # Errors
/// No key.
pub fn delete_range(request: &DeleteRange) -> Result<(), ServiceError> {
    key(&request.keys.key)
}

/// Checks a transaction: sizes first, then keys, then that no key is written twice.
///
/// # Errors
/// More operations than `maximum_operations` in one list; an operation that is refused by itself; a key written twice
/// in one branch.
pub fn txn(request: &Txn, maximum_operations: usize) -> Result<(), ServiceError> {
    operations(request, maximum_operations)?;
    written(&request.success)?;
    written(&request.failure)?;
    Ok(())
}

fn key(key: &Bytes) -> Result<(), ServiceError> {
    if key.is_empty() {
        Err(ServiceError::EmptyKey)
    } else {
        Ok(())
    }
}

/// A transaction inside may use what the longest list of the one around it leaves of the budget.
fn operations(request: &Txn, budget: usize) -> Result<(), ServiceError> {
    let longest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let left = budget
        .checked_sub(longest)
        .ok_or(ServiceError::TooManyOperations)?;
    for compare in &request.compare {
        key(&compare.keys.key)?;
    }
    for operation in request.success.iter().chain(&request.failure) {
        match operation {
            Operation::Range(inner) => range(inner)?,
            Operation::Put(inner) => put(inner)?,
            Operation::DeleteRange(inner) => delete_range(inner)?,
            Operation::Txn(inner) => operations(inner, left)?,
        }
    }
    Ok(())
}

/// What a list of operations writes.
#[derive(Default)]
struct Written<'request> {
    puts: HashSet<&'request Bytes>,
    deletes: Intervals,
}

impl<'request> Written<'request> {
    fn put(&mut self, key: &'request Bytes) -> Result<(), ServiceError> {
        if self.deletes.contain(key) || !self.puts.insert(key) {
            return Err(ServiceError::DuplicateKey);
        }
        Ok(())
    }
}

/// Collects what `list` writes, and refuses a key that is put twice, or put and also deleted.
///
/// The order of the passes is the rule: deletes of this list first, then the transactions inside in their order, then
/// the puts of this list. So a put in one transaction inside does not see the deletes of a later one, as in etcd.
fn written(list: &[Operation]) -> Result<Written<'_>, ServiceError> {
    let mut all = Written::default();
    if let [Operation::Put(_) | Operation::DeleteRange(_) | Operation::Range(_)] = list {
        // One operation cannot clash with itself; only a caller one level up looks at what it writes.
        collect_one(list, &mut all);
        return Ok(all);
    }
    for operation in list {
        if let Operation::DeleteRange(delete) = operation {
            all.deletes.insert(&delete.keys.key, &delete.keys.end);
        }
    }
    for operation in list {
        if let Operation::Txn(inner) = operation {
            let success = written(&inner.success)?;
            let failure = written(&inner.failure)?;
            for key in &success.puts {
                all.put(key)?;
            }
            // Only one of the two branches is done, so both may put the same key.
            for key in failure.puts.difference(&success.puts) {
                all.put(key)?;
            }
            all.deletes.absorb(success.deletes);
            all.deletes.absorb(failure.deletes);
        }
    }
    for operation in list {
        if let Operation::Put(put) = operation {
            all.put(&put.key)?;
        }
    }
    Ok(all)
}

fn collect_one<'request>(list: &'request [Operation], all: &mut Written<'request>) {
    match list.first() {
        Some(Operation::Put(put)) => {
            all.puts.insert(&put.key);
        }
        Some(Operation::DeleteRange(delete)) => all.deletes.insert(&delete.keys.key, &delete.keys.end),
        _ => {}
    }
}

/// A union of half-open intervals of keys, kept disjoint: start to end.
#[derive(Default)]
struct Intervals {
    ends: BTreeMap<Bytes, Bytes>,
}

impl Intervals {
    /// Adds what a range means. An end of one zero byte is taken literally here, as in etcd: such a range is empty to
    /// this check although it deletes all that follows.
    fn insert(&mut self, key: &Bytes, end: &Bytes) {
        if end.is_empty() {
            let mut successor = BytesMut::with_capacity(key.len() + 1);
            successor.put_slice(key);
            successor.put_u8(0);
            self.merge(key.clone(), successor.freeze());
        } else if key < end {
            self.merge(key.clone(), end.clone());
        }
    }

    fn merge(&mut self, mut start: Bytes, mut end: Bytes) {
        // Every turn removes one interval that the new one touches.
        while let Some((other_start, other_end)) = self.ends.range(..=end.clone()).next_back() {
            if *other_end < start {
                break;
            }
            let (other_start, other_end) = (other_start.clone(), other_end.clone());
            self.ends.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.ends.insert(start, end);
    }

    fn absorb(&mut self, other: Self) {
        for (start, end) in other.ends {
            self.merge(start, end);
        }
    }

    fn contain(&self, key: &Bytes) -> bool {
        self.ends
            .range::<Bytes, _>(..=key)
            .next_back()
            .is_some_and(|(_, end)| key < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LeaseId, Namespace};
    use crate::state::command::Keys;

    fn keys(key: &'static str, end: &'static str) -> Keys {
        Keys {
            namespace: Namespace::DEFAULT,
            key: Bytes::from(key),
            end: Bytes::from(end),
        }
    }

    fn put_of(key: &'static str) -> Operation {
        Operation::Put(Put {
            key: Bytes::from(key),
            ..Put::default()
        })
    }

    fn delete_of(key: &'static str, end: &'static str) -> Operation {
        Operation::DeleteRange(DeleteRange {
            keys: keys(key, end),
            previous: false,
        })
    }

    fn txn_of(success: Vec<Operation>, failure: Vec<Operation>) -> Txn {
        Txn {
            compare: vec![],
            success,
            failure,
        }
    }

    fn check(success: Vec<Operation>) -> Result<(), ServiceError> {
        txn(&txn_of(success, vec![]), 128)
    }

    #[test]
    fn a_key_is_put_once_in_a_branch() {
        assert_eq!(check(vec![put_of("a"), put_of("b")]), Ok(()));
        assert_eq!(
            check(vec![put_of("a"), put_of("a")]),
            Err(ServiceError::DuplicateKey)
        );
        assert_eq!(txn(&txn_of(vec![put_of("a")], vec![put_of("a")]), 128), Ok(()));
    }

    #[test]
    fn a_put_and_a_delete_of_its_key_clash_in_either_order() {
        assert_eq!(
            check(vec![put_of("b"), delete_of("a", "c")]),
            Err(ServiceError::DuplicateKey)
        );
        assert_eq!(
            check(vec![delete_of("a", "c"), put_of("b")]),
            Err(ServiceError::DuplicateKey)
        );
        assert_eq!(
            check(vec![delete_of("b", ""), put_of("b")]),
            Err(ServiceError::DuplicateKey)
        );
        assert_eq!(check(vec![delete_of("b", ""), put_of("bb")]), Ok(()));
        assert_eq!(check(vec![delete_of("a", "b"), put_of("b")]), Ok(()));
    }

    #[test]
    fn deletes_may_overlap() {
        assert_eq!(
            check(vec![delete_of("a", "c"), delete_of("b", "d"), delete_of("b", "")]),
            Ok(())
        );
        let overlapping = vec![
            delete_of("a", "c"),
            delete_of("b", "e"),
            delete_of("k", ""),
            put_of("d"),
        ];
        assert_eq!(check(overlapping), Err(ServiceError::DuplicateKey));
    }

    #[test]
    fn an_inner_transaction_may_put_the_same_key_in_both_branches_but_not_one_of_the_outer_list() {
        let inner = || Operation::Txn(txn_of(vec![put_of("a")], vec![put_of("a")]));
        assert_eq!(check(vec![inner()]), Ok(()));
        assert_eq!(check(vec![inner(), put_of("a")]), Err(ServiceError::DuplicateKey));
        assert_eq!(check(vec![inner(), inner()]), Err(ServiceError::DuplicateKey));
        assert_eq!(
            check(vec![inner(), delete_of("a", "b")]),
            Err(ServiceError::DuplicateKey)
        );
    }

    #[test]
    fn an_inner_delete_clashes_with_an_outer_put() {
        let inner = Operation::Txn(txn_of(vec![], vec![delete_of("a", "c")]));
        assert_eq!(check(vec![put_of("b"), inner]), Err(ServiceError::DuplicateKey));
    }

    #[test]
    fn the_hole_of_an_open_end_is_etcds() {
        assert_eq!(check(vec![delete_of("zz", "\0"), put_of("zzz")]), Ok(()));
        assert_eq!(check(vec![put_of("zz"), delete_of("zz", "\0")]), Ok(()));
    }

    #[test]
    fn the_hole_of_a_later_sibling_is_etcds() {
        let inner_put = || Operation::Txn(txn_of(vec![put_of("a")], vec![]));
        let inner_delete = || Operation::Txn(txn_of(vec![delete_of("a", "")], vec![]));
        assert_eq!(check(vec![inner_put(), inner_delete()]), Ok(()));
        assert_eq!(
            check(vec![inner_delete(), inner_put()]),
            Err(ServiceError::DuplicateKey)
        );
    }

    #[test]
    fn inner_transactions_share_the_budget_of_operations() {
        assert_eq!(txn(&txn_of(vec![put_of("a"), put_of("b")], vec![]), 2), Ok(()));
        assert_eq!(
            txn(&txn_of(vec![put_of("a"), put_of("b")], vec![]), 1),
            Err(ServiceError::TooManyOperations)
        );
        let nested = txn_of(
            vec![Operation::Txn(txn_of(vec![put_of("a"), put_of("b")], vec![]))],
            vec![],
        );
        assert_eq!(txn(&nested, 3), Ok(()));
        assert_eq!(txn(&nested, 2), Err(ServiceError::TooManyOperations));
    }

    #[test]
    fn size_is_checked_before_keys_and_keys_before_duplicates() {
        let wrong_twice = txn_of(vec![put_of("a"), put_of("")], vec![]);
        assert_eq!(txn(&wrong_twice, 1), Err(ServiceError::TooManyOperations));
        assert_eq!(txn(&wrong_twice, 2), Err(ServiceError::EmptyKey));
        let empty_after_duplicate = txn_of(vec![put_of("a"), put_of("a")], vec![put_of("")]);
        assert_eq!(txn(&empty_after_duplicate, 2), Err(ServiceError::EmptyKey));
    }

    #[test]
    fn a_put_cannot_both_give_and_ignore() {
        let with_value = Put {
            key: Bytes::from("a"),
            value: Bytes::from("v"),
            ignore_value: true,
            ..Put::default()
        };
        assert_eq!(put(&with_value), Err(ServiceError::ValueProvided));
        let with_lease = Put {
            key: Bytes::from("a"),
            lease: LeaseId(1),
            ignore_lease: true,
            ..Put::default()
        };
        assert_eq!(put(&with_lease), Err(ServiceError::LeaseProvided));
        assert_eq!(put(&Put::default()), Err(ServiceError::EmptyKey));
    }
}
