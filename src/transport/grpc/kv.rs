//! `etcdserverpb.KV`. Translation only.

use futures::stream::{BoxStream, StreamExt, unfold};
use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status;
use super::translate;
use crate::base::Revision;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::kv_server::Kv as Service;
use crate::service::kv::Kv;
use crate::service::range_stream::RangeChunk;

/// The front door of keys and values.
pub(super) struct KvDoor(pub(super) Kv);

#[tonic::async_trait]
impl Service for KvDoor {
    type RangeStreamStream = BoxStream<'static, Result<wire::RangeStreamResponse, Status>>;

    async fn range(
        &self,
        request: Request<wire::RangeRequest>,
    ) -> Result<Response<wire::RangeResponse>, Status> {
        let (caller, request) = open(request);
        let serializable = request.serializable;
        let request = translate::range(request).map_err(|error| status(&error))?;
        let answered = self
            .0
            .by(caller)
            .range(request, serializable)
            .await
            .map_err(|error| status(&error))?;
        let header = translate::header(&answered.header);
        Ok(Response::new(translate::range_response(header, answered.answer)))
    }

    async fn range_stream(
        &self,
        request: Request<wire::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let (caller, request) = open(request);
        let serializable = request.serializable;
        let request = translate::range(request).map_err(|error| status(&error))?;
        let chunks = self
            .0
            .by(caller)
            .range_stream(request, serializable)
            .await
            .map_err(|error| status(&error))?;
        // One piece is read when the one before has been taken: a slow client holds one piece in memory.
        let pieces = unfold(chunks, |mut chunks| async move {
            let piece = chunks.next().await.transpose()?;
            Some((
                piece.map(range_stream_response).map_err(|error| status(&error)),
                chunks,
            ))
        });
        Ok(Response::new(pieces.boxed()))
    }

    async fn put(&self, request: Request<wire::PutRequest>) -> Result<Response<wire::PutResponse>, Status> {
        let (caller, request) = open(request);
        let request = translate::put(request);
        let answered = self
            .0
            .by(caller)
            .put(request)
            .await
            .map_err(|error| status(&error))?;
        let header = translate::header(&answered.header);
        Ok(Response::new(translate::put_response(header, answered.answer)))
    }

    async fn delete_range(
        &self,
        request: Request<wire::DeleteRangeRequest>,
    ) -> Result<Response<wire::DeleteRangeResponse>, Status> {
        let (caller, request) = open(request);
        let request = translate::delete_range(request);
        let answered = self
            .0
            .by(caller)
            .delete_range(request)
            .await
            .map_err(|error| status(&error))?;
        let header = translate::header(&answered.header);
        Ok(Response::new(translate::delete_range_response(
            header,
            answered.answer,
        )))
    }

    async fn txn(&self, request: Request<wire::TxnRequest>) -> Result<Response<wire::TxnResponse>, Status> {
        let (caller, request) = open(request);
        let serializable = translate::is_serializable(&request);
        let request = translate::txn(request).map_err(|error| status(&error))?;
        let answered = self
            .0
            .by(caller)
            .txn(request, serializable)
            .await
            .map_err(|error| status(&error))?;
        let header = translate::header(&answered.header);
        Ok(Response::new(translate::txn_response(header, answered.answer)))
    }

    async fn compact(
        &self,
        request: Request<wire::CompactionRequest>,
    ) -> Result<Response<wire::CompactionResponse>, Status> {
        let (caller, request) = open(request);
        let revision = Revision(request.revision);
        let answered = self
            .0
            .by(caller)
            .compact(revision, request.physical)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::CompactionResponse {
            header: Some(translate::header(&answered.header)),
        }))
    }
}

fn range_stream_response(chunk: RangeChunk) -> wire::RangeStreamResponse {
    let kvs = chunk.key_values.into_iter().map(translate::key_value).collect();
    let response = match chunk.last {
        Some((header, more, count)) => wire::RangeResponse {
            header: Some(translate::header(&header)),
            kvs,
            more,
            count,
        },
        None => wire::RangeResponse {
            kvs,
            ..Default::default()
        },
    };
    wire::RangeStreamResponse {
        range_response: Some(response),
    }
}
