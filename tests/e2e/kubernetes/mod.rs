//! What a Kubernetes API server asks of its store: its data, its calls one by one, and the cache that it keeps by watching.

mod cache;
mod calls;
pub mod registry;

use bytes::Bytes;
use stead::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use stead::proto::etcdserverpb::request_op::Request;
use stead::proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

/// A put as an API server sends it; no lease takes the key off its lease.
fn put(key: Bytes, value: Bytes, lease: i64) -> Request {
    Request::RequestPut(PutRequest {
        key,
        value,
        lease,
        ..PutRequest::default()
    })
}

fn delete(key: Bytes) -> Request {
    Request::RequestDeleteRange(DeleteRangeRequest {
        key,
        ..DeleteRangeRequest::default()
    })
}

fn read(key: Bytes) -> Request {
    Request::RequestRange(RangeRequest {
        key,
        ..RangeRequest::default()
    })
}

/// Does `write` if `key` has the revision `expected`, 0 if it shall not exist; else what `otherwise` says.
fn write_if(key: Bytes, expected: i64, write: Request, otherwise: Option<Request>) -> TxnRequest {
    let operation = |request| RequestOp {
        request: Some(request),
    };
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key,
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::ModRevision(expected)),
        }],
        success: vec![operation(write)],
        failure: otherwise.map(operation).into_iter().collect(),
    }
}
