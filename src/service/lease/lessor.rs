//! The leader's side of leases: counts their time, renews them, ends them through the log.
//!
//! Deadlines exist on the leader only. A new leader builds them from the replicated leases after a read barrier, each with
//! its full time to live plus one election, so that no lease ends earlier than any client was told. From then on grants
//! and revocations arrive as news of what was applied. A deadline that passes only proposes a revocation: the lease ends
//! when that is applied.
//!
//! Never renews or ends a lease without having proved leadership to a quorum just before. A revocation is bound to the term
//! whose deadline passed: a leader that was paused and has a successor cannot end a lease that the successor renewed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::deadlines::{Deadlines, Left, Renewal};
use crate::base::{LeaseId, clock};
use crate::replication::News;
use crate::service::core::Core;
use crate::state::applied::{Effect, Refusal};
use crate::state::command::Command;

/// Time between two looks at the deadlines, as etcd's.
pub(in crate::service) const EXPIRY_INTERVAL_MILLISECONDS: u64 = 500;
/// Most revocations that one look proposes: 1,000 a second, as etcd.
const MAXIMUM_REVOCATIONS_PER_INTERVAL: usize = 500;
/// Revocations that wait for the log at one time. More wait for the next look.
const MAXIMUM_PENDING_REVOCATIONS: usize = 500;
/// Time after which a revocation that did not go through is proposed again.
const RETRY_MILLISECONDS: u64 = 1_000;

/// Whoever was asked cannot speak for the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) struct NotPrimary;

/// Counts the time of leases while this node leads. A handle: clones share one lessor.
#[derive(Clone)]
pub(in crate::service) struct Lessor {
    shared: Arc<Shared>,
}

/// A handle on a lessor that may be gone.
#[derive(Clone)]
pub(in crate::service) struct WeakLessor {
    shared: Weak<Shared>,
}

impl WeakLessor {
    /// The lessor, if it is still there.
    pub fn upgrade(&self) -> Option<Lessor> {
        self.shared.upgrade().map(|shared| Lessor { shared })
    }
}

struct Shared {
    core: Arc<Core>,
    /// Present while this node leads and has built them.
    deadlines: Mutex<Option<Deadlines>>,
    /// The term in which the deadlines are counted; written under their lock.
    term: AtomicU64,
    /// Wakes renewals that wait for a revocation to be applied.
    ended: Notify,
    pending_revocations: AtomicUsize,
}

impl Lessor {
    /// A lessor that does not lead.
    pub fn new(core: Arc<Core>) -> Self {
        let shared = Shared {
            core,
            deadlines: Mutex::new(None),
            term: AtomicU64::new(0),
            ended: Notify::new(),
            pending_revocations: AtomicUsize::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A handle that does not keep the lessor alive.
    pub fn downgrade(&self) -> WeakLessor {
        WeakLessor {
            shared: Arc::downgrade(&self.shared),
        }
    }

    /// Builds the deadlines: this node has just become the leader of `term`, and passed a read barrier. Whoever feeds
    /// [`Lessor::learn`] must not do so between the call and its end, so that no news falls between the picture of the
    /// leases that is read here and what follows it.
    pub async fn lead(&self, term: u64) {
        let core = &self.shared.core;
        let view = core.reader.view();
        let leases = match tokio::task::spawn_blocking(move || view.leases()).await {
            Ok(Ok(leases)) => leases,
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot read the leases; none will expire until they can be read");
                return;
            }
            Err(_) => return,
        };
        let from = clock::now() + core.settings.election;
        let mut deadlines = Deadlines::default();
        for (id, ttl_seconds) in leases {
            deadlines.grant(id, ttl_seconds, from);
        }
        let mut guard = self.shared.deadlines.lock();
        *guard = Some(deadlines);
        self.shared.term.store(term, Ordering::Relaxed);
    }

    /// Forgets the deadlines: this node does not lead, or leads in another term.
    pub fn follow(&self) {
        *self.shared.deadlines.lock() = None;
        self.shared.ended.notify_waiters();
    }

    /// Whether deadlines are counted here.
    pub fn is_primary(&self) -> bool {
        self.shared.deadlines.lock().is_some()
    }

    /// Learns what was applied. True if a snapshot replaced the leases, so that they must be built anew.
    pub fn learn(&self, news: &News) -> bool {
        let mut restored = false;
        let mut ended = false;
        let mut guard = self.shared.deadlines.lock();
        for effect in &news.effects {
            match effect {
                Effect::LeaseGranted { id, ttl_seconds } => {
                    if let Some(deadlines) = guard.as_mut() {
                        deadlines.grant(*id, *ttl_seconds, clock::now());
                    }
                }
                Effect::LeaseRevoked { id } => {
                    if let Some(deadlines) = guard.as_mut() {
                        ended |= deadlines.remove(*id);
                    }
                }
                Effect::Restored => restored = true,
                Effect::Changed { .. }
                | Effect::Compacted { .. }
                | Effect::MemberPublished { .. }
                | Effect::AuthChanged
                | Effect::AlarmChanged { .. } => {}
            }
        }
        drop(guard);
        if ended {
            self.shared.ended.notify_waiters();
        }
        restored
    }

    /// Renews leases in order, as the leader: the time to live of each, 0 for those that are gone.
    pub async fn renew(&self, ids: &[LeaseId]) -> Result<Vec<i64>, NotPrimary> {
        self.prove().await?;
        let renewals = self.try_renew_all(ids)?;
        let mut answers = Vec::with_capacity(ids.len());
        for (id, renewal) in ids.iter().zip(renewals) {
            answers.push(match renewal {
                Renewal::Renewed(ttl_seconds) => ttl_seconds,
                Renewal::Unknown | Renewal::Ending => self.renew_one(*id).await?,
            });
        }
        Ok(answers)
    }

    /// Renews what can be renewed at once, so that none of many waits for what becomes of another.
    fn try_renew_all(&self, ids: &[LeaseId]) -> Result<Vec<Renewal>, NotPrimary> {
        let mut guard = self.shared.deadlines.lock();
        let deadlines = guard.as_mut().ok_or(NotPrimary)?;
        let now = clock::now();
        Ok(ids.iter().map(|id| deadlines.renew(*id, now)).collect())
    }

    async fn renew_one(&self, id: LeaseId) -> Result<i64, NotPrimary> {
        let ended = self.shared.ended.notified();
        tokio::pin!(ended);
        // Registered before the look, so that an end between the two is not missed.
        ended.as_mut().enable();
        let until = tokio::time::Instant::now() + self.shared.core.request_timeout();
        loop {
            match self.try_renew(id)? {
                Renewal::Renewed(ttl_seconds) => return Ok(ttl_seconds),
                Renewal::Unknown => return self.adopt(id).await,
                Renewal::Ending => {
                    // What becomes of it is decided by the log.
                    if tokio::time::timeout_at(until, ended.as_mut()).await.is_err() {
                        return Err(NotPrimary);
                    }
                    ended.set(self.shared.ended.notified());
                    ended.as_mut().enable();
                }
            }
        }
    }

    fn try_renew(&self, id: LeaseId) -> Result<Renewal, NotPrimary> {
        let mut guard = self.shared.deadlines.lock();
        Ok(guard.as_mut().ok_or(NotPrimary)?.renew(id, clock::now()))
    }

    /// Renews a lease that is not counted here. It may have been granted a moment ago, by a member that applied the grant
    /// before this one.
    async fn adopt(&self, id: LeaseId) -> Result<i64, NotPrimary> {
        let core = &self.shared.core;
        core.replication.read_barrier().await.map_err(|_| NotPrimary)?;
        let mut guard = self.shared.deadlines.lock();
        let deadlines = guard.as_mut().ok_or(NotPrimary)?;
        // Read under the lock: a revocation that this state does not hold yet is learnt after this.
        let granted = core.reader.view().lease(id).map_err(|_| NotPrimary)?;
        let Some(ttl_seconds) = granted else { return Ok(0) };
        match deadlines.renew(id, clock::now()) {
            Renewal::Renewed(ttl_seconds) => Ok(ttl_seconds),
            Renewal::Ending => Ok(0),
            Renewal::Unknown => {
                deadlines.grant(id, ttl_seconds, clock::now());
                Ok(ttl_seconds)
            }
        }
    }

    /// What is left of a lease, as the leader knows it; none if it is gone or its time is over.
    pub async fn left(&self, id: LeaseId) -> Result<Option<Left>, NotPrimary> {
        self.prove().await?;
        if let Some(left) = self.try_left(id)? {
            return Ok(Some(left));
        }
        self.shared
            .core
            .replication
            .read_barrier()
            .await
            .map_err(|_| NotPrimary)?;
        let mut guard = self.shared.deadlines.lock();
        let deadlines = guard.as_mut().ok_or(NotPrimary)?;
        if deadlines.deadline(id).is_none()
            && let Some(ttl_seconds) = self.shared.core.reader.view().lease(id).map_err(|_| NotPrimary)?
        {
            deadlines.grant(id, ttl_seconds, clock::now());
        }
        Ok(deadlines.left(id, clock::now()))
    }

    fn try_left(&self, id: LeaseId) -> Result<Option<Left>, NotPrimary> {
        Ok(self
            .shared
            .deadlines
            .lock()
            .as_ref()
            .ok_or(NotPrimary)?
            .left(id, clock::now()))
    }

    /// Orders leases by the time they end, where that is known.
    pub fn order(&self, leases: &mut [LeaseId]) {
        let guard = self.shared.deadlines.lock();
        if let Some(deadlines) = guard.as_ref() {
            leases.sort_by_key(|id| (deadlines.deadline(*id), *id));
        }
    }

    async fn prove(&self) -> Result<(), NotPrimary> {
        if !self.is_primary() {
            return Err(NotPrimary);
        }
        self.shared
            .core
            .replication
            .confirm_leadership()
            .await
            .map_err(|_| NotPrimary)
    }

    /// Whether a lease's time is over, so that [`Lessor::expire`] has something to do.
    pub fn has_expired(&self, now: Instant) -> bool {
        self.shared
            .deadlines
            .lock()
            .as_ref()
            .is_some_and(|deadlines| deadlines.is_due(now))
    }

    /// Proposes the revocation of leases whose time is over.
    pub async fn expire(&self) {
        if self.prove().await.is_err() {
            return;
        }
        let free = MAXIMUM_PENDING_REVOCATIONS
            .saturating_sub(self.shared.pending_revocations.load(Ordering::Relaxed))
            .min(MAXIMUM_REVOCATIONS_PER_INTERVAL);
        let (expired, term) = match self.shared.deadlines.lock().as_mut() {
            Some(deadlines) => (
                deadlines.take_expired(clock::now(), free),
                self.shared.term.load(Ordering::Relaxed),
            ),
            None => return,
        };
        for id in expired {
            self.shared.pending_revocations.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(self.clone().revoke(id, term));
        }
    }

    async fn revoke(self, id: LeaseId, term: u64) {
        let core = &self.shared.core;
        let revocation = Command::LeaseRevoke { id }.by_node();
        let outcome = core.replication.propose_as_leader(revocation, term).await;
        self.shared.pending_revocations.fetch_sub(1, Ordering::Relaxed);
        let mut guard = self.shared.deadlines.lock();
        let Some(deadlines) = guard.as_mut() else { return };
        match outcome.map(|committed| committed.outcome) {
            Ok(Ok(_)) => core.metrics.leases_expired.inc(),
            Ok(Err(Refusal::LeaseNotFound)) => {
                deadlines.remove(id);
            }
            Ok(Err(_)) | Err(_) => {
                deadlines.retry(id, clock::now() + Duration::from_millis(RETRY_MILLISECONDS));
                return;
            }
        }
        drop(guard);
        self.shared.ended.notify_waiters();
    }
}
