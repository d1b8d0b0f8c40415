//! Consul's HTTP interface, as scripts and clients ask for it: on the wire.

mod conventions;
mod keys;
mod locks;
mod names;

use std::time::Duration;

use serde_json::Value;

use super::gateway::client::{Answer, ask};
use crate::support::{Cluster, Program, Result, free_port};

/// Bound of every wait.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A cluster whose members have the interface.
pub struct ConsulCluster {
    /// The cluster.
    pub cluster: Cluster,
    /// Where the interface of each member is.
    pub addresses: Vec<String>,
}

impl ConsulCluster {
    /// Starts one.
    pub async fn start(nodes: usize, arguments: &[&str]) -> Result<Self> {
        let mut builder = Cluster::builder(Program::stead()?).nodes(nodes);
        for argument in arguments {
            builder = builder.argument(*argument);
        }
        let mut addresses = Vec::new();
        for node in 0..nodes {
            let address = format!("127.0.0.1:{}", free_port()?);
            builder = builder.argument_of(node, format!("--listen-consul-urls=http://{address}"));
            addresses.push(address);
        }
        Ok(Self {
            cluster: builder.start().await?,
            addresses,
        })
    }
}

/// The value of a header; none if there is none.
pub fn header<'answer>(answer: &'answer Answer, name: &str) -> Option<&'answer str> {
    let mut pairs = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found = pairs.find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// The index of an answer.
pub fn index(answer: &Answer) -> Result<u64> {
    Ok(header(answer, "x-consul-index").ok_or("no index")?.parse()?)
}

/// Reads.
pub async fn get(address: &str, path: &str) -> Result<Answer> {
    ask(address, "GET", path, "", "").await
}

/// Writes.
pub async fn put(address: &str, path: &str, body: &str) -> Result<Answer> {
    ask(address, "PUT", path, "", body).await
}

/// Makes a session.
pub async fn session(address: &str, body: &str) -> Result<String> {
    let created = put(address, "/v1/session/create", body).await?;
    let created: Value =
        serde_json::from_str(&created.body).map_err(|error| format!("{error}: {}", created.body))?;
    Ok(created["ID"].as_str().ok_or("no id")?.to_owned())
}
