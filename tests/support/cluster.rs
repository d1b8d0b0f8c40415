//! A cluster of real processes.
//!
//! ```ignore
//! let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
//! let leader = cluster.leader().await?;
//! cluster.node(leader).kill()?;
//! cluster.restart(leader).await?;
//! ```
//!
//! Partitions: [`ClusterBuilder::advertise_peer`] makes a node advertise the URL of a proxy, and
//! [`ClusterBuilder::see_peer`] gives one node its own URL for one peer, so that each direction of each link can have
//! a proxy. The addresses are known before anything starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::{StatusRequest, StatusResponse};
use tempfile::TempDir;
use tonic::Request;

use super::clients::Token;
use super::ports::reserve_port;
use super::{Clients, Credentials, Node, Program, Result};

/// How long a cluster may take to have a leader that every running node knows.
const MAXIMUM_START: Duration = Duration::from_secs(60);

const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How clients and peers are spoken with.
#[derive(Clone, Default)]
pub enum Security {
    /// In the clear.
    #[default]
    Plain,
    /// With TLS, with what clients need for it. What the servers need is given by flags.
    Tls(Credentials),
    /// With certificates that the nodes have made themselves.
    SelfSigned,
}

impl Security {
    fn scheme(&self) -> &'static str {
        match self {
            Security::Plain => "http",
            Security::Tls(_) | Security::SelfSigned => "https",
        }
    }
}

/// A cluster that is being described: addresses are fixed, nothing runs.
pub struct ClusterBuilder {
    program: Program,
    parent_directory: PathBuf,
    names: String,
    token: String,
    security: Security,
    arguments: Vec<String>,
    arguments_of: BTreeMap<usize, Vec<String>>,
    environment: Vec<(String, String)>,
    environment_of: BTreeMap<usize, Vec<(String, String)>>,
    ports: Vec<(super::ports::Reservation, super::ports::Reservation)>,
    advertised: BTreeMap<usize, String>,
    seen: BTreeMap<(usize, usize), String>,
    nodes: usize,
}

impl ClusterBuilder {
    /// How many nodes; one unless said otherwise.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// The directory in which the temporary directory is made: which disk the data is on.
    pub fn in_directory(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent_directory = parent.into();
        self
    }

    /// What the names of the nodes begin with, before their number: `n` unless said otherwise.
    pub fn names(mut self, names: impl Into<String>) -> Self {
        self.names = names.into();
        self
    }

    /// `--initial-cluster-token` of all nodes.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = token.into();
        self
    }

    /// Protects the connections of clients and peers.
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Adds a flag for every node, such as `--heartbeat-interval=50`.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable for every node.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets an environment variable for one node.
    pub fn environment_of(mut self, node: usize, name: impl Into<String>, value: impl Into<String>) -> Self {
        let variables = self.environment_of.entry(node).or_default();
        variables.push((name.into(), value.into()));
        self
    }

    /// Adds a flag for one node.
    pub fn argument_of(mut self, node: usize, argument: impl Into<String>) -> Self {
        self.arguments_of.entry(node).or_default().push(argument.into());
        self
    }

    /// The address, `127.0.0.1:port`, on which `node` will listen for its peers: where a proxy has to connect to.
    pub fn peer_address(&mut self, node: usize) -> Result<String> {
        self.reserve_ports_to(node + 1)?;
        Ok(format!("127.0.0.1:{}", self.ports[node].1.port))
    }

    /// Makes `node` advertise `url` to its peers instead of the address on which it listens.
    pub fn advertise_peer(mut self, node: usize, url: impl Into<String>) -> Self {
        self.advertised.insert(node, url.into());
        self
    }

    /// Makes `observer` alone see `peer` at `url` in its `--initial-cluster`. (An etcd derives the cluster's identity
    /// from that list and needs the same one on each node.)
    pub fn see_peer(mut self, observer: usize, peer: usize, url: impl Into<String>) -> Self {
        self.seen.insert((observer, peer), url.into());
        self
    }

    fn reserve_ports_to(&mut self, nodes: usize) -> Result<()> {
        while self.ports.len() < nodes {
            self.ports.push((reserve_port()?, reserve_port()?));
        }
        Ok(())
    }

    /// Makes the directories and the command lines, and starts nothing.
    pub fn build(mut self) -> Result<Cluster> {
        self.reserve_ports_to(self.nodes)?;
        let scheme = self.security.scheme();
        let directory = tempfile::Builder::new()
            .prefix(&format!("{}-cluster-", self.program.name()))
            .tempdir_in(&self.parent_directory)?;
        let advertised: Vec<String> = self
            .ports
            .iter()
            .enumerate()
            .map(|(node, (_, peer))| match self.advertised.get(&node) {
                Some(url) => url.clone(),
                None => format!("{scheme}://127.0.0.1:{}", peer.port),
            })
            .collect();
        let mut nodes = Vec::with_capacity(self.nodes);
        for (index, (client, peer)) in self.ports.into_iter().take(self.nodes).enumerate() {
            let initial_cluster: Vec<String> = (0..self.nodes)
                .map(|other| {
                    let url = self.seen.get(&(index, other)).unwrap_or(&advertised[other]);
                    format!("{}={url}", node_name(&self.names, other))
                })
                .collect();
            let name = node_name(&self.names, index);
            let mut arguments = self.arguments.clone();
            arguments.extend(self.arguments_of.remove(&index).unwrap_or_default());
            let mut environment = self.environment.clone();
            environment.extend(self.environment_of.remove(&index).unwrap_or_default());
            nodes.push(Node {
                program: self.program.clone(),
                scheme,
                client_port: client.port,
                peer_port: peer.port,
                advertised_peer_url: advertised[index].clone(),
                initial_cluster: initial_cluster.join(","),
                initial_state: "new",
                cluster_token: self.token.clone(),
                data_directory: directory.path().join(&name),
                log_path: directory.path().join(format!("{name}.log")),
                arguments,
                environment,
                launcher: Vec::new(),
                reservations: vec![client, peer],
                process: None,
                name,
            });
        }
        Ok(Cluster {
            nodes,
            program: self.program,
            names: self.names,
            token: self.token,
            arguments: self.arguments,
            environment: self.environment,
            directory,
            user: Token::default(),
            security: self.security,
        })
    }

    /// Starts every node and waits until all of them know a leader.
    pub async fn start(self) -> Result<Cluster> {
        let mut cluster = self.build()?;
        for node in &mut cluster.nodes {
            node.start()?;
        }
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }
}

/// A cluster of processes. Dropping it kills what still runs and removes every file; while a test panics it first
/// shows the end of each log.
pub struct Cluster {
    // Declared before the directory, so that the processes are gone when their files are removed.
    nodes: Vec<Node>,
    program: Program,
    names: String,
    token: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: TempDir,
    /// Sent by all clients that the cluster makes.
    user: Token,
    security: Security,
}

impl Cluster {
    /// Describes a cluster of `program`.
    pub fn builder(program: Program) -> ClusterBuilder {
        ClusterBuilder {
            program,
            parent_directory: std::env::temp_dir(),
            names: "n".to_owned(),
            token: "stead-test".to_owned(),
            security: Security::Plain,
            arguments: Vec::new(),
            arguments_of: BTreeMap::new(),
            environment: Vec::new(),
            environment_of: BTreeMap::new(),
            ports: Vec::new(),
            advertised: BTreeMap::new(),
            seen: BTreeMap::new(),
            nodes: 1,
        }
    }

    /// Makes a node that is to join: with addresses and a folder of its own, not running, and no member yet. `member add`
    /// makes it one; then [`Node::set_initial_cluster`] tells it of the others. Returns its index.
    pub fn make_joining_node(&mut self) -> Result<usize> {
        let (client, peer) = (reserve_port()?, reserve_port()?);
        let index = self.nodes.len();
        let name = node_name(&self.names, index);
        let scheme = self.security.scheme();
        self.nodes.push(Node {
            program: self.program.clone(),
            scheme,
            client_port: client.port,
            peer_port: peer.port,
            advertised_peer_url: format!("{scheme}://127.0.0.1:{}", peer.port),
            initial_cluster: String::new(),
            initial_state: "existing",
            cluster_token: self.token.clone(),
            data_directory: self.directory.path().join(&name),
            log_path: self.directory.path().join(format!("{name}.log")),
            arguments: self.arguments.clone(),
            environment: self.environment.clone(),
            launcher: Vec::new(),
            reservations: vec![client, peer],
            process: None,
            name,
        });
        Ok(index)
    }

    /// How many nodes there are, running or not.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A node by its index, from 0.
    pub fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// All nodes in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The client URL of each node, in order.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(Node::endpoint).collect()
    }

    /// The client address, `127.0.0.1:port`, of each node, in order.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Node::client_address).collect()
    }

    /// The temporary directory that holds everything of this cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// From now on all clients that the cluster has made and makes send this token, or none.
    pub fn act_as(&self, token: Option<&str>) {
        self.user.set(token);
    }

    /// Raw clients of one node.
    pub fn clients(&self, index: usize) -> Result<Clients> {
        let (node, user) = (&self.nodes[index], self.user.clone());
        match &self.security {
            Security::Plain => Clients::of_user(&node.endpoint(), user),
            Security::Tls(credentials) => Clients::protected_user(&node.endpoint(), credentials, user),
            Security::SelfSigned => {
                let certificate = node.data_directory().join("fixtures/client/cert.pem");
                let credentials = Credentials {
                    authorities: std::fs::read_to_string(certificate)?,
                    identity: None,
                };
                Clients::protected_user(&node.endpoint(), &credentials, user)
            }
        }
    }

    /// From now on clients show and trust something else.
    pub fn set_security(&mut self, security: Security) {
        self.security = security;
    }

    /// Maintenance Status of one node.
    pub async fn status(&self, index: usize) -> Result<StatusResponse> {
        let mut request = Request::new(StatusRequest::default());
        request.set_timeout(STATUS_TIMEOUT);
        let mut clients = self.clients(index)?;
        // The server may be paused: the deadline of the request is then ours alone to keep.
        let answer = tokio::time::timeout(STATUS_TIMEOUT, clients.maintenance.status(request)).await??;
        Ok(answer.into_inner())
    }

    /// The index of the node that leads, as soon as every running node agrees on it.
    pub async fn leader(&mut self) -> Result<usize> {
        self.wait_until_ready().await
    }

    /// Kills the leader at every `parts`th part of the way, until `done` is `all`, and starts it again after two seconds.
    /// How many have died.
    pub async fn lose_leaders(&mut self, parts: usize, done: &AtomicUsize, all: usize) -> Result<usize> {
        let mut deaths = 0;
        while done.load(Ordering::Relaxed) < all {
            tokio::time::sleep(POLL_INTERVAL).await;
            if done.load(Ordering::Relaxed) > (deaths + 1) * all / parts {
                let leader = self.leader().await?;
                self.node(leader).kill()?;
                tokio::time::sleep(Duration::from_secs(2)).await;
                self.restart(leader).await?;
                self.wait_until_ready().await?;
                deaths += 1;
            }
        }
        Ok(deaths)
    }

    /// Waits until every node that was started knows the same leader, and returns that node's index. A node that ends
    /// in the meantime is an error at once.
    pub async fn wait_until_ready(&mut self) -> Result<usize> {
        let deadline = Instant::now() + MAXIMUM_START;
        loop {
            let problem = match self.agreed_leader().await? {
                Ok(leader) => return Ok(leader),
                Err(problem) => problem,
            };
            if Instant::now() > deadline {
                let logs: Vec<String> = self.nodes.iter().map(Node::log_tail).collect();
                return Err(format!(
                    "the cluster is not ready after {MAXIMUM_START:?}: {problem}\n{}",
                    logs.join("\n")
                )
                .into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The leader that all running nodes know, or what is still missing.
    async fn agreed_leader(&mut self) -> Result<std::result::Result<usize, String>> {
        let mut leaders = BTreeMap::new();
        let mut indexes = BTreeMap::new();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if let Some(status) = node.exit_status()? {
                return Err(format!("{} ended with {status}\n{}", node.name(), node.log_tail()).into());
            }
            if node.process_id().is_none() {
                continue;
            }
            match self.status(index).await {
                Ok(status) if status.leader == 0 => {
                    return Ok(Err(format!("{} knows no leader", node_name(&self.names, index))));
                }
                Ok(status) => {
                    leaders.insert(status.leader, index);
                    let member = status.header.map(|header| header.member_id).unwrap_or_default();
                    indexes.insert(member, index);
                }
                Err(error) => {
                    return Ok(Err(format!(
                        "{} does not answer Status: {error}",
                        node_name(&self.names, index)
                    )));
                }
            }
        }
        let Some((leader, _)) = leaders.pop_first() else {
            return Err("no node of the cluster runs".into());
        };
        if !leaders.is_empty() {
            return Ok(Err("the nodes name different leaders".to_owned()));
        }
        Ok(indexes
            .get(&leader)
            .copied()
            .ok_or_else(|| format!("member {leader:x}, which leads, is not one of the running nodes")))
    }

    /// Starts one node again (killing it first if it runs) and waits until it knows a leader like all others.
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.nodes[index].kill()?;
        self.nodes[index].start()?;
        self.wait_until_ready().await?;
        Ok(())
    }

    /// SIGKILL to every node.
    pub fn kill_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::kill)
    }

    /// Starts every node that does not run and waits until the cluster is ready.
    pub async fn start_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if node.process_id().is_none() {
                node.start()?;
            }
        }
        self.wait_until_ready().await?;
        Ok(())
    }
}

fn node_name(names: &str, index: usize) -> String {
    format!("{names}{}", index + 1)
}
