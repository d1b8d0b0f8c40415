//! What services, instances and checks look like: a line each for people, and Stead's JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::checks::kind_json;
use crate::base::LeaseId;
use crate::proto::registry::{Check, Instance, Place, Service, Status};

/// The word for a status.
fn word(status: Status) -> &'static str {
    match status {
        Status::Unspecified => "unknown",
        Status::Passing => "passing",
        Status::Warning => "warning",
        Status::Critical => "critical",
    }
}

/// A service.
pub(super) fn service_line(service: &Service) -> String {
    let Service {
        name,
        instances,
        passing,
        tags,
        ..
    } = service;
    let tags = tags.join(",");
    format!("{name}\t{passing}/{instances} passing\t{tags}")
        .trim_end()
        .to_owned()
}

/// A service.
pub(super) fn service_json(service: &Service) -> Value {
    json!({
        "name": service.name,
        "tags": service.tags,
        "instances": service.instances,
        "passing": service.passing,
        "modify_revision": service.modify_revision,
    })
}

/// Where an instance is found.
fn found_at(instance: &Instance) -> String {
    let address = &instance.effective_address;
    match instance.port {
        0 => address.clone(),
        port if address.contains(':') => format!("[{address}]:{port}"),
        port => format!("{address}:{port}"),
    }
}

/// An instance.
pub(super) fn instance_line(instance: &Instance) -> String {
    let Instance {
        service, node, id, ..
    } = instance;
    let (address, status) = (found_at(instance), word(instance.status()));
    let tags = instance.tags.join(",");
    format!("{service}\t{node}/{id}\t{address}\t{status}\t{tags}")
        .trim_end()
        .to_owned()
}

/// An instance.
pub(super) fn instance_json(instance: &Instance) -> Value {
    let metadata: BTreeMap<_, _> = instance.metadata.iter().collect();
    let tagged: BTreeMap<_, _> = instance
        .tagged_addresses
        .iter()
        .map(|(tag, tagged)| (tag, json!({"address": tagged.address, "port": tagged.port})))
        .collect();
    let weights = instance.weights.unwrap_or_default();
    let checks = |checks: &[Check]| checks.iter().map(check_json).collect::<Vec<_>>();
    json!({
        "service": instance.service,
        "node": instance.node,
        "id": instance.id,
        "address": instance.effective_address,
        "port": instance.port,
        "status": word(instance.status()),
        "tags": instance.tags,
        "metadata": metadata,
        "tagged_addresses": tagged,
        "weights": {"passing": weights.passing, "warning": weights.warning},
        "ttl": instance.ttl_seconds,
        "lease": (instance.lease != 0).then(|| LeaseId(instance.lease).to_string()),
        "epoch": instance.epoch,
        "create_revision": instance.create_revision,
        "modify_revision": instance.modify_revision,
        "checks": checks(&instance.checks),
        "node_checks": checks(&instance.node_checks),
    })
}

/// A check, below its instance.
pub(super) fn check_line(check: &Check) -> String {
    let Check {
        id, notes, output, ..
    } = check;
    let status = word(check.status());
    let said = if output.is_empty() { notes } else { output };
    // The rest of what it says is in the JSON.
    let first = said.lines().next().unwrap_or_default();
    format!("  {id}\t{status}\t{first}").trim_end().to_owned()
}

fn check_json(check: &Check) -> Value {
    json!({
        "id": check.id,
        "name": check.name,
        "notes": check.notes,
        "definition": kind_json(check),
        "status": word(check.status()),
        "output": check.output,
        "create_revision": check.create_revision,
        "modify_revision": check.modify_revision,
    })
}

/// An instance that is gone.
pub(super) fn place_line(place: &Place) -> String {
    format!("{}\t{}/{}", place.service, place.node, place.id)
}

/// An instance that is gone.
pub(super) fn place_json(place: &Place) -> Value {
    json!({"service": place.service, "node": place.node, "id": place.id})
}
