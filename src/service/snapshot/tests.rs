//! What is written is read back as the same store, and damaged or foreign files are refused.

mod users;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::schema::{self, StoredKeyValue, StoredLease};
use super::*;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::state::command::{Alarm, Command, DeleteRange, Keys, Operation, Proposal, Put, Range, Txn};
use crate::state::{AppliedPosition, LogEntry, Machine, Payload, ReadView, encode_proposal};
use crate::storage::bbolt::Writer;
use crate::storage::memory::MemoryEngine;

/// Keys and values, in order.
type Items<'items> = &'items [(&'items [u8], &'items [u8])];
/// A bucket with its name.
type NamedItems<'items> = (&'items str, Items<'items>);

fn machine_of(commands: Vec<Command>) -> Machine {
    let mut machine = Machine::open(Arc::new(MemoryEngine::new())).unwrap();
    for (index, command) in (1..).zip(commands) {
        apply(&mut machine, index, command);
    }
    machine
}

fn apply(machine: &mut Machine, index: u64, command: Command) {
    let proposal = Proposal {
        origin: MemberId(1),
        sequence: index,
        command,
    };
    let entry = LogEntry {
        index,
        position: Bytes::from_static(b"position"),
        payload: Payload::Proposals(encode_proposal(&proposal).unwrap()),
    };
    machine.apply(&[entry]).unwrap();
}

fn put(namespace: Namespace, key: &'static str, value: &'static str, lease: i64) -> Put {
    Put {
        namespace,
        key: key.into(),
        value: value.into(),
        lease: LeaseId(lease),
        ..Put::default()
    }
}

fn point(key: &'static str) -> Keys {
    Keys {
        namespace: Namespace::DEFAULT,
        key: key.into(),
        end: Bytes::new(),
    }
}

fn delete(key: &'static str) -> DeleteRange {
    DeleteRange {
        keys: point(key),
        previous: false,
    }
}

/// Every kind of change, up to revision 9, compacted at 5.
fn commands() -> Vec<Command> {
    let default = Namespace::DEFAULT;
    vec![
        Command::LeaseGrant {
            id: LeaseId(7),
            ttl_seconds: 600,
        },
        Command::LeaseGrant {
            id: LeaseId(8),
            ttl_seconds: 60,
        },
        Command::Put(put(default, "a", "1", 7)),
        Command::Put(put(default, "b", "1", 0)),
        Command::Put(put(default, "a", "2", 8)),
        Command::DeleteRange(delete("b")),
        Command::Compact {
            revision: Revision(5),
        },
        Command::Txn(Txn {
            success: vec![
                Operation::Put(put(default, "c", "3", 7)),
                Operation::Put(put(default, "b", "4", 0)),
            ],
            ..Txn::default()
        }),
        Command::Put(put(Namespace::SERVICES, "a", "of services", 7)),
        Command::DeleteRange(delete("a")),
        Command::Put(put(default, "a", "5", 8)),
    ]
}

struct Fixture {
    folder: TempDir,
    path: PathBuf,
}

/// A file of buckets, with its checksum.
fn file_of(view: &ReadView) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.db");
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    write::write(view, file).unwrap();
    seal(Fixture { folder, path })
}

fn file_of_buckets(buckets: &[NamedItems<'_>]) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.db");
    let mut writer = Writer::new(std::fs::File::create_new(&path).unwrap()).unwrap();
    for (name, items) in buckets {
        let mut bucket = writer.bucket(name.as_bytes());
        for (key, value) in *items {
            bucket.put(key, value).unwrap();
        }
        bucket.finish().unwrap();
    }
    writer.finish().unwrap();
    seal(Fixture { folder, path })
}

fn seal(fixture: Fixture) -> Fixture {
    let checksum = Sha256::digest(std::fs::read(&fixture.path).unwrap());
    let mut file = std::fs::File::options().append(true).open(&fixture.path).unwrap();
    file.write_all(&checksum).unwrap();
    fixture
}

fn fill(fixture: &Fixture, bump: Option<u64>) -> Result<(Restored, Machine), SnapshotError> {
    let engine = Arc::new(MemoryEngine::new());
    let file = SnapshotFile::open(&fixture.path, false)?;
    let restored = file.fill(engine.clone(), AppliedPosition::default(), bump)?;
    Ok((restored, Machine::open(engine).unwrap()))
}

fn refused(fixture: &Fixture) -> String {
    match fill(fixture, None) {
        Ok(_) => panic!("the file was taken"),
        Err(error) => error.to_string(),
    }
}

/// All that a client could see of a store.
fn seen(view: &ReadView) -> impl PartialEq + std::fmt::Debug + use<> {
    let oldest = view.compacted().unwrap_or(Revision(1)).0;
    let mut ranges = Vec::new();
    for revision in oldest..=view.revision().0 {
        for namespace in schema::NAMESPACES {
            let range = Range {
                keys: Keys {
                    namespace,
                    key: Bytes::from_static(b"\0"),
                    end: Bytes::from_static(b"\0"),
                },
                revision: Revision(revision),
                ..Range::default()
            };
            ranges.push((
                view.range(&range).unwrap(),
                view.hash_kv(Revision(revision)).unwrap(),
            ));
        }
    }
    let page = view
        .events(Revision(oldest), 100, 10_000, &mut |_, _, _| true)
        .unwrap();
    // What an event superseded counts as long as it can be read.
    let events: Vec<_> = page
        .events
        .into_iter()
        .map(|event| {
            let superseded = event.superseded.filter(|id| id.revision.0 >= oldest);
            (event.namespace, event.id, event.kind, event.key_value, superseded)
        })
        .collect();
    let leases = view.leases().unwrap();
    let keys: Vec<_> = leases
        .iter()
        .map(|(id, _)| view.lease_keys(*id).unwrap())
        .collect();
    (view.revision(), view.compacted(), ranges, events, leases, keys)
}

fn finish_compaction(machine: &Machine) {
    while !machine.compactor().step(1).unwrap().finished {}
}

#[test]
fn a_store_that_was_restored_is_the_one_that_was_saved() {
    let machine = machine_of(commands());
    let view = machine.reader().view();
    let (restored, other) = fill(&file_of(&view), None).unwrap();
    assert_eq!(restored.revision, Revision(9));
    assert_eq!(restored.compacted, Some(Revision(5)));
    assert_eq!(restored.leases, 2);
    assert_eq!(seen(&other.reader().view()), seen(&view), "before the removal");
    finish_compaction(&machine);
    finish_compaction(&other);
    let view = machine.reader().view();
    assert_eq!(seen(&other.reader().view()), seen(&view), "after the removal");
    let (_, other) = fill(&file_of(&view), None).unwrap();
    assert_eq!(
        seen(&other.reader().view()),
        seen(&view),
        "saved after the removal"
    );
}

#[test]
fn a_fresh_store_is_restored_as_one() {
    let machine = machine_of(Vec::new());
    let (restored, other) = fill(&file_of(&machine.reader().view()), None).unwrap();
    assert_eq!(restored.revision, Revision(1));
    assert_eq!(restored.versions, 0);
    assert_eq!(seen(&other.reader().view()), seen(&machine.reader().view()));
}

#[test]
fn a_bumped_store_is_compacted_at_its_new_revision() {
    let machine = machine_of(commands());
    let fixture = file_of(&machine.reader().view());
    let (restored, other) = fill(&fixture, Some(1_000)).unwrap();
    assert_eq!(restored.revision, Revision(1_009));
    let view = other.reader().view();
    assert_eq!(
        (view.revision(), view.compacted()),
        (Revision(1_009), Some(Revision(1_009)))
    );
    finish_compaction(&other);
    let range = Range {
        keys: point("a"),
        ..Range::default()
    };
    let found = other.reader().view().range(&range).unwrap().unwrap();
    assert_eq!(found.key_values[0].modification_revision, Revision(9));
    assert!(fill(&fixture, Some(u64::MAX)).is_err());
}

#[test]
fn the_alarm_of_a_full_database_is_left_behind_and_that_of_a_corrupt_one_is_not() {
    let raise = |member, alarm| Command::AlarmActivate {
        member: MemberId(member),
        alarm,
    };
    let machine = machine_of(vec![raise(5, Alarm::NoSpace), raise(6, Alarm::Corrupt)]);
    let (_, other) = fill(&file_of(&machine.reader().view()), None).unwrap();
    let alarms = other.reader().view().alarms().unwrap();
    assert_eq!(alarms, [(MemberId(6), Alarm::Corrupt)]);
}

#[test]
fn who_was_a_member_of_the_old_cluster_is_left_behind() {
    let publish = Command::PublishMember {
        id: MemberId(3),
        name: "n3".to_owned(),
        client_urls: Vec::new(),
    };
    let mut machine = machine_of(vec![publish]);
    let removal = LogEntry {
        index: 2,
        position: Bytes::from_static(b"position"),
        payload: Payload::Membership {
            membership: Bytes::from_static(b"without 4"),
            removed: vec![MemberId(4)],
        },
    };
    machine.apply(&[removal]).unwrap();
    let view = machine.reader().view();
    assert_eq!(view.removed_members().unwrap(), [MemberId(4)]);
    let (_, restored) = fill(&file_of(&view), None).unwrap();
    let view = restored.reader().view();
    assert_eq!(view.members().unwrap().len(), 0);
    assert_eq!(view.removed_members().unwrap(), []);
}

#[test]
fn a_key_whose_lease_is_gone_keeps_its_number_and_is_attached_to_none() {
    let record = StoredKeyValue {
        key: "a".into(),
        create_revision: 2,
        modification_revision: 2,
        version: 1,
        value: "1".into(),
        lease: 9,
    };
    let fixture = file_of_buckets(&[
        (
            "key",
            &[(&schema::revision_key(Revision(2)), &record.encode_to_vec())],
        ),
        ("meta", &[]),
    ]);
    let (_, other) = fill(&fixture, None).unwrap();
    let view = other.reader().view();
    let range = Range {
        keys: point("a"),
        ..Range::default()
    };
    assert_eq!(
        view.range(&range).unwrap().unwrap().key_values[0].lease,
        LeaseId(9)
    );
    assert!(view.lease_keys(LeaseId(9)).unwrap().is_empty());
}

#[test]
fn a_record_without_a_key_raises_the_revision_and_is_no_key() {
    let fixture = file_of_buckets(&[
        ("key", &[(&schema::revision_key(Revision(500)), b"")]),
        (
            "meta",
            &[(b"scheduledCompactRev", &schema::revision_key(Revision(500)))],
        ),
    ]);
    let (restored, _) = fill(&fixture, None).unwrap();
    assert_eq!(restored.revision, Revision(500));
    assert_eq!(restored.compacted, Some(Revision(500)));
    assert_eq!(restored.versions, 0);
}

#[test]
fn a_damaged_truncated_or_foreign_file_is_refused() {
    let fixture = file_of(&machine_of(commands()).reader().view());
    let whole = std::fs::read(&fixture.path).unwrap();
    let mut damaged = whole.clone();
    damaged[9_000] ^= 1;
    let cut_whole_pages = [&whole[..whole.len() - 4096 - 32], &whole[whole.len() - 32..]].concat();
    let cases: [(&[u8], &str); 5] = [
        (&damaged, "checksum is not that"),
        (&cut_whole_pages, "checksum is not that"),
        (&whole[..whole.len() - 100], "does not end in a checksum"),
        (&whole[..whole.len() - 32], "does not end in a checksum"),
        (b"", "does not end in a checksum"),
    ];
    for (content, expected) in cases {
        std::fs::write(&fixture.path, content).unwrap();
        let error = refused(&fixture);
        assert!(error.contains(expected), "{error}");
    }
    let foreign = file_of_buckets(&[("widgets", &[])]);
    assert!(refused(&foreign).contains("no bucket \"key\""));
    assert!(foreign.folder.path().exists());
}

#[test]
fn records_that_cannot_be_are_refused() {
    let meta: NamedItems<'_> = ("meta", &[]);
    let of_another_revision = StoredKeyValue {
        key: "a".into(),
        create_revision: 2,
        modification_revision: 3,
        version: 1,
        ..StoredKeyValue::default()
    };
    let lease = StoredLease {
        id: 5,
        ttl_seconds: 60,
        remaining_seconds: 0,
    };
    let two = schema::revision_key(Revision(2));
    let other = of_another_revision.encode_to_vec();
    let lease = lease.encode_to_vec();
    let cases: [(&str, &[u8], &[u8]); 5] = [
        ("key", &two, &other),
        ("key", b"short", b""),
        ("key", &two, b"\xff\xff\xff"),
        ("lease", &[0, 0, 0, 0, 0, 0, 0, 6], &lease),
        ("lease", b"five", &lease),
    ];
    for (name, key, value) in cases {
        let items: Items<'_> = &[(key, value)];
        let mut buckets: Vec<NamedItems<'_>> = vec![meta, (name, items)];
        if name != "key" {
            buckets.push(("key", &[]));
        }
        let error = refused(&file_of_buckets(&buckets));
        assert!(error.contains("damaged"), "{name}: {error}");
    }
}

#[test]
fn revision_keys_are_read_as_they_are_written() {
    let key = schema::revision_key(Revision(258));
    assert_eq!(key, b"\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\0");
    let (id, is_tombstone) = schema::parse_revision_key(&key).unwrap();
    assert_eq!((id.revision, id.sub, is_tombstone), (Revision(258), 0, false));
    let tombstone = [&key[..], b"t"].concat();
    assert!(schema::parse_revision_key(&tombstone).unwrap().1);
    assert_eq!(schema::parse_revision_key(&[&key[..], b"x"].concat()), None);
    assert_eq!(schema::parse_revision_key(&key[..16]), None);
    assert_eq!(
        schema::parse_revision_key(&schema::revision_key(Revision(0))),
        None
    );
}
