//! Automatic compaction, as etcd's: by time or by number of revisions.
//!
//! Every member keeps the samples, so that a new leader knows what its predecessor knew; only the leader compacts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::base::Revision;
use crate::state::applied::Refusal;
use crate::state::command::Command;

/// Time between two looks in revision mode, as etcd's.
const REVISION_INTERVAL_SECONDS: u64 = 300;
/// In periodic mode, time between two compactions at most, as etcd's.
const MAXIMUM_PERIOD_SECONDS: u64 = 3_600;
/// Samples taken in each period, as in etcd.
const SAMPLES_PER_PERIOD: u32 = 10;
/// Shortest time between two samples.
const MINIMUM_SAMPLE_MILLISECONDS: u64 = 100;

/// When history is forgotten without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCompaction {
    /// What is older than this.
    Periodic(Duration),
    /// All but so many revisions.
    Revisions(i64),
}

/// Decides what to compact, one look at a time. Never reads the clock: the time between two looks is fixed.
#[derive(Debug)]
struct Schedule {
    mode: AutoCompaction,
    interval: Duration,
    /// Revisions at the last looks, the oldest first; as many as the retention spans.
    samples: VecDeque<Revision>,
    capacity: usize,
    /// Looks that must pass until the next compaction.
    wait: u32,
    last: Revision,
}

impl Schedule {
    fn new(mode: AutoCompaction) -> Self {
        let (interval, capacity) = match mode {
            AutoCompaction::Revisions(_) => (Duration::from_secs(REVISION_INTERVAL_SECONDS), 1),
            AutoCompaction::Periodic(retention) => {
                let period = retention.min(Duration::from_secs(MAXIMUM_PERIOD_SECONDS));
                let interval =
                    (period / SAMPLES_PER_PERIOD).max(Duration::from_millis(MINIMUM_SAMPLE_MILLISECONDS));
                let looks = retention.as_millis().div_ceil(interval.as_millis().max(1));
                (
                    interval,
                    usize::try_from(looks).unwrap_or(usize::MAX).saturating_add(1),
                )
            }
        };
        Self {
            mode,
            interval,
            samples: VecDeque::new(),
            capacity,
            wait: 0,
            last: Revision(0),
        }
    }

    /// Takes note of the revision, and says what to compact now.
    fn look(&mut self, revision: Revision) -> Option<Revision> {
        let target = match self.mode {
            AutoCompaction::Revisions(retention) => Revision(revision.0.saturating_sub(retention)),
            AutoCompaction::Periodic(_) => {
                if self.samples.len() >= self.capacity {
                    self.samples.pop_front();
                }
                self.samples.push_back(revision);
                self.wait = self.wait.saturating_sub(1);
                if self.samples.len() < self.capacity || self.wait > 0 {
                    return None;
                }
                self.wait = SAMPLES_PER_PERIOD;
                *self.samples.front()?
            }
        };
        (target > self.last && target > Revision(0)).then_some(target)
    }

    /// Takes note that everything before `revision` is forgotten.
    fn done(&mut self, revision: Revision) {
        self.last = revision;
    }

    /// Takes note that the compaction did not go through: the next look tries again.
    fn failed(&mut self) {
        self.wait = 0;
    }
}

/// Compacts until it is dropped.
pub(super) async fn run(core: Arc<Core>, mode: AutoCompaction) {
    let mut schedule = Schedule::new(mode);
    let mut ticks = tokio::time::interval(schedule.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(revision) = schedule.look(core.reader.view().revision()) else {
            continue;
        };
        if !core.replication.status().borrow().is_leader {
            continue;
        }
        match core
            .replication
            .propose(Command::Compact { revision }.by_node())
            .await
            .map(|done| done.outcome)
        {
            Ok(Ok(_) | Err(Refusal::Compacted)) => {
                tracing::info!(%revision, "compacted automatically");
                schedule.done(revision);
            }
            Ok(Err(refusal)) => {
                tracing::warn!(%revision, %refusal, "automatic compaction was refused");
                schedule.failed();
            }
            Err(error) => {
                tracing::warn!(%revision, %error, "automatic compaction got no answer; it is tried again");
                schedule.failed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_revisions_all_but_the_last_so_many_are_forgotten() {
        let mut schedule = Schedule::new(AutoCompaction::Revisions(100));
        assert_eq!(schedule.interval, Duration::from_secs(300));
        assert_eq!(schedule.look(Revision(100)), None);
        assert_eq!(schedule.look(Revision(150)), Some(Revision(50)));
        schedule.done(Revision(50));
        assert_eq!(schedule.look(Revision(150)), None);
        assert_eq!(schedule.look(Revision(151)), Some(Revision(51)));
    }

    #[test]
    fn by_time_the_first_compaction_is_after_one_retention_and_then_one_each_period() {
        let mut schedule = Schedule::new(AutoCompaction::Periodic(Duration::from_secs(600)));
        assert_eq!(schedule.interval, Duration::from_secs(60));
        let mut compacted = Vec::new();
        for minute in 0..=30_i64 {
            if let Some(revision) = schedule.look(Revision(1_000 + minute)) {
                schedule.done(revision);
                compacted.push((minute, revision.0 - 1_000));
            }
        }
        assert_eq!(compacted, [(10, 0), (20, 10), (30, 20)]);
    }

    #[test]
    fn a_long_retention_is_compacted_every_hour() {
        let mut schedule = Schedule::new(AutoCompaction::Periodic(Duration::from_secs(5 * 3_600)));
        assert_eq!(schedule.interval, Duration::from_secs(360));
        let mut compacted = Vec::new();
        for look in 0..=70_i64 {
            if let Some(revision) = schedule.look(Revision(1_000 + look)) {
                schedule.done(revision);
                compacted.push((look, revision.0 - 1_000));
            }
        }
        assert_eq!(compacted, [(50, 0), (60, 10), (70, 20)]);
    }

    #[test]
    fn a_compaction_that_failed_is_tried_at_the_next_look() {
        let mut schedule = Schedule::new(AutoCompaction::Periodic(Duration::from_secs(600)));
        let looks: Vec<_> = (0..=10).map(|look| schedule.look(Revision(5 + look))).collect();
        assert_eq!(looks.last(), Some(&Some(Revision(5))));
        schedule.failed();
        assert_eq!(schedule.look(Revision(16)), Some(Revision(6)));
    }
}
