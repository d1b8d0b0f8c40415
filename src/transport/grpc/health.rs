//! `grpc.health.v1.Health`, as etcd serves it: one service, named by the empty string.

use std::collections::HashMap;

use futures::stream::{BoxStream, StreamExt, once, pending};
use tonic::{Request, Response, Status};

use crate::proto::health as wire;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health as Service;

/// The front door of health. A node that answers at all is serving; whether it can reach a quorum is asked over HTTP.
pub(super) struct HealthDoor;

fn response(status: ServingStatus) -> wire::HealthCheckResponse {
    wire::HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Service for HealthDoor {
    type WatchStream = BoxStream<'static, Result<wire::HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<wire::HealthCheckRequest>,
    ) -> Result<Response<wire::HealthCheckResponse>, Status> {
        if request.into_inner().service.is_empty() {
            Ok(Response::new(response(ServingStatus::Serving)))
        } else {
            Err(Status::not_found("unknown service"))
        }
    }

    async fn list(
        &self,
        _request: Request<wire::HealthListRequest>,
    ) -> Result<Response<wire::HealthListResponse>, Status> {
        let statuses = HashMap::from([(String::new(), response(ServingStatus::Serving))]);
        Ok(Response::new(wire::HealthListResponse { statuses }))
    }

    /// The status does not change while the node runs; the stream ends with the node.
    async fn watch(
        &self,
        request: Request<wire::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = request.into_inner().service.is_empty();
        let status = if known {
            ServingStatus::Serving
        } else {
            ServingStatus::ServiceUnknown
        };
        Ok(Response::new(
            once(std::future::ready(Ok(response(status))))
                .chain(pending())
                .boxed(),
        ))
    }
}
