//! Who the members are, asked without an introduction: by a node that is to join and does not know its own id yet, and by
//! one that has lost contact and wonders whether it was removed.
//!
//! Answers what this node has applied, which may be old. Never says anything but the members.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::Peers;
use super::wire::{log_id_from_wire, log_id_to_wire};
use crate::base::{ClusterId, MemberId};
use crate::proto::peer;
use crate::proto::peer::roster_client::RosterClient;
use crate::proto::peer::roster_server::Roster;
use crate::replication::machine::decode_applied;
use crate::replication::types::{LogId, Membership, NodeId, membership_from_wire, membership_to_wire};
use crate::state::{ReadView, Reader};

/// Longest time for a member to answer.
const ANSWER_MILLISECONDS: u64 = 2_000;

/// What a member says about the members.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where in the log their last change is.
    pub changed: Option<LogId>,
    /// The members.
    pub membership: Membership,
    /// Those that were removed.
    pub removed: Vec<MemberId>,
}

/// Answers from the applied state.
pub struct RosterService {
    /// The cluster.
    pub cluster: ClusterId,
    /// The state.
    pub reader: Reader,
}

impl RosterService {
    fn known(&self, view: &ReadView) -> Result<peer::MembersResponse, crate::state::applied::Fatal> {
        let (_, membership) = decode_applied(&view.position()?)?;
        Ok(peer::MembersResponse {
            cluster: self.cluster.0,
            changed: membership.log_id().as_ref().map(log_id_to_wire),
            membership: Some(membership_to_wire(membership.membership())),
            removed: view.removed_members()?.into_iter().map(|id| id.0).collect(),
        })
    }
}

#[tonic::async_trait]
impl Roster for RosterService {
    async fn members(
        &self,
        _request: Request<peer::MembersRequest>,
    ) -> Result<Response<peer::MembersResponse>, Status> {
        let known = self.known(&self.reader.view());
        known
            .map(Response::new)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Asks whoever listens at one of `urls` for the members.
///
/// # Errors
/// Nobody answers, or not with the members.
pub async fn ask(peers: &Peers, target: NodeId, urls: &[String]) -> Result<Known, String> {
    let mut reason = "it has no peer URL".to_owned();
    for turn in 0..urls.len() {
        let channel = peers.dial(target, urls, turn)?;
        let mut client = RosterClient::new(channel);
        let call = client.members(peer::MembersRequest {});
        match tokio::time::timeout(Duration::from_millis(ANSWER_MILLISECONDS), call).await {
            Ok(Ok(response)) => return from_wire(response.into_inner()),
            Ok(Err(status)) => reason = status.message().to_owned(),
            Err(_) => reason = format!("no answer within {ANSWER_MILLISECONDS} ms"),
        }
    }
    Err(reason)
}

fn from_wire(answer: peer::MembersResponse) -> Result<Known, String> {
    Ok(Known {
        cluster: ClusterId(answer.cluster),
        changed: answer.changed.map(log_id_from_wire),
        membership: membership_from_wire(answer.membership.unwrap_or_default())?,
        removed: answer.removed.into_iter().map(MemberId).collect(),
    })
}
