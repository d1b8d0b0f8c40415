//! How records and log entries are written: bincode 2 behind one version byte, in this module only.
//!
//! Fields are only ever appended, together with a new version byte; variants are appended as they are. A version or
//! variant this program does not know is an error that stops the node, never a guess. Golden bytes in the tests hold the format still.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::applied::{EventKind, VersionId};
use super::bounded;
use super::command::{Alarm, Proposal};
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::StorageError;

/// The version byte of every record and proposal written by this program.
pub const VERSION: u8 = 1;

/// The longest proposal that is written. The largest request that a node accepts is far smaller.
const MAXIMUM_PROPOSAL_BYTES: usize = 128 * 1024 * 1024;

/// What decoding may claim to need; what it takes before that is there is bounded by [`bounded`]. A number of one byte
/// counts as its full width, at most eight.
const MAXIMUM_DECODED_BYTES: usize = 8 * MAXIMUM_PROPOSAL_BYTES;

type Configuration = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAXIMUM_DECODED_BYTES>,
>;
const CONFIGURATION: Configuration = bincode::config::standard().with_limit::<MAXIMUM_DECODED_BYTES>();

/// The newest version of a live key, without its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The revision that created this generation of the key.
    pub create_revision: Revision,
    /// The revision that changed it last.
    pub modification_revision: Revision,
    /// The number of that change in its revision.
    pub sub: u32,
    /// 1 for a created key, one more for each change.
    pub version: i64,
    /// The lease it is attached to.
    pub lease: LeaseId,
}

impl Head {
    /// Which stored version the header is of.
    #[must_use]
    pub fn id(&self) -> VersionId {
        VersionId {
            revision: self.modification_revision,
            sub: self.sub,
        }
    }
}

/// A stored version of a key, without the revision (which is in its storage key).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// The revision that created this generation; 0 in a tombstone.
    pub create_revision: Revision,
    /// The version; 0 marks a tombstone.
    pub version: i64,
    /// The lease.
    pub lease: LeaseId,
    /// The value: the rest of the record, so that reading does not copy it.
    pub value: Bytes,
}

#[derive(Serialize, Deserialize)]
struct VersionHeader {
    create_revision: Revision,
    version: i64,
    lease: LeaseId,
}

impl Version {
    /// Whether it says that the key was removed.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }
}

/// One change of one key, without its revision (which is in its storage key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Put or removed.
    pub kind: EventKind,
    /// Where the key lives.
    pub namespace: Namespace,
    /// The key: the rest of the record.
    pub key: Bytes,
    /// The version that this change replaced.
    pub superseded: Option<VersionId>,
}

#[derive(Serialize, Deserialize)]
struct ChangeHeader {
    is_delete: bool,
    namespace: Namespace,
    superseded: Option<(Revision, u32)>,
}

/// What a member published about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// Where its clients find it.
    pub client_urls: Vec<String>,
}

/// An active alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveAlarm {
    /// About whom.
    pub member: MemberId,
    /// Which.
    pub alarm: Alarm,
}

/// Index and position of an applied entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedEntry {
    /// Its log index.
    pub index: u64,
    /// Its position, opaque.
    pub position: Bytes,
}

/// A membership and the position of its entry, both opaque.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMembership {
    /// The position of its entry.
    pub position: Bytes,
    /// The membership.
    pub membership: Bytes,
}

/// Appends a record: the header, and the tail as it is.
fn push_with_tail(
    encoded: &mut Vec<u8>,
    what: &'static str,
    header: &impl Serialize,
    tail: &[u8],
) -> Result<(), StorageError> {
    encoded.push(VERSION);
    bincode::serde::encode_into_std_write(header, encoded, CONFIGURATION).map_err(|error| {
        StorageError::Corrupt {
            what,
            reason: error.to_string(),
        }
    })?;
    encoded.extend_from_slice(tail);
    Ok(())
}

/// Decodes what comes before the tail, with the tail's offset.
fn decode_header<Header: DeserializeOwned>(
    what: &'static str,
    encoded: &[u8],
) -> Result<(Header, usize), StorageError> {
    let (version, rest) = encoded.split_first().ok_or_else(|| StorageError::Corrupt {
        what,
        reason: "it is empty".to_owned(),
    })?;
    if *version != VERSION {
        return Err(StorageError::Corrupt {
            what,
            reason: format!(
                "its format version is {version}, this program knows {VERSION}; run the version of stead that wrote it"
            ),
        });
    }
    let (header, length) = bounded::decode(rest, CONFIGURATION).map_err(|error| StorageError::Corrupt {
        what,
        reason: error.to_string(),
    })?;
    Ok((header, 1 + length))
}

fn decode_with_tail<Header: DeserializeOwned>(
    what: &'static str,
    encoded: &Bytes,
) -> Result<(Header, Bytes), StorageError> {
    let (header, offset) = decode_header(what, encoded)?;
    Ok((header, encoded.slice(offset..)))
}

/// Encodes a record that has no tail.
///
/// # Errors
/// The record cannot be encoded.
pub fn encode(what: &'static str, record: &impl Serialize) -> Result<Bytes, StorageError> {
    let mut encoded = Vec::new();
    push_with_tail(&mut encoded, what, record, &[])?;
    Ok(Bytes::from(encoded))
}

/// Decodes a record that has no tail.
///
/// # Errors
/// It is damaged, or of an unknown format version.
pub fn decode<Record: DeserializeOwned>(what: &'static str, encoded: &Bytes) -> Result<Record, StorageError> {
    let (record, tail) = decode_with_tail(what, encoded)?;
    if tail.is_empty() {
        Ok(record)
    } else {
        Err(StorageError::Corrupt {
            what,
            reason: format!("{} bytes too many", tail.len()),
        })
    }
}

impl Head {
    /// Appends its encoding.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn push(&self, encoded: &mut Vec<u8>) -> Result<(), StorageError> {
        push_with_tail(encoded, "head", self, &[])
    }
}

impl Version {
    /// Appends its encoding.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn push(&self, encoded: &mut Vec<u8>) -> Result<(), StorageError> {
        let header = VersionHeader {
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
        };
        push_with_tail(encoded, "version", &header, &self.value)
    }

    /// Decodes it; the value shares the record's bytes.
    ///
    /// # Errors
    /// It is damaged, or of an unknown format version.
    pub fn decode(encoded: &Bytes) -> Result<Self, StorageError> {
        let (header, value): (VersionHeader, Bytes) = decode_with_tail("version", encoded)?;
        Ok(Self::with_value(&header, value))
    }

    /// Decodes all but the value, which stays empty and is not copied.
    ///
    /// # Errors
    /// As [`Version::decode`].
    pub fn decode_header(encoded: &[u8]) -> Result<Self, StorageError> {
        let (header, _): (VersionHeader, usize) = decode_header("version", encoded)?;
        Ok(Self::with_value(&header, Bytes::new()))
    }

    fn with_value(header: &VersionHeader, value: Bytes) -> Self {
        Self {
            create_revision: header.create_revision,
            version: header.version,
            lease: header.lease,
            value,
        }
    }
}

impl Change {
    /// Appends its encoding.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn push(&self, encoded: &mut Vec<u8>) -> Result<(), StorageError> {
        let header = ChangeHeader {
            is_delete: self.kind == EventKind::Delete,
            namespace: self.namespace,
            superseded: self.superseded.map(|id| (id.revision, id.sub)),
        };
        push_with_tail(encoded, "event", &header, &self.key)
    }

    /// Decodes it; the key shares the record's bytes.
    ///
    /// # Errors
    /// It is damaged, or of an unknown format version.
    pub fn decode(encoded: &Bytes) -> Result<Self, StorageError> {
        let (header, key): (ChangeHeader, Bytes) = decode_with_tail("event", encoded)?;
        Ok(Self {
            kind: if header.is_delete {
                EventKind::Delete
            } else {
                EventKind::Put
            },
            namespace: header.namespace,
            key,
            superseded: header
                .superseded
                .map(|(revision, sub)| VersionId { revision, sub }),
        })
    }
}

/// Encodes a proposal for the log.
///
/// # Errors
/// It cannot be encoded, or is so long that it could not be decoded.
pub fn encode_proposal(proposal: &Proposal) -> Result<Bytes, StorageError> {
    let encoded = encode("proposal", proposal)?;
    if encoded.len() > MAXIMUM_PROPOSAL_BYTES {
        return Err(StorageError::Corrupt {
            what: "proposal",
            reason: format!(
                "it takes {} bytes, the most is {MAXIMUM_PROPOSAL_BYTES}",
                encoded.len()
            ),
        });
    }
    Ok(encoded)
}

/// Decodes the proposals of an entry: encoded ones, one behind the other, at least one.
///
/// # Errors
/// They are damaged, or of an unknown format version.
pub fn decode_proposals(encoded: &Bytes) -> Result<Vec<Proposal>, StorageError> {
    let (first, mut rest) = decode_with_tail("proposal", encoded)?;
    let mut proposals = vec![first];
    while !rest.is_empty() {
        let (next, tail) = decode_with_tail("proposal", &rest)?;
        proposals.push(next);
        rest = tail;
    }
    Ok(proposals)
}
