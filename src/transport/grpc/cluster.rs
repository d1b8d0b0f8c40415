//! `etcdserverpb.Cluster`. Translation only; changes of membership are not served.

use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status;
use super::translate;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::cluster_server::Cluster as Service;
use crate::service::ServiceError;
use crate::service::cluster::{Cluster, Member};

/// The front door of the members.
pub(super) struct ClusterDoor(pub(super) Cluster);

impl ClusterDoor {
    /// What whoever may change the members is told; others are told that they may not.
    async fn fixed_membership<T>(&self, request: Request<T>) -> Status {
        let (caller, _) = open(request);
        status(&match self.0.by(caller).admit_change().await {
            Ok(()) => ServiceError::Unimplemented(
                "This version of stead does not change the members of a running cluster.",
            ),
            Err(error) => error,
        })
    }
}

fn member(member: Member) -> wire::Member {
    wire::Member {
        id: member.id.0,
        name: member.name,
        peer_ur_ls: member.peer_urls,
        client_ur_ls: member.client_urls,
        is_learner: member.is_learner,
    }
}

#[tonic::async_trait]
impl Service for ClusterDoor {
    async fn member_add(
        &self,
        request: Request<wire::MemberAddRequest>,
    ) -> Result<Response<wire::MemberAddResponse>, Status> {
        Err(self.fixed_membership(request).await)
    }

    async fn member_remove(
        &self,
        request: Request<wire::MemberRemoveRequest>,
    ) -> Result<Response<wire::MemberRemoveResponse>, Status> {
        Err(self.fixed_membership(request).await)
    }

    async fn member_update(
        &self,
        request: Request<wire::MemberUpdateRequest>,
    ) -> Result<Response<wire::MemberUpdateResponse>, Status> {
        Err(self.fixed_membership(request).await)
    }

    async fn member_list(
        &self,
        request: Request<wire::MemberListRequest>,
    ) -> Result<Response<wire::MemberListResponse>, Status> {
        let (caller, request) = open(request);
        let (header, members) = self
            .0
            .by(caller)
            .members(request.linearizable)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::MemberListResponse {
            header: Some(translate::header(&header)),
            members: members.into_iter().map(member).collect(),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<wire::MemberPromoteRequest>,
    ) -> Result<Response<wire::MemberPromoteResponse>, Status> {
        Err(self.fixed_membership(request).await)
    }
}
