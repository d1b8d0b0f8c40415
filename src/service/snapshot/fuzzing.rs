//! For fuzzing: snapshot files, into a state and out of it again.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::{SnapshotFile, write};
use crate::base::fuzzing::Scratch;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::state::command::{Alarm, Command, DeleteRange, Keys, Proposal, Put};
use crate::state::{AppliedPosition, LogEntry, Machine, Payload, encode_proposal};
use crate::storage::memory::MemoryEngine;

thread_local! {
    static FILES: RefCell<[Scratch; 2]> = RefCell::default();
}

fn no_position() -> AppliedPosition {
    AppliedPosition {
        index: None,
        position: None,
        membership: None,
    }
}

/// A snapshot file. A state that it fills can be opened and saved, and what was saved fills a state again.
pub fn snapshot(bytes: &[u8]) {
    FILES.with_borrow(|[first, second]| {
        let (_, path) = first.fill(bytes);
        let Ok(file) = SnapshotFile::open(path, true) else {
            return;
        };
        let _ = file.summary();
        let engine = Arc::new(MemoryEngine::new());
        if file.fill(engine.clone(), no_position(), None).is_err() {
            return;
        }
        let machine = Machine::open(engine).expect("what was restored can be opened");
        let (target, path) = second.fill(b"");
        save(&machine, target);
        let saved = SnapshotFile::open(path, true).expect("what was saved can be opened");
        let engine = Arc::new(MemoryEngine::new());
        saved
            .fill(engine, no_position(), None)
            .expect("what was saved can be restored");
    });
}

fn save(machine: &Machine, target: &File) {
    let target = target.try_clone().expect("there are handles");
    write::write(&machine.reader().view(), target).expect("what was restored can be saved");
}

/// A store with something of everything, and an empty one.
#[must_use]
pub fn snapshot_seeds() -> Vec<Vec<u8>> {
    let put = |key: &'static str, lease| {
        Command::Put(Put {
            key: key.into(),
            value: "value".into(),
            lease: LeaseId(lease),
            ..Put::default()
        })
    };
    let keys = Keys {
        namespace: Namespace::DEFAULT,
        key: "a".into(),
        end: Bytes::new(),
    };
    let some = vec![
        Command::LeaseGrant {
            id: LeaseId(7),
            ttl_seconds: 60,
        },
        put("a", 7),
        put("b", 0),
        Command::DeleteRange(DeleteRange {
            keys,
            previous: false,
        }),
        put("b", 7),
        Command::Compact {
            revision: Revision(3),
        },
        Command::AlarmActivate {
            member: MemberId(1),
            alarm: Alarm::Corrupt,
        },
    ];
    FILES.with_borrow(|[scratch, _]| {
        [some, Vec::new()]
            .into_iter()
            .map(|commands| {
                let mut machine = Machine::open(Arc::new(MemoryEngine::new())).expect("it is empty");
                for (index, command) in (1..).zip(commands) {
                    let proposal = Proposal {
                        origin: MemberId(1),
                        sequence: index,
                        command,
                    };
                    let entry = LogEntry {
                        index,
                        position: Bytes::from_static(b"position"),
                        payload: Payload::Proposals(encode_proposal(&proposal).expect("it can be encoded")),
                    };
                    machine.apply(&[entry]).expect("it can be applied");
                }
                let (file, path) = scratch.fill(b"");
                save(&machine, file);
                std::fs::read(path).expect("it was written")
            })
            .collect()
    })
}
