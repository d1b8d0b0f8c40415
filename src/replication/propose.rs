//! Proposals: from the caller to the leader's log, and the answer back from the local apply.
//!
//! A proposal is numbered and encoded once. One task hands what has queued up to the log of this node if it leads, and
//! to the leader otherwise ([`super::forward`]). The answer never comes from there, only from the apply of the entry on
//! this node. A proposal that was provably not appended anywhere goes back into the queue until its waiter gives up; one
//! that may have been appended is never proposed a second time: its waiter waits for apply or the deadline.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::Raft;
use super::bundle::{Bundle, was_never_appended};
use super::forward::Link;
use super::intake::Intake;
use super::interface::{Committed, ProposeError, Status};
use super::log::LogStore;
use super::network::Peers;
use super::status::StatusBoard;
use super::types::{LeaderId, ProposalBytes, Rejections, Submission};
use super::waiters::Waiters;
use super::waiting::take_waiting;
use crate::base::limits::{MAXIMUM_PENDING_PROPOSAL_BYTES, MAXIMUM_PENDING_PROPOSALS};
use crate::base::metrics::Metrics;
use crate::base::{MemberId, clock};
use crate::state::command::{Command, Proposal};
use crate::state::encode_proposal;

/// Entries that may be committed but not applied before proposals are refused, as in etcd.
const MAXIMUM_APPLY_LAG_ENTRIES: u64 = 5_000;
/// Proposals that the task takes out of the queue at once.
const MAXIMUM_TAKEN_PROPOSALS: usize = 1_024;
/// Pause before a rejected proposal is tried again, unless the leader changes first.
const RETRY_PAUSE_MILLISECONDS: u64 = 50;

/// What the proposer works with.
pub struct ProposerSettings {
    /// This member, the origin of its proposals.
    pub member: MemberId,
    /// Longest time that a proposal waits for its answer.
    pub deadline: Duration,
    /// How far in the past a leader may have failed that is blamed for a proposal without an answer.
    pub election: Duration,
    /// Largest encoded command.
    pub maximum_command_bytes: usize,
    /// Who waits.
    pub waiters: Waiters,
    /// Who leads.
    pub status: StatusBoard,
    /// The other members.
    pub peers: Arc<Peers>,
    /// How much is committed.
    pub log: LogStore,
    /// How much is applied.
    pub applied_end: watch::Receiver<u64>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Takes proposals. Shared by all callers.
pub struct Proposer {
    settings: Arc<ProposerSettings>,
    raft: Raft,
    next_sequence: AtomicU64,
    pending: AtomicUsize,
    pending_bytes: AtomicUsize,
    /// Bounded by `pending` and `pending_bytes`.
    queue: mpsc::UnboundedSender<Queued>,
}

impl Proposer {
    /// Starts the task that hands proposals on.
    #[must_use]
    pub fn start(settings: ProposerSettings, raft: Raft, intake: Intake) -> Arc<Self> {
        let (queue, waiting) = mpsc::unbounded_channel();
        let settings = Arc::new(settings);
        let dispatcher = Dispatcher {
            status: settings.status.subscribe(),
            settings: settings.clone(),
            intake,
            rejections: Arc::new(Requeue(queue.downgrade())),
            waiting,
            link: None,
        };
        tokio::spawn(dispatcher.run());
        Arc::new(Self {
            settings,
            raft,
            next_sequence: AtomicU64::new(clock::random_u64()),
            pending: AtomicUsize::new(0),
            pending_bytes: AtomicUsize::new(0),
            queue,
        })
    }

    /// Proposes a command and waits until it is applied here.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        let result = self.propose_uncounted(command).await;
        if result.is_err() {
            self.settings.metrics.proposals_failed.inc();
        }
        result
    }

    /// Proposes a command that only the leader of `term` may have committed. It goes into the log of this node under that
    /// term or nowhere: it is neither forwarded nor tried again.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`ProposeError::NotLeader`] if this node does not lead in `term`.
    pub async fn propose_as_leader(&self, command: Command, term: u64) -> Result<Committed, ProposeError> {
        let (sequence, proposal) = self.encode(command)?;
        let _admission = self.admit(proposal.len())?;
        let waiters = &self.settings.waiters;
        let mut waiter = waiters.register(sequence, proposal.clone());
        let submission = Submission {
            rejected: Box::new({
                let waiters = waiters.clone();
                move || waiters.withdraw(sequence)
            }),
            never_appended: was_never_appended,
        };
        let leader = LeaderId {
            term,
            node_id: self.settings.member.0,
        };
        let write = self.raft.write(ProposalBytes(proposal));
        let submitted = write.with_leader(leader).responder(submission).await;
        submitted.map_err(|_| ProposeError::Stopped)?;
        match tokio::time::timeout(self.settings.deadline, waiter.wait()).await {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => Err(ProposeError::NotLeader),
            Err(_) => Err(ProposeError::Timeout),
        }
    }

    async fn propose_uncounted(&self, command: Command) -> Result<Committed, ProposeError> {
        let started = Instant::now();
        let (sequence, proposal) = self.encode(command)?;
        let _admission = self.admit(proposal.len())?;
        let mut waiter = self.settings.waiters.register(sequence, proposal);
        let queued = Queued {
            sequence,
            was_rejected: false,
        };
        self.queue.send(queued).map_err(|_| ProposeError::Stopped)?;
        match tokio::time::timeout(self.settings.deadline, waiter.wait()).await {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => Err(ProposeError::Stopped),
            Err(_) => Err(self.blame(started)),
        }
    }

    /// Numbers and encodes a proposal.
    fn encode(&self, command: Command) -> Result<(u64, Bytes), ProposeError> {
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        let proposal = encode_proposal(&Proposal {
            origin: self.settings.member,
            sequence,
            command,
        });
        let proposal = proposal.map_err(|error| {
            tracing::error!(%error, "a command cannot be encoded");
            ProposeError::TooLarge
        })?;
        if proposal.len() > self.settings.maximum_command_bytes {
            return Err(ProposeError::TooLarge);
        }
        Ok((sequence, proposal))
    }

    fn admit(&self, bytes: usize) -> Result<Admission<'_>, ProposeError> {
        let committed = self
            .settings
            .log
            .committed()
            .map_or(0, |committed| committed.index());
        let applied = *self.settings.applied_end.borrow();
        if committed.saturating_sub(applied) > MAXIMUM_APPLY_LAG_ENTRIES {
            return Err(ProposeError::TooManyRequests);
        }
        let admission = Admission {
            proposer: self,
            bytes,
        };
        let pending = self.pending.fetch_add(1, Ordering::Relaxed);
        let pending_bytes = self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.settings.metrics.proposals_pending.inc();
        if pending >= MAXIMUM_PENDING_PROPOSALS || pending_bytes + bytes > MAXIMUM_PENDING_PROPOSAL_BYTES {
            return Err(ProposeError::TooManyRequests);
        }
        Ok(admission)
    }

    /// Why a proposal that began at `started` has no answer, as etcd tells it.
    fn blame(&self, started: Instant) -> ProposeError {
        let settings = &self.settings;
        if let Some(elected) = settings.status.leader_elected_at() {
            let lost = elected.checked_sub(2 * settings.election);
            if started < elected && lost.is_none_or(|lost| started > lost) {
                return ProposeError::TimeoutLeaderFailed;
            }
        }
        let answers_since_start = |peer: u64| {
            settings
                .peers
                .active_since(peer)
                .is_some_and(|since| since <= started)
        };
        match settings.status.leader() {
            None => ProposeError::Timeout,
            Some(leader) if leader == settings.member => {
                let voters = settings.status.voters();
                let reached = voters
                    .iter()
                    .filter(|voter| **voter == settings.member.0 || answers_since_start(**voter))
                    .count();
                if reached > voters.len() / 2 {
                    ProposeError::Timeout
                } else {
                    ProposeError::TimeoutConnectionLost
                }
            }
            Some(leader) if answers_since_start(leader.0) => ProposeError::Timeout,
            Some(_) => ProposeError::TimeoutConnectionLost,
        }
    }
}

/// A proposal's share of the limits; given back when dropped.
struct Admission<'proposer> {
    proposer: &'proposer Proposer,
    bytes: usize,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.proposer.pending.fetch_sub(1, Ordering::Relaxed);
        self.proposer
            .pending_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
        self.proposer.settings.metrics.proposals_pending.dec();
    }
}

/// A proposal in the queue.
#[derive(Debug, Clone, Copy)]
struct Queued {
    sequence: u64,
    was_rejected: bool,
}

/// Puts rejected proposals back into the queue. Weak: the queue ends with the proposer.
struct Requeue(mpsc::WeakUnboundedSender<Queued>);

impl Rejections for Requeue {
    fn rejected(&self, sequence: u64) {
        if let Some(queue) = self.0.upgrade() {
            // The dispatcher is gone only when the node stops.
            let _ = queue.send(Queued {
                sequence,
                was_rejected: true,
            });
        }
    }
}

/// The task that hands proposals on.
struct Dispatcher {
    settings: Arc<ProposerSettings>,
    intake: Intake,
    status: watch::Receiver<Status>,
    rejections: Arc<Requeue>,
    waiting: mpsc::UnboundedReceiver<Queued>,
    link: Option<Link>,
}

impl Dispatcher {
    async fn run(mut self) {
        let mut taken = Vec::with_capacity(MAXIMUM_TAKEN_PROPOSALS);
        loop {
            taken.clear();
            if !take_waiting(&mut self.waiting, &mut taken, MAXIMUM_TAKEN_PROPOSALS).await {
                return;
            }
            if taken.iter().any(|queued| queued.was_rejected) {
                self.pause().await;
            }
            let mut backlog: VecDeque<u64> = taken.iter().map(|queued| queued.sequence).collect();
            while !backlog.is_empty() {
                if !self.hand_on(&mut backlog).await {
                    self.pause().await;
                    backlog.retain(|sequence| self.settings.waiters.is_waiting(*sequence));
                }
            }
        }
    }

    /// Waits for a change of the status, or a little.
    async fn pause(&mut self) {
        let leader = self.status.borrow_and_update().leader;
        let changed = self.status.wait_for(|status| status.leader != leader);
        let _ = tokio::time::timeout(Duration::from_millis(RETRY_PAUSE_MILLISECONDS), changed).await;
    }

    /// Hands proposals to whoever leads; false when nobody can take them now.
    async fn hand_on(&mut self, backlog: &mut VecDeque<u64>) -> bool {
        let leader = self.status.borrow().leader;
        match leader {
            None => {
                self.link = None;
                false
            }
            Some(leader) if leader == self.settings.member => {
                self.link = None;
                self.submit(backlog).await
            }
            Some(leader) => self.forward(leader, backlog).await,
        }
    }

    async fn submit(&self, backlog: &mut VecDeque<u64>) -> bool {
        while let Some(bundle) = Bundle::take(backlog, &self.settings.waiters) {
            if self.intake.take(bundle, self.rejections.clone()).await.is_err() {
                // The waiters hear of it when the node stops.
                return false;
            }
        }
        true
    }

    async fn forward(&mut self, leader: MemberId, backlog: &mut VecDeque<u64>) -> bool {
        let is_open = self.link.as_ref().is_some_and(|link| link.is_open_to(leader));
        if !is_open {
            self.link = None;
            let Some(node) = self.settings.status.node(leader.0) else {
                return false;
            };
            let opened = Link::open(
                &self.settings.peers,
                leader,
                &node,
                self.rejections.clone(),
                self.settings.election,
            )
            .await;
            match opened {
                Ok(link) => self.link = Some(link),
                Err(reason) => {
                    tracing::debug!(%leader, reason, "proposals cannot be forwarded now");
                    return false;
                }
            }
        }
        match &self.link {
            Some(link) => {
                link.send(backlog, &self.settings.waiters, &mut self.status).await;
                backlog.is_empty()
            }
            None => false,
        }
    }
}
