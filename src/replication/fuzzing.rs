//! For fuzzing: the decoders of the log, of the data folder, and of what members say to each other.

use std::sync::Arc;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use prost::Message;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::service::Interceptor;

use super::departed::Departed;
use super::identity::Identity;
use super::log::format;
use super::machine::decode_applied;
use super::network::introduction::{Check, Introduce};
use super::network::snapshot_receive::check_name;
use super::network::wire;
use super::types::{
    Entry, LeaderId, LogId, Membership, Node, Payload, ProposalBytes, Vote, decode_membership,
    decode_position, encode_position, membership_from_wire, membership_to_wire,
};
use crate::base::fuzzing::{choice, seed};
use crate::base::{ClusterId, MemberId};
use crate::proto::peer;
use crate::state::AppliedPosition;
use crate::state::format::decode_proposals;

/// Entries of the log, what stands beside them, and the file that says whose a data folder is.
pub fn log(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    match kind {
        0 => entry(rest),
        1 => {
            if let Ok(vote) = format::decode_vote(rest) {
                assert_eq!(format::decode_vote(&format::encode_vote(&vote)).ok(), Some(vote));
            }
        }
        2 => {
            if let Ok(log_id) = format::decode_log_id(rest) {
                assert_eq!(
                    format::decode_log_id(&format::encode_log_id(&log_id)).ok(),
                    Some(log_id)
                );
            }
        }
        3 => {
            if let Ok(log_id) = decode_position(rest) {
                assert_eq!(encode_position(&log_id), rest);
            }
        }
        4 => {
            if let Ok(membership) = decode_membership(rest) {
                let again = membership_from_wire(membership_to_wire(&membership));
                assert_eq!(again, Ok(membership));
            }
        }
        5 => {
            let (at, membership) = rest.split_at(rest.len().min(24));
            let position = AppliedPosition {
                index: Some(1),
                position: Some(Bytes::copy_from_slice(at)),
                membership: Some((Bytes::copy_from_slice(at), Bytes::copy_from_slice(membership))),
            };
            let _ = decode_applied(&position);
        }
        _ => {
            let Ok(text) = std::str::from_utf8(rest) else {
                return;
            };
            if let Ok(identity) = Identity::decode(text) {
                assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
            }
        }
    }
}

fn entry(record: &[u8]) {
    if let Ok(entry) = Entry::decode(Bytes::copy_from_slice(record)) {
        // Without the record that it was read from.
        let mut anew = entry.clone();
        anew.set_log_id(entry.log_id());
        assert_eq!(Entry::decode(anew.encode()).ok(), Some(entry.clone()));
        let _ = entry.for_state(&Membership::default());
    }
}

fn membership() -> Membership {
    let node = |name: &str, is_learner| Node {
        name: name.to_owned(),
        peer_urls: vec![format!("http://{name}:2380")],
        is_learner,
    };
    let nodes = [(1, node("a", false)), (2, node("b", true))];
    Membership::new(vec![[1].into()], std::collections::BTreeMap::from(nodes)).expect("each voter has a node")
}

fn log_id() -> LogId {
    LogId::new(LeaderId { term: 3, node_id: 1 }, 300)
}

fn entries() -> Vec<Entry> {
    let proposals = crate::state::fuzzing::proposal_seeds();
    let payloads = proposals
        .into_iter()
        .map(|proposal| Payload::Proposals(ProposalBytes(proposal.into())));
    payloads
        .chain([Payload::Blank, Payload::Membership(membership())])
        .map(|payload| Entry::new(log_id(), payload))
        .collect()
}

/// One of each kind.
#[must_use]
pub fn log_seeds() -> Vec<Vec<u8>> {
    let wire = membership_to_wire(&membership()).encode_to_vec();
    let position = encode_position(&log_id());
    let identity = Identity::new(ClusterId(0xc), MemberId(0xa), "a".to_owned(), true);
    let others = [
        seed(1, format::encode_vote(&Vote::new_committed(3, 1))),
        seed(2, format::encode_log_id(&log_id())),
        seed(3, &position),
        seed(4, &wire),
        seed(5, [&position[..], &wire].concat()),
        seed(6, identity.encode()),
    ];
    let entries = entries().into_iter().map(|mut entry| seed(0, entry.encode()));
    entries.chain(others).collect()
}

/// What members say to each other.
pub fn peer(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    match kind {
        0 => {
            if let Ok(request) = peer::AppendRequest::decode(rest)
                && let Ok(request) = wire::append_from_wire(request)
            {
                let _ = wire::last_of_append(&request);
                let records = wire::append_to_wire(request.clone()).encode_to_vec();
                let again = peer::AppendRequest::decode(&records[..]).expect("it was encoded");
                let again = wire::append_from_wire(again).expect("it was encoded");
                assert_eq!(again.entries, request.entries);
            }
        }
        1 => {
            if let Ok(answer) = peer::AppendResponse::decode(rest)
                && let Ok(answer) = wire::append_result_from_wire(answer)
            {
                let _ = wire::append_result_to_wire(answer);
            }
        }
        2 => {
            let _ = peer::VoteRequest::decode(rest).map(wire::vote_request_from_wire);
        }
        3 => {
            let _ = peer::VoteResponse::decode(rest).map(wire::vote_response_from_wire);
        }
        4 => {
            if let Ok(request) = peer::TransferRequest::decode(rest)
                && let Ok(request) = wire::transfer_from_wire(request)
            {
                assert_eq!(
                    wire::transfer_to_wire(&request).to,
                    *request.to_node_id(),
                    "whom it is for"
                );
                let _ = peer::TransferResponse::decode(rest)
                    .map(|answer| wire::transfer_response_from_wire(answer, &request));
            }
        }
        5 => {
            if let Ok(offer) = peer::SnapshotOffer::decode(rest) {
                for name in offer.files.iter().map(|file| &file.name).chain([&offer.id]) {
                    let is_good = check_name(name).is_ok();
                    assert!(!is_good || !name.contains('/') && name != ".." && name != ".");
                }
            }
        }
        6 => {
            if let Ok(part) = peer::SnapshotPart::decode(rest)
                && let Some(peer::snapshot_part::Part::Start(start)) = part.part
            {
                let _ = wire::snapshot_start_from_wire(start);
            }
        }
        7 => {
            if let Ok(request) = peer::ForwardRequest::decode(rest) {
                let _ = decode_proposals(&request.proposals);
            }
        }
        8 => {
            let _ =
                peer::MembersResponse::decode(rest).map(|answer| answer.membership.map(membership_from_wire));
        }
        _ => introduction(rest),
    }
}

/// Metadata of a call: keys and values by turns, on a line each.
fn introduction(bytes: &[u8]) {
    let mut metadata = MetadataMap::new();
    let mut lines = bytes.split(|byte| *byte == b'\n');
    while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
        let key = tonic::metadata::AsciiMetadataKey::from_bytes(key);
        if let (Ok(key), Ok(value)) = (key, AsciiMetadataValue::try_from(value)) {
            metadata.append(key, value);
        }
    }
    let mut request = tonic::Request::new(());
    *request.metadata_mut() = metadata;
    let _ = Check::new(ClusterId(0xc), MemberId(2), Arc::new(Departed::new(MemberId(2)))).call(request);
}

/// One message of each kind.
#[must_use]
pub fn peer_seeds() -> Vec<Vec<u8>> {
    let log_id = Some(wire::log_id_to_wire(&log_id()));
    let vote = Some(wire::vote_to_wire(&Vote::new_committed(3, 1)));
    let membership = Some(membership_to_wire(&membership()));
    let append = peer::AppendRequest {
        vote,
        previous: log_id,
        committed: log_id,
        records: entries().into_iter().map(|mut entry| entry.encode()).collect(),
    };
    let matched = peer::append_response::Result::Matched(peer::Matched { last: log_id });
    let start = peer::SnapshotStart {
        id: "1-2-3".to_owned(),
        vote,
        last: log_id,
        membership: Some(peer::StoredMembership {
            log_id,
            membership: membership.clone(),
        }),
    };
    let introduced = Introduce::new(ClusterId(0xc), MemberId(1), MemberId(2)).call(tonic::Request::new(()));
    let introduced = introduced.expect("anybody is introduced").into_parts().0;
    let mut lines = Vec::new();
    for pair in introduced.iter() {
        if let tonic::metadata::KeyAndValueRef::Ascii(key, value) = pair {
            lines.extend([key.as_str().as_bytes(), b"\n", value.as_encoded_bytes(), b"\n"].concat());
        }
    }
    vec![
        seed(0, append.encode_to_vec()),
        seed(
            1,
            peer::AppendResponse {
                result: Some(matched),
            }
            .encode_to_vec(),
        ),
        seed(
            2,
            peer::VoteRequest {
                vote,
                last: log_id,
                leadership_transfer: true,
            }
            .encode_to_vec(),
        ),
        seed(
            3,
            peer::VoteResponse {
                vote,
                granted: true,
                last: log_id,
            }
            .encode_to_vec(),
        ),
        seed(
            4,
            peer::TransferRequest {
                from_leader: vote,
                to: 2,
                last: log_id,
            }
            .encode_to_vec(),
        ),
        seed(
            5,
            peer::SnapshotOffer {
                id: "1-2-3".to_owned(),
                files: vec![peer::SnapshotFile {
                    name: "000012.sst".to_owned(),
                    size: 7,
                }],
            }
            .encode_to_vec(),
        ),
        seed(
            6,
            peer::SnapshotPart {
                part: Some(peer::snapshot_part::Part::Start(start)),
            }
            .encode_to_vec(),
        ),
        seed(
            7,
            peer::ForwardRequest {
                sequences: vec![1, 2],
                proposals: crate::state::fuzzing::proposal_seeds().concat().into(),
            }
            .encode_to_vec(),
        ),
        seed(
            8,
            peer::MembersResponse {
                cluster: 0xc,
                changed: log_id,
                membership,
                removed: vec![9],
            }
            .encode_to_vec(),
        ),
        seed(9, lines),
    ]
}
