//! Changes of the members, made by the leader, one after the other.
//!
//! Every change is one entry of the log: raft's single-server rule, which openraft checks, is all that is ever used, so
//! there is no state between two memberships that a new leader would have to complete. What is different from etcd is
//! inside only: a member that is added as a voter begins without a vote, and gets it from the leader ([`Members::run`]) once it
//! has caught up. So a member that never starts costs no quorum, and adding one needs only the members that are there.
//!
//! Never decides whether a change is allowed: the layer above does, with the [`Roster`] that it is shown under the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Raft;
use super::interface::{ChangeError, MemberChange, MemberProgress, PeerMember, Roster};
use super::machine::decode_applied;
use super::network::Peers;
use super::status::{StatusBoard, members_of};
use super::types::{Membership, Node, NodeId, Payload, StoredMembership, TypeConfig};
use crate::base::MemberId;
use crate::state::{ReadView, Reader};

/// Pause before a change that cannot be made yet is tried again.
const AGAIN_MILLISECONDS: u64 = 50;
/// Time between two looks for members that have caught up.
const SETTLE_MILLISECONDS: u64 = 200;
/// How often a promoted learner is tried to be given its vote before the answer.
const SETTLE_SOON_TRIES: usize = 10;
/// Entries that a member may lack when it gets its vote.
const SETTLE_LAG_ENTRIES: u64 = 1_000;

/// Makes changes while this node leads. Shared.
pub struct Members {
    raft: Raft,
    status: StatusBoard,
    peers: Arc<Peers>,
    reader: Reader,
    /// Held during a change, so that the next one is decided on with its result.
    turn: tokio::sync::Mutex<()>,
}

/// What a try to make a change came to.
enum Tried {
    Done,
    /// Nothing was proposed; it may be possible later.
    NotYet,
}

/// The membership that everything is based on: committed, and applied here.
struct Base {
    stored: Arc<StoredMembership>,
    view: Arc<ReadView>,
}

impl Members {
    /// Changes nothing by itself.
    #[must_use]
    pub fn new(raft: Raft, status: StatusBoard, peers: Arc<Peers>, reader: Reader) -> Self {
        Self {
            raft,
            status,
            peers,
            reader,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Makes the change that `decide` chooses, after all changes before it are done. The inner error: it refused.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change<E>(
        &self,
        timeout: Duration,
        decide: impl Fn(&Roster) -> Result<MemberChange, E>,
    ) -> Result<Result<(), E>, ChangeError> {
        let deadline = Instant::now() + timeout;
        let turn = tokio::time::timeout_at(deadline, self.turn.lock()).await;
        let _turn = turn.map_err(|_| ChangeError::Timeout)?;
        loop {
            if let Some(base) = self.base()? {
                let change = match decide(&self.roster(&base)) {
                    Ok(change) => change,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                if let MemberChange::Remove(id) = change
                    && self.must_hand_over(id, &base)
                {
                    return Err(self.hand_over(deadline).await);
                }
                let made = tokio::time::timeout_at(deadline, self.make(&change, &base)).await;
                if let Tried::Done = made.map_err(|_| ChangeError::Timeout)?? {
                    if let MemberChange::Promote(id) = change {
                        self.settle_soon(id).await;
                    }
                    return Ok(Ok(()));
                }
            }
            if Instant::now() > deadline {
                return Err(ChangeError::Timeout);
            }
            tokio::time::sleep(Duration::from_millis(AGAIN_MILLISECONDS)).await;
        }
    }

    /// The membership to start from; none while one is on its way.
    fn base(&self) -> Result<Option<Base>, ChangeError> {
        if self.status.leader() != Some(self.status.member()) {
            return Err(ChangeError::NotLeader);
        }
        let receiver = self.raft.server_metrics();
        let server = receiver.borrow_watched();
        let stored = server.membership_config.clone();
        let is_committed = server.committed_membership_config.log_id() == stored.log_id();
        drop(server);
        let view = self.reader.view();
        let applied = view
            .position()
            .ok()
            .and_then(|position| decode_applied(&position).ok());
        let is_applied = applied.is_some_and(|(_, applied)| applied.log_id() == stored.log_id());
        Ok((is_committed && is_applied).then_some(Base { stored, view }))
    }

    fn roster(&self, base: &Base) -> Roster {
        let receiver = self.raft.metrics();
        let metrics = receiver.borrow_watched();
        let last_index = metrics.last_log_index.unwrap_or_default();
        let own = self.status.member();
        let members = members_of(base.stored.membership()).into_iter().map(|member| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(&member.id.0));
            let matched = matched.and_then(|matched| matched.as_ref().map(|matched| matched.index()));
            let is_own = member.id == own;
            MemberProgress {
                is_active: is_own || self.peers.active_since(member.id.0).is_some(),
                matched_index: if is_own {
                    last_index
                } else {
                    matched.unwrap_or_default()
                },
                member,
            }
        });
        Roster {
            members: members.collect(),
            leader: own,
            last_index,
            view: base.view.clone(),
        }
    }

    /// A leader that is to be removed lets another one do it, so that there is no time without a leader.
    fn must_hand_over(&self, removed: MemberId, base: &Base) -> bool {
        removed == self.status.member() && base.stored.voter_ids().count() > 1
    }

    async fn hand_over(&self, deadline: Instant) -> ChangeError {
        let receiver = self.raft.metrics();
        let successor = best_successor(&receiver.borrow_watched(), self.status.member().0);
        let Some(successor) = successor else {
            return ChangeError::Timeout;
        };
        tracing::info!(successor = %MemberId(successor), "this leader is to be removed and hands leadership over");
        if self.raft.trigger().transfer_leader(successor).await.is_err() {
            return ChangeError::Stopped;
        }
        let mut status = self.status.subscribe();
        let own = self.status.member();
        let taken_over = status.wait_for(|status| status.leader.is_some_and(|leader| leader != own));
        match tokio::time::timeout_at(deadline, taken_over).await {
            Ok(_) => ChangeError::NotLeader,
            Err(_) => ChangeError::Timeout,
        }
    }

    async fn make(&self, change: &MemberChange, base: &Base) -> Result<Tried, ChangeError> {
        let membership = base.stored.membership();
        let mut nodes: BTreeMap<NodeId, Node> =
            membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
        let mut voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let changed = |id: &MemberId, change: &dyn Fn(&mut Node)| {
            let mut node = membership.get_node(&id.0).cloned().unwrap_or_default();
            change(&mut node);
            (id.0, node)
        };
        match change {
            MemberChange::Add(member) => {
                nodes.insert(member.id.0, member.into());
                self.append(voters, nodes, base).await
            }
            MemberChange::Remove(id) => {
                nodes.remove(&id.0);
                voters.remove(&id.0);
                if voters.is_empty() {
                    // The others are about to get their votes.
                    return Ok(Tried::NotYet);
                }
                self.append(voters, nodes, base).await
            }
            MemberChange::Update { id, peer_urls } => {
                let update = |node: &mut Node| node.peer_urls.clone_from(peer_urls);
                self.set_node(changed(id, &update), base).await
            }
            MemberChange::Promote(id) => {
                let promote = |node: &mut Node| node.is_learner = false;
                self.set_node(changed(id, &promote), base).await
            }
        }
    }

    /// Appends a membership with at most one voter more or less, and no node changed.
    async fn append(
        &self,
        voters: BTreeSet<NodeId>,
        nodes: BTreeMap<NodeId, Node>,
        base: &Base,
    ) -> Result<Tried, ChangeError> {
        let membership = Membership::new(vec![voters], nodes).map_err(|error| {
            tracing::error!(%error, "a membership cannot be");
            ChangeError::Timeout
        })?;
        let appended = self
            .raft
            .append_membership(membership, Payload::Blank, [still(base)])
            .await;
        tried(appended.map(drop))
    }

    /// Changes one node, and no voter.
    async fn set_node(&self, (id, node): (NodeId, Node), base: &Base) -> Result<Tried, ChangeError> {
        let change = ChangeMembers::SetNodes(BTreeMap::from([(id, node)]));
        let appended = self.raft.change_membership_if(change, true, [still(base)]).await;
        tried(appended.map(drop))
    }

    /// Gives one member its vote that has caught up, if there is one. Called with the turn.
    async fn settle(&self) -> Result<(), ChangeError> {
        let Some(base) = self.base()? else {
            return Ok(());
        };
        let membership = base.stored.membership();
        let mut voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let roster = self.roster(&base);
        let ready = roster.members.iter().find(|progress| {
            let lag = roster.last_index.saturating_sub(progress.matched_index);
            !voters.contains(&progress.member.id.0)
                && !progress.member.is_learner
                && progress.is_active
                && progress.matched_index > 0
                && lag <= SETTLE_LAG_ENTRIES
        });
        let Some(id) = ready.map(|progress| progress.member.id) else {
            return Ok(());
        };
        voters.insert(id.0);
        let nodes = membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
        if let Tried::Done = self.append(voters, nodes, &base).await? {
            tracing::info!(member = %id, "the member has caught up and votes from now on");
        }
        Ok(())
    }

    /// Gives a member that is known to have caught up its vote now, so that who promoted it finds it a voter. What is in the
    /// way of that for longer, [`Members::run`] waits for.
    async fn settle_soon(&self, id: MemberId) {
        for _ in 0..SETTLE_SOON_TRIES {
            let settled = self.settle().await;
            if settled.is_err() || self.status.voters().contains(&id.0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(AGAIN_MILLISECONDS)).await;
        }
    }

    /// Gives members their votes until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_millis(SETTLE_MILLISECONDS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let voters = self.status.voters();
            let waits = |member: &PeerMember| !member.is_learner && !voters.contains(&member.id.0);
            if self.status.leader() == Some(self.status.member()) && self.status.members().iter().any(waits) {
                let settle = async {
                    let _turn = self.turn.lock().await;
                    self.settle().await
                };
                let settled = stop.run_until_cancelled(settle).await;
                if let Some(Err(error)) = settled {
                    tracing::debug!(%error, "a member waits for its vote");
                }
            }
        }
    }
}

/// The change is made on top of what was decided on, or not at all.
fn still(base: &Base) -> Precondition<TypeConfig> {
    Precondition::LastMembershipLogId {
        last_membership_log_id: *base.stored.log_id(),
    }
}

fn tried(
    appended: Result<(), RaftError<TypeConfig, ClientWriteError<TypeConfig>>>,
) -> Result<Tried, ChangeError> {
    let error = match appended {
        Ok(()) => return Ok(Tried::Done),
        Err(RaftError::Fatal(_)) => return Err(ChangeError::Stopped),
        Err(RaftError::APIError(error)) => error,
    };
    match error {
        // Refused before it was appended: by the loss of leadership, which the next look at it tells, or for a moment.
        ClientWriteError::ForwardToLeader(_)
        | ClientWriteError::PreconditionFailed(_)
        | ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        ) => Ok(Tried::NotYet),
        ClientWriteError::LogEntryDiscarded(_) => Err(ChangeError::Timeout),
        ClientWriteError::ChangeMembershipError(error) => {
            tracing::error!(%error, "raft refused a change of the members");
            Err(ChangeError::Timeout)
        }
    }
}

/// The voter besides `own` that has most of the log, if this node leads.
#[must_use]
pub fn best_successor(metrics: &openraft::RaftMetrics<TypeConfig>, own: NodeId) -> Option<NodeId> {
    let voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
    let progress = metrics.replication.as_ref()?;
    progress
        .iter()
        .filter(|(id, _)| **id != own && voters.contains(*id))
        .max_by_key(|(_, matched)| **matched)
        .map(|(id, _)| *id)
}
