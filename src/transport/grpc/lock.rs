//! `v3lockpb.Lock`. Translation only.

use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status_without_code;
use super::translate;
use crate::base::LeaseId;
use crate::proto::v3lockpb as wire;
use crate::proto::v3lockpb::lock_server::Lock as Service;
use crate::service::contest::Locks;

/// The front door of locks. A client that goes away while it waits ends the call, and with it the waiting.
pub(super) struct LockDoor(pub(super) Locks);

#[tonic::async_trait]
impl Service for LockDoor {
    async fn lock(
        &self,
        request: Request<wire::LockRequest>,
    ) -> Result<Response<wire::LockResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self
            .0
            .by(caller)
            .lock(&request.name, LeaseId(request.lease))
            .await
            .map_err(|error| status_without_code(&error))?;
        Ok(Response::new(wire::LockResponse {
            header: Some(translate::header(&answered.header)),
            key: answered.answer,
        }))
    }

    async fn unlock(
        &self,
        request: Request<wire::UnlockRequest>,
    ) -> Result<Response<wire::UnlockResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self
            .0
            .by(caller)
            .unlock(&request.key)
            .await
            .map_err(|error| status_without_code(&error))?;
        Ok(Response::new(wire::UnlockResponse {
            header: Some(translate::header(&answered.header)),
        }))
    }
}
