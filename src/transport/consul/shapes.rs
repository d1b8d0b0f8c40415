//! Nodes, services and checks, as answers show them: the keys that clients expect, lists and maps never `null`.
//!
//! Each form stands next to its [`Shape`], by which filter expressions about it are checked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::definition;
use crate::base::Revision;
use crate::service::consul::filter::Shape;
use crate::service::registry::{
    Check, CheckKind, Entry, KnownNode, Node, NodeEntry, Registration, Status, TaggedAddress, Weights,
};

/// A revision as an index.
pub(super) fn index(revision: Revision) -> u64 {
    u64::try_from(revision.0).unwrap_or_default()
}

/// The name of a status.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Passing => "passing",
        Status::Warning => "warning",
        Status::Critical => "critical",
    }
}

/// The status of a name.
pub(super) fn status_of(name: &str) -> Option<Status> {
    match name {
        "passing" => Some(Status::Passing),
        "warning" => Some(Status::Warning),
        "critical" => Some(Status::Critical),
        _ => None,
    }
}

fn weights(weights: Weights) -> Value {
    json!({"Passing": weights.passing, "Warning": weights.warning})
}

fn tagged_addresses(addresses: &BTreeMap<String, TaggedAddress>) -> Value {
    let shown = addresses.iter().map(|(tag, tagged)| {
        let shown = json!({"Address": tagged.address, "Port": tagged.port});
        (tag.clone(), shown)
    });
    Value::Object(shown.collect())
}

fn node_addresses(addresses: &BTreeMap<String, TaggedAddress>) -> Value {
    let shown = addresses
        .iter()
        .map(|(tag, tagged)| (tag.clone(), Value::from(tagged.address.as_str())));
    Value::Object(shown.collect())
}

const ADDRESS: Shape = Shape::Object(&[("Address", Shape::Text), ("Port", Shape::Number)]);
const WEIGHTS: Shape = Shape::Object(&[("Passing", Shape::Number), ("Warning", Shape::Number)]);
const TEXTS: Shape = Shape::Map(&Shape::Text);

/// What [`node`] shows.
pub(super) const NODE: Shape = Shape::Object(&[
    ("ID", Shape::Text),
    ("Node", Shape::Text),
    ("Address", Shape::Text),
    ("Datacenter", Shape::Text),
    ("TaggedAddresses", TEXTS),
    ("Meta", TEXTS),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
]);

/// A node.
pub(super) fn node(node: &NodeEntry, datacenter: &str) -> Value {
    match &node.state.known {
        Some(known) => known_node(known, datacenter),
        None => {
            let unknown = KnownNode {
                node: Node {
                    name: node.name().to_owned(),
                    ..Node::default()
                },
                create_revision: node.changed,
                modification_revision: node.changed,
            };
            known_node(&unknown, datacenter)
        }
    }
}

/// A node that was registered.
pub(super) fn known_node(known: &KnownNode, datacenter: &str) -> Value {
    let said = &known.node;
    json!({
        "ID": said.id,
        "Node": said.name,
        "Address": said.address,
        "Datacenter": datacenter,
        "TaggedAddresses": node_addresses(&said.tagged_addresses),
        "Meta": said.metadata,
        "CreateIndex": index(known.create_revision),
        "ModifyIndex": index(known.modification_revision),
    })
}

/// What [`service`] shows.
pub(super) const SERVICE: Shape = Shape::Object(&[
    ("Kind", Shape::Text),
    ("ID", Shape::Text),
    ("Service", Shape::Text),
    ("Tags", Shape::Texts),
    ("Meta", TEXTS),
    ("Port", Shape::Number),
    ("Address", Shape::Text),
    ("SocketPath", Shape::Text),
    ("TaggedAddresses", Shape::Map(&ADDRESS)),
    ("Weights", WEIGHTS),
    ("EnableTagOverride", Shape::Boolean),
    ("Datacenter", Shape::Text),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
]);

/// An instance, as agents and nodes show it.
pub(super) fn service(entry: &Entry) -> Map<String, Value> {
    let said = &entry.instance.registration;
    let shown = [
        ("ID", json!(said.id)),
        ("Service", json!(said.service)),
        ("Tags", json!(said.tags)),
        ("Meta", json!(said.metadata)),
        ("Port", json!(said.port)),
        ("Address", json!(said.address)),
        ("TaggedAddresses", tagged_addresses(&said.tagged_addresses)),
        ("Weights", weights(said.weights)),
        ("EnableTagOverride", json!(said.enable_tag_override)),
        ("CreateIndex", json!(index(entry.instance.create_revision))),
        ("ModifyIndex", json!(index(entry.instance.modification_revision))),
    ];
    Map::from_iter(shown.map(|(name, value)| (name.to_owned(), value)))
}

/// The same with what belongs to a mesh, which is empty.
pub(super) fn service_of_node(entry: &Entry) -> Map<String, Value> {
    let mut shown = service(entry);
    shown.insert(
        "Proxy".into(),
        json!({"Mode": "", "MeshGateway": {}, "Expose": {}}),
    );
    shown.insert("Connect".into(), json!({}));
    shown
}

/// What [`catalog_service`] shows.
pub(super) const CATALOG_SERVICE: Shape = Shape::Object(&[
    ("ID", Shape::Text),
    ("Node", Shape::Text),
    ("Address", Shape::Text),
    ("Datacenter", Shape::Text),
    ("TaggedAddresses", TEXTS),
    ("NodeMeta", TEXTS),
    ("ServiceKind", Shape::Text),
    ("ServiceID", Shape::Text),
    ("ServiceName", Shape::Text),
    ("ServiceTags", Shape::Texts),
    ("ServiceAddress", Shape::Text),
    ("ServiceTaggedAddresses", Shape::Map(&ADDRESS)),
    ("ServiceWeights", WEIGHTS),
    ("ServiceMeta", TEXTS),
    ("ServicePort", Shape::Number),
    ("ServiceSocketPath", Shape::Text),
    ("ServiceEnableTagOverride", Shape::Boolean),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
]);

/// An instance with its node, as one flat object.
pub(super) fn catalog_service(entry: &Entry, datacenter: &str) -> Value {
    let said = &entry.instance.registration;
    let node = entry.node.known.as_ref().map(|known| &known.node);
    json!({
        "ID": node.map(|node| node.id.as_str()).unwrap_or_default(),
        "Node": node.map_or(said.node.as_str(), |node| node.name.as_str()),
        "Address": node.map(|node| node.address.as_str()).unwrap_or_default(),
        "Datacenter": datacenter,
        "TaggedAddresses": node.map_or(json!({}), |node| node_addresses(&node.tagged_addresses)),
        "NodeMeta": node.map_or(json!({}), |node| json!(node.metadata)),
        "ServiceKind": "",
        "ServiceID": said.id,
        "ServiceName": said.service,
        "ServiceTags": said.tags,
        "ServiceAddress": said.address,
        "ServiceTaggedAddresses": tagged_addresses(&said.tagged_addresses),
        "ServiceWeights": weights(said.weights),
        "ServiceMeta": said.metadata,
        "ServicePort": said.port,
        "ServiceSocketPath": "",
        "ServiceEnableTagOverride": said.enable_tag_override,
        "ServiceProxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
        "CreateIndex": index(entry.instance.create_revision),
        "ModifyIndex": index(entry.instance.modification_revision),
    })
}

/// What [`check`] shows.
pub(super) const CHECK: Shape = Shape::Object(&[
    ("Node", Shape::Text),
    ("CheckID", Shape::Text),
    ("Name", Shape::Text),
    ("Status", Shape::Text),
    ("Notes", Shape::Text),
    ("Output", Shape::Text),
    ("ServiceID", Shape::Text),
    ("ServiceName", Shape::Text),
    ("ServiceTags", Shape::Texts),
    ("Type", Shape::Text),
    ("Interval", Shape::Text),
    ("Timeout", Shape::Text),
    ("ExposedPort", Shape::Number),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
]);

/// A check of an instance, or of a node itself.
pub(super) fn check(check: &Check, node: &str, instance: Option<&Registration>) -> Value {
    let said = &check.definition;
    let name = match (&said.kind, instance) {
        (CheckKind::Maintenance, Some(_)) => "Service Maintenance Mode",
        (CheckKind::Maintenance, None) => "Node Maintenance Mode",
        _ => &said.name,
    };
    let (interval, timeout) = definition::times(&said.kind);
    let empty = Registration::default();
    let service = instance.unwrap_or(&empty);
    json!({
        "Node": node,
        "CheckID": said.id,
        "Name": name,
        "Status": status(check.state.status),
        "Notes": said.notes,
        "Output": check.state.output,
        "ServiceID": service.id,
        "ServiceName": service.service,
        "ServiceTags": service.tags,
        "Type": said.kind.name(),
        "Interval": interval,
        "Timeout": timeout,
        "ExposedPort": 0,
        "Definition": definition::shown(&said.kind),
        "CreateIndex": index(check.create_revision),
        "ModifyIndex": index(check.modification_revision()),
    })
}

/// What [`health_entry`] shows.
pub(super) const HEALTH_ENTRY: Shape = Shape::Object(&[
    ("Node", NODE),
    ("Service", SERVICE),
    ("Checks", Shape::List(&CHECK)),
]);

/// An instance with its node and all that decides over its health.
pub(super) fn health_entry(entry: &Entry, node_entry: &NodeEntry, datacenter: &str) -> Value {
    json!({
        "Node": node(node_entry, datacenter),
        "Service": service_of_node(entry),
        "Checks": checks_of(entry, node_entry.name()),
    })
}

/// The checks of the node of an instance, and its own.
pub(super) fn checks_of(entry: &Entry, node: &str) -> Vec<Value> {
    let of_node = entry.node.checks.iter().map(|of_node| check(of_node, node, None));
    of_node.chain(own_checks_of(entry, node)).collect()
}

/// The checks of an instance itself.
pub(super) fn own_checks_of<'entry>(
    entry: &'entry Entry,
    node: &'entry str,
) -> impl Iterator<Item = Value> + 'entry {
    let registration = &entry.instance.registration;
    let own = entry.checks.iter();
    own.map(move |own| check(own, node, Some(registration)))
}

/// The worst status of an instance, and whether an operator took it out of service.
pub(super) fn aggregated(entry: &Entry) -> &'static str {
    match entry.is_in_maintenance() {
        true => "maintenance",
        false => status(entry.status()),
    }
}
