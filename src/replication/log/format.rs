//! Keys and values of the log database.
//!
//! `log`: the index, big-endian, to the record (see [`crate::replication::types::Entry`]). `log-meta`: the four keys
//! below; each value is a format version and a protobuf message.

use bytes::Bytes;
use prost::Message;

use crate::proto::peer;
use crate::replication::network::wire;
use crate::replication::types::{LogId, Vote};
use crate::storage::{Change, StorageError};

/// The vote.
pub const VOTE_KEY: &[u8] = b"vote";
/// The last purged entry.
pub const PURGED_KEY: &[u8] = b"purged";
/// An entry known to be committed.
pub const COMMITTED_KEY: &[u8] = b"committed";

/// Format version of the values.
const VALUE_FORMAT: u8 = 1;

/// The key of an entry.
#[must_use]
pub fn log_key(index: u64) -> Bytes {
    Bytes::copy_from_slice(&index.to_be_bytes())
}

/// Encodes a vote.
#[must_use]
pub fn encode_vote(vote: &Vote) -> Bytes {
    encode(&wire::vote_to_wire(vote))
}

/// Encodes a position.
#[must_use]
pub fn encode_log_id(log_id: &LogId) -> Bytes {
    encode(&wire::log_id_to_wire(log_id))
}

/// Reads a vote.
///
/// # Errors
/// It is damaged or of an unknown format.
pub fn decode_vote(value: &[u8]) -> Result<Vote, StorageError> {
    decode::<peer::Vote>("vote", value).map(wire::vote_from_wire)
}

/// Reads a position.
///
/// # Errors
/// It is damaged or of an unknown format.
pub fn decode_log_id(value: &[u8]) -> Result<LogId, StorageError> {
    decode::<peer::LogId>("log position", value).map(wire::log_id_from_wire)
}

/// Bytes that a change writes.
#[must_use]
pub fn change_bytes(change: &Change) -> usize {
    match change {
        Change::Put(_, key, value) => key.len() + value.len(),
        Change::Delete(_, key) => key.len(),
        Change::DeleteRange(_, range) => range.start.len() + range.end.as_ref().map_or(0, Vec::len),
    }
}

fn encode(message: &impl Message) -> Bytes {
    let mut value = Vec::with_capacity(1 + message.encoded_len());
    value.push(VALUE_FORMAT);
    value.extend_from_slice(&message.encode_to_vec());
    value.into()
}

fn decode<M: Message + Default>(what: &'static str, value: &[u8]) -> Result<M, StorageError> {
    let corrupt = |reason: String| StorageError::Corrupt { what, reason };
    match value.split_first() {
        None => Err(corrupt("it is empty".to_owned())),
        Some((&VALUE_FORMAT, body)) => M::decode(body).map_err(|error| corrupt(error.to_string())),
        Some((format, _)) => Err(corrupt(format!(
            "format {format} is unknown to this version; run the version of stead that wrote it"
        ))),
    }
}
