//! The same log gives the same bytes, answers and news: on both engines, however it is cut into batches, and after a crash.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use super::generate::command;
use super::{Fixture, finish_compaction};
use crate::base::Revision;
use crate::state::applied::{Answer, Effect, Refusal};
use crate::state::command::Command;
use crate::storage::memory::MemoryEngine;
use crate::storage::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use crate::storage::{Engine, Family};

/// What one command gave.
type Gave = (Result<Answer, Refusal>, Revision, Vec<Effect>);

/// All rows of all families, and the hash of the newest revision.
type Everything = (Vec<Vec<(Vec<u8>, Vec<u8>)>>, u32);

/// A log and where it is cut.
fn log() -> impl Strategy<Value = (Vec<Command>, Vec<Index>)> {
    (
        proptest::collection::vec(command(), 1..40),
        proptest::collection::vec(any::<Index>(), 0..8),
    )
}

/// Applies the log in pieces; after each, `between` may do something with the fixture.
fn apply(
    fixture: &mut Fixture,
    log: &[Command],
    cuts: &[Index],
    mut between: impl FnMut(&Fixture),
) -> Vec<Gave> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len())).collect();
    cuts.extend([0, log.len()]);
    cuts.sort_unstable();
    let mut gave = Vec::new();
    for piece in cuts.windows(2) {
        let applied = fixture.apply_batch(log[piece[0]..piece[1]].to_vec());
        let applied = applied.into_iter();
        gave.extend(applied.map(|applied| (applied.outcome, applied.revision, applied.effects)));
        between(fixture);
    }
    gave
}

fn everything(fixture: &Fixture) -> Everything {
    let rows = Family::STATE.into_iter().map(|family| fixture.rows(family));
    let hash = fixture
        .fresh_view()
        .hash_kv(Revision(0))
        .expect("the engine works");
    (rows.collect(), hash.expect("the current revision").hash)
}

fn step_of_removal(fixture: &Fixture) {
    let _ = fixture.machine.compactor().step(3).expect("the engine works");
}

fn rocks(folder: &std::path::Path) -> Arc<dyn Engine> {
    let options = RocksOptions::default();
    RocksEngine::open(folder, DatabaseKind::State, options).expect("an empty folder can be opened")
}

/// Applies the log with a crash after `crash_at` entries, before which the first `flushed_at` were made durable, and
/// says what the entries after the crash gave.
fn apply_with_crash(
    first: Arc<dyn Engine>,
    log: &[Command],
    (flushed_at, crash_at): (usize, usize),
    crash: impl FnOnce(Fixture) -> Arc<dyn Engine>,
) -> (Fixture, Vec<Gave>) {
    let mut fixture = Fixture::on(first);
    let _ = apply(&mut fixture, &log[..flushed_at], &[], step_of_removal);
    fixture.engine.flush().expect("the engine works");
    let _ = apply(&mut fixture, &log[flushed_at..crash_at], &[], step_of_removal);
    let mut recovered = Fixture::on(crash(fixture));
    let applied = usize::try_from(recovered.index).expect("a short log");
    assert_eq!(applied, flushed_at, "what was flushed is there, and no more");
    let gave = apply(&mut recovered, &log[applied..], &[], step_of_removal);
    (recovered, gave)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_make_no_difference((log, cuts) in log()) {
        let mut whole = Fixture::new();
        let mut cut = Fixture::new();
        let expected = apply(&mut whole, &log, &[], |_| {});
        let gave = apply(&mut cut, &log, &cuts, step_of_removal);
        prop_assert_eq!(gave, expected);
        finish_compaction(&whole.machine, 100);
        finish_compaction(&cut.machine, 1);
        prop_assert_eq!(everything(&cut), everything(&whole));
    }

    #[test]
    fn a_crash_in_memory_makes_no_difference((log, _) in log(), points in any::<(Index, Index)>()) {
        check_crash_in_memory(&log, points)?;
    }
}

fn check_crash_in_memory(log: &[Command], points: (Index, Index)) -> Result<(), TestCaseError> {
    let mut whole = Fixture::new();
    let expected = apply(&mut whole, log, &[], |_| {});
    let points = ordered(log, points);
    let engine = Arc::new(MemoryEngine::new());
    let (recovered, gave) = apply_with_crash(engine.clone(), log, points, |fixture| {
        drop(fixture);
        engine.crash();
        engine.clone()
    });
    prop_assert_eq!(gave, expected[points.0..].to_vec());
    finish_compaction(&whole.machine, 100);
    finish_compaction(&recovered.machine, 2);
    prop_assert_eq!(everything(&recovered), everything(&whole));
    Ok(())
}

fn ordered(log: &[Command], points: (Index, Index)) -> (usize, usize) {
    let (one, other) = (points.0.index(log.len()), points.1.index(log.len()));
    (one.min(other), one.max(other))
}

proptest! {
    // Each case opens databases on disk.
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_makes_no_difference((log, cuts) in log()) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut in_memory = Fixture::new();
        let mut on_disk = Fixture::on(rocks(folder.path()));
        let expected = apply(&mut in_memory, &log, &[], |_| {});
        let gave = apply(&mut on_disk, &log, &cuts, step_of_removal);
        prop_assert_eq!(gave, expected);
        finish_compaction(&in_memory.machine, 100);
        finish_compaction(&on_disk.machine, 1);
        prop_assert_eq!(everything(&on_disk), everything(&in_memory));
    }

    #[test]
    fn a_crash_on_disk_makes_no_difference((log, _) in log(), points in any::<(Index, Index)>()) {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("after-the-crash");
        let original = folder.path().join("before-the-crash");
        let mut whole = Fixture::new();
        let expected = apply(&mut whole, &log, &[], |_| {});
        let points = ordered(&log, points);
        // What a crash leaves is what the files hold, while the process still runs.
        let (recovered, gave) = apply_with_crash(rocks(&original), &log, points, |fixture| {
            copy_files(&original, &copy);
            drop(fixture);
            rocks(&copy)
        });
        prop_assert_eq!(gave, expected[points.0..].to_vec());
        finish_compaction(&whole.machine, 100);
        finish_compaction(&recovered.machine, 2);
        prop_assert_eq!(everything(&recovered), everything(&whole));
    }
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("a folder can be listed") {
        let path = file.expect("a folder can be listed").path();
        let name = path.file_name().expect("a file has a name");
        if name != "LOCK" {
            std::fs::copy(&path, to.join(name)).expect("a file can be copied");
        }
    }
}
