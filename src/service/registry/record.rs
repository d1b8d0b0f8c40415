//! How what is stored is written: as all records of the store, behind a version byte ([`crate::state::format`]). The golden
//! bytes in the tests hold the format still.
//!
//! A record of an unknown version is an error and never a guess.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::model::{Instance, KnownNode, Registration};
use crate::base::Revision;
use crate::state::applied::KeyValue;
use crate::state::format;

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredInstance {
    /// Its epoch; none where it is the revision at which the record was written, which nobody knew when writing it.
    pub epoch: Option<Revision>,
    /// What was said of it.
    pub registration: Registration,
}

impl StoredInstance {
    /// The epoch of a record that was read.
    pub fn epoch_in(&self, stored: &KeyValue) -> Revision {
        self.epoch.unwrap_or(stored.modification_revision)
    }
}

/// What was deregistered last among those that share a fence: the key of an instance or a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredFence {
    /// Its key.
    pub key: Bytes,
}

/// Writes a record.
pub(super) fn encode(record: &impl Serialize) -> Result<Bytes, RegistryError> {
    format::encode("service record", record).map_err(|error| RegistryError::Unreadable(error.to_string()))
}

/// Reads a record.
pub(super) fn decode<Record: DeserializeOwned>(record: &Bytes) -> Result<Record, RegistryError> {
    format::decode("service record", record).map_err(|error| RegistryError::Unreadable(error.to_string()))
}

/// Reads a node.
pub(super) fn read_node(stored: &KeyValue) -> Result<KnownNode, RegistryError> {
    Ok(KnownNode {
        node: decode(&stored.value)?,
        create_revision: stored.create_revision,
        modification_revision: stored.modification_revision,
    })
}

/// Reads an instance.
pub(super) fn read_instance(stored: &KeyValue) -> Result<Instance, RegistryError> {
    let record: StoredInstance = decode(&stored.value)?;
    Ok(Instance {
        epoch: record.epoch_in(stored),
        registration: record.registration,
        create_revision: stored.create_revision,
        modification_revision: stored.modification_revision,
        lease: stored.lease,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::definition::{Alias, CheckKind, HttpTarget, Probe, Target, TargetTls, TimeToLive};
    use super::super::model::{CheckDefinition, CheckState, Node, Status, TaggedAddress, Weights};
    use super::*;

    fn hexadecimal(bytes: &Bytes) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn text_map(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    fn tagged() -> BTreeMap<String, TaggedAddress> {
        let address = TaggedAddress {
            address: "h".into(),
            port: 80,
        };
        BTreeMap::from([("lan".to_owned(), address)])
    }

    fn check<Record>(record: &Record, golden: &str)
    where
        Record: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = encode(record).unwrap();
        assert_eq!(hexadecimal(&bytes), golden, "{record:?}");
        assert_eq!(&decode::<Record>(&bytes).unwrap(), record);
    }

    #[test]
    fn records_keep_their_bytes() {
        let instance = StoredInstance {
            epoch: Some(Revision(300)),
            registration: Registration {
                service: "web".into(),
                id: "w1".into(),
                node: "n1".into(),
                address: "10.0.0.1".into(),
                port: 8080,
                tags: vec!["a".into()],
                metadata: text_map("k", "v"),
                weights: Weights {
                    passing: 10,
                    warning: 1,
                },
                tagged_addresses: tagged(),
                ttl_seconds: 10,
                enable_tag_override: true,
            },
        };
        check(
            &instance,
            "0101fb580203776562027731026e310831302e302e302e31fb901f01016101016b01760a0101036c616e0168501401",
        );
        let node = Node {
            name: "n1".into(),
            id: "i".into(),
            address: "a".into(),
            tagged_addresses: tagged(),
            metadata: text_map("k", "v"),
        };
        check(&node, "01026e310169016101036c616e01685001016b0176");
        let definition = |kind| CheckDefinition {
            id: "c".into(),
            name: "n".into(),
            notes: "x".into(),
            kind,
        };
        check(&definition(CheckKind::Reported), "010163016e017800");
        check(&definition(CheckKind::Maintenance), "010163016e017801");
        for (status, golden) in [
            (Status::Passing, "0100016f"),
            (Status::Warning, "0101016f"),
            (Status::Critical, "0102016f"),
        ] {
            let output = "o".into();
            check(&CheckState { status, output }, golden);
        }
        let fence = StoredFence {
            key: Bytes::from("k"),
        };
        check(&fence, "01016b");
    }

    #[test]
    fn definitions_of_checks_keep_their_bytes() {
        let tls = || TargetTls {
            skip_verify: true,
            server_name: "s".into(),
        };
        let address = || "a".to_owned();
        let probe = |target| {
            CheckKind::Probe(Box::new(Probe {
                target,
                interval_milliseconds: 10_000,
                timeout_milliseconds: 2,
                success_before_passing: 3,
                failures_before_warning: 4,
                failures_before_critical: 5,
                deregister_after_milliseconds: 60_000,
                maximum_output_bytes: 7,
            }))
        };
        let http = Target::Http(HttpTarget {
            url: "u".into(),
            method: "m".into(),
            headers: BTreeMap::from([("k".to_owned(), vec!["v".to_owned()])]),
            body: "b".into(),
            disable_redirects: true,
            tls: tls(),
        });
        let grpc = Target::Grpc {
            address: address(),
            service: "g".into(),
            tls: None,
        };
        for (kind, golden) in [
            (
                CheckKind::TimeToLive(TimeToLive {
                    milliseconds: 100,
                    deregister_after_milliseconds: 60_000,
                }),
                "0264fb60ea",
            ),
            (
                probe(http),
                "03000175016d01016b010176016201010173fb102702030405fb60ea07",
            ),
            (
                probe(Target::Tcp {
                    address: address(),
                    tls: Some(tls()),
                }),
                "0301016101010173fb102702030405fb60ea07",
            ),
            (
                probe(Target::Udp { address: address() }),
                "03020161fb102702030405fb60ea07",
            ),
            (probe(grpc), "03030161016700fb102702030405fb60ea07"),
            (
                probe(Target::H2Ping {
                    address: address(),
                    tls: None,
                }),
                "0304016100fb102702030405fb60ea07",
            ),
            (
                CheckKind::Alias(Alias {
                    node: "n".into(),
                    instance: "i".into(),
                }),
                "04016e0169",
            ),
        ] {
            check(&kind, &format!("01{golden}"));
        }
    }

    #[test]
    fn a_record_of_another_version_or_with_more_than_there_is_is_refused() {
        let fence = StoredFence {
            key: Bytes::from("k"),
        };
        let bytes = encode(&fence).unwrap();
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        let longer = [&bytes[..], &[0]].concat();
        for broken in [newer, longer, bytes[..bytes.len() - 1].to_vec(), Vec::new()] {
            let read = decode::<StoredFence>(&Bytes::from(broken));
            assert!(matches!(read, Err(RegistryError::Unreadable(_))), "{read:?}");
        }
    }
}
