//! Removes compacted history in the background: a thread that takes bounded steps while there is something to remove.
//! Never runs on the thread that applies, and pauses between steps, so that it never holds up a write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::failure::Failure;
use crate::base::metrics::Metrics;
use crate::base::{Revision, clock};
use crate::state::Compactor;

/// Changes looked at in one step.
const MAXIMUM_STEP_EVENTS: usize = 1_000;
/// Pause between two steps.
const STEP_PAUSE_MILLISECONDS: u64 = 2;

/// The thread's signal box.
pub struct Compaction {
    wanted: Mutex<Wanted>,
    changed: Condvar,
    /// The last compaction whose history is gone from this node's disk.
    removed: watch::Sender<Option<Revision>>,
}

#[derive(Default)]
struct Wanted {
    compactor: Option<Compactor>,
    has_work: bool,
    is_over: bool,
}

impl Compaction {
    /// Starts the thread. It rests until it gets a compactor.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(metrics: Arc<Metrics>, failure: Failure) -> std::io::Result<Arc<Self>> {
        let compaction = Arc::new(Self {
            wanted: Mutex::default(),
            changed: Condvar::new(),
            removed: watch::Sender::new(None),
        });
        let shared = compaction.clone();
        std::thread::Builder::new()
            .name("compaction".to_owned())
            .spawn(move || shared.run(&metrics, &failure))?;
        Ok(compaction)
    }

    /// Compacts through `compactor` from now on, and looks at once whether there is something to do.
    pub fn start(&self, compactor: Compactor) {
        let mut wanted = self.wanted.lock();
        wanted.compactor = Some(compactor);
        wanted.has_work = true;
        self.changed.notify_one();
    }

    /// History was compacted: there is something to remove.
    pub fn wake(&self) {
        self.wanted.lock().has_work = true;
        self.changed.notify_one();
    }

    /// Resolves when compacted history before `revision` is gone from this node's disk.
    pub async fn removed(&self, revision: Revision) {
        let mut removed = self.removed.subscribe();
        // The sender lives as long as this compaction, so it is never closed here.
        let _ = removed.wait_for(|done| *done >= Some(revision)).await;
    }

    /// The last compaction of this run whose history is gone from this node's disk.
    #[must_use]
    pub fn last_removed(&self) -> Option<Revision> {
        *self.removed.borrow()
    }

    /// Ends the thread after its step.
    pub fn stop(&self) {
        let mut wanted = self.wanted.lock();
        wanted.is_over = true;
        wanted.compactor = None;
        self.changed.notify_one();
    }

    fn run(&self, metrics: &Metrics, failure: &Failure) {
        // When the removal that is on its way began.
        let mut began = None;
        while let Some(compactor) = self.next() {
            let step_began = Instant::now();
            match compactor.step(MAXIMUM_STEP_EVENTS) {
                Ok(progress) => {
                    metrics.compaction_removed.inc_by(progress.removed);
                    let began_at = *began.get_or_insert(step_began);
                    if progress.compacted.is_some() {
                        let step = milliseconds(step_began.elapsed());
                        metrics.maintenance.compaction_step_milliseconds.observe(step);
                    }
                    if progress.finished {
                        if progress.compacted.is_some() {
                            let all = milliseconds(began_at.elapsed());
                            metrics.maintenance.compaction_milliseconds.observe(all);
                            let seconds = clock::unix_time().as_secs();
                            metrics
                                .maintenance
                                .last_compaction
                                .set(i64::try_from(seconds).unwrap_or(i64::MAX));
                        }
                        began = None;
                        self.removed.send_replace(progress.compacted);
                    } else {
                        self.wanted.lock().has_work = true;
                        std::thread::sleep(Duration::from_millis(STEP_PAUSE_MILLISECONDS));
                    }
                }
                Err(error) => {
                    failure.report(format!("compaction failed: {error}"));
                    return;
                }
            }
        }
    }

    fn next(&self) -> Option<Compactor> {
        let mut wanted = self.wanted.lock();
        loop {
            if wanted.is_over {
                return None;
            }
            if wanted.has_work
                && let Some(compactor) = wanted.compactor.clone()
            {
                wanted.has_work = false;
                return Some(compactor);
            }
            self.changed.wait(&mut wanted);
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
