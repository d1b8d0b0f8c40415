//! How what is stored is written: as all records of the store, behind a version byte ([`crate::state::format`]). The golden
//! bytes in the tests hold the format still.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ConsulError;
use crate::base::LeaseId;
use crate::service::ServiceError;
use crate::state::format;

/// Flags and value of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredValue {
    pub flags: u64,
    pub value: Bytes,
}

/// The lock of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredLock {
    /// How often it was taken.
    pub times: u64,
    /// By which session it is held.
    pub session: Option<[u8; 16]>,
}

/// What becomes of the keys of a session that ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behavior {
    /// They stay, and are nobody's.
    #[default]
    Release,
    /// They are removed.
    Delete,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSession {
    pub name: String,
    pub node: String,
    pub lock_delay_nanoseconds: i64,
    pub behavior: Behavior,
    /// As it was given; empty: none.
    pub ttl: String,
    /// On which it hangs; none without a time to live.
    pub lease: LeaseId,
    pub node_checks: Vec<String>,
    pub service_checks: Vec<String>,
    /// Whether its node was registered, so that the session ends with it.
    pub watches_node: bool,
    /// The checks that were there, with any of which it ends.
    pub watched_checks: Vec<String>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    pub id: [u8; 16],
    pub name: String,
    pub payload: Bytes,
    pub node_filter: String,
    pub service_filter: String,
    pub tag_filter: String,
}

/// Writes a record.
pub(super) fn encode(record: &impl Serialize) -> Result<Bytes, ConsulError> {
    format::encode("record of Consul's interface", record).map_err(unreadable)
}

/// Reads a record.
pub(super) fn decode<Record: DeserializeOwned>(record: &Bytes) -> Result<Record, ConsulError> {
    format::decode("record of Consul's interface", record).map_err(unreadable)
}

fn unreadable(error: impl ToString) -> ConsulError {
    ServiceError::Internal(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(record: &impl Serialize) -> String {
        let bytes = encode(record).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_keep_their_bytes() {
        let value = StoredValue {
            flags: 300,
            value: Bytes::from_static(b"v"),
        };
        assert_eq!(hexadecimal(&value), "01fb2c010176");
        assert_eq!(decode::<StoredValue>(&encode(&value).unwrap()).unwrap(), value);
        let lock = StoredLock {
            times: 2,
            session: Some([7; 16]),
        };
        assert_eq!(hexadecimal(&lock), format!("010201{}", "07".repeat(16)));
        let session = StoredSession {
            name: "n".into(),
            node: "m".into(),
            lock_delay_nanoseconds: 1,
            behavior: Behavior::Delete,
            ttl: "10s".into(),
            lease: LeaseId(5),
            node_checks: vec!["a".into()],
            service_checks: vec![],
            watches_node: true,
            watched_checks: vec!["a".into()],
        };
        assert_eq!(
            hexadecimal(&session),
            "01016e016d0201033130730a01016100010101".to_owned() + "61"
        );
        let event = StoredEvent {
            id: [1; 16],
            name: "e".into(),
            payload: Bytes::from_static(b"p"),
            node_filter: String::new(),
            service_filter: String::new(),
            tag_filter: "t".into(),
        };
        assert_eq!(
            hexadecimal(&event),
            format!("01{}0165017000000174", "01".repeat(16))
        );
        assert!(decode::<StoredLock>(&Bytes::from_static(b"\x09\x00\x00")).is_err());
    }
}
