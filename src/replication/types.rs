//! The types that openraft is built on here, and the codec of a log entry.
//!
//! An [`Entry`] carries opaque bytes: it is encoded once, by the leader's log, and travels as the same record to the
//! disk and to the peers. Cloning an entry counts references. The record is
//! `format (1) | kind (1) | term (8) | leader (8) | index (8) | payload`, numbers big-endian; the middle 24 bytes are the
//! entry's position as the state machine stores it. Never interprets a proposal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::entry::{RaftEntry, RaftPayload};
use openraft::impls::leader_id_adv;
use openraft::raft::responder::Responder;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::interface::PeerMember;
use crate::base::MemberId;
use crate::proto::peer;
use crate::storage::StorageError;

/// A member's id, as openraft sees it.
pub type NodeId = u64;
/// A leader: term and member.
pub type LeaderId = leader_id_adv::LeaderId<u64, NodeId>;
/// The position of an entry.
pub type LogId = openraft::LogId<LeaderId>;
/// A vote.
pub type Vote = openraft::Vote<LeaderId>;
/// The members and their addresses.
pub type Membership = openraft::Membership<NodeId, Node>;
/// A membership and the entry it came with.
pub type StoredMembership = openraft::StoredMembership<LeaderId, NodeId, Node>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::SnapshotMeta<LeaderId, NodeId, Node>;

/// openraft's type parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = ProposalBytes;
    type R = ();
    type NodeId = NodeId;
    type Node = Node;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = Submission<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Where a member is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the initial cluster.
    pub name: String,
    /// Where its peers find it.
    pub peer_urls: Vec<String>,
    /// Whether it is to stay out of every quorum. A node that is neither this nor a voter is on its way to be one.
    pub is_learner: bool,
}

impl From<&PeerMember> for Node {
    fn from(member: &PeerMember) -> Self {
        Self {
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            is_learner: member.is_learner,
        }
    }
}

/// Encoded proposals, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalBytes(pub Bytes);

impl fmt::Display for ProposalBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

/// What an entry carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// Proposals.
    Proposals(ProposalBytes),
    /// A membership.
    Membership(Membership),
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => write!(formatter, "blank"),
            Self::Proposals(proposals) => write!(formatter, "proposals of {proposals}"),
            Self::Membership(membership) => write!(formatter, "membership {membership}"),
        }
    }
}

impl RaftPayload for Payload {
    type D = ProposalBytes;
    type NodeId = NodeId;
    type Node = Node;

    fn blank() -> Self {
        Self::Blank
    }

    fn with_normal(self, data: ProposalBytes) -> Self {
        Self::Proposals(data)
    }

    fn with_membership(self, membership: Membership) -> Self {
        Self::Membership(membership)
    }

    fn get_membership(&self) -> Option<Membership> {
        match self {
            Self::Membership(membership) => Some(membership.clone()),
            Self::Blank | Self::Proposals(_) => None,
        }
    }
}

/// Format version of a log record.
const RECORD_FORMAT: u8 = 1;
/// Where the position begins and ends in a record.
const POSITION_START: usize = 2;
/// Where the payload begins in a record.
const PAYLOAD_START: usize = POSITION_START + POSITION_BYTES;
/// Length of an encoded position.
const POSITION_BYTES: usize = 24;

const KIND_BLANK: u8 = 0;
const KIND_PROPOSALS: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// An entry of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    log_id: LogId,
    payload: Payload,
    /// The encoded entry; empty until [`Entry::encode`] was called.
    #[serde(skip)]
    record: Bytes,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.log_id == other.log_id && self.payload == other.payload
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.log_id, self.payload)
    }
}

impl RaftEntry for Entry {
    type CommittedLeaderId = LeaderId;
    type Payload = Payload;

    fn new(log_id: LogId, payload: Payload) -> Self {
        Self {
            log_id,
            payload,
            record: Bytes::new(),
        }
    }

    fn log_id_parts(&self) -> (&LeaderId, u64) {
        (self.log_id.committed_leader_id(), self.log_id.index())
    }

    fn set_log_id(&mut self, new: LogId) {
        self.log_id = new;
        self.record = Bytes::new();
    }

    fn get_membership(&self) -> Option<Membership> {
        self.payload.get_membership()
    }
}

impl Entry {
    /// Length of the record, 0 before [`Entry::encode`].
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        self.record.len()
    }

    /// The record; encodes the entry the first time and lets its payload share the record's memory.
    pub fn encode(&mut self) -> Bytes {
        if !self.record.is_empty() {
            return self.record.clone();
        }
        let (kind, payload) = match &self.payload {
            Payload::Blank => (KIND_BLANK, Bytes::new()),
            Payload::Proposals(proposals) => (KIND_PROPOSALS, proposals.0.clone()),
            Payload::Membership(membership) => (
                KIND_MEMBERSHIP,
                Bytes::from(membership_to_wire(membership).encode_to_vec()),
            ),
        };
        let mut record = BytesMut::with_capacity(PAYLOAD_START + payload.len());
        record.put_u8(RECORD_FORMAT);
        record.put_u8(kind);
        record.put_slice(&position_bytes(&self.log_id));
        record.put_slice(&payload);
        self.record = record.freeze();
        if kind == KIND_PROPOSALS {
            self.payload = Payload::Proposals(ProposalBytes(self.record.slice(PAYLOAD_START..)));
        }
        self.record.clone()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The record is damaged or of an unknown format.
    pub fn decode(record: Bytes) -> Result<Self, StorageError> {
        let corrupt = |reason: String| StorageError::Corrupt {
            what: "log record",
            reason,
        };
        let [format, kind, ..] = record[..] else {
            return Err(corrupt(format!("{} bytes are too few", record.len())));
        };
        if format != RECORD_FORMAT {
            return Err(corrupt(format!(
                "format {format} is unknown to this version; run the version of stead that wrote it"
            )));
        }
        if record.len() < PAYLOAD_START {
            return Err(corrupt(format!("{} bytes are too few", record.len())));
        }
        let log_id = decode_position(&record.slice(POSITION_START..PAYLOAD_START))?;
        let body = record.slice(PAYLOAD_START..);
        let payload = match kind {
            KIND_BLANK => Payload::Blank,
            KIND_PROPOSALS => Payload::Proposals(ProposalBytes(body)),
            KIND_MEMBERSHIP => Payload::Membership(decode_membership(&body)?),
            other => return Err(corrupt(format!("kind {other} is unknown to this version"))),
        };
        Ok(Self {
            log_id,
            payload,
            record,
        })
    }

    /// The entry as the state machine takes it, after the membership `before`: its position and payload share the record's
    /// memory.
    #[must_use]
    pub fn for_state(mut self, before: &Membership) -> crate::state::LogEntry {
        let record = self.encode();
        let body = record.slice(PAYLOAD_START..);
        crate::state::LogEntry {
            index: self.log_id.index(),
            position: record.slice(POSITION_START..PAYLOAD_START),
            payload: match self.payload {
                Payload::Blank => crate::state::Payload::Blank,
                Payload::Proposals(_) => crate::state::Payload::Proposals(body),
                Payload::Membership(membership) => crate::state::Payload::Membership {
                    membership: body,
                    removed: removed_members(before, &membership),
                },
            },
        }
    }
}

/// The nodes of `before` that are not in `after`.
pub fn removed_members(before: &Membership, after: &Membership) -> Vec<MemberId> {
    let gone = before.nodes().filter(|(id, _)| after.get_node(id).is_none());
    gone.map(|(id, _)| MemberId(*id)).collect()
}

fn position_bytes(log_id: &LogId) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    let (term, rest) = bytes.split_at_mut(8);
    let (leader, index) = rest.split_at_mut(8);
    term.copy_from_slice(&log_id.committed_leader_id().term.to_be_bytes());
    leader.copy_from_slice(&log_id.committed_leader_id().node_id.to_be_bytes());
    index.copy_from_slice(&log_id.index().to_be_bytes());
    bytes
}

/// A position as it is in the state.
#[must_use]
pub fn encode_position(log_id: &LogId) -> Bytes {
    Bytes::copy_from_slice(&position_bytes(log_id))
}

/// Reads a position as it is in a record and in the state.
///
/// # Errors
/// It does not have 24 bytes.
pub fn decode_position(position: &[u8]) -> Result<LogId, StorageError> {
    let number = |part: usize| -> Option<u64> {
        let bytes = position.get(part * 8..part * 8 + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    };
    match (number(0), number(1), number(2)) {
        (Some(term), Some(node_id), Some(index)) if position.len() == POSITION_BYTES => {
            Ok(LogId::new(LeaderId { term, node_id }, index))
        }
        _ => Err(StorageError::Corrupt {
            what: "log position",
            reason: format!("it has {} bytes, not {POSITION_BYTES}", position.len()),
        }),
    }
}

/// Reads a membership as it is in a record and in the state.
///
/// # Errors
/// It is damaged.
pub fn decode_membership(bytes: &[u8]) -> Result<Membership, StorageError> {
    let corrupt = |reason: String| StorageError::Corrupt {
        what: "membership",
        reason,
    };
    let wire = peer::Membership::decode(bytes).map_err(|error| corrupt(error.to_string()))?;
    membership_from_wire(wire).map_err(corrupt)
}

/// A membership as it is on the wire and on disk.
#[must_use]
pub fn membership_to_wire(membership: &Membership) -> peer::Membership {
    peer::Membership {
        voter_sets: membership
            .get_joint_config()
            .iter()
            .map(|voters| peer::VoterSet {
                members: voters.iter().copied().collect(),
            })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(id, node)| peer::Node {
                id: *id,
                name: node.name.clone(),
                peer_urls: node.peer_urls.clone(),
                is_learner: node.is_learner,
            })
            .collect(),
    }
}

/// The reverse of [`membership_to_wire`].
///
/// # Errors
/// A voter has no node.
pub fn membership_from_wire(wire: peer::Membership) -> Result<Membership, String> {
    let configurations: Vec<BTreeSet<NodeId>> = wire
        .voter_sets
        .into_iter()
        .map(|set| set.members.into_iter().collect())
        .collect();
    let nodes: BTreeMap<NodeId, Node> = wire
        .nodes
        .into_iter()
        .map(|node| {
            let address = Node {
                name: node.name,
                peer_urls: node.peer_urls,
                is_learner: node.is_learner,
            };
            (node.id, address)
        })
        .collect();
    if configurations.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configurations, nodes).map_err(|error| error.to_string())
}

/// Takes back proposals that were not appended.
pub trait Rejections: Send + Sync + 'static {
    /// The proposal was never appended to any log: it is safe to propose it again.
    fn rejected(&self, sequence: u64);
}

/// What openraft calls when it is done with an entry's proposals. It costs nothing on success: the answer comes from the local
/// apply of the entry, not from here.
pub struct Submission<T> {
    /// Called when the proposals were not appended, dropped otherwise.
    pub rejected: Box<dyn FnOnce() + Send>,
    /// Whether a result means that they were never appended.
    pub never_appended: fn(&T) -> bool,
}

impl<T> Responder<TypeConfig, T> for Submission<T>
where
    T: openraft::OptionalSend + 'static,
{
    fn on_complete(self, result: T) {
        if (self.never_appended)(&result) {
            (self.rejected)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 3, node_id: 7 }, index)
    }

    #[test]
    fn records_have_these_bytes_for_good() {
        let mut blank = Entry::new(log_id(5), Payload::Blank);
        let position = [
            0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5,
        ];
        assert_eq!(blank.encode()[..], [&[1, 0][..], &position].concat());
        let mut proposal = Entry::new(
            log_id(5),
            Payload::Proposals(ProposalBytes(Bytes::from_static(b"put"))),
        );
        assert_eq!(proposal.encode()[..], [&[1, 1][..], &position, b"put"].concat());
        let node = Node {
            name: "a".to_owned(),
            peer_urls: vec!["http://b".to_owned()],
            is_learner: false,
        };
        let membership = Membership::new(vec![BTreeSet::from([7])], BTreeMap::from([(7, node)]));
        let mut membership = Entry::new(log_id(5), Payload::Membership(membership.unwrap()));
        let body = b"\x0a\x03\x0a\x01\x07\x12\x0f\x08\x07\x12\x01a\x1a\x08http://b";
        assert_eq!(membership.encode()[..], [&[1, 2][..], &position, body].concat());
        for mut entry in [blank, proposal, membership] {
            assert_eq!(Entry::decode(entry.encode()).unwrap(), entry);
        }
    }

    #[test]
    fn a_record_of_another_format_or_cut_short_is_refused() {
        let record = Entry::new(log_id(5), Payload::Blank).encode();
        for length in 0..record.len() {
            assert!(Entry::decode(record.slice(..length)).is_err(), "{length} bytes");
        }
        let mut newer = record.to_vec();
        newer[0] = 2;
        let error = Entry::decode(newer.into()).unwrap_err();
        assert!(error.to_string().contains("format 2 is unknown"), "{error}");
    }
}
