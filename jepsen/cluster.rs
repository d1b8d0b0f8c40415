//! The cluster under test: real processes, the proxies between them, and what a nemesis may do to both.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::join_all;
use stead::proto::etcdserverpb::cluster_client::ClusterClient;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use stead::proto::etcdserverpb::{
    MemberAddRequest, MemberListRequest, MemberRemoveRequest, MoveLeaderRequest, RangeRequest, StatusRequest,
    StatusResponse,
};
use tokio::sync::Mutex;

use crate::client::{Connection, Failure};
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
    /// The nodes that were asked to leave the cluster, each with the member id that it had.
    leaving: Mutex<BTreeMap<usize, u64>>,
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
            leaving: Mutex::default(),
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
        if let Some(status) = process.exit_status()?
            && !self.leaving.lock().await.contains_key(&node)
        {
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

    /// Removes the member that is `node`; it ends by itself, or stays without a say.
    ///
    /// # Errors
    /// When it is still a member for certain.
    pub async fn remove_member(&self, node: usize) -> Result<()> {
        let status = self.status(node).await.ok_or("the node does not answer")?;
        let id = status.header.ok_or("the node does not name itself")?.member_id;
        self.leaving.lock().await.insert(node, id);
        let mut connection = Connection::new(self.client_addresses(), self.next_to(node));
        let outcome = connection
            .call(|channel| async move {
                ClusterClient::new(channel)
                    .member_remove(MemberRemoveRequest { id })
                    .await
            })
            .await;
        if let Err(Failure::DidNotHappen(reason)) = outcome {
            self.leaving.lock().await.remove(&node);
            return Err(reason.into());
        }
        Ok(())
    }

    /// Makes `node`, which was the member `left`, another member with an empty disk.
    async fn join_again(&self, node: usize, left: u64) -> Result<()> {
        let url = {
            let mut processes = self.processes.lock().await;
            let process = processes.node(node);
            process.kill()?;
            process.peer_url().to_owned()
        };
        let mut connection = Connection::new(self.client_addresses(), self.next_to(node));
        let deadline = Instant::now() + MAXIMUM_RECOVERY;
        // Any answer may be lost: what has been done is what the list says.
        loop {
            let list = MemberListRequest { linearizable: true };
            let answer = connection
                .call(|channel| async move { ClusterClient::new(channel).member_list(list).await })
                .await
                .map(|answer| answer.members);
            let step = match answer {
                Ok(members) => match members.iter().find(|member| member.peer_ur_ls.contains(&url)) {
                    Some(member) if member.id != left => break,
                    Some(_) => {
                        let remove = MemberRemoveRequest { id: left };
                        connection
                            .call(|channel| async move { ClusterClient::new(channel).member_remove(remove).await })
                            .await
                            .map(drop)
                    }
                    None => {
                        let add = MemberAddRequest {
                            peer_ur_ls: vec![url.clone()],
                            is_learner: false,
                        };
                        connection
                            .call(|channel| async move { ClusterClient::new(channel).member_add(add).await })
                            .await
                            .map(drop)
                    }
                },
                Err(failure) => {
                    connection.hop();
                    Err(failure)
                }
            };
            if let Err(failure) = step {
                if Instant::now() > deadline {
                    return Err(format!(
                        "node {node} is not made a member within {MAXIMUM_RECOVERY:?}: {failure:?}"
                    )
                    .into());
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        self.processes.lock().await.node(node).forget_identity()?;
        self.start_node(node).await?;
        self.leaving.lock().await.remove(&node);
        Ok(())
    }

    fn next_to(&self, node: usize) -> usize {
        (node + 1) % self.size()
    }

    /// Undoes every fault: links open, paused processes go on, dead ones start again, who left joins again.
    ///
    /// # Errors
    /// When a process cannot be started or signalled, or does not become a member again.
    pub async fn heal(&self) -> Result<()> {
        self.network.heal();
        for node in 0..self.size() {
            if self.leaving.lock().await.contains_key(&node) {
                continue;
            }
            let runs = self.runs(&mut *self.processes.lock().await, node).await?;
            if runs {
                self.resume_node(node).await?
            } else {
                self.start_node(node).await?
            }
        }
        let leaving = self.leaving.lock().await.clone();
        for (node, left) in leaving {
            self.join_again(node, left).await?;
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
