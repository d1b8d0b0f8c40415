//! For fuzzing: the records and the keys of services, and the catalog that is made of them.

use bytes::Bytes;

use super::catalog::Catalog;
use super::definition::{CheckKind, Probe, Target, TimeToLive};
use super::keys::{self, Owner};
use super::model::{CheckDefinition, CheckState, Node, Status};
use super::record::{StoredFence, StoredInstance, encode};
use crate::base::Revision;
use crate::base::fuzzing::{choice, seed};
use crate::state::applied::{EventKind, KeyValue};
use crate::state::fuzzing::record;

/// Records of each kind, and a key with a record. The second byte of the latter is how long the key is.
pub fn services(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    let bytes = Bytes::copy_from_slice(rest);
    match kind {
        0 => record::<StoredInstance>(&bytes),
        1 => record::<Node>(&bytes),
        2 => record::<CheckDefinition>(&bytes),
        3 => record::<CheckState>(&bytes),
        4 => record::<StoredFence>(&bytes),
        _ => {
            let (length, rest) = choice(rest);
            let (key, value) = rest.split_at(usize::from(length).min(rest.len()));
            let stored = KeyValue {
                key: Bytes::copy_from_slice(key),
                value: Bytes::copy_from_slice(value),
                ..KeyValue::default()
            };
            let mut catalog = Catalog::empty(Revision(1));
            let _ = keys::parse(key);
            let _ = catalog.apply(Revision(2), [(EventKind::Put, &stored)]);
            let _ = catalog.apply(Revision(3), [(EventKind::Delete, &stored)]);
        }
    }
}

/// One of each.
#[must_use]
pub fn service_seeds() -> Vec<Vec<u8>> {
    let node = Node {
        name: "n".into(),
        address: "a".into(),
        metadata: [("k".to_owned(), "v".to_owned())].into(),
        ..Node::default()
    };
    let definition = |kind| CheckDefinition {
        id: "c".into(),
        name: "n".into(),
        notes: "x".into(),
        kind,
    };
    let address = "h:1".to_owned();
    let probe = Probe::new(Target::Udp { address }, std::time::Duration::from_secs(10));
    let timed = CheckKind::TimeToLive(TimeToLive {
        milliseconds: 100,
        deregister_after_milliseconds: 60_000,
    });
    let state = CheckState {
        status: Status::Warning,
        output: "o".into(),
    };
    let instance = StoredInstance {
        epoch: Some(Revision(300)),
        registration: Default::default(),
    };
    let fence = StoredFence { key: "k".into() };
    let single = [
        (0, encode(&instance)),
        (1, encode(&node)),
        (2, encode(&definition(CheckKind::Probe(Box::new(probe))))),
        (2, encode(&definition(timed))),
        (3, encode(&state)),
        (4, encode(&fence)),
    ];
    let owner = Owner::instance("n", "w");
    let keyed = [
        (Owner::node("n").key(), encode(&node)),
        (owner.key(), encode(&instance)),
        (owner.state("c"), encode(&state)),
    ];
    let keyed = keyed.into_iter().filter_map(|(key, value)| {
        let length = u8::try_from(key.len()).ok()?;
        Some(seed(5, [&[length], &key[..], &value.ok()?[..]].concat()))
    });
    let single = single
        .into_iter()
        .filter_map(|(kind, encoded)| Some(seed(kind, encoded.ok()?)));
    single.chain(keyed).collect()
}
