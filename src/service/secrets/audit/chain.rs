//! The chain of the records that one device of one node writes.
//!
//! A record is a line: what is written in front of it, and an object of JSON whose last field is its place in the chain:
//!
//! ```text
//! "chain":{"id":"<32 digits>","node":"n1","device":"file","sequence":7,
//!          "previous":"sha256:<64 digits>","mac":"hmac-sha256:<64 digits>"}}
//! ```
//!
//! `previous` is SHA-256 of the object of the record before, from its first bracket to its last. `mac` is a keyed hash of
//! the object up to there, under a key of the device ([`Purpose::AuditChain`]).
//!
//! A chain begins with record 0, of the type `start`, with an id drawn at random. If the file that it is written to has
//! records of the same device of the same node, `start` says which is the last ([`Continued`]), and `previous` is its hash.
//! Each file begins with such a record: one that begins while a chain goes on has the next number of that chain. The last
//! record of a device that is closed has the type `end`.
//!
//! Never advances for a record that was not written.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::service::secrets::barrier::hashed::{HASH_BYTES, Hasher, Purpose};
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::memory::Key;

/// Bytes of the id of a chain.
pub const CHAIN_ID_BYTES: usize = 16;

/// What is between a record and its keyed hash, and behind that.
const MAC_OPENING: &str = ",\"mac\":\"";
const MAC_CLOSING: &str = "\"}}";

/// Bytes of a keyed hash as records show it.
const MAC_BYTES: usize = "hmac-sha256:".len() + 2 * HASH_BYTES;

/// SHA-256 of a record, as the next one shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Link(String);

impl Link {
    /// That of the object of a record.
    #[must_use]
    pub fn of(object: &[u8]) -> Self {
        let digits: String = Sha256::digest(object)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self(format!("sha256:{digits}"))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The last record of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The id of the chain.
    pub id: String,
    /// The number of the record.
    pub sequence: u64,
    /// Its hash.
    pub link: Link,
}

/// The last record of an earlier chain, whose hash is the `previous` of the record that says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continued {
    /// The id of that chain.
    pub id: String,
    /// The number of that record.
    pub sequence: u64,
}

/// What the first record in a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Whether nothing is before it in what is written to.
    pub is_first: bool,
    /// The last record of the device of this node that was found there.
    pub continues: Option<Continued>,
}

/// The place of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The id of its chain.
    pub id: String,
    /// The node that wrote it.
    pub node: String,
    /// The device of that.
    pub device: String,
    /// Its number.
    pub sequence: u64,
    /// The hash of the record before it; none: it is the very first.
    pub previous: Option<Link>,
    /// Its keyed hash.
    pub mac: String,
}

/// What is read of a line.
#[derive(Debug, Deserialize)]
pub struct Record {
    /// `request`, `response`, `start` or `end`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its place.
    pub chain: Place,
    /// What a `start` says.
    #[serde(default)]
    pub start: Option<Start>,
}

impl Record {
    /// The record in a line, and its object; none: there is none, or not all of it.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<(Self, &[u8])> {
        let start = line.iter().position(|byte| *byte == b'{')?;
        let object = line.get(start..)?;
        let record: Self = serde_json::from_slice(object).ok()?;
        (record.kind == "start")
            .eq(&record.start.is_some())
            .then_some((record, object))
    }

    /// Whether the object has the keyed hash that it says.
    #[must_use]
    pub fn is_authentic(object: &[u8], hasher: &Hasher) -> bool {
        let length = MAC_OPENING.len() + MAC_BYTES + MAC_CLOSING.len();
        let Some(at) = object.len().checked_sub(length) else {
            return false;
        };
        let Some((signed, said)) = object.split_at_checked(at) else {
            return false;
        };
        // The key is not the other side's to guess: the text of a hash tells nothing by how long it is compared.
        said == format!("{MAC_OPENING}{}{MAC_CLOSING}", hasher.hash(signed)).as_bytes()
    }
}

/// The hasher for the records of a device.
#[must_use]
pub fn hasher(hash_key: &Key, device: &str) -> Hasher {
    Hasher::new(hash_key, Purpose::AuditChain { device })
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    node: &'a str,
    device: &'a str,
    sequence: u64,
    previous: Option<&'a Link>,
}

/// A record in its place, ready to be written.
pub struct Linked {
    /// Its object.
    pub object: Vec<u8>,
    link: Link,
}

/// The chain of a device.
pub struct Chain {
    id: String,
    node: String,
    device: String,
    next: u64,
    previous: Option<Link>,
    hasher: Hasher,
}

impl Chain {
    /// A chain of no records yet.
    #[must_use]
    pub fn new(id: [u8; CHAIN_ID_BYTES], node: &str, device: &str, hasher: Hasher) -> Self {
        Self {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            node: node.to_owned(),
            device: device.to_owned(),
            next: 0,
            previous: None,
            hasher,
        }
    }

    /// Whether no record was written yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.next == 0
    }

    /// The last record that was written; none: there was none.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        Some(Head {
            id: self.id.clone(),
            sequence: self.next.checked_sub(1)?,
            link: self.previous.clone()?,
        })
    }

    /// The record that begins a file. `found`: the last record of this device of this node in it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn start(
        &mut self,
        time: Duration,
        is_first: bool,
        found: Option<Head>,
    ) -> serde_json::Result<Linked> {
        let found = found.filter(|_| self.is_new());
        if self.is_new() {
            self.previous = found.as_ref().map(|found| found.link.clone());
        }
        let continues = found.map(|found| Continued {
            id: found.id,
            sequence: found.sequence,
        });
        let start = Start { is_first, continues };
        let record = serde_json::json!({"time": rfc3339(time), "type": "start", "start": start});
        self.link(&serde_json::to_vec(&record)?)
    }

    /// The record that says that none follows.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn end(&self, time: Duration) -> serde_json::Result<Linked> {
        let record = serde_json::json!({"time": rfc3339(time), "type": "end"});
        self.link(&serde_json::to_vec(&record)?)
    }

    /// A record, an object of JSON, in the next place.
    ///
    /// # Errors
    /// The place cannot be written as JSON.
    pub fn link(&self, record: &[u8]) -> serde_json::Result<Linked> {
        let place = serde_json::to_vec(&Written {
            id: &self.id,
            node: &self.node,
            device: &self.device,
            sequence: self.next,
            previous: self.previous.as_ref(),
        })?;
        // Both end with a bracket, behind which nothing fits.
        let open = |object: &[u8]| object.strip_suffix(b"}").unwrap_or(object).to_vec();
        let mut object = open(record);
        object.extend_from_slice(b",\"chain\":");
        object.extend(open(&place));
        let mac = self.hasher.hash(&object);
        object.extend_from_slice(format!("{MAC_OPENING}{mac}{MAC_CLOSING}").as_bytes());
        let link = Link::of(&object);
        Ok(Linked { object, link })
    }

    /// Notes that a record was written. It is the next one's previous.
    pub fn advance(&mut self, written: Linked) {
        self.previous = Some(written.link);
        self.next += 1;
    }
}
