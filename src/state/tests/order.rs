//! The order of log entries: none is applied twice, and none after one that stops the node.

use std::sync::Arc;

use bytes::Bytes;

use crate::state::applied::Fatal;
use crate::state::{LogEntry, Machine, Payload};
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
