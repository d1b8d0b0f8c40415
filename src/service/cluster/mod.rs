//! The members of the cluster: who they are, changes of them, and what this one publishes about itself.
//!
//! Any member takes a change; the leader decides on it (`rules`) and makes it. Never makes a change twice: one whose
//! answer is lost may have been made, and the caller is told so.

mod rules;
mod urls;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::ServiceError;
use super::auth::Caller;
use super::core::Core;
use super::header::Header;
use super::leader::{LeaderAnswer, LeaderQuestion, decode, encode};
use crate::base::{MemberId, Revision, clock, identity};
use crate::replication::{ChangeError, MemberChange, PeerMember, Roster};
use crate::state::ReadView;
use crate::state::access::Request;
use crate::state::applied::{Answer, Fatal};
use crate::state::command::Command;
use rules::{Subject, Subjects};

/// Pause before the leader is asked again.
const ASK_AGAIN_MILLISECONDS: u64 = 50;

/// A member as clients see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Where its peers find it.
    pub peer_urls: Vec<String>,
    /// Where its clients find it; empty until it has started once.
    pub client_urls: Vec<String>,
    /// Whether it counts for no quorum.
    pub is_learner: bool,
}

/// A change that is asked of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wish {
    /// Add a member with these peer URLs.
    Add {
        peer_urls: Vec<String>,
        is_learner: bool,
        /// The seconds since the Unix epoch, which are in its id.
        seconds: u64,
    },
    /// Remove one.
    Remove(MemberId),
    /// Give one other peer URLs.
    Update(MemberId, Vec<String>),
    /// Make a voter of a learner.
    Promote(MemberId),
}

/// What the leader did about a [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// It was made: about this member, at the latest with this log index.
    Made { member: MemberId, index: u64 },
    /// It was refused.
    Refused(ChangeRefusal),
    /// It may have been made, or not.
    Unknown,
}

/// Why the leader refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ChangeRefusal {
    PeerUrlExists,
    NotEnoughStartedMembers,
    Unhealthy,
    NotFound,
    NotLearner,
    LearnerNotReady,
    TooManyLearners,
    /// The leader's disk failed.
    Failed,
}

impl From<ServiceError> for ChangeRefusal {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::PeerUrlExists => Self::PeerUrlExists,
            ServiceError::NotEnoughStartedMembers => Self::NotEnoughStartedMembers,
            ServiceError::Unhealthy => Self::Unhealthy,
            ServiceError::MemberNotFound => Self::NotFound,
            ServiceError::MemberNotLearner => Self::NotLearner,
            ServiceError::LearnerNotReady => Self::LearnerNotReady,
            ServiceError::TooManyLearners => Self::TooManyLearners,
            _ => Self::Failed,
        }
    }
}

impl From<ChangeRefusal> for ServiceError {
    fn from(refusal: ChangeRefusal) -> Self {
        match refusal {
            ChangeRefusal::PeerUrlExists => Self::PeerUrlExists,
            ChangeRefusal::NotEnoughStartedMembers => Self::NotEnoughStartedMembers,
            ChangeRefusal::Unhealthy => Self::Unhealthy,
            ChangeRefusal::NotFound => Self::MemberNotFound,
            ChangeRefusal::NotLearner => Self::MemberNotLearner,
            ChangeRefusal::LearnerNotReady => Self::LearnerNotReady,
            ChangeRefusal::TooManyLearners => Self::TooManyLearners,
            ChangeRefusal::Failed => {
                Self::Internal("the leader cannot read its state; its log says why".into())
            }
        }
    }
}

/// The members. A handle: clones share one service.
#[derive(Clone)]
pub struct Cluster {
    core: Arc<Core>,
    caller: Caller,
}

impl Cluster {
    pub(in crate::service) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            caller: Caller::default(),
        }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self {
            core: Arc::clone(&self.core),
            caller,
        }
    }

    /// The members by id: as this node knows them, or with every acknowledged change if `linearizable`. The header has no
    /// revision, as in etcd.
    ///
    /// # Errors
    /// The caller has no identity, no quorum in time, or the disk failed.
    pub async fn members(&self, linearizable: bool) -> Result<(Header, Vec<Member>), ServiceError> {
        let view = self
            .core
            .view_for(&self.caller, !linearizable, &Request::MemberList)
            .await?;
        Ok((self.core.headers.at(Revision(0)), self.members_in(&view)?))
    }

    /// The members in a state, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub(in crate::service) fn members_in(&self, view: &ReadView) -> Result<Vec<Member>, Fatal> {
        let published = view.members()?;
        let members = self.core.replication.members(view)?.into_iter().map(|peer| {
            let own = published.iter().find(|member| member.id == peer.id);
            Member {
                id: peer.id,
                name: own.map_or(peer.name, |own| own.name.clone()),
                peer_urls: peer.peer_urls,
                client_urls: own.map(|own| own.client_urls.clone()).unwrap_or_default(),
                is_learner: peer.is_learner,
            }
        });
        Ok(members.collect())
    }

    /// Adds a member, which starts later. Its id is drawn as etcd draws it. The answer: it, and all members.
    ///
    /// # Errors
    /// The caller may not, the URLs cannot be or are taken, too many learners, a quorum would be at risk, or no answer in time.
    pub async fn add(
        &self,
        peer_urls: &[String],
        is_learner: bool,
    ) -> Result<(Header, Member, Vec<Member>), ServiceError> {
        let wish = Wish::Add {
            peer_urls: urls::checked(peer_urls)?,
            is_learner,
            seconds: clock::unix_time().as_secs(),
        };
        let (id, members) = self.change(&wish).await?;
        let added = members.iter().find(|member| member.id == id).cloned();
        // It may be removed again already: then it was this.
        let added = added.unwrap_or_else(|| Member {
            id,
            peer_urls: peer_urls.to_vec(),
            is_learner,
            ..Member::default()
        });
        Ok((self.core.headers.at(Revision(0)), added, members))
    }

    /// Removes a member, for good. The answer: all members.
    ///
    /// # Errors
    /// The caller may not, there is no such member, a quorum would be at risk, or no answer in time.
    pub async fn remove(&self, id: MemberId) -> Result<(Header, Vec<Member>), ServiceError> {
        self.change_known(&Wish::Remove(id)).await
    }

    /// Gives a member other peer URLs. The answer: all members.
    ///
    /// # Errors
    /// The caller may not, there is no such member, the URLs cannot be or are taken, or no answer in time.
    pub async fn update(
        &self,
        id: MemberId,
        peer_urls: &[String],
    ) -> Result<(Header, Vec<Member>), ServiceError> {
        self.change_known(&Wish::Update(id, urls::checked(peer_urls)?))
            .await
    }

    /// Makes a voter of a learner. The answer: all members.
    ///
    /// # Errors
    /// The caller may not, there is no such member, it is no learner or lags, a quorum would be at risk, or no answer in time.
    pub async fn promote(&self, id: MemberId) -> Result<(Header, Vec<Member>), ServiceError> {
        self.change_known(&Wish::Promote(id)).await
    }

    async fn change_known(&self, wish: &Wish) -> Result<(Header, Vec<Member>), ServiceError> {
        let (_, members) = self.change(wish).await?;
        Ok((self.core.headers.at(Revision(0)), members))
    }

    /// Asks the leader for a change until it was handled, if the caller may have it; then waits for it here.
    async fn change(&self, wish: &Wish) -> Result<(MemberId, Vec<Member>), ServiceError> {
        self.core.gate.admit(&self.caller, &Request::MemberChange).await?;
        let timeout = self.core.request_timeout();
        let deadline = Instant::now() + timeout;
        let question = encode(&LeaderQuestion::ChangeMembers(wish.clone()));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self
                .core
                .replication
                .ask_leader_once(question.clone(), left)
                .await?;
            match decode(&answer) {
                Some(LeaderAnswer::ChangedMembers(Change::Made { member, index })) => {
                    let view = self.view_at(index, deadline).await?;
                    let mut members = self.members_in(&view)?;
                    if let Wish::Remove(id) = wish {
                        members.retain(|member| member.id != *id);
                    }
                    return Ok((member, members));
                }
                Some(LeaderAnswer::ChangedMembers(Change::Refused(refusal))) => return Err(refusal.into()),
                Some(LeaderAnswer::ChangedMembers(Change::Unknown)) => return Err(ServiceError::Timeout),
                // It was handled by nobody.
                Some(_) | None if Instant::now() < deadline => {
                    sleep(Duration::from_millis(ASK_AGAIN_MILLISECONDS)).await;
                }
                Some(_) | None => return Err(ServiceError::Timeout),
            }
        }
    }

    /// This node's state, once it has applied `index`. One that was removed by it may never do so: then the state as it is.
    async fn view_at(&self, index: u64, deadline: Instant) -> Result<Arc<ReadView>, ServiceError> {
        let mut status = self.core.replication.status();
        let applied = status.wait_for(|status| status.applied_index >= index);
        tokio::select! {
            applied = tokio::time::timeout_at(deadline, applied) => {
                applied.map_err(|_| ServiceError::TimeoutApplied)?.map_err(|_| ServiceError::Stopped)?;
            }
            _ = self.core.replication.removed() => {}
        }
        Ok(self.core.reader.view())
    }

    /// The leader's side: decides on a change and makes it. None if this node does not lead.
    pub(super) async fn decide(&self, wish: &Wish) -> Option<Change> {
        let core = &self.core;
        let id = parking_lot::Mutex::new(MemberId::default());
        let decide = |roster: &Roster| {
            let (about, change) = self.allowed(wish, roster)?;
            *id.lock() = about;
            Ok::<_, ServiceError>(change)
        };
        let made = core
            .replication
            .change_members(core.request_timeout(), decide)
            .await;
        if let (Wish::Promote(_), Ok(promoted)) = (wish, &made) {
            match promoted {
                Ok(()) => core.metrics.promotions.inc(),
                Err(refusal) => core
                    .metrics
                    .failed_promotions
                    .with_label_values(&[refusal.to_string()])
                    .inc(),
            }
        }
        match made {
            Ok(Ok(())) => Some(Change::Made {
                member: *id.lock(),
                index: core.reader.view().applied_index(),
            }),
            Ok(Err(refusal)) => Some(Change::Refused(refusal.into())),
            Err(ChangeError::NotLeader) => None,
            Err(ChangeError::Timeout | ChangeError::Stopped) => Some(Change::Unknown),
        }
    }

    /// The change, and the member that it is about, if the rules allow it.
    fn allowed(&self, wish: &Wish, roster: &Roster) -> Result<(MemberId, MemberChange), ServiceError> {
        let subjects = self.subjects(roster)?;
        match wish {
            Wish::Add {
                peer_urls,
                is_learner,
                seconds,
            } => {
                subjects.may_add(peer_urls, *is_learner)?;
                let removed = roster.view.removed_members()?;
                let taken = |id: &MemberId| {
                    removed.contains(id) || roster.members.iter().any(|progress| progress.member.id == *id)
                };
                // The same URLs in the same second make the same id: it is taken from the next one then.
                let mut ids =
                    (*seconds..).map(|seconds| identity::member_id(peer_urls, &seconds.to_string()));
                let id = ids.find(|id| !taken(id)).ok_or(ServiceError::MemberExists)?;
                let member = PeerMember {
                    id,
                    name: String::new(),
                    peer_urls: peer_urls.clone(),
                    is_learner: *is_learner,
                };
                Ok((id, MemberChange::Add(member)))
            }
            Wish::Remove(id) => {
                subjects.may_remove(*id)?;
                Ok((*id, MemberChange::Remove(*id)))
            }
            Wish::Update(id, peer_urls) => {
                subjects.may_update(*id, peer_urls)?;
                let peer_urls = peer_urls.clone();
                Ok((*id, MemberChange::Update { id: *id, peer_urls }))
            }
            Wish::Promote(id) => {
                subjects.may_promote(*id)?;
                Ok((*id, MemberChange::Promote(*id)))
            }
        }
    }

    fn subjects(&self, roster: &Roster) -> Result<Subjects, Fatal> {
        let published = roster.view.members()?;
        let members = roster.members.iter().map(|progress| Subject {
            id: progress.member.id,
            peer_urls: progress.member.peer_urls.clone(),
            is_learner: progress.member.is_learner,
            is_started: !progress.member.name.is_empty()
                || published.iter().any(|member| member.id == progress.member.id),
            is_active: progress.is_active,
            matched_index: progress.matched_index,
        });
        Ok(Subjects {
            members: members.collect(),
            last_index: roster.last_index,
            is_strict: self.core.settings.strict_reconfiguration,
            maximum_learners: self.core.settings.maximum_learners,
        })
    }

    /// Tells the cluster this member's name and where its clients find it.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn publish(&self, name: &str, client_urls: &[String]) -> Result<(), ServiceError> {
        let command = Command::PublishMember {
            id: self.core.settings.member,
            name: name.to_owned(),
            client_urls: client_urls.to_vec(),
        };
        let published = |answer| matches!(answer, Answer::PublishMember).then_some(());
        self.core.propose(command, published).await.map(drop)
    }
}
