//! The members of the cluster, and what this one publishes about itself. Changes of membership are not served.

use std::sync::Arc;

use super::ServiceError;
use super::auth::Caller;
use super::core::Core;
use super::header::Header;
use crate::base::{MemberId, Revision};
use crate::state::access::Request;
use crate::state::applied::Answer;
use crate::state::command::Command;

/// A member as clients see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where its peers find it.
    pub peer_urls: Vec<String>,
    /// Where its clients find it; empty until it has started once.
    pub client_urls: Vec<String>,
    /// Whether it counts for no quorum.
    pub is_learner: bool,
}

/// The members. A handle: clones share one service.
#[derive(Clone)]
pub struct Cluster {
    core: Arc<Core>,
    caller: Caller,
}

impl Cluster {
    pub(super) fn new(core: Arc<Core>) -> Self {
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

    /// Whether the caller may change the members.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn admit_change(&self) -> Result<(), ServiceError> {
        let request = Request::MemberChange;
        self.core.gate.admit(&self.caller, &request).await.map(drop)
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
        let published = view.members()?;
        let mut members: Vec<Member> = self
            .core
            .replication
            .members()
            .into_iter()
            .map(|peer| {
                let own = published.iter().find(|member| member.id == peer.id);
                Member {
                    id: peer.id,
                    name: own.map_or(peer.name, |own| own.name.clone()),
                    peer_urls: peer.peer_urls,
                    client_urls: own.map(|own| own.client_urls.clone()).unwrap_or_default(),
                    is_learner: peer.is_learner,
                }
            })
            .collect();
        members.sort_by_key(|member| member.id);
        Ok((self.core.headers.at(Revision(0)), members))
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
