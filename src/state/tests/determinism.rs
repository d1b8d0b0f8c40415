//! The same log gives the same bytes, answers and news: on both engines, however it is cut into batches, and after a crash.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use super::generate::command;
use super::{Fixture, finish_compaction};
use crate::base::Revision;
use crate::state::applied::{Answer, Effects, Refusal};
use crate::state::command::Command;
use crate::storage::memory::MemoryEngine;
use crate::storage::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use crate::storage::{Engine, Family};

/// What one command gave.
type Gave = (Result<Answer, Refusal>, Revision, Effects);

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

/// Where a log was made durable and where the crash came, in entries.
#[derive(Debug, Clone, Copy)]
struct Crash {
    durable: usize,
    crash: usize,
}

fn crash_in(log: &[Command], points: (Index, Index)) -> Crash {
    let (one, other) = (points.0.index(log.len()), points.1.index(log.len()));
    Crash {
        durable: one.min(other),
        crash: one.max(other),
    }
}

/// Applies the log up to the crash, and again from what `recover` finds, and compares with a node that never crashed.
fn check_crash(
    log: &[Command],
    at: Crash,
    first: Arc<dyn Engine>,
    make_durable: impl FnOnce(&dyn Engine),
    recover: impl FnOnce() -> Arc<dyn Engine>,
) -> Result<(), TestCaseError> {
    let mut whole = Fixture::new();
    let expected = apply(&mut whole, log, &[], |_| {});

    let mut crashed = Fixture::on(first);
    let _ = apply(&mut crashed, &log[..at.durable], &[], step_of_removal);
    make_durable(crashed.engine.as_ref());
    let _ = apply(&mut crashed, &log[at.durable..at.crash], &[], step_of_removal);
    drop(crashed);

    let mut recovered = Fixture::on(recover());
    prop_assert_eq!(
        recovered.index,
        at.durable as u64,
        "what was durable is there, and no more"
    );
    let gave = apply(&mut recovered, &log[at.durable..], &[], step_of_removal);
    prop_assert_eq!(gave, expected[at.durable..].to_vec());
    finish_compaction(&whole.machine, 100);
    finish_compaction(&recovered.machine, 2);
    prop_assert_eq!(everything(&recovered), everything(&whole));
    Ok(())
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
        let engine = Arc::new(MemoryEngine::new());
        let recover = || {
            engine.crash();
            Arc::clone(&engine) as Arc<dyn Engine>
        };
        let make_durable = |engine: &dyn Engine| engine.flush().expect("the engine works");
        check_crash(&log, crash_in(&log, points), Arc::clone(&engine) as _, make_durable, recover)?;
    }
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
        let durable = folder.path().join("durable");
        // Closing a database flushes it, so that what a crash would leave is set aside when it is flushed.
        let make_durable = |engine: &dyn Engine| engine.checkpoint(&durable).expect("the engine works");
        let first = rocks(&folder.path().join("first"));
        check_crash(&log, crash_in(&log, points), first, make_durable, || rocks(&durable))?;
    }
}
