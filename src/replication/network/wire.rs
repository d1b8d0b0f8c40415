//! Between openraft's messages and the peer protocol's. A field that a peer of the same protocol version always sends is
//! an error when it is missing.

use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use thiserror::Error;

use crate::proto::peer;
use crate::proto::peer::append_response::Result as AppendResult;
use crate::proto::peer::transfer_response::Outcome;
use crate::replication::types::{
    Entry, LeaderId, LogId, SnapshotMeta, StoredMembership, TypeConfig, Vote, membership_from_wire,
    membership_to_wire,
};

/// A message of a peer that makes no sense.
#[derive(Debug, Error)]
#[error("message of a peer cannot be used: {0}")]
pub struct WireError(pub String);

fn missing(field: &str) -> WireError {
    WireError(format!("it has no {field}"))
}

/// A position as it is on the wire.
#[must_use]
pub fn log_id_to_wire(log_id: &LogId) -> peer::LogId {
    peer::LogId {
        term: log_id.committed_leader_id().term,
        leader: log_id.committed_leader_id().node_id,
        index: log_id.index(),
    }
}

/// The reverse of [`log_id_to_wire`].
#[must_use]
pub fn log_id_from_wire(wire: peer::LogId) -> LogId {
    let leader = LeaderId {
        term: wire.term,
        node_id: wire.leader,
    };
    LogId::new(leader, wire.index)
}

/// A vote as it is on the wire.
#[must_use]
pub fn vote_to_wire(vote: &Vote) -> peer::Vote {
    peer::Vote {
        term: vote.leader_id().term,
        member: vote.leader_id().node_id,
        committed: vote.is_committed(),
    }
}

/// The reverse of [`vote_to_wire`].
#[must_use]
pub fn vote_from_wire(wire: peer::Vote) -> Vote {
    if wire.committed {
        Vote::new_committed(wire.term, wire.member)
    } else {
        Vote::new(wire.term, wire.member)
    }
}

fn required_vote(wire: Option<peer::Vote>) -> Result<Vote, WireError> {
    wire.map(vote_from_wire).ok_or_else(|| missing("vote"))
}

/// An append as it is on the wire. Shares the records' memory.
#[must_use]
pub fn append_to_wire(request: AppendEntriesRequest<TypeConfig>) -> peer::AppendRequest {
    peer::AppendRequest {
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_wire),
        committed: request.leader_commit.as_ref().map(log_id_to_wire),
        records: request
            .entries
            .into_iter()
            .map(|mut entry| entry.encode())
            .collect(),
    }
}

/// The reverse of [`append_to_wire`].
///
/// # Errors
/// The vote is missing, or a record is damaged.
pub fn append_from_wire(wire: peer::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let entries = wire
        .records
        .into_iter()
        .map(Entry::decode)
        .collect::<Result<Vec<Entry>, _>>()
        .map_err(|error| WireError(error.to_string()))?;
    Ok(AppendEntriesRequest {
        vote: required_vote(wire.vote)?,
        prev_log_id: wire.previous.map(log_id_from_wire),
        entries,
        leader_commit: wire.committed.map(log_id_from_wire),
    })
}

/// The last position that an append covers.
#[must_use]
pub fn last_of_append(request: &AppendEntriesRequest<TypeConfig>) -> Option<LogId> {
    request
        .entries
        .last()
        .map(RaftEntry::log_id)
        .or(request.prev_log_id)
}

/// The answer to an append in a stream.
#[must_use]
pub fn append_result_to_wire(result: StreamAppendResult<TypeConfig>) -> peer::AppendResponse {
    let result = match result {
        Ok(last) => AppendResult::Matched(peer::Matched {
            last: last.as_ref().map(log_id_to_wire),
        }),
        Err(StreamAppendError::Conflict(at)) => AppendResult::Conflict(log_id_to_wire(&at)),
        Err(StreamAppendError::HigherVote(vote)) => AppendResult::HigherVote(vote_to_wire(&vote)),
    };
    peer::AppendResponse { result: Some(result) }
}

/// The reverse of [`append_result_to_wire`].
///
/// # Errors
/// There is no result in it.
pub fn append_result_from_wire(
    wire: peer::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, WireError> {
    match wire.result.ok_or_else(|| missing("result"))? {
        AppendResult::Matched(matched) => Ok(Ok(matched.last.map(log_id_from_wire))),
        AppendResult::Conflict(at) => Ok(Err(StreamAppendError::Conflict(log_id_from_wire(at)))),
        AppendResult::HigherVote(vote) => Ok(Err(StreamAppendError::HigherVote(vote_from_wire(vote)))),
    }
}

/// The answer to a single append, in the form of a stream's.
#[must_use]
pub fn append_response_to_wire(
    response: AppendEntriesResponse<TypeConfig>,
    previous: Option<LogId>,
    last: Option<LogId>,
) -> peer::AppendResponse {
    let result = match response {
        AppendEntriesResponse::Success => Ok(last),
        AppendEntriesResponse::PartialSuccess(upto) => Ok(upto),
        // Nothing conflicts with an append that follows nothing, so a conflict always has a position.
        AppendEntriesResponse::Conflict => {
            previous.map_or(Ok(None), |previous| Err(StreamAppendError::Conflict(previous)))
        }
        AppendEntriesResponse::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote)),
    };
    append_result_to_wire(result)
}

/// A request for a vote as it is on the wire.
#[must_use]
pub fn vote_request_to_wire(request: &VoteRequest<TypeConfig>) -> peer::VoteRequest {
    peer::VoteRequest {
        vote: Some(vote_to_wire(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_to_wire),
        leadership_transfer: request.leadership_transfer,
    }
}

/// The reverse of [`vote_request_to_wire`].
///
/// # Errors
/// The vote is missing.
pub fn vote_request_from_wire(wire: peer::VoteRequest) -> Result<VoteRequest<TypeConfig>, WireError> {
    Ok(VoteRequest {
        vote: required_vote(wire.vote)?,
        last_log_id: wire.last.map(log_id_from_wire),
        leadership_transfer: wire.leadership_transfer,
    })
}

/// The answer to a request for a vote.
#[must_use]
pub fn vote_response_to_wire(response: &VoteResponse<TypeConfig>) -> peer::VoteResponse {
    peer::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_to_wire),
    }
}

/// The reverse of [`vote_response_to_wire`].
///
/// # Errors
/// The vote is missing.
pub fn vote_response_from_wire(wire: peer::VoteResponse) -> Result<VoteResponse<TypeConfig>, WireError> {
    Ok(VoteResponse {
        vote: required_vote(wire.vote)?,
        vote_granted: wire.granted,
        last_log_id: wire.last.map(log_id_from_wire),
    })
}

/// A transfer of leadership as it is on the wire.
#[must_use]
pub fn transfer_to_wire(request: &TransferLeaderRequest<TypeConfig>) -> peer::TransferRequest {
    peer::TransferRequest {
        from_leader: Some(vote_to_wire(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_to_wire),
    }
}

/// The reverse of [`transfer_to_wire`].
///
/// # Errors
/// The vote is missing.
pub fn transfer_from_wire(
    wire: peer::TransferRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, WireError> {
    let from = required_vote(wire.from_leader)?;
    Ok(TransferLeaderRequest::new(
        from,
        wire.to,
        wire.last.map(log_id_from_wire),
    ))
}

/// The answer to a transfer of leadership.
#[must_use]
pub fn transfer_response_to_wire(response: TransferLeaderResponse<TypeConfig>) -> peer::TransferResponse {
    let mut wire = peer::TransferResponse::default();
    match response {
        Ok(()) => wire.set_outcome(Outcome::Accepted),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            wire.set_outcome(Outcome::VoteChanged);
            wire.actual_vote = Some(vote_to_wire(&actual));
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            wire.set_outcome(Outcome::LogNotFlushed);
            wire.actual_last = actual.as_ref().map(log_id_to_wire);
        }
    }
    wire
}

/// The reverse of [`transfer_response_to_wire`], for the request that it answers.
///
/// # Errors
/// The vote is missing.
pub fn transfer_response_from_wire(
    wire: peer::TransferResponse,
    request: &TransferLeaderRequest<TypeConfig>,
) -> Result<TransferLeaderResponse<TypeConfig>, WireError> {
    Ok(match wire.outcome() {
        Outcome::Accepted => Ok(()),
        Outcome::VoteChanged => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: required_vote(wire.actual_vote)?,
        }),
        Outcome::LogNotFlushed => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: wire.actual_last.map(log_id_from_wire),
        }),
    })
}

/// What opens the transfer of a snapshot.
#[must_use]
pub fn snapshot_start_to_wire(id: String, vote: &Vote, meta: &SnapshotMeta) -> peer::SnapshotStart {
    peer::SnapshotStart {
        id,
        vote: Some(vote_to_wire(vote)),
        last: meta.last_log_id.as_ref().map(log_id_to_wire),
        membership: Some(peer::StoredMembership {
            log_id: meta.last_membership.log_id().as_ref().map(log_id_to_wire),
            membership: Some(membership_to_wire(meta.last_membership.membership())),
        }),
    }
}

/// The vote and the meta data of a snapshot.
///
/// # Errors
/// Something is missing.
pub fn snapshot_start_from_wire(wire: peer::SnapshotStart) -> Result<(Vote, SnapshotMeta), WireError> {
    let stored = wire.membership.ok_or_else(|| missing("membership"))?;
    let membership = stored.membership.ok_or_else(|| missing("membership"))?;
    let membership = membership_from_wire(membership).map_err(WireError)?;
    let meta = SnapshotMeta {
        last_log_id: wire.last.map(log_id_from_wire),
        last_membership: StoredMembership::new(stored.log_id.map(log_id_from_wire), membership),
    };
    Ok((required_vote(wire.vote)?, meta))
}
