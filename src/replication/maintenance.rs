//! What a node does by itself, on a clock: it flushes the state, makes snapshots, and says how much of the log may go.
//!
//! The flush bounds what a restart replays; the snapshot bounds the log. Neither is needed for safety: the log is only
//! purged behind a snapshot, which is a flushed checkpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Raft;
use super::failure::Failure;
use super::log::LogStore;
use super::network::Peers;
use super::snapshot::SnapshotStore;

/// How often the clock ticks.
const TICK_MILLISECONDS: u64 = 500;
/// Applied entries after which the state is flushed. A restart replays about this much, in well under a second.
const FLUSH_ENTRIES: u64 = 50_000;
/// Longest time that an applied entry stays unflushed.
const FLUSH_SECONDS: u64 = 30;
/// Shortest time between two snapshots, however busy the log is.
const SNAPSHOT_PAUSE_SECONDS: u64 = 30;
/// Bytes of log after which a snapshot is due, however few entries that is.
const SNAPSHOT_LOG_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of log that stay behind a snapshot at most: what a lagging follower can still catch up from.
const KEPT_LOG_BYTES: u64 = 256 * 1024 * 1024;
/// Entries that stay behind a snapshot at most.
const KEPT_LOG_ENTRIES: u64 = 50_000;

/// Entries that stay behind a snapshot: no more than lie between two.
#[must_use]
pub fn kept_log_entries(snapshot_entries: u64) -> u64 {
    KEPT_LOG_ENTRIES.min(snapshot_entries)
}

/// What the clock works on.
pub struct Maintenance {
    /// Raft, which makes snapshots and purges.
    pub raft: Raft,
    /// The log.
    pub log: LogStore,
    /// The state.
    pub snapshots: Arc<SnapshotStore>,
    /// The peers, which learn what will be purged.
    pub peers: Arc<Peers>,
    /// How much is applied.
    pub applied_end: watch::Receiver<u64>,
    /// Fewest entries between two snapshots.
    pub snapshot_entries: u64,
    /// Where a failed flush is reported.
    pub failure: Failure,
}

impl Maintenance {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let start = *self.applied_end.borrow();
        let mut flushed = (start, Instant::now());
        let first = self.raft_snapshot_end();
        let mut snapshot = (first.unwrap_or(0), None::<Instant>);
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MILLISECONDS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let applied_end = *self.applied_end.borrow();
            let (flushed_end, flushed_at) = flushed;
            let unflushed = applied_end.saturating_sub(flushed_end);
            let is_old = flushed_at.elapsed() >= Duration::from_secs(FLUSH_SECONDS);
            if unflushed >= FLUSH_ENTRIES || (unflushed > 0 && is_old) {
                if !self.flush().await {
                    return;
                }
                flushed = (applied_end, Instant::now());
            }
            let (snapshot_end, made_at) = snapshot;
            let may = made_at.is_none_or(|at| at.elapsed() >= Duration::from_secs(SNAPSHOT_PAUSE_SECONDS));
            let is_due = applied_end.saturating_sub(snapshot_end) >= self.snapshot_entries
                || (self.log.kept_bytes() >= SNAPSHOT_LOG_BYTES && applied_end > snapshot_end);
            if may && is_due {
                if self.raft.trigger().snapshot().await.is_err() {
                    return;
                }
                snapshot = (applied_end, Some(Instant::now()));
            }
            self.bound_log().await;
        }
    }

    async fn flush(&self) -> bool {
        let snapshots = self.snapshots.clone();
        let flushed = tokio::task::spawn_blocking(move || snapshots.flush()).await;
        match flushed {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                self.failure
                    .report(format!("the state cannot be flushed: {error}"));
                false
            }
            Err(error) => {
                self.failure
                    .report(format!("flushing the state panicked: {error}"));
                false
            }
        }
    }

    /// The index after the last entry in openraft's newest snapshot.
    fn raft_snapshot_end(&self) -> Option<u64> {
        use openraft::async_runtime::watch::WatchReceiver;
        let metrics = self.raft.metrics();
        let snapshot = metrics.borrow_watched().snapshot;
        snapshot.map(|covered| covered.index().saturating_add(1))
    }

    /// Lets entries go that are in a snapshot and beyond what is kept: openraft purges when it makes a snapshot, this also
    /// whenever a purge was held up, and by bytes. Followers that still read such entries after the time to catch up are
    /// cut off, or the leader could not purge.
    async fn bound_log(&self) {
        let Some(snapshot_end) = self.raft_snapshot_end() else {
            return;
        };
        let by_count = snapshot_end.saturating_sub(kept_log_entries(self.snapshot_entries));
        let by_bytes = self.log.index_before_last_bytes(KEPT_LOG_BYTES).min(snapshot_end);
        let purge_end = by_count.max(by_bytes);
        self.peers.set_purge_end(purge_end);
        let purged_end = self
            .log
            .purged()
            .map_or(0, |purged| purged.index().saturating_add(1));
        if purge_end > purged_end {
            // Raft is dead if it does not take this; that is reported elsewhere.
            let _ = self.raft.trigger().purge_log(purge_end.saturating_sub(1)).await;
        }
    }
}
