//! The state machine does what the model does, whatever the commands, the batches and the progress of the removal.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::Fixture;
use super::generate::{Batch, batches, range};
use super::model::Model;
use crate::base::{LeaseId, Namespace, Revision};
use crate::state::applied::{Event, VersionId};
use crate::state::command::{Keys, Range, Txn};
use crate::state::{ReadView, command};

/// The state at some moment, as the machine and the model have it.
type Moment = (Arc<ReadView>, Model);

/// Runs the log on both, comparing each answer and all news. Also gives how things were before each batch.
fn run(log: &[Batch], remembered_keys: usize) -> Result<(Fixture, Model, Vec<Moment>), TestCaseError> {
    let mut fixture = Fixture::remembering(remembered_keys);
    let mut model = Model::new();
    let mut moments = Vec::new();
    for (commands, removal) in log {
        moments.push((fixture.machine.reader().view(), model.clone()));
        let applied = fixture.apply_batch(commands.clone());
        prop_assert_eq!(applied.len(), commands.len());
        for (applied, command) in applied.into_iter().zip(commands) {
            let (outcome, effects) = model.apply(command);
            prop_assert_eq!(applied.outcome, outcome, "the answer to {:?}", command);
            prop_assert_eq!(applied.effects, effects, "the news of {:?}", command);
            prop_assert_eq!(applied.revision, Revision(model.revision), "after {:?}", command);
        }
        if let Some(events) = removal {
            let _ = fixture
                .machine
                .compactor()
                .step(*events)
                .expect("the engine works");
        }
        if let Some((before, model_before)) = moments.last() {
            let now = fixture.machine.reader().view();
            check_keys(&[(before, model_before), (&now, &model)], &model)?;
        }
    }
    Ok((fixture, model, moments))
}

/// Every key that there ever was, in the order of the views: what one leaves to be remembered is read by the next.
fn check_keys(moments: &[(&Arc<ReadView>, &Model)], newest: &Model) -> Result<(), TestCaseError> {
    for event in &newest.events {
        for (view, model) in moments {
            for keys_only in [true, false] {
                let range = Range {
                    keys: Keys {
                        namespace: event.namespace,
                        key: event.key_value.key.clone(),
                        end: bytes::Bytes::new(),
                    },
                    keys_only,
                    ..Range::default()
                };
                let read = view.range(&range).expect("the engine works");
                prop_assert_eq!(&read, &model.range(&range), "the answer to {:?}", range);
            }
        }
    }
    Ok(())
}

fn everything(namespace: Namespace, revision: i64) -> Range {
    Range {
        keys: Keys {
            namespace,
            key: bytes::Bytes::from_static(&[0]),
            end: bytes::Bytes::from_static(&[0]),
        },
        revision: Revision(revision),
        ..Range::default()
    }
}

fn check_ranges(view: &ReadView, model: &Model, ranges: &[Range]) -> Result<(), TestCaseError> {
    let mut all = ranges.to_vec();
    for revision in 0..=model.revision + 1 {
        for namespace in [1, 2, 255] {
            all.push(everything(Namespace(namespace), revision));
        }
        all.extend(ranges.iter().map(|range| Range {
            revision: Revision(revision),
            ..range.clone()
        }));
    }
    for range in &all {
        let read = view.range(range).expect("the engine works");
        prop_assert_eq!(&read, &model.range(range), "the answer to {:?}", range);
        let txn = Txn {
            success: vec![command::Operation::Range(range.clone())],
            ..Txn::default()
        };
        let in_txn = view.read_transaction(&txn).expect("the engine works");
        let in_txn = in_txn.map(|answer| answer.answers);
        let wrapped = read.map(|answer| vec![crate::state::applied::OperationAnswer::Range(answer)]);
        prop_assert_eq!(in_txn, wrapped, "in a transaction: {:?}", range);
    }
    Ok(())
}

/// Single keys and ranges as they are at the moment of the view.
fn check_present(view: &ReadView, model: &Model, ranges: &[Range]) -> Result<(), TestCaseError> {
    for range in ranges {
        let key = Keys {
            end: bytes::Bytes::new(),
            ..range.keys.clone()
        };
        for keys in [key, range.keys.clone()] {
            let present = Range {
                keys,
                revision: Revision(0),
                ..range.clone()
            };
            let read = view.range(&present).expect("the engine works");
            prop_assert_eq!(&read, &model.range(&present), "the answer to {:?}", present);
        }
    }
    Ok(())
}

fn check_leases(view: &ReadView, model: &Model) -> Result<(), TestCaseError> {
    let mut leases = view.leases().expect("the engine works");
    leases.sort_unstable();
    let expected: Vec<(LeaseId, i64)> = model.leases.iter().map(|(id, ttl)| (*id, *ttl)).collect();
    prop_assert_eq!(leases, expected);
    for id in [1, 2, -1, i64::MAX].map(LeaseId) {
        let ttl = view.lease(id).expect("the engine works");
        prop_assert_eq!(ttl, model.leases.get(&id).copied());
        let attached = view.lease_keys(id).expect("the engine works");
        prop_assert_eq!(attached, model.attached(id), "the keys of lease {}", id);
    }
    Ok(())
}

fn check_hashes(view: &ReadView, model: &Model) -> Result<(), TestCaseError> {
    for revision in -1..=model.revision + 1 {
        let hash = view.hash_kv(Revision(revision)).expect("the engine works");
        let hash = hash.map(|hash| hash.hash);
        prop_assert_eq!(hash, model.hash(revision), "the hash at {}", revision);
    }
    Ok(())
}

/// History in pages from every readable revision, filtered, joins to what the model remembers.
fn check_history(view: &ReadView, model: &Model, page: (usize, usize)) -> Result<(), TestCaseError> {
    let readable = model.compacted.unwrap_or(0);
    for from in readable..=model.revision + 1 {
        for wanted in [None, Some(b'a')] {
            let matches = |key: &[u8]| wanted.is_none_or(|byte| key.first() == Some(&byte));
            let mut read: Vec<Event> = Vec::new();
            let mut next = Revision(from);
            while next.0 <= model.revision {
                let events = view
                    .events(next, page.0, page.1, &mut |_, key, _| matches(key))
                    .expect("the engine works");
                prop_assert!(events.next > next, "a page from {} moves on", next);
                check_page(&events.events, page)?;
                read.extend(events.events);
                next = events.next;
            }
            let expected: Vec<Event> = model
                .events
                .iter()
                .filter(|event| event.id.revision.0 >= from && matches(&event.key_value.key))
                .cloned()
                .collect();
            prop_assert_eq!(read, expected, "history from {}", from);
        }
    }
    Ok(())
}

/// A page ends at the first revision that reaches a limit.
fn check_page(events: &[Event], (revisions, bytes): (usize, usize)) -> Result<(), TestCaseError> {
    let mut seen: Vec<Revision> = events.iter().map(|event| event.id.revision).collect();
    seen.dedup();
    prop_assert!(seen.len() <= revisions.max(1));
    let last = seen.last().copied().unwrap_or_default();
    let before_last = events.iter().filter(|event| event.id.revision < last);
    let size: usize = before_last
        .map(|event| event.key_value.key.len() + event.key_value.value.len())
        .sum();
    prop_assert!(size == 0 || size < bytes);
    Ok(())
}

/// What a change superseded can be read back until compaction passes the change.
fn check_superseded(view: &ReadView, model: &Model) -> Result<(), TestCaseError> {
    let compacted = model.compacted.unwrap_or(-1);
    for event in &model.events {
        let Some(superseded) = event.superseded else {
            continue;
        };
        let key = &event.key_value.key;
        let read = view.version(event.namespace, key, superseded);
        let read = read.expect("the engine works");
        let expected = model.version(event.namespace, key, superseded);
        prop_assert!(expected.is_some(), "the model knows what was superseded");
        if event.id.revision.0 > compacted || read.is_some() {
            prop_assert_eq!(read, expected, "what {:?} superseded", event);
        }
    }
    Ok(())
}

/// What compaction left is what the rules say, no more and no less.
fn check_stored(fixture: &Fixture, model: &Model) -> Result<(), TestCaseError> {
    let compacted = model.compacted.unwrap_or(-1);
    let is_stored = |event: &Event, id: VersionId| {
        let superseding = model
            .events
            .iter()
            .find(|other| other.superseded == Some(id) && other.namespace == event.namespace);
        let superseded = superseding.is_some_and(|other| {
            other.id.revision.0 < compacted || (other.id.revision.0 == compacted && id.revision.0 < compacted)
        });
        let forgotten = event.kind == crate::state::EventKind::Delete && id.revision.0 < compacted;
        !superseded && !forgotten
    };
    let expected: Vec<VersionId> = model
        .events
        .iter()
        .filter(|event| is_stored(event, event.id))
        .map(|event| event.id)
        .collect();
    prop_assert_eq!(fixture.stored_events(), expected.clone(), "rows of events");
    let mut versions = fixture.stored_versions();
    versions.sort_unstable();
    prop_assert_eq!(versions, expected, "rows of versions");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_model_does(
        log in batches(),
        ranges in vec(range(), 1..6),
        page in (1_usize..4, 1_usize..12),
        remembered_keys in prop_oneof![Just(0_usize), Just(1), Just(3), Just(1_000)],
    ) {
        let (fixture, model, moments) = run(&log, remembered_keys)?;
        let view = fixture.machine.reader().view();
        check_ranges(&view, &model, &ranges)?;
        check_leases(&view, &model)?;
        check_hashes(&view, &model)?;
        check_history(&view, &model, page)?;
        check_superseded(&view, &model)?;
        super::finish_compaction(&fixture.machine, 2);
        let compacted = fixture.fresh_view();
        check_ranges(&compacted, &model, &ranges)?;
        check_hashes(&compacted, &model)?;
        check_history(&compacted, &model, page)?;
        check_superseded(&compacted, &model)?;
        check_stored(&fixture, &model)?;
        // Views are immutable: older ones read as before the removal, and as before what was written after them.
        check_ranges(&view, &model, &ranges)?;
        for (view, model) in &moments {
            check_present(view, model, &ranges)?;
        }
    }
}
