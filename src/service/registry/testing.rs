//! Catalogs without a store, for tests of what reads them.

use bytes::Bytes;
use serde::Serialize;

use super::keys::Owner;
use super::record::{StoredInstance, encode};
use super::{Catalog, CheckDefinition, CheckKind, CheckState, NewCheck, Node, Registration, Status};
use crate::base::{LeaseId, Revision};
use crate::state::applied::{EventKind, KeyValue};

/// A check that says this of what it checks.
#[must_use]
pub fn check(status: Status) -> NewCheck {
    NewCheck {
        definition: CheckDefinition {
            id: "c".into(),
            name: String::new(),
            notes: String::new(),
            kind: CheckKind::Reported,
        },
        state: CheckState {
            status,
            output: String::new(),
        },
    }
}

/// The catalog of these nodes and instances, each with its checks, as if all were registered at `revision`.
#[must_use]
pub fn catalog(
    revision: Revision,
    nodes: &[(Node, Vec<NewCheck>)],
    instances: &[(Registration, Vec<NewCheck>)],
) -> Catalog {
    fn put(key: Bytes, record: &impl Serialize, revision: Revision) -> KeyValue {
        KeyValue {
            key,
            value: encode(record).unwrap_or_default(),
            create_revision: revision,
            modification_revision: revision,
            version: 1,
            lease: LeaseId::NONE,
        }
    }
    let mut stored = Vec::new();
    let mut checks_of = |owner: Owner<'_>, checks: &[NewCheck]| {
        for NewCheck { definition, state } in checks {
            stored.push(put(owner.check(&definition.id), definition, revision));
            stored.push(put(owner.state(&definition.id), state, revision));
        }
    };
    for (node, checks) in nodes {
        checks_of(Owner::node(&node.name), checks);
    }
    for (registration, checks) in instances {
        checks_of(Owner::instance(&registration.node, &registration.id), checks);
    }
    for (node, _) in nodes {
        stored.push(put(Owner::node(&node.name).key(), node, revision));
    }
    for (registration, _) in instances {
        let record = StoredInstance {
            epoch: None,
            registration: registration.clone(),
        };
        let key = Owner::instance(&registration.node, &registration.id).key();
        stored.push(put(key, &record, revision));
    }
    let mut catalog = Catalog::empty(revision);
    let events = stored.iter().map(|stored| (EventKind::Put, stored));
    match catalog.apply(revision, events) {
        Ok(_) => catalog,
        Err(_) => Catalog::default(),
    }
}
