//! `/v1/catalog`: nodes and services as they are registered, and registering them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Call;
use super::definition::{self, Otherwise};
use super::fields::Fields;
use super::listing::{Choice, has_tags, read};
use super::routes::Route;
use super::{registration, shapes};
use crate::base::Revision;
use crate::service::ServiceError;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::filter::Shape;
use crate::service::registry::{Catalog, Claim, NewCheck, Node, NodeEntry, RegistryError, TaggedAddress};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::put("/v1/catalog/register", |call| Box::pin(register(call))),
    Route::put("/v1/catalog/deregister", |call| Box::pin(deregister(call))),
    Route::get("/v1/catalog/datacenters", |call| Box::pin(datacenters(call))).open(),
    Route::get("/v1/catalog/nodes", |call| Box::pin(nodes(call))),
    Route::get("/v1/catalog/services", |call| Box::pin(services(call))),
    Route::get("/v1/catalog/service/", |call| Box::pin(service(call))),
    Route::get("/v1/catalog/node/", |call| Box::pin(node(call))),
    Route::get("/v1/catalog/node-services/", |call| Box::pin(node_services(call))),
];

async fn datacenters(call: Call) -> Result<Answer, ConsulError> {
    call.json(&[&call.consul.settings().datacenter])
}

async fn nodes(mut call: Call) -> Result<Answer, ConsulError> {
    let mut choice = Choice::parse(&mut call, shapes::NODE)?;
    let (catalog, meta) = read(&call, Catalog::nodes_changed).await?;
    let mut found: Vec<_> = catalog
        .nodes()
        .filter(|node| choice.admits_node(node) && choice.may_see(&call, [Resource::Node(node.name())]))
        .collect();
    choice.sort(&mut found, |node| node.name());
    let shown = found
        .into_iter()
        .map(|node| shapes::node(node, &call.consul.settings().datacenter));
    let shown: Vec<Value> = shown.filter(|node| choice.admits(node)).collect();
    choice.answer(&call, &shown, meta)
}

/// What an expression about a list of services is about.
const SERVICE_NAME: Shape = Shape::Object(&[("ServiceName", Shape::Text), ("ServiceTags", Shape::Texts)]);

async fn services(mut call: Call) -> Result<Answer, ConsulError> {
    let mut choice = Choice::parse(&mut call, SERVICE_NAME)?;
    let (catalog, meta) = read(&call, Catalog::registered).await?;
    let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in catalog.services() {
        let name = service.name();
        if !choice.may_see(&call, [Resource::Service(name)]) {
            continue;
        }
        for entry in service.entries() {
            let said = &entry.instance.registration;
            let node = catalog.node(&said.node);
            if !node.is_some_and(|node| choice.admits_node(node))
                || !choice.admits(&json!({"ServiceName": name, "ServiceTags": said.tags}))
            {
                continue;
            }
            let tags = shown.entry(name).or_default();
            tags.extend(said.tags.iter().map(String::as_str));
        }
    }
    for tags in shown.values_mut() {
        tags.sort_unstable();
        tags.dedup();
    }
    choice.answer(&call, &shown, meta)
}

async fn service(mut call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("service name")?;
    let mut choice = Choice::parse(&mut call, shapes::CATALOG_SERVICE)?;
    let watched = name.clone();
    let (catalog, meta) = read(&call, move |catalog| catalog.service_changed(&watched)).await?;
    let found = choice.instances(&call, &catalog, &name, has_tags(&call));
    let datacenter = &call.consul.settings().datacenter;
    let shown = found
        .into_iter()
        .map(|(_, entry)| shapes::catalog_service(entry, datacenter));
    let shown: Vec<Value> = shown.filter(|entry| choice.admits(entry)).collect();
    choice.answer(&call, &shown, meta)
}

/// The index of one node: of all nodes while there is none of that name.
pub(super) fn node_index(name: String) -> impl Fn(&Catalog) -> Revision + Send + Sync + 'static {
    move |catalog| {
        catalog
            .node(&name)
            .map_or_else(|| catalog.changed(), |node| node.changed)
    }
}

async fn read_node(
    mut call: Call,
) -> Result<(Call, Choice, Option<NodeServices>, super::answer::Meta), ConsulError> {
    let name = call.named("node name")?;
    let mut choice = Choice::parse(&mut call, shapes::SERVICE)?;
    let (catalog, meta) = read(&call, node_index(name.clone())).await?;
    let node = catalog.node(&name).cloned();
    let node = node.filter(|node| choice.may_see(&call, [Resource::Node(node.name())]));
    let found = node.map(|node| {
        let mut services = Vec::new();
        for entry in node.instances() {
            let service = &entry.instance.registration.service;
            let shown = Value::Object(shapes::service_of_node(entry));
            if choice.may_see(&call, [Resource::Service(service)]) && choice.admits(&shown) {
                services.push((entry.instance.registration.id.clone(), shown));
            }
        }
        NodeServices {
            node: shapes::node(&node, &call.consul.settings().datacenter),
            services,
        }
    });
    Ok((call, choice, found, meta))
}

/// A node with its services by id.
struct NodeServices {
    node: Value,
    services: Vec<(String, Value)>,
}

async fn node(call: Call) -> Result<Answer, ConsulError> {
    let (call, choice, found, meta) = read_node(call).await?;
    let shown = found.map(|found| {
        let services: Map<String, Value> = found.services.into_iter().collect();
        json!({"Node": found.node, "Services": services})
    });
    choice.answer(&call, &shown, meta)
}

async fn node_services(call: Call) -> Result<Answer, ConsulError> {
    let (call, choice, found, meta) = read_node(call).await?;
    let shown = match found {
        Some(found) => {
            let services: Vec<Value> = found.services.into_iter().map(|(_, service)| service).collect();
            json!({"Node": found.node, "Services": services})
        }
        None => json!({"Node": null, "Services": []}),
    };
    choice.answer(&call, &shown, meta)
}

/// Refuses a body about another datacenter.
fn is_here(call: &Call, fields: &Fields) -> Result<(), ConsulError> {
    match fields.text("Datacenter")? {
        Some(other) if !other.is_empty() && other != call.consul.settings().datacenter => {
            Err(ConsulError::OtherDatacenter)
        }
        _ => Ok(()),
    }
}

fn node_of(fields: &Fields, name: &str, address: String) -> Result<Node, ConsulError> {
    let tagged = fields.text_map("TaggedAddresses")?.unwrap_or_default();
    let tagged = tagged
        .into_iter()
        .map(|(tag, address)| (tag, TaggedAddress { address, port: 0 }));
    Ok(Node {
        name: name.to_owned(),
        id: fields.text("ID")?.unwrap_or_default(),
        address,
        tagged_addresses: tagged.collect(),
        metadata: fields.text_map("NodeMeta")?.unwrap_or_default(),
    })
}

async fn register(call: Call) -> Result<Answer, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    is_here(&call, &fields)?;
    let name = fields.text("Node")?.unwrap_or_default();
    let address = fields.text("Address")?.unwrap_or_default();
    let skips_node = fields.switch("SkipNodeUpdate")?;
    if name.is_empty() || (address.is_empty() && !skips_node) {
        return Err(ConsulError::Invalid("Must provide node and address".to_owned()));
    }
    let registry = call.consul.registry();
    // Everything is looked at before anything is written.
    let service = match fields.object("Service")? {
        Some(service) => {
            let registration = registration::parse(&service, "Service", &name)?;
            call.authorizer
                .require(Resource::Service(&registration.service), Access::Write)?;
            Some(registration)
        }
        None => None,
    };
    let mut checks = Vec::new();
    let given = fields.object("Check")?.into_iter();
    for check in given.chain(fields.objects("Checks")?.unwrap_or_default()) {
        checks.push(check_of(&check, &name)?);
    }
    let catalog = call.consul.catalog(false).await?;
    for (_, owner) in &checks {
        let of_service = owner.as_ref().map(|id| match &service {
            Some(new) if new.id == *id => Ok(new.service.clone()),
            _ => match catalog.entry(&name, id) {
                Some(entry) => Ok(entry.instance.registration.service.clone()),
                None => Err(ConsulError::Failed(format!(
                    "Missing service registration for service {id:?}"
                ))),
            },
        });
        match of_service.transpose()? {
            Some(service) => call
                .authorizer
                .require(Resource::Service(&service), Access::Write)?,
            None => call.authorizer.require(Resource::Node(&name), Access::Write)?,
        }
    }
    let is_known = |node: &std::sync::Arc<NodeEntry>| node.state.known.is_some();
    if !(skips_node && catalog.node(&name).is_some_and(is_known)) {
        if address.is_empty() {
            return Err(ConsulError::Failed(format!(
                "Node {name:?} is not registered, so its address is needed"
            )));
        }
        let node = node_of(&fields, &name, address)?;
        let same = |there: &std::sync::Arc<NodeEntry>| {
            there.state.known.as_ref().is_some_and(|known| known.node == node)
        };
        if !catalog.node(&name).is_some_and(same) {
            call.authorizer.require(Resource::Node(&name), Access::Write)?;
            registry.register_node(&node, &[]).await?;
        }
    }
    if let Some(registration) = service {
        registry.register(registration, Claim::Whichever, &[]).await?;
    }
    for (check, owner) in checks {
        registry
            .register_check(&name, owner.as_deref(), &check, false)
            .await?;
    }
    call.json(&true)
}

/// A check of a registration, and the id of the instance that it is of.
fn check_of(fields: &Fields, node: &str) -> Result<(NewCheck, Option<String>), ConsulError> {
    if let Some(other) = fields.text("Node")?.filter(|other| !other.is_empty())
        && !other.eq_ignore_ascii_case(node)
    {
        return Err(ConsulError::Invalid(format!(
            "check {:?} is of node {other:?}, not of {node:?}",
            fields.text("CheckID")?.unwrap_or_default()
        )));
    }
    let mut check = definition::parse(fields, Otherwise::Reported)?;
    if let Some(inner) = fields.object("Definition")? {
        let of_inner = definition::parse(&inner, Otherwise::Reported)?;
        check.definition.kind = of_inner.definition.kind;
    }
    if check.definition.id.is_empty() {
        check.definition.id.clone_from(&check.definition.name);
    }
    let owner = fields.text("ServiceID")?.filter(|id| !id.is_empty());
    Ok((check, owner))
}

async fn deregister(call: Call) -> Result<Answer, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    is_here(&call, &fields)?;
    let node = fields.text("Node")?.unwrap_or_default();
    if node.is_empty() {
        return Err(ConsulError::Invalid("Must provide node".to_owned()));
    }
    let id = fields.text("ServiceID")?.filter(|id| !id.is_empty());
    let check = fields.text("CheckID")?.filter(|id| !id.is_empty());
    let registry = call.consul.registry();
    let catalog = call.consul.catalog(false).await?;
    let done = match (id, check) {
        (Some(id), _) => {
            let service = catalog
                .entry(&node, &id)
                .map(|entry| &entry.instance.registration.service);
            match service {
                Some(service) => call
                    .authorizer
                    .require(Resource::Service(service), Access::Write)?,
                None => call.authorizer.require(Resource::Node(&node), Access::Write)?,
            }
            registry.deregister(&node, &id, None).await
        }
        (None, Some(check)) => {
            let place = catalog
                .node(&node)
                .and_then(|node| call.consul.check_on(node, &check));
            let Some(place) = place else {
                return call.json(&true);
            };
            match &place.service {
                Some(service) => call
                    .authorizer
                    .require(Resource::Service(service), Access::Write)?,
                None => call.authorizer.require(Resource::Node(&node), Access::Write)?,
            }
            registry
                .deregister_check(&node, place.instance.as_deref(), &check)
                .await
        }
        (None, None) => {
            call.authorizer.require(Resource::Node(&node), Access::Write)?;
            registry.deregister_node(&node).await
        }
    };
    match done {
        // Nobody misses what is not there.
        Ok(_)
        | Err(ServiceError::Registry(
            RegistryError::UnknownInstance { .. }
            | RegistryError::UnknownNode { .. }
            | RegistryError::UnknownCheck { .. },
        )) => call.json(&true),
        Err(error) => Err(error.into()),
    }
}
