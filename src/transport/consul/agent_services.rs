//! `/v1/agent`: services that are registered through a member, and whether they are well.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::call::Call;
use super::definition::{self, Otherwise};
use super::fields::Fields;
use super::listing::filter;
use super::routes::Route;
use super::{registration, shapes};
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::{ConsulError, Watched};
use crate::service::registry::{Catalog, Claim, Entry, MEMBER_SERVICE, NewCheck};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/agent/services", |call| Box::pin(services(call))),
    Route::get("/v1/agent/service/", |call| Box::pin(service(call))),
    Route::put("/v1/agent/service/register", |call| Box::pin(register(call))),
    Route::put("/v1/agent/service/deregister/", |call| Box::pin(deregister(call))),
    Route::put("/v1/agent/service/maintenance/", |call| {
        Box::pin(service_maintenance(call))
    }),
    Route::put("/v1/agent/maintenance", |call| Box::pin(node_maintenance(call))),
    Route::get("/v1/agent/health/service/id/", |call| {
        Box::pin(health_of_id(call))
    }),
    Route::get("/v1/agent/health/service/name/", |call| {
        Box::pin(health_of_name(call))
    }),
];

/// An instance as agents show it: without indexes, unlike the catalog.
fn shown(entry: &Entry, datacenter: &str) -> Map<String, Value> {
    let mut shown = shapes::service(entry);
    for index in ["CreateIndex", "ModifyIndex"] {
        shown.remove(index);
    }
    if entry.instance.registration.tagged_addresses.is_empty() {
        shown.remove("TaggedAddresses");
    }
    shown.insert("Datacenter".into(), datacenter.into());
    shown
}

async fn services(call: Call) -> Result<Answer, ConsulError> {
    let filter = filter(&call, shapes::SERVICE)?;
    let catalog = call.consul.catalog(call.options.is_stale()).await?;
    let mut found = Map::new();
    let mut is_filtered = false;
    for entry in call
        .consul
        .own_node(&catalog)
        .into_iter()
        .flat_map(|node| node.instances())
    {
        let said = &entry.instance.registration;
        // The member itself was registered by nobody here.
        if said.service == MEMBER_SERVICE && said.id == MEMBER_SERVICE {
            continue;
        }
        if !call
            .authorizer
            .allows(Resource::Service(&said.service), Access::Read)
        {
            is_filtered = true;
            continue;
        }
        let shown = Value::Object(shown(entry, &call.consul.settings().datacenter));
        if filter.as_ref().is_none_or(|filter| filter.admits(&shown)) {
            found.insert(said.id.clone(), shown);
        }
    }
    Ok(call.json(&found)?.marked(is_filtered))
}

fn unknown(id: &str) -> ConsulError {
    ConsulError::Unknown(format!(
        "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
    ))
}

async fn instance(call: &Call, catalog: &Catalog, id: &str) -> Result<Arc<Entry>, ConsulError> {
    call.consul
        .instance(catalog, id)
        .await?
        .ok_or_else(|| unknown(id))
}

async fn service(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("service ID")?;
    let wanted_hash = call.parameters.text("hash");
    let until = Instant::now() + call.options.wait;
    let mut is_stale = call.options.is_stale();
    loop {
        let catalog = call.consul.catalog(is_stale).await?;
        let entry = instance(&call, &catalog, &id).await?;
        let said = &entry.instance.registration;
        call.authorizer
            .require(Resource::Service(&said.service), Access::Read)?;
        let mut found = shown(&entry, &call.consul.settings().datacenter);
        // What says how often it was written is no part of what it is.
        found.remove("CreateIndex");
        found.remove("ModifyIndex");
        let digest = Sha256::digest(Value::Object(found.clone()).to_string());
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        if wanted_hash != Some(&hash) || Instant::now() >= until || call.stopping.is_cancelled() {
            found.insert("ContentHash".into(), hash.as_str().into());
            let header = HeaderName::from_static("x-consul-contenthash");
            let value = HeaderValue::from_str(&hash)
                .map_err(|error| ConsulError::Failed(format!("cannot write the hash: {error}")))?;
            return Ok(call.json(&found)?.with_header(header, value));
        }
        let node = said.node.clone();
        let index_of =
            move |catalog: &Catalog| catalog.node(&node).map_or(catalog.changed(), |node| node.changed);
        let index = index_of(&catalog);
        let mut waiter = call.consul.waiter(Watched::Catalog(Arc::new(index_of)));
        tokio::select! {
            changed = timeout_at(until, waiter.changed(catalog.revision(), index)) => {
                if let Ok(changed) = changed {
                    changed?;
                }
            }
            () = call.stopping.cancelled() => {}
        }
        is_stale = true;
    }
}

async fn register(call: Call) -> Result<Answer, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    let node = call.consul.settings().node.clone();
    let registration = registration::parse(&fields, "Name", &node)?;
    call.authorizer
        .require(Resource::Service(&registration.service), Access::Write)?;
    metadata_keys(&registration.metadata)?;
    let checks = checks_of(&fields, &registration.id, &registration.service)?;
    let replaces = call.parameters.has("replace-existing-checks")
        && call.parameters.text("replace-existing-checks") != Some("false");
    call.consul.begin_own_node().await?;
    let catalog = call.consul.catalog(false).await?;
    let there = catalog.entry(&node, &registration.id);
    if let Some(there) = there {
        // One that is of another service is taken over only by who may change that.
        let other = &there.instance.registration.service;
        call.authorizer.require(Resource::Service(other), Access::Write)?;
    }
    let claim = match (there, replaces) {
        (Some(there), true) => Claim::Holder(there.instance.epoch),
        _ => Claim::Whichever,
    };
    call.consul
        .registry()
        .register(registration, claim, &checks)
        .await?;
    Ok(Answer::empty())
}

/// Refuses keys that Consul's agents refuse.
fn metadata_keys(metadata: &BTreeMap<String, String>) -> Result<(), ConsulError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    match metadata.keys().find(|key| !key.chars().all(is_plain)) {
        Some(key) => Err(ConsulError::Invalid(format!(
            "Invalid Service Meta: {key:?}: Key contains invalid characters; write letters, digits, - and _"
        ))),
        None => Ok(()),
    }
}

/// The checks of a registration, with the ids and names that they get where none are given.
fn checks_of(fields: &Fields, id: &str, service: &str) -> Result<Vec<NewCheck>, ConsulError> {
    let mut given = Vec::new();
    let single = fields.object("Check")?.into_iter();
    for check in single.chain(fields.objects("Checks")?.unwrap_or_default()) {
        // Some clients send an empty one for none.
        if !check.is_empty() {
            given.push(definition::parse(&check, Otherwise::Refused)?);
        }
    }
    let number = given.len();
    for (position, check) in (1..).zip(&mut given) {
        if check.definition.id.is_empty() {
            check.definition.id = match number {
                1 => format!("service:{id}"),
                _ => format!("service:{id}:{position}"),
            };
        }
        if check.definition.name.is_empty() {
            check.definition.name = format!("Service '{service}' check");
        }
    }
    Ok(given)
}

async fn deregister(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("service ID")?;
    let catalog = call.consul.catalog(false).await?;
    let entry = match call.consul.instance(&catalog, &id).await? {
        Some(entry) => entry,
        None => return Err(unknown(&id)),
    };
    let said = &entry.instance.registration;
    call.authorizer
        .require(Resource::Service(&said.service), Access::Write)?;
    call.consul
        .registry()
        .deregister(&said.node, &said.id, None)
        .await?;
    Ok(Answer::empty())
}

/// The reason of a maintenance that begins; none: it ends.
fn reason(call: &Call, of: &str) -> Result<Option<String>, ConsulError> {
    let invalid = |text: String| Err(ConsulError::Invalid(text));
    match call.parameters.all("enable").into_iter().next() {
        Some("true" | "1" | "t" | "T" | "True" | "TRUE") => Ok(Some(match call.parameters.text("reason") {
            Some(reason) => reason.to_owned(),
            None => format!(
                "Maintenance mode is enabled for this {of}, but no reason was provided. This is a default message."
            ),
        })),
        Some("false" | "0" | "f" | "F" | "False" | "FALSE") => Ok(None),
        None | Some("") => invalid("Missing value for enable".to_owned()),
        Some(other) => invalid(format!("Invalid value for enable: {other:?}")),
    }
}

async fn service_maintenance(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("service ID")?;
    let reason = reason(&call, "service")?;
    let catalog = call.consul.catalog(false).await?;
    let entry = instance(&call, &catalog, &id).await?;
    let said = &entry.instance.registration;
    call.authorizer
        .require(Resource::Service(&said.service), Access::Write)?;
    let registry = call.consul.registry();
    registry
        .set_maintenance(&said.node, Some(&said.id), reason.as_deref())
        .await?;
    Ok(Answer::empty())
}

async fn node_maintenance(call: Call) -> Result<Answer, ConsulError> {
    let node = call.consul.settings().node.clone();
    call.authorizer.require(Resource::Node(&node), Access::Write)?;
    let reason = reason(&call, "node")?;
    call.consul.begin_own_node().await?;
    let registry = call.consul.registry();
    registry.set_maintenance(&node, None, reason.as_deref()).await?;
    Ok(Answer::empty())
}

/// An answer about the health of services, with the status that says how it is, and a header that names it.
fn judged(answer: Answer, aggregated: &'static str) -> Answer {
    let status = match aggregated {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let reason = HeaderName::from_static("x-consul-reason");
    answer
        .with_status(status)
        .with_header(reason, HeaderValue::from_static(aggregated))
}

fn health(entry: &Entry, node: &str) -> Value {
    json!({
        "AggregatedStatus": shapes::aggregated(entry),
        "Service": shapes::service(entry),
        "Checks": shapes::checks_of(entry, node),
    })
}

fn is_text(call: &Call) -> bool {
    call.parameters.text("format") == Some("text")
}

async fn health_of_id(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("service ID")?;
    let catalog = call.consul.catalog(call.options.is_stale()).await?;
    let entry = call.consul.instance(&catalog, &id).await?;
    let Some(entry) = entry else {
        let answer = Answer::text(format!("ServiceId {id} not found"));
        return Ok(answer.with_status(StatusCode::NOT_FOUND));
    };
    let said = &entry.instance.registration;
    call.authorizer
        .require(Resource::Service(&said.service), Access::Read)?;
    let aggregated = shapes::aggregated(&entry);
    let answer = match is_text(&call) {
        true => Answer::text(aggregated),
        false => call.json(&health(&entry, &said.node))?,
    };
    Ok(judged(answer, aggregated))
}

async fn health_of_name(call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("service name")?;
    call.authorizer.require(Resource::Service(&name), Access::Read)?;
    let catalog = call.consul.catalog(call.options.is_stale()).await?;
    let node = call.consul.own_node(&catalog);
    let instances = node.into_iter().flat_map(|node| node.instances());
    let found: Vec<&Arc<Entry>> = instances
        .filter(|entry| entry.instance.registration.service.eq_ignore_ascii_case(&name))
        .collect();
    let rank = |word: &str| {
        ["passing", "warning", "critical", "maintenance"]
            .iter()
            .position(|one| *one == word)
    };
    let worst = found
        .iter()
        .map(|entry| shapes::aggregated(entry))
        .max_by_key(|word| rank(word));
    let answer = match is_text(&call) {
        true => Answer::text(worst.unwrap_or("critical")),
        false => {
            let shown = found
                .iter()
                .map(|entry| health(entry, &entry.instance.registration.node));
            call.json(&shown.collect::<Vec<_>>())?
        }
    };
    Ok(match worst {
        Some(worst) => judged(answer, worst),
        None => answer.with_status(StatusCode::NOT_FOUND),
    })
}
