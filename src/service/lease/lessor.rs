//! The leader's side of leases: counts their time, renews them, ends them through the log.
//!
//! Deadlines are counted on the leader only. A new leader builds them from the replicated leases after a read barrier, each
//! with what a quorum remembers of it ([`super::memory`]), so that no lease ends earlier than any client was told, and none
//! starts anew. From then on grants and revocations arrive as news of what was applied. A deadline that passes only
//! proposes a revocation: the lease ends when that is applied.
//!
//! Never renews or ends a lease without having proved leadership to a quorum just before. A revocation is bound to the term
//! whose deadline passed: a leader that was paused and has a successor cannot end a lease that the successor renewed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::deadlines::{Deadlines, Left, Renewal};
use super::memory::Recollection;
use super::rounds::{MemberAnswer, MemberQuestion, Rounds};
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
/// How often a new leader asks what is left of the leases, and the pause between: while it does, no lease ends and none is
/// renewed.
const MAXIMUM_RECALLS: usize = 10;
const RECALL_AGAIN_MILLISECONDS: u64 = 100;

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
    rounds: Rounds,
}

/// What a new leader knows of the time of leases.
pub(in crate::service) struct Handover {
    recollection: Recollection,
    /// For how long nobody could renew a lease.
    leaderless: Duration,
}

impl Lessor {
    /// A lessor that does not lead.
    pub fn new(core: Arc<Core>) -> Self {
        let rounds = Rounds::new(core.replication.clone(), core.settings.election);
        let shared = Shared {
            core,
            rounds,
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

    /// Tells the members what this node renews while it leads, until the node stops.
    pub async fn run(&self) {
        self.shared.rounds.run().await;
    }

    /// Answers the leader as a member.
    pub fn answer(&self, question: MemberQuestion) -> MemberAnswer {
        self.shared.rounds.answer(question)
    }

    /// Asks a quorum for what it remembers of the leases: this node has just become the leader of `term`.
    pub async fn take_over(&self, term: u64) -> Handover {
        let mut recollection = None;
        for _ in 0..MAXIMUM_RECALLS {
            recollection = self.shared.rounds.recall(term).await;
            if recollection.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(RECALL_AGAIN_MILLISECONDS)).await;
        }
        if recollection.is_none() {
            tracing::warn!("no quorum says how much is left of the leases: all begin anew");
        }
        let heard = self.shared.core.replication.heard_leader_at();
        Handover {
            recollection: recollection.unwrap_or_default(),
            leaderless: clock::now().saturating_duration_since(heard),
        }
    }

    /// Builds the deadlines: this node has just become the leader of `term`, and passed a read barrier. Without a handover
    /// every lease begins anew. Whoever feeds [`Lessor::learn`] must not do so between the call and its end, so that no
    /// news falls between the picture of the leases that is read here and what follows it.
    pub async fn lead(&self, term: u64, handover: Option<Handover>) {
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
        let (now, grace) = (clock::now(), core.settings.election);
        let handover = handover.unwrap_or_else(|| Handover {
            recollection: Recollection::default(),
            leaderless: Duration::ZERO,
        });
        let mut deadlines = Deadlines::default();
        for (id, ttl_seconds) in leases {
            let recollection = &handover.recollection;
            let deadline = recollection.deadline(id, ttl_seconds, handover.leaderless, grace, now);
            deadlines.insert(id, ttl_seconds, deadline);
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
        let rounds = &self.shared.rounds;
        let mut guard = self.shared.deadlines.lock();
        for effect in &news.effects {
            match effect {
                Effect::LeaseGranted { id, ttl_seconds } => {
                    let now = clock::now();
                    rounds.remember(|memory| memory.note(*id, *ttl_seconds, now));
                    if let Some(deadlines) = guard.as_mut() {
                        deadlines.grant(*id, *ttl_seconds, now);
                    }
                }
                Effect::LeaseRevoked { id } => {
                    rounds.remember(|memory| memory.forget(*id));
                    if let Some(deadlines) = guard.as_mut() {
                        ended |= deadlines.remove(*id);
                    }
                }
                Effect::Restored => {
                    rounds.remember(|memory| memory.restart(clock::now()));
                    restored = true;
                }
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
    ///
    /// A renewal counts once a quorum remembers it, and while the quorum says that nobody else leads.
    pub async fn renew(&self, ids: &[LeaseId]) -> Result<Vec<i64>, NotPrimary> {
        let (proved, told) = tokio::join!(self.prove(), self.tell(ids));
        proved.and(told)?;
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

    /// Tells the members of renewals that are about to be made. Those that fail then were told for nothing: their leases
    /// would end late under the next leader, and have ended by then.
    async fn tell(&self, ids: &[LeaseId]) -> Result<(), NotPrimary> {
        let (known, term) = {
            let guard = self.shared.deadlines.lock();
            let deadlines = guard.as_ref().ok_or(NotPrimary)?;
            let known = ids
                .iter()
                .filter_map(|id| Some((*id, deadlines.ttl_seconds(*id)?)));
            (
                known.collect::<Vec<_>>(),
                self.shared.term.load(Ordering::Relaxed),
            )
        };
        match known.is_empty() || self.shared.rounds.tell(term, known).await {
            true => Ok(()),
            false => Err(NotPrimary),
        }
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
                Renewal::Unknown => {
                    let ttl_seconds = self.adopt(id).await?;
                    self.tell(&[id]).await?;
                    return Ok(ttl_seconds);
                }
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
