//! The order of log entries and of what they carry: none is applied twice, and none after one that stops the node.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::MemberId;
use crate::state::applied::{Answer, Applied, Fatal};
use crate::state::command::{Command, Proposal, Put};
use crate::state::{LogEntry, Machine, Payload, encode_proposal};
use crate::storage::memory::MemoryEngine;

fn blank(index: u64) -> LogEntry {
    LogEntry {
        index,
        position: Bytes::from(index.to_be_bytes().to_vec()),
        payload: Payload::Blank,
    }
}

fn machine() -> Machine {
    Machine::open(Arc::new(MemoryEngine::new())).expect("an empty engine opens")
}

#[test]
fn no_entry_is_applied_twice() {
    for first in [0, 1, 7] {
        let mut machine = machine();
        machine.apply(&[blank(first)]).expect("the first entry");
        let refused = machine.apply(&[blank(first)]);
        assert!(
            matches!(refused, Err(Fatal::OutOfOrder { index, applied }) if index == first && applied == first),
            "{refused:?}"
        );
    }
}

#[test]
fn no_entry_is_applied_twice_in_one_batch() {
    let mut machine = machine();
    let refused = machine.apply(&[blank(0), blank(1), blank(1)]);
    assert!(
        matches!(refused, Err(Fatal::OutOfOrder { index: 1, applied: 1 })),
        "{refused:?}"
    );
}

#[test]
fn a_batch_with_an_entry_of_an_unknown_format_changes_nothing() {
    let mut machine = machine();
    machine.apply(&[blank(0)]).expect("the first entry");
    let unknown = LogEntry {
        payload: Payload::Proposals(Bytes::from_static(&[255, 0, 0])),
        ..blank(2)
    };
    let error = machine
        .apply(&[blank(1), unknown])
        .expect_err("the version is unknown");
    assert!(
        error.to_string().starts_with("log entry 2 cannot be decoded"),
        "{error}"
    );
    assert_eq!(machine.reader().view().applied_index(), 0);
    assert_eq!(machine.position().expect("the position").index, Some(0));
}

#[test]
fn the_proposals_of_one_entry_are_applied_in_order_each_with_a_revision_and_an_answer_of_its_own() {
    let mut machine = machine();
    let proposal = |sequence, key: &'static str| {
        encode_proposal(&Proposal {
            origin: MemberId(7),
            sequence,
            command: Command::Put(Put {
                key: Bytes::from_static(key.as_bytes()),
                previous: true,
                ..Put::default()
            }),
        })
        .expect("a proposal encodes")
    };
    let together = [proposal(1, "a"), proposal(2, "b"), proposal(3, "a")].concat();
    let entry = LogEntry {
        payload: Payload::Proposals(Bytes::from(together)),
        ..blank(0)
    };
    let applied = machine.apply(&[entry]).expect("the entry is applied");
    let seen: Vec<_> = applied
        .iter()
        .map(|applied| {
            (
                applied.index,
                applied.origin,
                applied.sequence,
                applied.revision.0,
            )
        })
        .collect();
    let member = MemberId(7);
    assert_eq!(seen, [(0, member, 1, 2), (0, member, 2, 3), (0, member, 3, 4)]);
    let previous = |applied: &Applied| match &applied.outcome {
        Ok(Answer::Put(put)) => put
            .previous
            .as_ref()
            .map(|key_value| key_value.modification_revision.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        applied.iter().map(previous).collect::<Vec<_>>(),
        [None, None, Some(2)]
    );
}
