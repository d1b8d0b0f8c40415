//! `/v1/agent`: the member itself, and the others as it sees them.

use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::routes::Route;
use crate::base::clock;
use crate::base::metrics::Metrics;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::{ConsulError, Server};
use crate::service::registry::{Catalog, MEMBER_CHECK, Status};

/// The version whose interface this is, for clients that compare versions.
const VERSION: &str = "1.20.0";
/// The port at which clients of Consul expect members to gossip. Nothing listens there.
const GOSSIP_PORT: u16 = 8_301;

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/agent/self", |call| Box::pin(own(call))),
    Route::get("/v1/agent/members", |call| Box::pin(members(call))),
    Route::get("/v1/agent/version", |call| Box::pin(version(call))),
    Route::get("/v1/agent/metrics", |call| Box::pin(metrics(call))),
    Route::put("/v1/agent/join/", |call| Box::pin(join(call))),
    Route::put("/v1/agent/force-leave/", |call| Box::pin(force_leave(call))),
    Route::put("/v1/agent/leave", |call| Box::pin(leave(call))),
    Route::put("/v1/agent/reload", |call| Box::pin(reload(call))),
];

/// A number of a member's life, as Consul has it.
const ALIVE: u8 = 1;
const FAILED: u8 = 4;

fn member(server: &Server, catalog: &Catalog, datacenter: &str, is_wide: bool) -> Value {
    let node = catalog.node(&server.name);
    let check = node.and_then(|node| {
        let mut checks = node.state.checks.iter();
        checks.find(|check| check.definition.id == MEMBER_CHECK)
    });
    let has_failed = check.is_some_and(|check| check.state.status == Status::Critical);
    let name = match is_wide {
        true => format!("{}.{datacenter}", server.name),
        false => server.name.clone(),
    };
    let id = node
        .and_then(|node| node.state.known.as_ref())
        .map(|known| known.node.id.clone());
    json!({
        "Name": name,
        "Addr": server.host.trim_matches(['[', ']']),
        "Port": GOSSIP_PORT,
        "Tags": {
            "role": "consul",
            "dc": datacenter,
            "id": id.unwrap_or_default(),
            "port": "8300",
            "build": VERSION,
            "stead_member": server.id.to_string(),
        },
        "Status": if has_failed { FAILED } else { ALIVE },
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

async fn own(call: Call) -> Result<Answer, ConsulError> {
    let settings = call.consul.settings();
    call.authorizer
        .require(Resource::Agent(&settings.node), Access::Read)?;
    let catalog = call.consul.catalog(true).await?;
    let servers = call.consul.servers().await?;
    let leader = servers
        .iter()
        .find(|server| server.is_leader)
        .map(|server| server.address.clone());
    let own = servers.iter().find(|server| server.name == settings.node);
    let is_leader = own.is_some_and(|server| server.is_leader);
    let node = call
        .consul
        .own_node(&catalog)
        .and_then(|node| node.state.known.clone());
    let known = node.map(|known| known.node).unwrap_or_default();
    let shown = own.map(|server| member(server, &catalog, &settings.datacenter, false));
    call.json(&json!({
        "Config": {
            "Datacenter": settings.datacenter,
            "PrimaryDatacenter": settings.datacenter,
            "NodeName": settings.node,
            "NodeID": known.id,
            "Revision": "",
            "Server": true,
            "Version": VERSION,
            "BuildDate": "",
        },
        "DebugConfig": {},
        "Coord": null,
        "Member": shown,
        "Stats": {
            "agent": {
                "checks": known_checks(&call, &catalog).to_string(),
                "services": call.consul.own_node(&catalog).map_or(0, |node| node.instances().count()).to_string(),
            },
            "build": {"version": VERSION, "stead": env!("CARGO_PKG_VERSION")},
            "consul": {
                "bootstrap": "false",
                "known_datacenters": "1",
                "leader": is_leader.to_string(),
                "leader_addr": leader.unwrap_or_default(),
                "server": "true",
            },
        },
        "Meta": known.metadata,
        "xDS": null,
    }))
}

fn known_checks(call: &Call, catalog: &Catalog) -> usize {
    call.consul.own_node(catalog).map_or(0, |node| {
        let of_instances = node.instances().map(|entry| entry.checks.len());
        node.state.checks.len().saturating_add(of_instances.sum())
    })
}

async fn members(call: Call) -> Result<Answer, ConsulError> {
    let settings = call.consul.settings();
    let catalog = call.consul.catalog(true).await?;
    let is_wide = call.parameters.has("wan");
    let servers = call.consul.servers().await?;
    let may = |server: &&Server| call.authorizer.allows(Resource::Node(&server.name), Access::Read);
    let named = servers
        .iter()
        .filter(|server| !server.name.is_empty())
        .filter(may);
    let shown = named.map(|server| member(server, &catalog, &settings.datacenter, is_wide));
    call.json(&shown.collect::<Vec<_>>())
}

async fn version(call: Call) -> Result<Answer, ConsulError> {
    call.json(&json!({
        "HumanVersion": VERSION,
        "SHA": "",
        "BuildDate": "",
        "FIPS": "",
    }))
}

async fn metrics(call: Call) -> Result<Answer, ConsulError> {
    let node = call.consul.settings().node.clone();
    call.authorizer.require(Resource::Agent(&node), Access::Read)?;
    if call.parameters.text("format") == Some("prometheus") {
        let page = call.consul.metrics_page()?;
        return Ok(Answer::bytes(Metrics::PAGE_KIND, page.into()));
    }
    let catalog = call.consul.catalog(true).await?;
    let servers = call.consul.servers().await?;
    let gauge = |name: &str, value: usize| json!({"Name": name, "Value": value, "Labels": {}});
    call.json(&json!({
        "Timestamp": timestamp(clock::unix_time().as_secs()),
        "Gauges": [
            gauge("consul.members.servers", servers.len()),
            gauge("consul.state.nodes", catalog.nodes().count()),
            gauge("consul.state.service_instances", catalog.instances()),
            gauge("consul.state.services", catalog.services().count()),
        ],
        "Points": [],
        "Counters": [],
        "Samples": [],
    }))
}

/// Seconds since the Unix epoch as Consul writes times of metrics.
fn timestamp(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " "))
}

fn refused(text: impl Into<String>) -> Result<Answer, ConsulError> {
    Err(ConsulError::Failed(text.into()))
}

fn may_change(call: &Call) -> Result<(), ConsulError> {
    let node = &call.consul.settings().node;
    Ok(call.authorizer.require(Resource::Agent(node), Access::Write)?)
}

async fn join(call: Call) -> Result<Answer, ConsulError> {
    may_change(&call)?;
    let address = call.named("address")?;
    let host = address
        .rsplit_once(':')
        .map_or(address.as_str(), |(host, _)| host);
    let servers = call.consul.servers().await?;
    match servers
        .iter()
        .any(|server| server.name == address || [host, &address].contains(&server.host.as_str()))
    {
        // It has joined already.
        true => Ok(Answer::empty()),
        false => refused(format!(
            "{address:?} is no member; add one with `stead member add` and start it"
        )),
    }
}

async fn force_leave(call: Call) -> Result<Answer, ConsulError> {
    may_change(&call)?;
    let name = call.named("node name")?;
    let servers = call.consul.servers().await?;
    match servers
        .iter()
        .any(|server| server.name.eq_ignore_ascii_case(&name))
    {
        true => refused(format!(
            "{name:?} is a member; take it away with `stead member remove`"
        )),
        false => refused(format!("agent: No node found with name '{name}'")),
    }
}

async fn leave(call: Call) -> Result<Answer, ConsulError> {
    may_change(&call)?;
    refused(
        "a member does not leave by itself; take it away with `stead member remove`, or stop it with SIGTERM",
    )
}

async fn reload(call: Call) -> Result<Answer, ConsulError> {
    // What can change while a member runs (certificates, revocation lists, keys of tokens) is followed by itself.
    may_change(&call)?;
    Ok(Answer::empty())
}
