//! Between the messages of etcd's interface and the requests and answers of the services. Moves bytes, never copies them.

use bytes::Bytes;

use crate::base::{LeaseId, Namespace, Revision};
use crate::proto::etcdserverpb as wire;
use crate::proto::mvccpb;
use crate::service::ServiceError;
use crate::service::header::Header;
use crate::state::applied::{
    DeleteRangeAnswer, KeyValue, OperationAnswer, PutAnswer, RangeAnswer, Refusal, TxnAnswer,
};
use crate::state::command::{
    Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Range, SortOrder, SortTarget, Txn,
};

/// A header as clients see it.
#[must_use]
pub fn header(header: &Header) -> wire::ResponseHeader {
    wire::ResponseHeader {
        cluster_id: header.cluster.0,
        member_id: header.member.0,
        revision: header.revision.0,
        raft_term: header.term,
    }
}

/// A key-value as clients see it.
#[must_use]
pub fn key_value(key_value: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: key_value.key,
        create_revision: key_value.create_revision.0,
        mod_revision: key_value.modification_revision.0,
        version: key_value.version,
        value: key_value.value,
        lease: key_value.lease.0,
    }
}

fn key_values(list: Vec<KeyValue>) -> Vec<mvccpb::KeyValue> {
    list.into_iter().map(key_value).collect()
}

fn keys(key: Bytes, end: Bytes) -> Keys {
    Keys {
        namespace: Namespace::DEFAULT,
        key,
        end,
    }
}

/// A range.
///
/// # Errors
/// A sort option that does not exist.
pub fn range(request: wire::RangeRequest) -> Result<Range, ServiceError> {
    use wire::range_request::{SortOrder as Order, SortTarget as Target};
    if request.key.is_empty() {
        // Said first, as etcd says it, whatever else is wrong.
        return Err(ServiceError::EmptyKey);
    }
    let sort_order = match Order::try_from(request.sort_order) {
        Ok(Order::None) => SortOrder::None,
        Ok(Order::Ascend) => SortOrder::Ascend,
        Ok(Order::Descend) => SortOrder::Descend,
        Err(_) => return Err(ServiceError::InvalidSortOption),
    };
    let sort_target = match Target::try_from(request.sort_target) {
        Ok(Target::Key) => SortTarget::Key,
        Ok(Target::Version) => SortTarget::Version,
        Ok(Target::Create) => SortTarget::Create,
        Ok(Target::Mod) => SortTarget::Modification,
        Ok(Target::Value) => SortTarget::Value,
        Err(_) => return Err(ServiceError::InvalidSortOption),
    };
    Ok(Range {
        keys: keys(request.key, request.range_end),
        limit: request.limit,
        revision: Revision(request.revision),
        sort_order,
        sort_target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        minimum_modification: Revision(request.min_mod_revision),
        maximum_modification: Revision(request.max_mod_revision),
        minimum_create: Revision(request.min_create_revision),
        maximum_create: Revision(request.max_create_revision),
    })
}

/// A put.
#[must_use]
pub fn put(request: wire::PutRequest) -> Put {
    Put {
        namespace: Namespace::DEFAULT,
        key: request.key,
        value: request.value,
        lease: LeaseId(request.lease),
        previous: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

/// A removal.
#[must_use]
pub fn delete_range(request: wire::DeleteRangeRequest) -> DeleteRange {
    DeleteRange {
        keys: keys(request.key, request.range_end),
        previous: request.prev_kv,
    }
}

/// A transaction. How deep it is nested is bounded by the decoder of the message.
///
/// # Errors
/// An operation that asks for nothing, or a sort option that does not exist.
pub fn txn(request: wire::TxnRequest) -> Result<Txn, ServiceError> {
    Ok(Txn {
        compare: request.compare.into_iter().map(compare).collect(),
        success: request
            .success
            .into_iter()
            .map(operation)
            .collect::<Result<_, _>>()?,
        failure: request
            .failure
            .into_iter()
            .map(operation)
            .collect::<Result<_, _>>()?,
    })
}

/// Whether every range of a transaction may be answered from the state of any node.
#[must_use]
pub fn is_serializable(request: &wire::TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|operation| {
        matches!(&operation.request, Some(wire::request_op::Request::RequestRange(range)) if range.serializable)
    })
}

fn operation(operation: wire::RequestOp) -> Result<Operation, ServiceError> {
    use wire::request_op::Request;
    match operation.request {
        Some(Request::RequestRange(request)) => Ok(Operation::Range(range(request)?)),
        Some(Request::RequestPut(request)) => Ok(Operation::Put(put(request))),
        Some(Request::RequestDeleteRange(request)) => Ok(Operation::DeleteRange(delete_range(request))),
        Some(Request::RequestTxn(request)) => Ok(Operation::Txn(txn(request)?)),
        // etcd's error for it.
        None => Err(ServiceError::Refused(Refusal::KeyNotFound)),
    }
}

/// An operand of another kind than the target, or none, compares with the target's zero, as in etcd.
fn compare(compare: wire::Compare) -> Compare {
    use wire::compare::{CompareResult, CompareTarget as Target, TargetUnion};
    let comparison = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => Comparison::Equal,
        Ok(CompareResult::Greater) => Comparison::Greater,
        Ok(CompareResult::Less) => Comparison::Less,
        Ok(CompareResult::NotEqual) => Comparison::NotEqual,
        Err(_) => Comparison::Always,
    };
    let operand = compare.target_union;
    let (comparison, target) = match Target::try_from(compare.target) {
        Ok(Target::Version) => {
            let version = if let Some(TargetUnion::Version(version)) = operand {
                version
            } else {
                0
            };
            (comparison, CompareTarget::Version(version))
        }
        Ok(Target::Create) => {
            let create = if let Some(TargetUnion::CreateRevision(create)) = operand {
                create
            } else {
                0
            };
            (comparison, CompareTarget::Create(Revision(create)))
        }
        Ok(Target::Mod) => {
            let modified = if let Some(TargetUnion::ModRevision(modified)) = operand {
                modified
            } else {
                0
            };
            (comparison, CompareTarget::Modification(Revision(modified)))
        }
        Ok(Target::Value) => {
            let value = if let Some(TargetUnion::Value(value)) = operand {
                value
            } else {
                Bytes::new()
            };
            (comparison, CompareTarget::Value(value))
        }
        Ok(Target::Lease) => {
            let lease = if let Some(TargetUnion::Lease(lease)) = operand {
                lease
            } else {
                0
            };
            (comparison, CompareTarget::Lease(LeaseId(lease)))
        }
        // A target that does not exist compares equal with anything, as in etcd.
        Err(_) => {
            let comparison = match comparison {
                Comparison::Equal | Comparison::Always => Comparison::Always,
                other => other,
            };
            (comparison, CompareTarget::Version(0))
        }
    };
    Compare {
        keys: keys(compare.key, compare.range_end),
        comparison,
        target,
    }
}

/// The answer to a range.
#[must_use]
pub fn range_response(header: wire::ResponseHeader, answer: RangeAnswer) -> wire::RangeResponse {
    wire::RangeResponse {
        header: Some(header),
        kvs: key_values(answer.key_values),
        more: answer.more,
        count: answer.count,
    }
}

/// The answer to a put.
#[must_use]
pub fn put_response(header: wire::ResponseHeader, answer: PutAnswer) -> wire::PutResponse {
    wire::PutResponse {
        header: Some(header),
        prev_kv: answer.previous.map(key_value),
    }
}

/// The answer to a removal.
#[must_use]
pub fn delete_range_response(
    header: wire::ResponseHeader,
    answer: DeleteRangeAnswer,
) -> wire::DeleteRangeResponse {
    wire::DeleteRangeResponse {
        header: Some(header),
        deleted: answer.deleted,
        prev_kvs: key_values(answer.previous),
    }
}

/// The answer to a transaction.
#[must_use]
pub fn txn_response(header: wire::ResponseHeader, answer: TxnAnswer) -> wire::TxnResponse {
    wire::TxnResponse {
        header: Some(header),
        succeeded: answer.succeeded,
        responses: answer.answers.into_iter().map(response).collect(),
    }
}

/// Inside a transaction a header holds only the revision, and that of a transaction inside nothing.
fn response(answer: OperationAnswer) -> wire::ResponseOp {
    use wire::response_op::Response;
    let at = |revision: Revision| wire::ResponseHeader {
        revision: revision.0,
        ..Default::default()
    };
    let response = match answer {
        OperationAnswer::Range(answer) => {
            Response::ResponseRange(range_response(at(answer.revision), answer))
        }
        OperationAnswer::Put(answer) => Response::ResponsePut(put_response(at(answer.revision), answer)),
        OperationAnswer::DeleteRange(answer) => {
            Response::ResponseDeleteRange(delete_range_response(at(answer.revision), answer))
        }
        OperationAnswer::Txn(answer) => {
            Response::ResponseTxn(txn_response(wire::ResponseHeader::default(), answer))
        }
    };
    wire::ResponseOp {
        response: Some(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_transaction_is_serializable_and_one_linearizable_range_makes_it_not() {
        let serializable = |serializable| wire::RequestOp {
            request: Some(wire::request_op::Request::RequestRange(wire::RangeRequest {
                serializable,
                ..Default::default()
            })),
        };
        let mut request = wire::TxnRequest::default();
        assert!(is_serializable(&request));
        request.success.push(serializable(true));
        assert!(is_serializable(&request));
        request.failure.push(serializable(false));
        assert!(!is_serializable(&request));
    }

    #[test]
    fn an_operation_that_asks_for_nothing_has_etcds_error() {
        let request = wire::TxnRequest {
            success: vec![wire::RequestOp { request: None }],
            ..Default::default()
        };
        assert_eq!(txn(request), Err(ServiceError::Refused(Refusal::KeyNotFound)));
    }

    #[test]
    fn a_sort_option_that_does_not_exist_is_refused_after_a_missing_key() {
        let mut request = wire::RangeRequest {
            sort_order: 3,
            ..Default::default()
        };
        assert_eq!(range(request.clone()), Err(ServiceError::EmptyKey));
        request.key = Bytes::from("a");
        assert_eq!(range(request.clone()), Err(ServiceError::InvalidSortOption));
        request.sort_order = 0;
        request.sort_target = -1;
        assert_eq!(range(request), Err(ServiceError::InvalidSortOption));
    }

    #[test]
    fn a_compare_without_its_operand_compares_with_zero() {
        let request = wire::Compare {
            target: wire::compare::CompareTarget::Mod.into(),
            target_union: Some(wire::compare::TargetUnion::Version(7)),
            result: 9,
            ..Default::default()
        };
        let translated = compare(request);
        assert_eq!(translated.target, CompareTarget::Modification(Revision(0)));
        assert_eq!(translated.comparison, Comparison::Always);
    }

    #[test]
    fn headers_inside_a_transaction_hold_the_revision_alone() {
        let inner = TxnAnswer {
            revision: Revision(9),
            ..TxnAnswer::default()
        };
        let put = PutAnswer {
            revision: Revision(9),
            previous: None,
        };
        let answer = TxnAnswer {
            revision: Revision(9),
            succeeded: true,
            answers: vec![OperationAnswer::Put(put), OperationAnswer::Txn(inner)],
        };
        let outer = wire::ResponseHeader {
            cluster_id: 1,
            member_id: 2,
            revision: 9,
            raft_term: 3,
        };
        let translated = txn_response(outer, answer);
        let expected = [
            wire::response_op::Response::ResponsePut(wire::PutResponse {
                header: Some(wire::ResponseHeader {
                    revision: 9,
                    ..Default::default()
                }),
                prev_kv: None,
            }),
            wire::response_op::Response::ResponseTxn(wire::TxnResponse {
                header: Some(wire::ResponseHeader::default()),
                succeeded: false,
                responses: vec![],
            }),
        ];
        let inside: Vec<_> = translated
            .responses
            .into_iter()
            .filter_map(|op| op.response)
            .collect();
        assert_eq!(inside, expected);
    }
}
