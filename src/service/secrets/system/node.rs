//! What of the cluster and of this node Vault's clients ask for: members, counts, metrics.
//!
//! Never tells what is not known here: what other members measure is asked of them.

use serde_json::{Value, json};

use super::metrics;
use crate::base::metrics::Metrics;
use crate::service::ServiceError;
use crate::service::cluster::{Cluster, Member};
use crate::service::health::Health;
use crate::service::secrets::engine::answer::Raw;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::request::Response;
use crate::service::secrets::token::TOKENS;
use crate::service::secrets::work::{After, Work};

/// The version of the protocol of raft that Vault's clients know members by.
const RAFT_PROTOCOL: &str = "3";

/// The members, and whether each of them leads, as this node knows it.
fn members(work: &mut Work) -> Result<Vec<(Member, bool)>, SecretsError> {
    let cluster = Cluster::new(work.core().clone());
    let members = cluster
        .members_in(work.draft().view())
        .map_err(ServiceError::from)?;
    let leader = work.core().replication.status().borrow().leader;
    let members = members.into_iter().map(|member| {
        let leads = leader == Some(member.id);
        (member, leads)
    });
    Ok(members.collect())
}

fn peer_url(member: &Member) -> &str {
    member.peer_urls.first().map_or("", String::as_str)
}

/// Serves `sys/ha-status`. A member's name stands for that of its machine; where others have this interface is not known.
pub fn ha_status(work: &mut Work) -> Result<Response, SecretsError> {
    let nodes = members(work)?.into_iter().map(|(member, leads)| {
        json!({
            "hostname": member.name,
            "api_address": "",
            "cluster_address": peer_url(&member),
            "active_node": leads,
            "last_echo": null,
        })
    });
    let nodes: Vec<Value> = nodes.collect();
    Ok(Response::data(Data::new().with("nodes", &nodes)?))
}

/// Serves `sys/storage/raft/configuration`.
pub fn raft_configuration(work: &mut Work) -> Result<Response, SecretsError> {
    let servers = members(work)?.into_iter().map(|(member, leads)| {
        let url = peer_url(&member);
        json!({
            "node_id": member.id.to_string(),
            "address": url.split_once("://").map_or(url, |(_, address)| address),
            "leader": leads,
            "voter": !member.is_learner,
            "protocol_version": RAFT_PROTOCOL,
        })
    });
    let servers: Vec<Value> = servers.collect();
    let config = json!({"index": 0, "servers": servers});
    Ok(Response::data(Data::new().with("config", &config)?))
}

/// Serves `sys/storage/raft/snapshot`: the whole store, as etcd's interface gives it.
pub fn snapshot(work: &mut Work) -> Result<Response, SecretsError> {
    if work.request().wrap.is_some() {
        return Err(Fault::Invalid("a snapshot cannot be wrapped".to_owned()).into());
    }
    work.then(After::Snapshot);
    Ok(Response::default())
}

/// Serves `sys/internal/counters/<what>`: what can be counted, and nothing that would have had to be measured before.
pub fn counters(work: &mut Work, what: &str) -> Result<Response, SecretsError> {
    let (name, total) = match what {
        "tokens" => ("service_tokens", tokens(work)?),
        // Whoever logs in has a token, and no identity behind it.
        "entities" => ("entities", 0),
        _ => return Err(Fault::Unimplemented(format!("sys/internal/counters/{what}")).into()),
    };
    let counters = json!({name: {"total": total}});
    Ok(Response::data(Data::new().with("counters", &counters)?))
}

/// How many tokens are stored.
fn tokens(work: &mut Work) -> Result<usize, Fault> {
    let directory = work.draft().name(TOKENS)?;
    let (mut total, mut from) = (0, None);
    loop {
        let (names, next) = work.draft().walk(&directory, from)?;
        total += names.len();
        match next {
            Some(_) => from = next,
            None => return Ok(total),
        }
    }
}

/// Serves `sys/metrics`: what this node measures, as Prometheus reads it or in the form of Vault's own.
pub fn metrics(work: &mut Work) -> Result<Response, SecretsError> {
    let health = Health::new(work.core().clone());
    let raw = match work.text("format")?.unwrap_or_default().as_str() {
        "prometheus" => Raw {
            content_type: Metrics::PAGE_KIND,
            bytes: health.metrics_page()?.into_bytes(),
        },
        "" => {
            let shown = metrics::shown(&health.metric_families(), work.draft().now());
            Raw {
                content_type: "application/json",
                bytes: shown.to_string().into_bytes(),
            }
        }
        other => {
            return Err(Fault::Invalid(format!(
                "there are no metrics in the format {other:?}: leave it out, or write prometheus"
            ))
            .into());
        }
    };
    Ok(Response {
        raw: Some(raw),
        ..Response::default()
    })
}
