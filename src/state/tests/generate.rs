//! Random commands and reads, of the awkward sort: few keys, of zeros and 0xff, that are prefixes of each other.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use crate::base::{LeaseId, Namespace, Revision};
use crate::state::command::{
    Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Range, SortOrder,
    SortTarget, Txn,
};

const NAMESPACES: [Namespace; 3] = [Namespace::DEFAULT, Namespace::SERVICES, Namespace(255)];

/// Two neighbouring namespaces and the last one there can be.
pub(super) fn namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![4 => Just(Namespace::DEFAULT), 1 => select(&NAMESPACES[..])]
}

/// A key of the few bytes that are awkward, or any.
pub(super) fn key() -> impl Strategy<Value = Bytes> {
    let awkward = vec(select(&[0_u8, 1, b'a', 254, 255][..]), 1..4);
    let few = select(&["a", "b", "a\0", "a\0\0", "a\u{1}", "ab", "\0"][..]).prop_map(Bytes::from);
    prop_oneof![4 => few, 2 => awkward.prop_map(Bytes::from), 1 => vec(any::<u8>(), 1..6).prop_map(Bytes::from)]
}

/// A single key, an open-ended range, or one from a key to a key, reversed ones included.
pub(super) fn keys() -> impl Strategy<Value = Keys> {
    let end = prop_oneof![3 => Just(Bytes::new()), 2 => Just(Bytes::from_static(&[0])), 4 => key()];
    (namespace(), key(), end).prop_map(|(namespace, key, end)| Keys { namespace, key, end })
}

fn value() -> impl Strategy<Value = Bytes> {
    select(&["", "0", "1", "one and a half", "\0"][..]).prop_map(Bytes::from)
}

fn lease() -> impl Strategy<Value = LeaseId> {
    prop_oneof![3 => Just(LeaseId::NONE), 2 => select(&[1, 2, -1, i64::MAX][..]).prop_map(LeaseId)]
}

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![2 => Just(Revision(0)), 3 => (-1_i64..24).prop_map(Revision)]
}

fn put() -> impl Strategy<Value = Put> {
    let ignored = prop_oneof![6 => Just((false, false)), 1 => any::<(bool, bool)>()];
    let parts = (namespace(), key(), value(), lease(), any::<bool>(), ignored);
    parts.prop_map(|(namespace, key, value, lease, previous, ignored)| Put {
        namespace,
        key,
        value,
        lease,
        previous,
        ignore_value: ignored.0,
        ignore_lease: ignored.1,
    })
}

fn delete() -> impl Strategy<Value = DeleteRange> {
    (keys(), any::<bool>()).prop_map(|(keys, previous)| DeleteRange { keys, previous })
}

/// A read with any combination of options.
pub(super) fn range() -> impl Strategy<Value = Range> {
    let orders = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
    let targets = [
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Modification,
        SortTarget::Value,
    ];
    let bound = || prop_oneof![6 => Just(Revision(0)), 1 => (-1_i64..16).prop_map(Revision)];
    let filters = (bound(), bound(), bound(), bound());
    let shape = (
        weighted(0.5, -1_i64..5),
        any::<bool>(),
        proptest::bool::weighted(0.2),
    );
    let sort = (
        select(orders.to_vec()),
        prop_oneof![1 => Just(SortTarget::Key), 1 => select(targets.to_vec())],
    );
    (keys(), revision(), shape, sort, filters).prop_map(|(keys, revision, shape, sort, filters)| Range {
        keys,
        limit: shape.0.unwrap_or_default(),
        revision,
        sort_order: sort.0,
        sort_target: sort.1,
        keys_only: shape.1,
        count_only: shape.2,
        minimum_modification: filters.0,
        maximum_modification: filters.1,
        minimum_create: filters.2,
        maximum_create: filters.3,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let small = || 0_i64..8;
    let target = prop_oneof![
        small().prop_map(CompareTarget::Version),
        small().prop_map(|number| CompareTarget::Create(Revision(number))),
        small().prop_map(|number| CompareTarget::Modification(Revision(number))),
        value().prop_map(CompareTarget::Value),
        lease().prop_map(CompareTarget::Lease),
    ];
    let comparisons = [
        Comparison::Equal,
        Comparison::Greater,
        Comparison::Less,
        Comparison::NotEqual,
        Comparison::Always,
    ];
    (keys(), select(comparisons.to_vec()), target).prop_map(|(keys, comparison, target)| Compare {
        keys,
        comparison,
        target,
    })
}

/// A transaction with transactions inside, which may put and remove a key at one revision.
pub(super) fn txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        3 => put().prop_map(Operation::Put),
        2 => delete().prop_map(Operation::DeleteRange),
        1 => range().prop_map(Operation::Range),
    ];
    let operation = leaf.prop_recursive(2, 8, 3, |operation| branches(operation).prop_map(Operation::Txn));
    branches(operation)
}

fn branches(operation: impl Strategy<Value = Operation> + Clone) -> impl Strategy<Value = Txn> {
    (
        vec(compare(), 0..3),
        vec(operation.clone(), 0..4),
        vec(operation, 0..4),
    )
        .prop_map(|(compare, success, failure)| Txn {
            compare,
            success,
            failure,
        })
}

/// A command that the model knows.
pub(super) fn command() -> impl Strategy<Value = Command> {
    let lease = || select(&[1, 2, -1, i64::MAX][..]).prop_map(LeaseId);
    prop_oneof![
        16 => put().prop_map(Command::Put),
        2 => delete().prop_map(Command::DeleteRange),
        4 => txn().prop_map(Command::Txn),
        2 => (-1_i64..20).prop_map(|revision| Command::Compact { revision: Revision(revision) }),
        3 => (lease(), 2_i64..5).prop_map(|(id, ttl_seconds)| Command::LeaseGrant { id, ttl_seconds }),
        1 => lease().prop_map(|id| Command::LeaseRevoke { id }),
    ]
}

/// Commands that are applied as one batch, and how many events a step of the removal may look at after it, if one runs.
pub(super) type Batch = (Vec<Command>, Option<usize>);

/// A log, cut into batches.
pub(super) fn batches() -> impl Strategy<Value = Vec<Batch>> {
    vec((vec(command(), 1..5), weighted(0.4, 1_usize..6)), 1..14)
}
