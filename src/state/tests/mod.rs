//! Tests of the state machine, on the engine in memory.

mod hash;
mod order;
mod page;

use std::sync::Arc;

use bytes::Bytes;

use super::applied::{Answer, Applied, Refusal};
use super::command::{Command, Keys, Proposal, Put};
use super::{LogEntry, Machine, Payload, encode_proposal};
use crate::base::{MemberId, Namespace, Revision};
use crate::storage::memory::MemoryEngine;

/// A machine on an empty engine that is fed command by command.
pub(super) struct Fixture {
    pub(super) machine: Machine,
    index: u64,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let machine = Machine::open(Arc::new(MemoryEngine::new())).expect("an empty engine opens");
        Self { machine, index: 0 }
    }

    /// Applies one command as a batch of its own.
    pub(super) fn apply(&mut self, command: Command) -> Applied {
        self.index += 1;
        let proposal = Proposal {
            origin: MemberId(1),
            sequence: self.index,
            command,
        };
        let entry = LogEntry {
            index: self.index,
            position: Bytes::from(self.index.to_be_bytes().to_vec()),
            payload: Payload::Proposal(encode_proposal(&proposal).expect("a proposal encodes")),
        };
        let mut applied = self.machine.apply(&[entry]).expect("the engine in memory works");
        applied.pop().expect("one entry gives one answer")
    }

    /// Compacts at a revision and removes all that this makes unreadable.
    pub(super) fn compact(&mut self, revision: i64) {
        let revision = Revision(revision);
        self.outcome(Command::Compact { revision })
            .expect("the revision can be compacted");
        finish_compaction(&self.machine, 1);
    }

    pub(super) fn outcome(&mut self, command: Command) -> Result<Answer, Refusal> {
        self.apply(command).outcome
    }
}

/// Removes all that compaction has made unreadable, in steps over `maximum_events` changes, and says how many versions
/// that were.
pub(super) fn finish_compaction(machine: &Machine, maximum_events: usize) -> u64 {
    let mut removed = 0;
    loop {
        let progress = machine
            .compactor()
            .step(maximum_events)
            .expect("the engine works");
        removed += progress.removed;
        if progress.finished {
            return removed;
        }
    }
}

pub(super) fn put(key: &'static str, value: &'static str) -> Put {
    Put {
        namespace: Namespace::DEFAULT,
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
        ..Put::default()
    }
}

pub(super) fn key(key: &'static str) -> Keys {
    Keys {
        namespace: Namespace::DEFAULT,
        key: Bytes::from_static(key.as_bytes()),
        end: Bytes::new(),
    }
}
