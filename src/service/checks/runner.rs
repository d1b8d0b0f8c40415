//! What a member does for checks, over and over: it follows the catalog and who lives, does the probes and aliases that are
//! its own, and as the leader ends the time of what was not reported and deregisters what is critical for too long.
//!
//! Never waits for the log: what is to be written is written by tasks of their own, and looked at again in the next round.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::desk::Desk;
use super::expiry;
use super::heard::Heard;
use super::owner::owner;
use super::table::{Known, Table};
use super::threshold::Counts;
use super::{Prober, alias, desk};
use crate::base::limits::MAXIMUM_PROBES_AT_ONCE;
use crate::base::{Revision, clock};
use crate::service::auth::Caller;
use crate::service::core::Core;
use crate::service::registry::{
    Catalog, Check, CheckDefinition, CheckKind, CheckPlace, CheckState, Probe, Registry, Status,
};

/// Longest time between two rounds.
const ROUND_MILLISECONDS: u64 = 1_000;
/// Shortest time between two rounds; rounds that take long are further apart.
const PAUSE_MILLISECONDS: u64 = 10;
/// A round may take this part of the time at most.
const SHARE: u32 = 20;
/// Time after which the leader tries again what did not go through.
const AGAIN: Duration = Duration::from_secs(1);
/// Time between two looks for what is critical for too long (Consul: 30 s).
const REAP_SECONDS: u64 = 30;
/// Time after which the checks are shared out again though nothing changed: what was not written is tried again then.
const SHARE_AGAIN_SECONDS: u64 = 5;
/// Outputs that are written later, in one round.
const MAXIMUM_OUTPUTS_AT_ONCE: usize = 64;

/// Does the checks of a member. Shared by its tasks.
pub(super) struct Runner {
    core: Arc<Core>,
    registry: Registry,
    desk: Arc<Desk>,
    prober: Arc<dyn Prober>,
    places: Semaphore,
}

/// A probe that is done at intervals.
struct Task {
    definition: Arc<CheckDefinition>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Runner {
    pub fn new(core: Arc<Core>, registry: Registry, desk: Arc<Desk>, prober: Arc<dyn Prober>) -> Self {
        Self {
            prober,
            registry: registry.by(Caller::node()),
            core,
            desk,
            places: Semaphore::new(MAXIMUM_PROBES_AT_ONCE),
        }
    }

    fn heard(&self) -> &Arc<Heard> {
        self.registry.heard()
    }

    /// Goes on for good.
    pub async fn run(self: Arc<Self>) {
        let mut table = Table::default();
        let mut tasks: HashMap<CheckPlace, Task> = HashMap::new();
        let mut living = self.desk.living();
        let mut reaped = clock::now();
        let mut shared = clock::now();
        loop {
            let begun = clock::now();
            let catalog = self.registry.newest();
            let is_new = table.refresh(&catalog, begun);
            let is_old = begun.saturating_duration_since(shared) >= Duration::from_secs(SHARE_AGAIN_SECONDS);
            if is_new || is_old || living.has_changed().unwrap_or(false) {
                shared = begun;
                let living = Arc::clone(&living.borrow_and_update());
                self.share_out(&table, &living, &catalog, &mut tasks);
            }
            let mut next = self.expire(&mut table, begun);
            if begun.saturating_duration_since(reaped) >= Duration::from_secs(REAP_SECONDS) {
                reaped = begun;
                self.reap(&table, begun);
            }
            self.write_outputs(&catalog, begun);
            let took = begun.elapsed();
            sleep((took * SHARE).max(Duration::from_millis(PAUSE_MILLISECONDS))).await;
            let longest = clock::now() + Duration::from_millis(ROUND_MILLISECONDS);
            next = next.min(longest);
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                _ = living.changed() => living.mark_changed(),
                passed = self.registry.passed(catalog.revision()) => {
                    if passed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Begins what has become this member's, and ends what is no longer.
    fn share_out(
        self: &Arc<Self>,
        table: &Table,
        living: &desk::Living,
        catalog: &Arc<Catalog>,
        tasks: &mut HashMap<CheckPlace, Task>,
    ) {
        let own = self.core.settings.member;
        let mut kept = HashMap::new();
        let mut numbers = std::collections::HashSet::new();
        for (place, known) in table.iter() {
            numbers.insert(known.number);
            if owner(known.number, living) != Some(own) {
                continue;
            }
            match &known.check.definition.kind {
                CheckKind::Probe(probe) => {
                    let definition = &known.check.definition;
                    let there = tasks.remove(&place).filter(|task| task.definition == *definition);
                    let task = there.unwrap_or_else(|| Task {
                        definition: Arc::clone(definition),
                        handle: tokio::spawn(Arc::clone(self).probe(place.clone(), (**probe).clone())),
                    });
                    kept.insert(place, task);
                }
                CheckKind::Alias(alias) => {
                    let state = alias::evaluate(catalog, &place, alias);
                    if state.status != known.check.state.status {
                        self.write_soon(place, known.check.clone(), state, None);
                    }
                }
                CheckKind::TimeToLive(_) | CheckKind::Reported | CheckKind::Maintenance => {}
            }
        }
        self.heard()
            .keep(numbers.len(), |number| numbers.contains(&number));
        self.core
            .metrics
            .checks
            .owned
            .set(i64::try_from(kept.len()).unwrap_or(i64::MAX));
        // The rest ends here.
        *tasks = kept;
    }

    /// Probes at intervals, the first time at a random point of one. Ends by being aborted.
    async fn probe(self: Arc<Self>, place: CheckPlace, probe: Probe) {
        let interval = probe.interval();
        sleep(clock::random_part_of(interval)).await;
        let mut counts = Counts::default();
        loop {
            let begun = tokio::time::Instant::now();
            let Ok(_place) = self.places.acquire().await else {
                return;
            };
            let catalog = self.registry.newest();
            // What it is about now: whatever changes while it runs is left alone.
            if let Some(seen) = catalog.check(&place).cloned() {
                let metrics = &self.core.metrics.checks;
                metrics.under_way.inc();
                let _under_way = Leaving(|| metrics.under_way.dec());
                let outcome = self.prober.ask(&probe).await;
                metrics.done.inc();
                if outcome.status == Status::Critical {
                    metrics.failed.inc();
                }
                drop(_place);
                self.take(
                    &place,
                    &seen,
                    counts.count(&probe, outcome.status),
                    outcome,
                    interval,
                )
                .await;
            }
            tokio::time::sleep_until(begun + interval).await;
        }
    }

    /// Writes what a probe found out, if it changes the status; another output alone is written later.
    async fn take(
        &self,
        place: &CheckPlace,
        seen: &Check,
        status: Option<Status>,
        outcome: CheckState,
        interval: Duration,
    ) {
        let Some(status) = status else {
            return;
        };
        let state = CheckState {
            status,
            output: outcome.output,
        };
        if status == seen.state.status {
            if state.output != seen.state.output {
                self.heard().later(place, &state);
            }
            return;
        }
        // The same transaction again does no harm: it holds once.
        let writing = async {
            while let Err(error) = self.registry.settle(place, seen, &state, None).await {
                tracing::debug!(%error, ?place, "what a check found out is not written yet");
                sleep(AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(interval, writing).await;
    }

    fn write_soon(self: &Arc<Self>, place: CheckPlace, seen: Check, state: CheckState, term: Option<u64>) {
        let runner = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = runner.registry.settle(&place, &seen, &state, term).await {
                tracing::debug!(%error, ?place, "how a check is is not written yet");
            }
        });
    }

    /// Ends the time of checks that were not reported, while this member leads; when to look again.
    fn expire(self: &Arc<Self>, table: &mut Table, now: Instant) -> Instant {
        let mut next = now + Duration::from_millis(ROUND_MILLISECONDS);
        let Some((term, led_since)) = self.desk.led() else {
            return next;
        };
        for (place, known) in table.iter_mut() {
            let Some(ttl) = expiry::ttl(&known.check.definition.kind) else {
                continue;
            };
            if known.check.state.status == Status::Critical {
                continue;
            }
            let Some(deadline) = deadline(self.heard(), known, ttl, led_since) else {
                continue;
            };
            if deadline > now {
                next = next.min(deadline);
                continue;
            }
            if known
                .tried
                .is_some_and(|tried| now.saturating_duration_since(tried) < AGAIN)
            {
                continue;
            }
            known.tried = Some(now);
            let (runner, known) = (Arc::clone(self), known.clone());
            tokio::spawn(async move { runner.end(place, known, ttl, term, led_since).await });
        }
        next
    }

    /// Makes a check critical whose time is over, if this member leads indeed and nothing was heard meanwhile.
    async fn end(&self, place: CheckPlace, known: Known, ttl: Duration, term: u64, led_since: Instant) {
        if self.core.replication.confirm_leadership().await.is_err() {
            return;
        }
        let deadline = deadline(self.heard(), &known, ttl, led_since);
        if deadline.is_none_or(|deadline| deadline > clock::now()) {
            return;
        }
        let state = expiry::expired(&known.check.state);
        match self
            .registry
            .settle(&place, &known.check, &state, Some(term))
            .await
        {
            Ok(true) => self.core.metrics.checks.expired.inc(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, ?place, "the end of a check is not written yet"),
        }
    }

    /// Deregisters instances with a check that is critical for too long, while this member leads.
    fn reap(self: &Arc<Self>, table: &Table, now: Instant) {
        if self.desk.led().is_none() {
            return;
        }
        for (place, epoch) in overdue(table, now) {
            let runner = Arc::clone(self);
            tokio::spawn(async move {
                let CheckPlace {
                    node,
                    instance,
                    check,
                } = &place;
                let id = instance.as_deref().unwrap_or_default();
                match runner.registry.deregister(node, id, Some(epoch)).await {
                    Ok(_) => {
                        runner.core.metrics.checks.deregistered.inc();
                        tracing::info!(%node, id, %check, "deregistered: a check was critical for too long");
                    }
                    Err(error) => tracing::debug!(%error, %node, id, "not deregistered yet"),
                }
            });
        }
    }

    /// Writes outputs whose time has come, where the status is still the same.
    fn write_outputs(self: &Arc<Self>, catalog: &Catalog, now: Instant) {
        let due = self.heard().due(now, MAXIMUM_OUTPUTS_AT_ONCE);
        for (place, state) in due {
            let Some(check) = catalog.check(&place) else {
                continue;
            };
            if check.state.status == state.status && check.state.output != state.output {
                self.write_soon(place, check.clone(), state, None);
            }
        }
    }
}

/// When the time of a check is over.
fn deadline(heard: &Heard, known: &Known, ttl: Duration, led_since: Instant) -> Option<Instant> {
    let last = heard.last(known.number).unwrap_or(known.since).max(known.since);
    expiry::deadline(ttl, last, led_since)
}

/// The instances, with their epochs, that have a check that is critical for too long.
fn overdue(table: &Table, now: Instant) -> Vec<(CheckPlace, Revision)> {
    let late = |known: &Known| {
        let limit = known.check.definition.kind.deregister_after()?;
        let since = known.critical_since?;
        (now.saturating_duration_since(since) >= limit).then_some(known.epoch)?
    };
    let mut found: Vec<(CheckPlace, Revision)> = table
        .iter()
        .filter_map(|(place, known)| Some((place, late(known)?)))
        .collect();
    found.dedup_by(|one, other| one.0.node == other.0.node && one.0.instance == other.0.instance);
    found
}

/// Does something when it is dropped.
struct Leaving<Leave: Fn()>(Leave);

impl<Leave: Fn()> Drop for Leaving<Leave> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests;
