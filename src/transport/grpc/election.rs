//! `v3electionpb.Election`. Translation only.

use futures::stream::{BoxStream, StreamExt, unfold};
use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status_without_code;
use super::translate;
use crate::base::{LeaseId, Revision};
use crate::proto::v3electionpb as wire;
use crate::proto::v3electionpb::election_server::Election as Service;
use crate::service::ServiceError;
use crate::service::contest::{Elections, LeaderKey, Observed};

/// The front door of elections. A client that goes away while it campaigns ends the call, and with it the campaign.
pub(super) struct ElectionDoor(pub(super) Elections);

#[tonic::async_trait]
impl Service for ElectionDoor {
    type ObserveStream = BoxStream<'static, Result<wire::LeaderResponse, Status>>;

    async fn campaign(
        &self,
        request: Request<wire::CampaignRequest>,
    ) -> Result<Response<wire::CampaignResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self
            .0
            .by(caller)
            .campaign(request.name, LeaseId(request.lease), request.value)
            .await
            .map_err(|error| status_without_code(&error))?;
        let leader = answered.answer;
        Ok(Response::new(wire::CampaignResponse {
            header: Some(translate::header(&answered.header)),
            leader: Some(wire::LeaderKey {
                name: leader.name,
                key: leader.key,
                rev: leader.revision.0,
                lease: leader.lease.0,
            }),
        }))
    }

    async fn proclaim(
        &self,
        request: Request<wire::ProclaimRequest>,
    ) -> Result<Response<wire::ProclaimResponse>, Status> {
        let (caller, request) = open(request);
        let leader = leader_key(request.leader)?;
        let answered = self
            .0
            .by(caller)
            .proclaim(&leader, request.value)
            .await
            .map_err(|error| status_without_code(&error))?;
        Ok(Response::new(wire::ProclaimResponse {
            header: Some(translate::header(&answered.header)),
        }))
    }

    async fn leader(
        &self,
        request: Request<wire::LeaderRequest>,
    ) -> Result<Response<wire::LeaderResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self.0.by(caller).leader(&request.name).await;
        Ok(Response::new(leader_response(answered)?))
    }

    async fn observe(
        &self,
        request: Request<wire::LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let (caller, request) = open(request);
        let observation = self.0.by(caller).observe(&request.name);
        let changes = unfold(Some(observation), |observation| async move {
            let mut observation = observation?;
            let change = leader_response(observation.next().await);
            // An error is the last that is said.
            let rest = change.is_ok().then_some(observation);
            Some((change, rest))
        });
        Ok(Response::new(changes.boxed()))
    }

    async fn resign(
        &self,
        request: Request<wire::ResignRequest>,
    ) -> Result<Response<wire::ResignResponse>, Status> {
        let (caller, request) = open(request);
        let leader = leader_key(request.leader)?;
        let answered = self
            .0
            .by(caller)
            .resign(&leader)
            .await
            .map_err(|error| status_without_code(&error))?;
        Ok(Response::new(wire::ResignResponse {
            header: Some(translate::header(&answered.header)),
        }))
    }
}

fn leader_key(leader: Option<wire::LeaderKey>) -> Result<LeaderKey, Status> {
    let leader = leader.ok_or_else(|| status_without_code(&ServiceError::MissingLeaderKey))?;
    Ok(LeaderKey {
        name: leader.name,
        key: leader.key,
        revision: Revision(leader.rev),
        lease: LeaseId(leader.lease),
    })
}

fn leader_response(answered: Result<Observed, ServiceError>) -> Result<wire::LeaderResponse, Status> {
    let answered = answered.map_err(|error| status_without_code(&error))?;
    Ok(wire::LeaderResponse {
        header: Some(translate::header(&answered.header)),
        kv: Some(translate::key_value(answered.answer)),
    })
}
