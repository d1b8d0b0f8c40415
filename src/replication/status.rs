//! Where this node stands, for everybody who waits for a change of it: read from openraft's metrics by one task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Raft;
use super::failure::Failure;
use super::interface::{PeerMember, Status};
use super::log::LogStore;
use super::network::Peers;
use super::types::{Membership, Node, NodeId, StoredMembership};
use crate::base::MemberId;
use crate::base::metrics::Metrics;

/// Shortest time between two updates of the positions: a busy log does not wake the watchers for each entry.
const UPDATE_PAUSE_MILLISECONDS: u64 = 10;

/// Election timeouts without contact after which the leader counts as lost, although no other is elected yet.
const LOST_AFTER_ELECTIONS: u32 = 2;

/// The status and the members. A handle: clones share it.
#[derive(Clone)]
pub struct StatusBoard {
    member: MemberId,
    status: Arc<watch::Sender<Status>>,
    membership: Arc<Mutex<Arc<StoredMembership>>>,
    /// When the members last became others.
    members_since: Arc<Mutex<Instant>>,
    leader_elected_at: Arc<Mutex<Option<Instant>>>,
    /// When a leader last sent something.
    heard_at: Arc<Mutex<Instant>>,
    election: Duration,
}

impl StatusBoard {
    /// Knows no leader and no members yet.
    #[must_use]
    pub fn new(member: MemberId, election: Duration) -> Self {
        Self {
            member,
            election,
            heard_at: Arc::new(Mutex::new(Instant::now())),
            status: Arc::new(watch::Sender::new(Status::default())),
            membership: Arc::new(Mutex::new(Arc::new(StoredMembership::default()))),
            members_since: Arc::new(Mutex::new(Instant::now())),
            leader_elected_at: Arc::default(),
        }
    }

    /// The status; changes wake the receiver.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// A leader has sent something.
    pub fn heard_leader(&self) {
        *self.heard_at.lock() = Instant::now();
    }

    /// When a leader last sent something; at first, when this node started.
    #[must_use]
    pub fn heard_leader_at(&self) -> Instant {
        *self.heard_at.lock()
    }

    /// How long ago a leader sent something; nothing while this node leads.
    #[must_use]
    pub fn silence(&self) -> Duration {
        match self.status.borrow().is_leader {
            true => Duration::ZERO,
            false => self.heard_leader_at().elapsed(),
        }
    }

    /// The leader's id, if one is known.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        self.status.borrow().leader
    }

    /// This member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// When this node last learned of a new leader.
    #[must_use]
    pub fn leader_elected_at(&self) -> Option<Instant> {
        *self.leader_elected_at.lock()
    }

    /// Where a member is found.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.membership.lock().get_node(&id).cloned()
    }

    /// The members by id, those of a change that is on its way included.
    #[must_use]
    pub fn members(&self) -> Vec<PeerMember> {
        members_of(self.membership.lock().membership())
    }

    /// Whether no leader was heard for an election, and this node does not lead.
    #[must_use]
    pub fn is_lonely(&self) -> bool {
        !self.status.borrow().is_leader && self.heard_at.lock().elapsed() > self.election
    }

    /// The ids of the voters.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        self.membership.lock().voter_ids().collect()
    }

    /// Since when the members are who they are, as far as this node knows; at first, when it started or learned of them.
    #[must_use]
    pub fn members_since(&self) -> Instant {
        *self.members_since.lock()
    }

    /// Follows `raft` until it ends; its death is reported to `failure` unless it was asked to stop.
    pub async fn follow(
        self,
        raft: Raft,
        log: LogStore,
        mut applied_end: watch::Receiver<u64>,
        peers: Arc<Peers>,
        metrics: Arc<Metrics>,
        failure: Failure,
    ) {
        let mut server = raft.server_metrics();
        // Apply ends before a raft that dies of it: its end is no reason to look away.
        let (mut has_ended, mut applies) = (false, true);
        loop {
            self.update(&raft, &log, &applied_end, &peers, &metrics);
            if let Err(fatal) = &raft.metrics().borrow_watched().running_state {
                if !matches!(fatal, openraft::errors::Fatal::Stopped) {
                    failure.report(format!("raft died: {fatal}"));
                }
                return;
            }
            if has_ended {
                failure.report("raft ended without a reason");
                return;
            }
            tokio::select! {
                changed = server.changed() => has_ended = changed.is_err(),
                changed = applied_end.changed(), if applies => {
                    applies = changed.is_ok();
                    let pause = Duration::from_millis(UPDATE_PAUSE_MILLISECONDS);
                    // A change of leader ends the pause: it must not wait for the positions.
                    let _ = tokio::time::timeout(pause, server.changed()).await;
                }
                () = tokio::time::sleep(self.election / 2) => {}
            }
        }
    }

    /// Whether this node leads a quorum, or hears its leader. Raft keeps a leader's name until there is another one.
    fn has_contact(&self, raft: &Raft, is_leader: bool) -> bool {
        let silence = if is_leader && self.voters().len() == 1 {
            // It is its own quorum, and acknowledges nothing to itself while nothing is written.
            Duration::ZERO
        } else if is_leader {
            let receiver = raft.metrics();
            let metrics = receiver.borrow_watched();
            match &metrics.last_quorum_acked {
                Some(acknowledged) => acknowledged.elapsed(),
                None => Duration::ZERO,
            }
        } else {
            self.heard_at.lock().elapsed()
        };
        silence <= LOST_AFTER_ELECTIONS * self.election
    }

    fn update(
        &self,
        raft: &Raft,
        log: &LogStore,
        applied_end: &watch::Receiver<u64>,
        peers: &Peers,
        metrics: &Metrics,
    ) {
        let receiver = raft.server_metrics();
        let server = receiver.borrow_watched();
        {
            let mut membership = self.membership.lock();
            if *membership != server.membership_config {
                *membership = server.membership_config.clone();
                *self.members_since.lock() = Instant::now();
                peers.set_members(membership.membership());
            }
        }
        let is_leader = server.state == ServerState::Leader;
        let status = Status {
            leader: server
                .current_leader
                .map(MemberId)
                .filter(|_| self.has_contact(raft, is_leader)),
            is_leader,
            is_learner: self.node(self.member.0).is_some_and(|node| node.is_learner),
            term: server.vote.leader_id().term,
            committed_index: log.committed().map_or(0, |committed| committed.index()),
            applied_index: applied_end.borrow().saturating_sub(1),
        };
        drop(server);
        metrics.has_leader.set(i64::from(status.leader.is_some()));
        metrics.is_leader.set(i64::from(is_leader));
        metrics
            .proposals_committed
            .set(i64::try_from(status.committed_index).unwrap_or(i64::MAX));
        metrics
            .proposals_applied
            .set(i64::try_from(status.applied_index).unwrap_or(i64::MAX));
        self.status.send_if_modified(|known| {
            if *known == status {
                return false;
            }
            if known.leader != status.leader {
                if let Some(leader) = status.leader {
                    metrics.leader_changes.inc();
                    *self.leader_elected_at.lock() = Some(Instant::now());
                    tracing::info!(%leader, term = status.term, "there is a leader");
                } else {
                    tracing::info!(term = status.term, "there is no leader");
                }
            }
            *known = status;
            true
        });
    }
}

/// The members by id.
pub fn members_of(membership: &Membership) -> Vec<PeerMember> {
    membership
        .nodes()
        .map(|(id, node)| PeerMember {
            id: MemberId(*id),
            name: node.name.clone(),
            peer_urls: node.peer_urls.clone(),
            is_learner: node.is_learner,
        })
        .collect()
}
