//! `etcdserverpb.Cluster`. Translation only.

use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status;
use super::translate;
use crate::base::MemberId;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::cluster_server::Cluster as Service;
use crate::service::cluster::{Cluster, Member};

/// The front door of the members.
pub(super) struct ClusterDoor(pub(super) Cluster);

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
        let (caller, request) = open(request);
        let cluster = self.0.by(caller);
        let added = cluster.add(&request.peer_ur_ls, request.is_learner).await;
        let (header, added, members) = added.map_err(|error| status(&error))?;
        Ok(Response::new(wire::MemberAddResponse {
            header: Some(translate::header(&header)),
            member: Some(member(added)),
            members: members.into_iter().map(member).collect(),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<wire::MemberRemoveRequest>,
    ) -> Result<Response<wire::MemberRemoveResponse>, Status> {
        let (caller, request) = open(request);
        let removed = self.0.by(caller).remove(MemberId(request.id)).await;
        let (header, members) = removed.map_err(|error| status(&error))?;
        Ok(Response::new(wire::MemberRemoveResponse {
            header: Some(translate::header(&header)),
            members: members.into_iter().map(member).collect(),
        }))
    }

    async fn member_update(
        &self,
        request: Request<wire::MemberUpdateRequest>,
    ) -> Result<Response<wire::MemberUpdateResponse>, Status> {
        let (caller, request) = open(request);
        let cluster = self.0.by(caller);
        let updated = cluster.update(MemberId(request.id), &request.peer_ur_ls).await;
        let (header, members) = updated.map_err(|error| status(&error))?;
        Ok(Response::new(wire::MemberUpdateResponse {
            header: Some(translate::header(&header)),
            members: members.into_iter().map(member).collect(),
        }))
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
        let (caller, request) = open(request);
        let promoted = self.0.by(caller).promote(MemberId(request.id)).await;
        let (header, members) = promoted.map_err(|error| status(&error))?;
        Ok(Response::new(wire::MemberPromoteResponse {
            header: Some(translate::header(&header)),
            members: members.into_iter().map(member).collect(),
        }))
    }
}
