//! The cluster under test: real processes, the proxies between them, and what a nemesis may do to both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::join_all;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use stead::proto::etcdserverpb::{MoveLeaderRequest, RangeRequest, StatusRequest, StatusResponse};
use tokio::sync::Mutex;

use crate::client::Connection;
use crate::network::Network;
use crate::support::{self, Program, Result};

/// How long the cluster may take, after every fault is healed, until each node answers a linearizable read.
const MAXIMUM_RECOVERY: Duration = Duration::from_secs(60);

/// How long a node may take to answer Status when the leader is looked for.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What to start.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// The server program.
    pub program: Program,
    /// How many nodes.
    pub nodes: usize,
    /// The directory in which the data directories are made.
    pub directory: PathBuf,
    /// The deliberate mistake that the program is asked to make, the value of `STEAD_FAULT`.
    pub fault: Option<&'static str>,
}

/// A running cluster.
pub struct Cluster {
    processes: Mutex<support::Cluster>,
    network: Network,
    clients: Vec<SocketAddr>,
    logs: Vec<PathBuf>,
    data: Vec<PathBuf>,
    /// The nodes that ended without being told to, each with how.
    ended: Mutex<Vec<String>>,
}

impl Cluster {
    /// Starts every node behind its proxy and waits for a leader.
    ///
    /// # Errors
    /// When a process does not start or the nodes do not agree on a leader in time.
    pub async fn start(plan: &ClusterPlan) -> Result<Self> {
        let mut builder = support::Cluster::builder(plan.program.clone())
            .nodes(plan.nodes)
            .in_directory(&plan.directory)
            .token("stead-jepsen");
        if let Some(fault) = plan.fault {
            builder = builder.environment("STEAD_FAULT", fault);
        }
        let peers = (0..plan.nodes)
            .map(|node| Ok(builder.peer_address(node)?.parse()?))
            .collect::<Result<Vec<SocketAddr>>>()?;
        let network = Network::start(&peers).await?;
        for node in 0..plan.nodes {
            builder = builder.advertise_peer(node, format!("http://{}", network.address(node)));
        }
        let processes = builder.build()?;
        let clients = processes
            .nodes()
            .iter()
            .map(|node| Ok(node.client_address().parse()?))
            .collect::<Result<_>>()?;
        let logs = processes
            .nodes()
            .iter()
            .map(|node| node.log_path().to_owned())
            .collect();
        let data = processes
            .nodes()
            .iter()
            .map(|node| node.data_directory().to_owned())
            .collect();
        let cluster = Self {
            data,
            processes: Mutex::new(processes),
            network,
            clients,
            logs,
            ended: Mutex::default(),
        };
        for node in 0..plan.nodes {
            cluster.start_node(node).await?;
        }
        cluster.processes.lock().await.wait_until_ready().await?;
        Ok(cluster)
    }

    /// How many nodes there are, running or not.
    pub fn size(&self) -> usize {
        self.clients.len()
    }

    /// The client addresses of all nodes.
    pub fn client_addresses(&self) -> Vec<SocketAddr> {
        self.clients.clone()
    }

    /// The files that hold what each node printed.
    pub fn logs(&self) -> &[PathBuf] {
        &self.logs
    }

    /// The data directory of each node.
    pub fn data_directories(&self) -> &[PathBuf] {
        &self.data
    }

    /// The links between the nodes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub async fn start_node(&self, node: usize) -> Result<()> {
        let mut processes = self.processes.lock().await;
        let process = processes.node(node);
        process.start()?;
        self.network
            .set_process(node, process.process_id().unwrap_or_default());
        Ok(())
    }

    /// Ends a node with SIGKILL.
    ///
    /// # Errors
    /// What the system answers.
    pub async fn kill_node(&self, node: usize) -> Result<()> {
        let mut processes = self.processes.lock().await;
        self.runs(&mut processes, node).await?;
        processes.node(node).kill()
    }

    /// Stops a node with SIGSTOP: its sockets stay open and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pause_node(&self, node: usize) -> Result<()> {
        self.processes.lock().await.node(node).pause()
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn resume_node(&self, node: usize) -> Result<()> {
        self.processes.lock().await.node(node).resume()
    }

    /// What is known of processes that ended without being told to.
    ///
    /// # Errors
    /// What the system answers.
    pub async fn ended_by_themselves(&self) -> Result<Vec<String>> {
        let mut processes = self.processes.lock().await;
        for node in 0..self.size() {
            self.runs(&mut processes, node).await?;
        }
        Ok(self.ended.lock().await.clone())
    }

    /// Whether the process of a node is there. If it has ended by itself, that is noted.
    async fn runs(&self, processes: &mut support::Cluster, node: usize) -> Result<bool> {
        let process = processes.node(node);
        if let Some(status) = process.exit_status()? {
            let text = format!("{} ended by itself with {status}", process.name());
            self.ended.lock().await.push(text);
        }
        Ok(processes.node(node).process_id().is_some())
    }

    async fn status(&self, node: usize) -> Option<StatusResponse> {
        let mut connection = Connection::new(self.client_addresses(), node);
        let ask = async {
            let channel = connection.channel().await.ok()?;
            let answer = MaintenanceClient::new(channel)
                .status(StatusRequest {})
                .await
                .ok()?;
            Some(answer.into_inner())
        };
        tokio::time::timeout(STATUS_TIMEOUT, ask).await.ok().flatten()
    }

    /// The node that believes to lead in the highest term, if one can be asked.
    pub async fn leader(&self) -> Option<usize> {
        let statuses = join_all((0..self.size()).map(|node| self.status(node))).await;
        statuses
            .into_iter()
            .enumerate()
            .filter_map(|(node, status)| {
                let status = status?;
                let member = status.header.as_ref()?.member_id;
                (status.leader == member).then_some((status.raft_term, node))
            })
            .max()
            .map(|(_, node)| node)
    }

    /// Asks the leader to hand over to `target`.
    ///
    /// # Errors
    /// When there is no leader, when it refuses, or when `target` does not answer.
    pub async fn move_leader(&self, leader: usize, target: usize) -> Result<()> {
        let status = self.status(target).await.ok_or("the target does not answer")?;
        let member = status.header.ok_or("the target does not name itself")?.member_id;
        let mut connection = Connection::new(self.client_addresses(), leader);
        connection
            .call(|channel| async move {
                MaintenanceClient::new(channel)
                    .move_leader(MoveLeaderRequest { target_id: member })
                    .await
            })
            .await
            .map_err(|failure| format!("{failure:?}"))?;
        Ok(())
    }

    /// Undoes every fault: links open, paused processes go on, dead ones start again.
    ///
    /// # Errors
    /// When a process cannot be started or signalled.
    pub async fn heal(&self) -> Result<()> {
        self.network.heal();
        for node in 0..self.size() {
            let runs = self.runs(&mut *self.processes.lock().await, node).await?;
            if runs {
                self.resume_node(node).await?
            } else {
                self.start_node(node).await?
            }
        }
        Ok(())
    }

    /// Waits until every node answers a linearizable read.
    ///
    /// # Errors
    /// When one does not within a minute: a healed cluster has to serve.
    pub async fn wait_until_recovered(&self) -> Result<()> {
        let deadline = Instant::now() + MAXIMUM_RECOVERY;
        for node in 0..self.size() {
            let mut connection = Connection::new(self.client_addresses(), node);
            loop {
                let request = RangeRequest {
                    key: "recovery".into(),
                    ..Default::default()
                };
                let answer = connection
                    .call(|channel| async move { KvClient::new(channel).range(request).await })
                    .await;
                match answer {
                    Ok(_) => break,
                    Err(failure) if Instant::now() > deadline => {
                        return Err(format!(
                            "node {node} does not serve {MAXIMUM_RECOVERY:?} after the last fault was healed: {failure:?}"
                        )
                        .into());
                    }
                    Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
                }
            }
        }
        Ok(())
    }
}
