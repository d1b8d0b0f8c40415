//! Feeds committed entries to the state machine.
//!
//! One thread owns the [`Machine`]: it applies a batch, sends its news, and then answers the local proposers. A batch is
//! applied only when the local log is durable up to its last entry, so that the state on disk is never ahead of the log
//! on disk. Any failure here is final: openraft's core stops, and the node with it. Never interprets a proposal.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::apply_seconds::ApplySeconds;
use super::compaction::Compaction;
use super::departed::Departed;
use super::failure::Failure;
use super::fault;
use super::interface::News;
use super::log::LogStore;
use super::snapshot::{SnapshotFolder, SnapshotStore};
use super::types::{
    LogId, SnapshotMeta, StoredMembership, TypeConfig, decode_membership, decode_position, removed_members,
};
use super::waiters::Waiters;
use crate::base::MemberId;
use crate::base::metrics::Metrics;
use crate::state::applied::{Effect, EventKind, Fatal};
use crate::state::{AppliedPosition, LogEntry, Machine, Payload, Reader};
use crate::storage::{Engine, StorageError};

/// Entries in one batch of apply.
const MAXIMUM_BATCH_ENTRIES: usize = 4096;
/// Bytes of payload in one batch of apply.
const MAXIMUM_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Commands that wait for the apply thread: one at work, one ready.
const MAXIMUM_QUEUED_COMMANDS: usize = 2;

/// A snapshot as openraft carries it around.
pub type Snapshot = openraft::Snapshot<super::types::LeaderId, u64, super::types::Node, Arc<SnapshotFolder>>;

/// The position and the membership that a state holds.
///
/// # Errors
/// They are damaged.
pub fn decode_applied(position: &AppliedPosition) -> Result<(Option<LogId>, StoredMembership), StorageError> {
    let last = position.position.as_deref().map(decode_position).transpose()?;
    let membership = match &position.membership {
        None => StoredMembership::default(),
        Some((at, membership)) => {
            StoredMembership::new(Some(decode_position(at)?), decode_membership(membership)?)
        }
    };
    Ok((last, membership))
}

enum Command {
    Apply {
        entries: Vec<LogEntry>,
        done: oneshot::Sender<Result<(), Fatal>>,
    },
    Replace {
        engine: Arc<dyn Engine>,
        done: oneshot::Sender<Result<(), Fatal>>,
    },
}

/// What the apply thread needs.
pub struct ApplySettings {
    /// Whom to answer.
    pub waiters: Waiters,
    /// Where they are answered.
    pub runtime: Handle,
    /// Where news go.
    pub news: mpsc::Sender<News>,
    /// Where the batches are measured.
    pub metrics: Arc<Metrics>,
    /// Where the changes in them are measured.
    pub apply_seconds: ApplySeconds,
    /// A batch that takes longer is logged.
    pub slow_after: Duration,
    /// Where a panic or failure is reported.
    pub failure: Failure,
    /// Woken when history was compacted.
    pub compaction: Arc<Compaction>,
    /// The first log index that is not durable: nothing from there on is applied.
    pub durable_end: watch::Receiver<u64>,
    /// Learns which members were removed.
    pub departed: Arc<Departed>,
    /// Gets the index after the last applied entry.
    pub applied_end: Arc<watch::Sender<u64>>,
}

/// The adapter between openraft and the state machine.
pub struct StateMachine {
    commands: SyncSender<Command>,
    log: LogStore,
    snapshots: Arc<SnapshotStore>,
    failure: Failure,
    durable_end: watch::Receiver<u64>,
    last: Option<LogId>,
    membership: StoredMembership,
    departed: Arc<Departed>,
    reader: Reader,
}

impl StateMachine {
    /// Starts the apply thread over `machine`.
    ///
    /// # Errors
    /// The applied position cannot be read, or the thread cannot be started.
    pub fn start(
        machine: Machine,
        log: LogStore,
        snapshots: Arc<SnapshotStore>,
        settings: ApplySettings,
    ) -> Result<Self, Fatal> {
        let (last, membership) = decode_applied(&machine.position()?)?;
        settings
            .applied_end
            .send_replace(last.map_or(0, |last| last.index() + 1));
        let (commands, receiver) = sync_channel(MAXIMUM_QUEUED_COMMANDS);
        let failure = settings.failure.clone();
        let departed = settings.departed.clone();
        let reader = machine.reader();
        departed.load(&reader.view())?;
        let durable_end = settings.durable_end.clone();
        std::thread::Builder::new()
            .name("apply".to_owned())
            .spawn(move || Applier::new(machine, settings).run(&receiver))
            .map_err(|source| StorageError::File {
                action: "start the thread of",
                path: "apply".to_owned(),
                source,
            })?;
        Ok(Self {
            commands,
            log,
            snapshots,
            failure,
            durable_end,
            last,
            membership,
            departed,
            reader,
        })
    }

    async fn call(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), Fatal>>) -> Command,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        // The queue has room: openraft sends one command at a time and each is awaited here.
        let failed = match self.commands.try_send(command(done)) {
            Ok(()) => match answer.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the apply thread panicked".to_owned(),
            },
            Err(_) => "the apply thread is gone".to_owned(),
        };
        self.failure
            .report(format!("the state cannot be changed: {failed}"));
        Err(io::Error::other(failed))
    }

    async fn apply_batch(&mut self, batch: Batch) -> io::Result<()> {
        let Some(last) = batch.last else {
            return Ok(());
        };
        self.durable_end
            .wait_for(|end| *end > last.index())
            .await
            .map_err(io::Error::other)?;
        self.call(|done| Command::Apply {
            entries: batch.entries,
            done,
        })
        .await?;
        self.last = Some(last);
        if let Some(membership) = batch.membership {
            self.membership = membership;
        }
        self.departed.learn(&batch.removed);
        for responder in batch.responders {
            responder.send(());
        }
        Ok(())
    }
}

/// Entries that are applied together.
#[derive(Default)]
struct Batch {
    entries: Vec<LogEntry>,
    bytes: usize,
    last: Option<LogId>,
    membership: Option<StoredMembership>,
    removed: Vec<MemberId>,
    responders: Vec<openraft::storage::ApplyResponder<TypeConfig>>,
}

impl Batch {
    /// Adds the next entry; `before` is the membership that was applied before the batch.
    fn add(&mut self, (entry, responder): EntryResponder<TypeConfig>, before: &StoredMembership) {
        let log_id = entry.log_id();
        let membership = entry.get_membership();
        self.bytes += entry.record_bytes();
        self.last = Some(log_id);
        let before = self.membership.as_ref().unwrap_or(before).membership();
        if let Some(membership) = &membership {
            self.removed.extend(removed_members(before, membership));
        }
        self.entries.push(entry.for_state(before));
        if let Some(membership) = membership {
            self.membership = Some(StoredMembership::new(Some(log_id), membership));
        }
        self.responders.extend(responder);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAXIMUM_BATCH_ENTRIES || self.bytes >= MAXIMUM_BATCH_BYTES
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Arc<SnapshotFolder>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.next().await {
            let mut batch = Batch::default();
            batch.add(first?, &self.membership);
            while !batch.is_full()
                && let Some(Some(next)) = entries.next().now_or_never()
            {
                batch.add(next?, &self.membership);
            }
            self.apply_batch(batch).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Arc<SnapshotFolder>,
    ) -> io::Result<()> {
        let snapshots = self.snapshots.clone();
        let snapshot = Snapshot {
            meta: meta.clone(),
            snapshot,
        };
        let engine = tokio::task::spawn_blocking(move || snapshots.adopt(snapshot))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        self.call(|done| Command::Replace { engine, done }).await?;
        let superseded = self.snapshots.take_superseded_states();
        let snapshots = self.snapshots.clone();
        // Nobody waits for it: what it leaves behind, the next start removes.
        tokio::task::spawn_blocking(move || snapshots.remove_states(&superseded));
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.departed
            .load(&self.reader.view())
            .map_err(io::Error::other)?;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        if let Some(snapshot) = self.snapshots.current() {
            return Ok(Some(snapshot));
        }
        // openraft asks for one whenever the log no longer reaches back to the start, and must get it then.
        if self.log.purged().is_none() {
            return Ok(None);
        }
        let mut builder = self.get_snapshot_builder().await;
        builder.build_snapshot().await.map(Some)
    }
}

/// Builds snapshots beside apply.
pub struct Builder {
    snapshots: Arc<SnapshotStore>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Arc<SnapshotFolder>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshots = self.snapshots.clone();
        tokio::task::spawn_blocking(move || snapshots.build())
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)
    }
}

/// Logs a batch that took long: where in the log it is and how large, never what is in it.
fn warn_of_slow(entries: &[LogEntry], took: Duration) {
    let bytes: usize = entries
        .iter()
        .map(|entry| match &entry.payload {
            Payload::Blank => 0,
            Payload::Proposals(encoded) => encoded.len(),
            Payload::Membership { membership, .. } => membership.len(),
        })
        .sum();
    tracing::warn!(
        first_index = entries.first().map(|entry| entry.index),
        last_index = entries.last().map(|entry| entry.index),
        bytes,
        took_milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "applying changes took long (--warning-apply-duration)"
    );
}

/// The thread that owns the machine.
struct Applier {
    machine: Machine,
    reader: Reader,
    settings: ApplySettings,
}

impl Applier {
    fn new(machine: Machine, settings: ApplySettings) -> Self {
        let reader = machine.reader();
        settings.compaction.start(machine.compactor());
        Self {
            machine,
            reader,
            settings,
        }
    }

    fn run(mut self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            let (result, done) = match command {
                Command::Apply { entries, done } => (self.apply(&entries), done),
                Command::Replace { engine, done } => (self.replace(engine), done),
            };
            let is_over = result.is_err();
            if done.send(result).is_err() || is_over {
                break;
            }
        }
        self.settings.compaction.stop();
    }

    fn apply(&mut self, entries: &[LogEntry]) -> Result<(), Fatal> {
        let started = Instant::now();
        let mut applied = self.machine.apply(&fault::corrupted(entries)?)?;
        let took = started.elapsed();
        let metrics = &self.settings.metrics;
        metrics.state_commit_seconds.observe(took.as_secs_f64());
        self.settings.apply_seconds.observe(&applied, took);
        if took > self.settings.slow_after {
            metrics.requests.slow.inc();
            warn_of_slow(entries, took);
        }
        let mut effects = Vec::new();
        for entry in &mut applied {
            effects.extend(entry.effects.drain(..));
        }
        self.count_changes(&effects);
        if let Some(last) = entries.last() {
            self.settings
                .applied_end
                .send_replace(last.index.saturating_add(1));
        }
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Compacted { .. }))
        {
            self.settings.compaction.wake();
        }
        // News first: who has an answer may rely on the news being on their way.
        self.send_news(effects);
        // On the runtime: its workers wake its tasks for less than this thread would.
        let waiters = self.settings.waiters.clone();
        self.settings
            .runtime
            .spawn(async move { waiters.answer(applied) });
        Ok(())
    }

    fn count_changes(&self, effects: &[Effect]) {
        let (mut puts, mut deletes, mut put_bytes) = (0, 0, 0);
        let changed = effects.iter().filter_map(|effect| match effect {
            Effect::Changed { events, .. } => Some(events),
            _ => None,
        });
        for event in changed.flatten() {
            match event.kind {
                EventKind::Put => {
                    puts += 1;
                    put_bytes += event.key_value.key.len() + event.key_value.value.len();
                }
                EventKind::Delete => deletes += 1,
            }
        }
        let metrics = &self.settings.metrics;
        metrics.puts.inc_by(puts);
        metrics.deletes.inc_by(deletes);
        metrics
            .put_bytes
            .add(i64::try_from(put_bytes).unwrap_or(i64::MAX));
    }

    fn replace(&mut self, engine: Arc<dyn Engine>) -> Result<(), Fatal> {
        self.machine.replace(engine)?;
        let view = self.reader.view();
        self.settings
            .applied_end
            .send_replace(view.applied_index().saturating_add(1));
        self.settings.compaction.start(self.machine.compactor());
        self.send_news(vec![Effect::Restored]);
        Ok(())
    }

    fn send_news(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let news = News {
            view: self.reader.view(),
            effects,
        };
        if self.settings.news.blocking_send(news).is_err() {
            tracing::debug!("nobody takes the news any more: the node is stopping");
        }
    }
}
