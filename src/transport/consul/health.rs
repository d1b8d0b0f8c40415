//! `/v1/health`: checks, and instances with all that decides over their health.

use serde_json::Value;

use super::answer::{Answer, Meta};
use super::call::Call;
use super::catalog::node_index;
use super::listing::{Choice, has_tags, read};
use super::routes::Route;
use super::shapes;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::Resource;
use crate::service::registry::{Catalog, NodeEntry, Status};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/health/node/", |call| Box::pin(node(call))),
    Route::get("/v1/health/checks/", |call| Box::pin(checks(call))),
    Route::get("/v1/health/state/", |call| Box::pin(state(call))),
    Route::get("/v1/health/service/", |call| Box::pin(service(call))),
];

/// The checks of a node and of all that is on it, as far as the token may see them.
fn checks_on(call: &Call, choice: &mut Choice, node: &NodeEntry) -> Vec<Value> {
    if !choice.admits_node(node) || !choice.may_see(call, [Resource::Node(node.name())]) {
        return Vec::new();
    }
    let own = node.state.checks.iter();
    let mut shown: Vec<Value> = own.map(|check| shapes::check(check, node.name(), None)).collect();
    for entry in node.instances() {
        let service = &entry.instance.registration.service;
        if !entry.checks.is_empty() && choice.may_see(call, [Resource::Service(service)]) {
            shown.extend(shapes::own_checks_of(entry, node.name()));
        }
    }
    shown
}

async fn node(mut call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("node name")?;
    let mut choice = Choice::parse(&mut call, shapes::CHECK)?;
    let (catalog, meta) = read(&call, node_index(name.clone())).await?;
    let node = catalog.node(&name);
    let found = node.map(|node| checks_on(&call, &mut choice, node));
    filtered(&call, &choice, found.unwrap_or_default(), meta)
}

fn filtered(call: &Call, choice: &Choice, mut found: Vec<Value>, meta: Meta) -> Result<Answer, ConsulError> {
    found.retain(|check| choice.admits(check));
    choice.answer(call, &found, meta)
}

async fn checks(mut call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("service name")?;
    let mut choice = Choice::parse(&mut call, shapes::CHECK)?;
    let watched = name.clone();
    let (catalog, meta) = read(&call, move |catalog| catalog.service_changed(&watched)).await?;
    let found = choice.instances(&call, &catalog, &name, |entry| !entry.checks.is_empty());
    let checks = found
        .into_iter()
        .flat_map(|(node, entry)| shapes::own_checks_of(entry, node.name()));
    let found = checks.collect();
    filtered(&call, &choice, found, meta)
}

async fn state(mut call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("check state")?;
    let wanted = shapes::status_of(&name);
    if wanted.is_none() && name != "any" {
        return Err(ConsulError::Invalid(format!(
            "Invalid check state {name:?}: it is any, passing, warning or critical"
        )));
    }
    let mut choice = Choice::parse(&mut call, shapes::CHECK)?;
    let (catalog, meta) = read(&call, Catalog::changed).await?;
    let mut found = Vec::new();
    for node in catalog.nodes() {
        let shown = checks_on(&call, &mut choice, node);
        found.extend(shown.into_iter().map(|check| (node.name(), check)));
    }
    if wanted.is_some() {
        found.retain(|(_, check)| check.get("Status").and_then(Value::as_str) == Some(&name));
    }
    choice.sort(&mut found, |(node, _)| node);
    let found = found.into_iter().map(|(_, check)| check).collect();
    filtered(&call, &choice, found, meta)
}

/// Whether only instances that pass all checks are asked for.
fn only_passing(call: &Call) -> Result<bool, ConsulError> {
    match call.parameters.all("passing").into_iter().next() {
        None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some("" | "1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some(other) => Err(ConsulError::Invalid(format!(
            "Invalid value for ?passing: {other:?} is neither true nor false"
        ))),
    }
}

async fn service(mut call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("service name")?;
    let only_passing = only_passing(&call)?;
    let mut choice = Choice::parse(&mut call, shapes::HEALTH_ENTRY)?;
    let watched = name.clone();
    let (catalog, meta) = read(&call, move |catalog| catalog.service_changed(&watched)).await?;
    let has_tags = has_tags(&call);
    let found = choice.instances(&call, &catalog, &name, |entry| {
        has_tags(entry) && (!only_passing || entry.status() == Status::Passing)
    });
    let datacenter = &call.consul.settings().datacenter;
    let shown = found
        .into_iter()
        .map(|(node, entry)| shapes::health_entry(entry, node, datacenter));
    let shown: Vec<Value> = shown.filter(|entry| choice.admits(entry)).collect();
    choice.answer(&call, &shown, meta)
}
