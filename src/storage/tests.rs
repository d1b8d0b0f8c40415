//! What every engine owes its callers, shown on both; and what the overlay owes, shown against the engines.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::memory::MemoryEngine;
use super::overlay::Overlay;
use super::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use super::{Batch, Change, Durability, Engine, Family, KeyRange, View};

/// Families of the state database that the tests use.
const STATE: [Family; 2] = [Family::Heads, Family::Events];

pub(super) type Items = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn range(start: &[u8], end: &[u8]) -> KeyRange {
    KeyRange {
        start: start.to_vec(),
        end: Some(end.to_vec()),
    }
}

pub(super) fn from(start: &[u8]) -> KeyRange {
    KeyRange {
        start: start.to_vec(),
        end: None,
    }
}

pub(super) fn puts(family: Family, keys: &[&str]) -> Batch {
    let mut batch = Batch::default();
    for key in keys {
        batch.put(family, key.as_bytes().to_vec(), format!("value of {key}"));
    }
    batch
}

/// All items of a range, read with a cursor.
pub(super) fn items(view: &dyn View, family: Family, range: KeyRange) -> Items {
    let mut cursor = view.scan(family, range).unwrap();
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.item() {
        found.push((key.to_vec(), value.to_vec()));
        cursor.advance().unwrap();
    }
    cursor.advance().unwrap();
    assert_eq!(cursor.item(), None, "a cursor past the end stays there");
    found
}

pub(super) fn keys(view: &dyn View, family: Family) -> Vec<String> {
    let found = items(view, family, from(b""));
    found
        .into_iter()
        .map(|(key, _)| String::from_utf8(key).unwrap())
        .collect()
}

fn open(folder: &Path, kind: DatabaseKind) -> Arc<RocksEngine> {
    RocksEngine::open(folder, kind, RocksOptions::default()).unwrap()
}

/// What any engine does, whatever it is made of.
fn contract(engine: &dyn Engine, [one, other]: [Family; 2]) {
    // A batch is written in order, over families that do not see each other.
    let mut batch = puts(one, &["b", "a", "c", "d"]);
    batch.put(one, "a", "again");
    batch.delete(one, "c");
    batch.delete(one, "never there");
    batch.put(other, "a", "of the other family");
    assert!(engine.view().get(one, b"a").unwrap().is_none());
    engine.write(batch, Durability::Buffered).unwrap();
    let first = engine.view();
    assert_eq!(keys(&*first, one), ["a", "b", "d"]);
    assert_eq!(first.get(one, b"a").unwrap().unwrap(), "again");
    assert_eq!(first.get(one, b"c").unwrap(), None);
    assert_eq!(
        items(&*first, other, from(b"")),
        [(b"a".to_vec(), b"of the other family".to_vec())]
    );

    // A range includes its start and excludes its end; one that ends where it starts, or before, is empty.
    assert_eq!(items(&*first, one, range(b"a", b"d")).len(), 2);
    assert_eq!(items(&*first, one, range(b"aa", b"d\0")).len(), 2);
    assert!(items(&*first, one, range(b"b", b"b")).is_empty());
    assert!(items(&*first, one, range(b"d", b"a")).is_empty());
    assert_eq!(items(&*first, one, KeyRange::prefix(b"b")).len(), 1);

    // A cursor seeks in both directions and never leaves its range.
    let mut cursor = first.scan(one, range(b"b", b"d")).unwrap();
    for (target, expected) in [
        ("c", None),
        ("b", Some("b")),
        ("a", Some("b")),
        ("z", None),
        ("", Some("b")),
    ] {
        cursor.seek(target.as_bytes()).unwrap();
        let found = cursor.item().map(|(key, _)| key);
        assert_eq!(found, expected.map(str::as_bytes), "seek to {target:?}");
    }

    // A view does not see what is written after it; a deleted range may be written again in the same batch.
    let mut batch = Batch::default();
    batch.delete_range(one, range(b"a", b"c"));
    batch.put(one, "b", "back");
    batch.delete_range(other, from(b""));
    batch.delete_range(one, range(b"z", b"a"));
    engine.write(batch, Durability::Synced).unwrap();
    let second = engine.view();
    assert_eq!(keys(&*second, one), ["b", "d"]);
    assert_eq!(second.get(one, b"b").unwrap().unwrap(), "back");
    assert!(keys(&*second, other).is_empty());
    assert_eq!(keys(&*first, one), ["a", "b", "d"]);
    assert_eq!(first.get(one, b"b").unwrap().unwrap(), "value of b");

    // A range without an end reaches the keys of its own batch, and the highest key there can be.
    let mut batch = Batch::default();
    batch.put(one, vec![0xFF; 40], "highest");
    batch.put(other, vec![0xFF; 40], "stays");
    batch.delete_range(one, from(b"c"));
    engine.write(batch, Durability::Buffered).unwrap();
    assert_eq!(keys(&*engine.view(), one), ["b"]);
    assert_eq!(items(&*engine.view(), other, from(b"")).len(), 1);

    // Flushing changes nothing that can be read, and an empty batch is no change.
    engine.flush().unwrap();
    engine.write(Batch::default(), Durability::Synced).unwrap();
    assert_eq!(keys(&*engine.view(), one), ["b"]);
    assert_eq!(keys(&*second, one), ["b", "d"]);
    assert!(engine.size_bytes() > 0 && engine.live_bytes() > 0);
}

#[test]
fn the_engine_in_memory_keeps_the_contract() {
    contract(&MemoryEngine::new(), STATE);
}

#[test]
fn the_state_database_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(&*open(folder.path(), DatabaseKind::State), STATE);
}

#[test]
fn the_log_database_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(&*open(folder.path(), DatabaseKind::Log), Family::LOG);
}

#[test]
fn a_prefix_range_ends_before_the_next_prefix() {
    assert_eq!(KeyRange::prefix(b"ab"), range(b"ab", b"ac"));
    assert_eq!(KeyRange::prefix(&[1, 0xFF, 0xFF]), range(&[1, 0xFF, 0xFF], &[2]));
    assert_eq!(KeyRange::prefix(&[0xFF, 0xFF]), from(&[0xFF, 0xFF]));
    assert_eq!(KeyRange::prefix(b""), from(b""));
}

#[test]
fn a_crash_loses_exactly_what_was_not_made_durable() {
    let engine = MemoryEngine::new();
    engine
        .write(puts(Family::Log, &["1"]), Durability::Buffered)
        .unwrap();
    engine
        .write(puts(Family::Log, &["2"]), Durability::Synced)
        .unwrap();
    engine
        .write(puts(Family::Log, &["3"]), Durability::Buffered)
        .unwrap();
    let before = engine.view();
    engine.crash();
    assert_eq!(keys(&*engine.view(), Family::Log), ["1", "2"]);
    assert_eq!(keys(&*before, Family::Log), ["1", "2", "3"]);

    engine
        .write(puts(Family::Log, &["4"]), Durability::Buffered)
        .unwrap();
    engine.flush().unwrap();
    engine.crash();
    assert_eq!(keys(&*engine.view(), Family::Log), ["1", "2", "4"]);
}

#[test]
fn a_checkpoint_in_memory_opens_as_what_it_was_taken_of_and_not_when_damaged() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("checkpoint");
    let engine = MemoryEngine::new();
    let mut batch = puts(Family::Heads, &["a", ""]);
    batch.put(Family::Meta, "empty", "");
    engine.write(batch, Durability::Buffered).unwrap();
    engine.checkpoint(&folder).unwrap();
    assert!(
        engine.checkpoint(&folder).is_err(),
        "a checkpoint never replaces another"
    );
    engine
        .write(puts(Family::Heads, &["later"]), Durability::Buffered)
        .unwrap();

    let copy = MemoryEngine::open(&folder).unwrap();
    assert_eq!(keys(&*copy.view(), Family::Heads), ["", "a"]);
    assert_eq!(copy.view().get(Family::Meta, b"empty").unwrap().unwrap(), "");

    let file = folder.join("memory-checkpoint");
    let whole = std::fs::read(&file).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        assert!(MemoryEngine::open(&folder).is_err(), "cut to {length} bytes");
    }
}

/// Keys that are close to each other, to the start and to the end of a family.
fn any_key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(vec![0_u8, 1, 2, 0xFF]), 0..4)
}

fn any_range() -> impl Strategy<Value = KeyRange> {
    (any_key(), prop::option::weighted(0.8, any_key())).prop_map(|(start, end)| KeyRange { start, end })
}

fn any_change() -> impl Strategy<Value = Change> {
    let family = || prop::sample::select(STATE.to_vec());
    prop_oneof![
        6 => (family(), any_key(), vec(any::<u8>(), 0..3))
            .prop_map(|(family, key, value)| Change::Put(family, key.into(), value.into())),
        2 => (family(), any_key()).prop_map(|(family, key)| Change::Delete(family, key.into())),
        2 => (family(), any_range()).prop_map(|(family, range)| Change::DeleteRange(family, range)),
    ]
}

fn any_batch() -> impl Strategy<Value = Batch> {
    vec(any_change(), 0..30).prop_map(|changes| Batch { changes })
}

/// The simplest thing that has an order.
#[derive(Default, Clone)]
struct Model(BTreeMap<Family, BTreeMap<Vec<u8>, Bytes>>);

impl Model {
    fn write(&mut self, batch: &Batch) {
        for change in &batch.changes {
            let family = self.0.entry(change.family()).or_default();
            match change {
                Change::Put(_, key, value) => {
                    family.insert(key.to_vec(), value.clone());
                }
                Change::Delete(_, key) => {
                    family.remove(key.as_ref());
                }
                Change::DeleteRange(_, range) => family.retain(|key, _| !range.contains(key)),
            }
        }
    }

    fn items(&self, family: Family, range: &KeyRange) -> Items {
        let found = self.0.get(&family).into_iter().flatten();
        let found = found.filter(|(key, _)| range.contains(key));
        found.map(|(key, value)| (key.clone(), value.to_vec())).collect()
    }
}

/// Compares everything that can be read of `range`, with seeks to `targets`, to the model.
fn same(
    view: &dyn View,
    model: &Model,
    ranges: &[KeyRange],
    targets: &[Vec<u8>],
) -> Result<(), TestCaseError> {
    for family in STATE {
        for range in ranges {
            let expected = model.items(family, range);
            prop_assert_eq!(&items(view, family, range.clone()), &expected);
            let mut cursor = view.scan(family, range.clone()).unwrap();
            for target in targets {
                cursor.seek(target).unwrap();
                let mut rest = expected.iter().filter(|(key, _)| key >= target);
                for _ in 0..2 {
                    let item = cursor.item().map(|(key, value)| (key.to_vec(), value.to_vec()));
                    prop_assert_eq!(item.as_ref(), rest.next());
                    cursor.advance().unwrap();
                }
            }
        }
        for target in targets {
            let expected = model.0.get(&family).and_then(|keys| keys.get(target)).cloned();
            prop_assert_eq!(view.get(family, target).unwrap(), expected);
        }
    }
    Ok(())
}

fn write_everywhere(engines: &[&dyn Engine], model: &mut Model, batch: &Batch) {
    for engine in engines {
        engine.write(batch.clone(), Durability::Buffered).unwrap();
    }
    model.write(batch);
}

#[test]
fn random_batches_read_the_same_from_both_engines_and_a_map() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = open(folder.path(), DatabaseKind::State);
    let strategy = (
        vec((any_batch(), any::<bool>()), 1..6),
        vec(any_range(), 3),
        vec(any_key(), 4),
    );
    proptest!(|((batches, ranges, targets) in strategy)| {
        let memory = MemoryEngine::new();
        let engines: [&dyn Engine; 2] = [&*rocks, &memory];
        let mut model = Model::default();
        let clear = Batch { changes: STATE.map(|family| Change::DeleteRange(family, from(b""))).to_vec() };
        write_everywhere(&engines, &mut model, &clear);
        let mut views = Vec::new();
        for (batch, flush) in &batches {
            write_everywhere(&engines, &mut model, batch);
            views.push((engines.map(Engine::view), model.clone()));
            if *flush {
                memory.flush().unwrap();
                rocks.flush().unwrap();
            }
        }
        for ([rocks, memory], model) in &views {
            same(&**rocks, model, &ranges, &targets)?;
            same(&**memory, model, &ranges, &targets)?;
        }
    });
}

#[test]
fn an_overlay_reads_as_its_batch_will() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = open(folder.path(), DatabaseKind::State);
    let strategy = (any_batch(), any_batch(), vec(any_range(), 3), vec(any_key(), 4));
    proptest!(|((before, batch, ranges, targets) in strategy)| {
        let memory = MemoryEngine::new();
        let engines: [&dyn Engine; 2] = [&*rocks, &memory];
        let mut model = Model::default();
        let clear = Batch { changes: STATE.map(|family| Change::DeleteRange(family, from(b""))).to_vec() };
        write_everywhere(&engines, &mut model, &clear);
        write_everywhere(&engines, &mut model, &before);
        model.write(&batch);
        let mut batches = Vec::new();
        for engine in engines {
            let view = engine.view();
            let mut overlay = Overlay::new(&*view);
            for change in batch.changes.clone() {
                match change {
                    Change::Put(family, key, value) => overlay.put_copy(family, &key, &value),
                    Change::Delete(family, key) => overlay.delete(family, key),
                    Change::DeleteRange(family, range) => overlay.delete_range(family, range),
                }
            }
            same(&overlay, &model, &ranges, &targets)?;
            let batch = overlay.into_batch();
            engine.write(batch.clone(), Durability::Buffered).unwrap();
            same(&*engine.view(), &model, &ranges, &targets)?;
            batches.push(batch);
        }
        prop_assert_eq!(&batches[0], &batches[1]);
    });
}

#[test]
fn an_overlay_yields_its_changes_in_one_order_whatever_the_order_they_came_in() {
    let engine = MemoryEngine::new();
    let view = engine.view();
    let mut one = Overlay::new(&*view);
    one.delete_range(Family::Heads, range(b"a", b"c"));
    one.delete_range(Family::Heads, range(b"c", b"e"));
    one.put(Family::Heads, "b", "1");
    one.put(Family::Meta, "m", "2");
    let mut other = Overlay::new(&*view);
    other.put(Family::Meta, "m", "2");
    other.put(Family::Heads, "d", "gone with its range");
    other.delete_range(Family::Heads, range(b"b", b"e"));
    other.delete_range(Family::Heads, range(b"a", b"d"));
    other.put(Family::Heads, "b", "1");
    other.delete(Family::Heads, "c");

    let batch = one.into_batch();
    assert_eq!(batch, other.into_batch());
    let expected = [
        Change::DeleteRange(Family::Heads, range(b"a", b"e")),
        Change::Put(Family::Heads, "b".into(), "1".into()),
        Change::Put(Family::Meta, "m".into(), "2".into()),
    ];
    assert_eq!(batch.changes, expected);
}
