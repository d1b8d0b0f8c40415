//! Tests of the state machine, on the engine in memory.

mod auth;
mod bounded;
mod determinism;
mod format;
mod generate;
mod golden;
mod hash;
mod members;
mod model;
mod order;
mod page;
mod permissions;
mod properties;
mod schema;
mod script;

use std::sync::Arc;

use bytes::Bytes;

use super::applied::{Answer, Applied, Refusal, VersionId};
use super::command::{Command, Keys, Proposal, Put};
use super::recent::RecentKeys;
use super::{LogEntry, Machine, Payload, ReadView, encode_proposal};
use crate::base::{MemberId, Namespace, Revision};
use crate::storage::memory::MemoryEngine;
use crate::storage::{Engine, Family, KeyRange};

/// A machine that is fed command by command.
pub(super) struct Fixture {
    pub(super) machine: Machine,
    engine: Arc<dyn Engine>,
    index: u64,
}

impl Fixture {
    /// On an empty engine in memory.
    pub(super) fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::new()))
    }

    /// On an empty engine in memory, with room for so many recent keys.
    pub(super) fn remembering(keys: usize) -> Self {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let recent = RecentKeys::with_places(keys);
        let machine = Machine::open_remembering(Arc::clone(&engine), recent).expect("the engine opens");
        Self {
            machine,
            engine,
            index: 0,
        }
    }

    /// On an engine, after the entries that it has applied.
    pub(super) fn on(engine: Arc<dyn Engine>) -> Self {
        let machine = Machine::open(Arc::clone(&engine)).expect("the engine opens");
        let index = machine.reader().view().applied_index();
        Self {
            machine,
            engine,
            index,
        }
    }

    /// Applies commands as one batch.
    pub(super) fn apply_batch(&mut self, commands: Vec<Command>) -> Vec<Applied> {
        let entries: Vec<LogEntry> = commands
            .into_iter()
            .map(|command| {
                self.index += 1;
                entry(self.index, command)
            })
            .collect();
        self.machine.apply(&entries).expect("the engine works")
    }

    /// Applies one command as a batch of its own.
    pub(super) fn apply(&mut self, command: Command) -> Applied {
        let mut applied = self.apply_batch(vec![command]);
        applied.pop().expect("one entry gives one answer")
    }

    /// The state as a machine that is opened now sees it, what the removal has done since the last batch included.
    pub(super) fn fresh_view(&self) -> Arc<ReadView> {
        let machine = Machine::open(Arc::clone(&self.engine)).expect("the engine opens");
        machine.reader().view()
    }

    /// All rows of a family.
    pub(super) fn rows(&self, family: Family) -> Vec<(Vec<u8>, Vec<u8>)> {
        let view = self.engine.view();
        let mut cursor = view
            .scan(family, KeyRange::prefix(&[]))
            .expect("the engine works");
        let mut rows = Vec::new();
        while let Some((key, value)) = cursor.item() {
            rows.push((key.to_vec(), value.to_vec()));
            cursor.advance().expect("the engine works");
        }
        rows
    }

    /// The changes that have a row, in order.
    pub(super) fn stored_events(&self) -> Vec<VersionId> {
        let rows = self.rows(Family::Events).into_iter();
        rows.map(|(key, _)| super::schema::event_id(&key).expect("an event key"))
            .collect()
    }

    /// The versions that have a row, by key.
    pub(super) fn stored_versions(&self) -> Vec<VersionId> {
        let rows = self.rows(Family::Versions).into_iter();
        rows.map(|(key, _)| super::schema::split_version(&key).expect("a version key").1)
            .collect()
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

/// The log entry of a command.
pub(super) fn entry(index: u64, command: Command) -> LogEntry {
    let proposal = Proposal {
        origin: MemberId(1),
        sequence: index,
        command,
    };
    LogEntry {
        index,
        position: Bytes::from(index.to_be_bytes().to_vec()),
        payload: Payload::Proposals(encode_proposal(&proposal).expect("a proposal encodes")),
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
