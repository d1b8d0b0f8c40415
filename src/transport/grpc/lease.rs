//! `etcdserverpb.Lease`. Translation only.

use futures::stream::{BoxStream, StreamExt, iter};
use tonic::{Request, Response, Status, Streaming};

use super::caller::open;
use super::error::status;
use super::translate;
use crate::base::LeaseId;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::lease_server::Lease as Service;
use crate::service::lease::{Leases, MAXIMUM_RENEWALS_PER_BATCH};

/// The front door of leases.
pub(super) struct LeaseDoor(pub(super) Leases);

#[tonic::async_trait]
impl Service for LeaseDoor {
    type LeaseKeepAliveStream = BoxStream<'static, Result<wire::LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        request: Request<wire::LeaseGrantRequest>,
    ) -> Result<Response<wire::LeaseGrantResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self
            .0
            .by(caller)
            .grant(LeaseId(request.id), request.ttl)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::LeaseGrantResponse {
            header: Some(translate::header(&answered.header)),
            id: answered.answer.id.0,
            ttl: answered.answer.ttl_seconds,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<wire::LeaseRevokeRequest>,
    ) -> Result<Response<wire::LeaseRevokeResponse>, Status> {
        let (caller, request) = open(request);
        let id = LeaseId(request.id);
        let answered = self
            .0
            .by(caller)
            .revoke(id)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::LeaseRevokeResponse {
            header: Some(translate::header(&answered.header)),
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<wire::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (caller, requests) = open(request);
        let leases = self.0.by(caller);
        // What a client has sent already is renewed in one go; the answers are one for each request, in order.
        let batches = requests.ready_chunks(MAXIMUM_RENEWALS_PER_BATCH);
        let answers = batches
            .then(move |batch| renew(leases.clone(), batch))
            .flat_map(iter);
        Ok(Response::new(until_error(answers).boxed()))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<wire::LeaseTimeToLiveRequest>,
    ) -> Result<Response<wire::LeaseTimeToLiveResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self
            .0
            .by(caller)
            .time_to_live(LeaseId(request.id), request.keys)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::LeaseTimeToLiveResponse {
            header: Some(translate::header(&answered.header)),
            id: request.id,
            ttl: answered.answer.remaining_seconds,
            granted_ttl: answered.answer.granted_seconds,
            keys: answered.answer.keys,
        }))
    }

    async fn lease_leases(
        &self,
        request: Request<wire::LeaseLeasesRequest>,
    ) -> Result<Response<wire::LeaseLeasesResponse>, Status> {
        let (caller, _) = open(request);
        let answered = self.0.by(caller).list().await.map_err(|error| status(&error))?;
        Ok(Response::new(wire::LeaseLeasesResponse {
            header: Some(translate::header(&answered.header)),
            leases: answered
                .answer
                .into_iter()
                .map(|id| wire::LeaseStatus { id: id.0 })
                .collect(),
        }))
    }
}

type KeepAliveAnswer = Result<wire::LeaseKeepAliveResponse, Status>;

async fn renew(
    leases: Leases,
    batch: Vec<Result<wire::LeaseKeepAliveRequest, Status>>,
) -> Vec<KeepAliveAnswer> {
    let mut ids = Vec::with_capacity(batch.len());
    let mut broken = None;
    for request in batch {
        match request {
            Ok(request) => ids.push(LeaseId(request.id)),
            Err(error) => {
                broken = Some(Err(error));
                break;
            }
        }
    }
    let mut answers: Vec<KeepAliveAnswer> = Vec::new();
    if !ids.is_empty() {
        match leases.keep_alive(&ids).await {
            Ok(answered) => {
                let header = translate::header(&answered.header);
                let renewed = ids.iter().zip(answered.answer);
                answers.extend(renewed.map(|(id, ttl)| {
                    Ok(wire::LeaseKeepAliveResponse {
                        header: Some(header),
                        id: id.0,
                        ttl,
                    })
                }));
            }
            Err(error) => answers.push(Err(status(&error))),
        }
    }
    answers.extend(broken);
    answers
}

/// The stream up to and with its first error.
fn until_error(
    answers: impl futures::Stream<Item = KeepAliveAnswer> + Send,
) -> impl futures::Stream<Item = KeepAliveAnswer> + Send {
    answers.scan(false, |failed, answer| {
        let after = std::mem::replace(failed, answer.is_err());
        std::future::ready((!after).then_some(answer))
    })
}
