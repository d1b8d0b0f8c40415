//! `etcdserverpb.Cluster`. Translation only; changes of membership are not served.

use tonic::{Request, Response, Status};

use super::error::status;
use super::translate;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::cluster_server::Cluster as Service;
use crate::service::ServiceError;
use crate::service::cluster::{Cluster, Member};

/// The front door of the members.
pub(super) struct ClusterDoor(pub(super) Cluster);

fn fixed_membership() -> Status {
    status(&ServiceError::Unimplemented(
        "This version of stead does not change the members of a running cluster.",
    ))
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
        _request: Request<wire::MemberAddRequest>,
    ) -> Result<Response<wire::MemberAddResponse>, Status> {
        Err(fixed_membership())
    }

    async fn member_remove(
        &self,
        _request: Request<wire::MemberRemoveRequest>,
    ) -> Result<Response<wire::MemberRemoveResponse>, Status> {
        Err(fixed_membership())
    }

    async fn member_update(
        &self,
        _request: Request<wire::MemberUpdateRequest>,
    ) -> Result<Response<wire::MemberUpdateResponse>, Status> {
        Err(fixed_membership())
    }

    async fn member_list(
        &self,
        request: Request<wire::MemberListRequest>,
    ) -> Result<Response<wire::MemberListResponse>, Status> {
        let linearizable = request.into_inner().linearizable;
        let (header, members) = self
            .0
            .members(linearizable)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::MemberListResponse {
            header: Some(translate::header(&header)),
            members: members.into_iter().map(member).collect(),
        }))
    }

    async fn member_promote(
        &self,
        _request: Request<wire::MemberPromoteRequest>,
    ) -> Result<Response<wire::MemberPromoteResponse>, Status> {
        Err(fixed_membership())
    }
}
