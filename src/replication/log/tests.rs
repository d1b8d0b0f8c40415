//! Tests of the log: openraft's own suite, a model, and an engine that dies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use openraft::StorageError as RaftStorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::base::MemberId;
use crate::replication::apply_seconds::ApplySeconds;
use crate::replication::compaction::Compaction;
use crate::replication::machine::{ApplySettings, StateMachine};
use crate::replication::snapshot::SnapshotStore;
use crate::replication::types::{LeaderId, Payload, ProposalBytes};
use crate::replication::waiters::Waiters;
use crate::state::Machine;
use crate::storage::memory::MemoryEngine;
use crate::storage::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use crate::storage::{Batch, Durability};

fn open(engine: Arc<dyn Engine>) -> LogStore {
    LogStore::open(engine, Arc::new(Metrics::new().unwrap()), Failure::default()).unwrap()
}

fn open_rocks(folder: &Path, kind: DatabaseKind) -> Result<Arc<dyn Engine>, StorageError> {
    let engine: Arc<dyn Engine> = RocksEngine::open(folder, kind, RocksOptions::default())?;
    Ok(engine)
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn entry(term: u64, index: u64) -> Entry {
    let proposal = format!("{term}/{index}");
    Entry::new(
        log_id(term, index),
        Payload::Proposals(ProposalBytes(Bytes::from(proposal))),
    )
}

/// Appends and waits for the acknowledgement.
async fn append(log: &mut LogStore, entries: Vec<Entry>) -> io::Result<()> {
    let (sender, acknowledged) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await?;
    acknowledged.await.map_err(io::Error::other)?
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), RaftStorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let log = open(open_rocks(&folder.path().join("log"), DatabaseKind::Log).unwrap());
        let open_state = |path: &Path| open_rocks(path, DatabaseKind::State);
        let snapshots = Arc::new(SnapshotStore::open(folder.path(), open_state).unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        let failure = Failure::default();
        // The suite applies entries that it does not append.
        let everything_is_durable = watch::Sender::new(u64::MAX);
        let settings = ApplySettings {
            waiters: Waiters::new(MemberId(1)),
            runtime: tokio::runtime::Handle::current(),
            news: mpsc::channel(1).0,
            apply_seconds: ApplySeconds::new(&metrics.requests),
            slow_after: std::time::Duration::MAX,
            metrics: metrics.clone(),
            failure: failure.clone(),
            departed: Arc::new(crate::replication::departed::Departed::new(MemberId(1))),
            compaction: Compaction::spawn(metrics, failure).unwrap(),
            durable_end: everything_is_durable.subscribe(),
            applied_end: Arc::new(watch::Sender::new(0)),
        };
        let machine = Machine::open(snapshots.engine()).unwrap();
        let machine = StateMachine::start(machine, log.clone(), snapshots, settings).unwrap();
        Ok((folder, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_own_suite_passes_on_rocksdb() {
    Suite::test_all(Builder).await.unwrap();
}

/// One change of a log, with numbers that are fitted to its length.
#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Vote(u64),
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..20).prop_map(Step::Append),
        1 => (0_u64..6).prop_map(Step::Truncate),
        1 => (0_u64..10).prop_map(Step::Purge),
        1 => (1_u64..9).prop_map(Step::Vote),
        1 => Just(Step::Commit),
    ]
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    term: u64,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries
            .values()
            .next_back()
            .map(RaftEntry::log_id)
            .or(self.purged)
    }

    async fn take(&mut self, log: &mut LogStore, step: &Step) {
        let next = next_index(self.last());
        match step {
            Step::Append(count) => {
                let entries: Vec<Entry> = (next..next + count)
                    .map(|index| entry(self.term, index))
                    .collect();
                self.entries
                    .extend(entries.iter().map(|entry| (entry.index(), entry.clone())));
                append(log, entries).await.unwrap();
            }
            Step::Truncate(count) => {
                let end = next.saturating_sub(*count).max(next_index(self.purged));
                self.entries.split_off(&end);
                // A truncation always comes with a new leader.
                self.term += 1;
                log.truncate_after(self.last()).await.unwrap();
            }
            Step::Purge(count) => {
                let first = next_index(self.purged);
                if let Some(entry) = self.entries.range(first..first + count).next_back() {
                    let upto = entry.1.log_id();
                    self.entries = self.entries.split_off(&(upto.index() + 1));
                    self.purged = Some(upto);
                    log.purge(upto).await.unwrap();
                }
            }
            Step::Vote(term) => {
                self.vote = Some(Vote::new(*term, 1));
                log.save_vote(&Vote::new(*term, 1)).await.unwrap();
            }
            Step::Commit => log.save_committed(self.last()).await.unwrap(),
        }
    }

    async fn check(&self, log: &mut LogStore) {
        let state = log.get_log_state().await.unwrap();
        assert_eq!(state.last_log_id, self.last());
        assert_eq!(state.last_purged_log_id, self.purged);
        assert_eq!(log.read_vote().await.unwrap(), self.vote);
        let first = next_index(self.purged);
        let entries = log.try_get_log_entries(first..).await.unwrap();
        assert_eq!(entries, self.entries.values().cloned().collect::<Vec<_>>());
        assert_eq!(*log.durable_end().borrow(), next_index(self.last()));
        assert!(log.read_committed().await.unwrap() <= self.last());
    }
}

async fn follow_model(engine: Arc<dyn Engine>, steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        let mut log = open(engine.clone());
        model.take(&mut log, step).await;
        log.close();
        model.check(&mut log).await;
        model.check(&mut open(engine.clone())).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_reopened_after_every_change_holds_what_the_model_holds(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            follow_model(Arc::new(MemoryEngine::new()), &steps).await;
        });
    }
}

/// Writes `remaining` batches, then fails for good.
struct DyingEngine {
    memory: MemoryEngine,
    remaining: AtomicUsize,
}

impl Engine for DyingEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        let lives = |remaining: usize| remaining.checked_sub(1);
        match self
            .remaining
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lives)
        {
            Ok(_) => self.memory.write(batch, durability),
            Err(_) => Err(StorageError::Engine {
                action: "write",
                reason: "the disk is gone".to_owned(),
            }),
        }
    }

    fn view(&self) -> Arc<dyn View> {
        self.memory.view()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.memory.flush()
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError> {
        self.memory.checkpoint(folder)
    }

    fn reclaim(&self) -> Result<(), StorageError> {
        self.memory.reclaim()
    }

    fn size_bytes(&self) -> u64 {
        0
    }

    fn live_bytes(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_loss_of_power_and_a_dead_disk_acknowledges_nothing() {
    for lives in 0..12 {
        let engine = Arc::new(DyingEngine {
            memory: MemoryEngine::new(),
            remaining: AtomicUsize::new(lives),
        });
        let failure = Failure::default();
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut log = LogStore::open(engine.clone(), metrics, failure.clone()).unwrap();
        let mut acknowledged_end = 0;
        let mut has_vote = false;
        let mut is_dead = false;
        for round in 0..12 {
            let next = next_index(log.last());
            let result = if round % 4 == 3 {
                let saved = log.save_vote(&Vote::new(round, 1)).await;
                has_vote |= saved.is_ok();
                saved
            } else {
                let appended = append(&mut log, vec![entry(1, next), entry(1, next + 1)]).await;
                if appended.is_ok() {
                    acknowledged_end = next + 2;
                }
                appended
            };
            assert!(
                !(is_dead && result.is_ok()),
                "acknowledged after the disk had failed"
            );
            is_dead |= result.is_err();
        }
        assert_eq!(is_dead, lives < 12);
        if is_dead {
            assert!(failure.wait().await.contains("the disk is gone"));
        }
        assert!(*log.durable_end().borrow() <= acknowledged_end);
        engine.memory.crash();
        engine.remaining.store(usize::MAX, Ordering::SeqCst);
        let mut reopened = open(engine);
        let found = reopened.try_get_log_entries(..).await.unwrap();
        assert!(
            found.len() as u64 >= acknowledged_end,
            "{lives} lives: {} found",
            found.len()
        );
        assert_eq!(reopened.read_vote().await.unwrap().is_some(), has_vote);
    }
}

#[tokio::test]
async fn a_read_is_bounded_in_bytes_and_the_memory_of_recent_entries_too() {
    let mut log = open(Arc::new(MemoryEngine::new()));
    let large = vec![7_u8; MAXIMUM_READ_BYTES * 2 / 3];
    let count = 60;
    for index in 0..count {
        let payload = Payload::Proposals(ProposalBytes(Bytes::from(large.clone())));
        append(&mut log, vec![Entry::new(log_id(1, index), payload)])
            .await
            .unwrap();
    }
    let held = log.shared.positions.lock().recent.first_index().unwrap();
    assert!(held > 0, "everything is still in memory");
    for start in [0, held, count - 2] {
        assert_eq!(log.limited_get_log_entries(start, count).await.unwrap().len(), 1);
    }
    assert_eq!(
        log.try_get_log_entries(0..count).await.unwrap().len() as u64,
        count
    );
}
