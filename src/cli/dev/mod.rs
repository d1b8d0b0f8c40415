//! `stead dev`: a whole cluster on this machine, of real processes with real disks and sockets.
//!
//! Every node is a `stead server` process of this same executable on loopback. A node that ends is started again; when
//! this process ends, in whatever way, the nodes end with it. Its folder is only ever emptied if it is one of its own.

mod folder;
mod node;
mod secrets;

use std::env;
use std::io::{self, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::exit::CliError;
use super::output::{Format, write_json};
use super::signal;
use crate::base::clock;
use crate::client::Client;
use crate::client::node::Times;
use crate::client::security::Security;
use crate::proto::etcdserverpb::{RangeRequest, StatusRequest};
use folder::DevFolder;
use node::DevNode;

/// The client port of the first node if nobody says otherwise: where every client looks.
const DEFAULT_BASE_PORT: u16 = 2379;

/// How far the ports of further nodes are from the default of the first: as etcd's own local cluster has them.
const DEFAULT_OFFSETS: [u16; 5] = [0, 20_000, 30_000, 40_000, 50_000];

/// The ports of the first node for Consul's interface and for DNS if nobody says otherwise: Consul's own.
const DEFAULT_CONSUL_PORT: u16 = 8_500;
const DEFAULT_DNS_PORT: u16 = 8_600;

/// How far those of further nodes are from them.
const DEFAULT_CONSUL_STEP: u16 = 10_000;

/// The port of the first node for Vault's interface if nobody says otherwise, which is Vault's own, and how far those of
/// further nodes are from it: the one between is what Vault's members speak on.
const DEFAULT_VAULT_PORT: u16 = 8_200;
const DEFAULT_VAULT_STEP: u16 = 2;

/// How far they are above the port for clients if a base port is given.
const CHOSEN_CONSUL_OFFSET: u16 = 2;
const CHOSEN_DNS_OFFSET: u16 = 3;
const CHOSEN_VAULT_OFFSET: u16 = 4;

/// How far ports are apart if another base port is given.
const CHOSEN_STEP: u16 = 10;

/// How long the cluster may take to serve.
const MAXIMUM_START: Duration = Duration::from_secs(60);

/// Time between two looks at a cluster that starts.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long a node may take to answer while the cluster starts.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// The arguments of `stead dev`.
#[derive(Debug, Clone, Args)]
pub(super) struct Dev {
    /// Number of nodes: 1, 3 or 5
    #[arg(long, default_value = "3", value_parser = ["1", "3", "5"])]
    nodes: String,
    /// Remove what an earlier cluster left in the data folder
    #[arg(long)]
    fresh: bool,
    /// Where the data and logs are kept
    #[arg(long, default_value = "stead-dev")]
    data_dir: PathBuf,
    /// Client port of the first node; the others follow in steps of 10, peers one above, Consul's interface two, DNS three, Vault's interface four [default: 2379, 22379, 32379; Consul 8500, 18500, 28500; DNS 8600, 18600, 28600; Vault 8200, 8202, 8204]
    #[arg(long)]
    base_port: Option<u16>,
}

impl Dev {
    /// Starts the cluster, and runs until it is told to stop.
    ///
    /// # Errors
    /// A port is taken, the folder is not one of `stead dev`, or the cluster does not come to serve.
    pub(super) async fn run(&self, format: Format) -> Result<(), CliError> {
        let stopped = signal::stop()?;
        let ports = self.ports()?;
        for port in &ports {
            check_port(*port)?;
            check_port(port + 1)?;
        }
        let dns_ports = self.others(&ports, DEFAULT_DNS_PORT, DEFAULT_CONSUL_STEP, CHOSEN_DNS_OFFSET);
        for port in &dns_ports {
            check_port(*port)?;
            check_datagram_port(*port)?;
        }
        let folder = DevFolder::open(&self.data_dir, &ports, self.fresh)?;
        let consul_ports = self.others(
            &ports,
            DEFAULT_CONSUL_PORT,
            DEFAULT_CONSUL_STEP,
            CHOSEN_CONSUL_OFFSET,
        );
        for port in &consul_ports {
            check_port(*port)?;
        }
        let vault_ports = self.others(
            &ports,
            DEFAULT_VAULT_PORT,
            DEFAULT_VAULT_STEP,
            CHOSEN_VAULT_OFFSET,
        );
        for port in &vault_ports {
            check_port(*port)?;
        }
        let key = secrets::key_file(folder.path())?;
        let nodes = node::describe(
            folder.path(),
            &key,
            &ports,
            &consul_ports,
            &vault_ports,
            &dns_ports,
        );
        let mut children = Vec::new();
        for node in &nodes {
            children.push(node.start()?);
        }
        let processes: Vec<u32> = children
            .iter()
            .map(|child| child.id().unwrap_or_default())
            .collect();
        let serving = async {
            wait_until_serving(&nodes, &mut children).await?;
            if let Err(error) = initialize_secrets(&nodes, folder.path()).await {
                writeln!(io::stderr(), "the secret store cannot be used yet: {error}")?;
            }
            show(&nodes, &processes, self, format)
        };
        let mut stopped = pin!(stopped);
        let (outcome, is_stopped) = tokio::select! {
            outcome = serving => (outcome, false),
            () = &mut stopped => (Ok(()), true),
        };
        let stopping = CancellationToken::new();
        let mut supervisors = JoinSet::new();
        for (node, child) in nodes.iter().zip(children) {
            supervisors.spawn(node.clone().supervise(child, stopping.clone()));
        }
        if outcome.is_ok() && !is_stopped {
            stopped.await;
        }
        writeln!(io::stderr(), "stopping {} nodes", nodes.len())?;
        stopping.cancel();
        let impatient = signal::stop()?;
        tokio::select! {
            () = async { while supervisors.join_next().await.is_some() {} } => {}
            // A child that is dropped is killed.
            () = impatient => supervisors.abort_all(),
        }
        outcome
    }

    /// The client port of each node; the peer port is one above.
    fn ports(&self) -> Result<Vec<u16>, CliError> {
        let nodes: u16 = self
            .nodes
            .parse()
            .map_err(|_| CliError::invalid("--nodes must be 1, 3 or 5"))?;
        let ports: Option<Vec<u16>> = match self.base_port {
            None => DEFAULT_OFFSETS
                .into_iter()
                .take(usize::from(nodes))
                .map(|offset| DEFAULT_BASE_PORT.checked_add(offset))
                .collect(),
            Some(base) => (0..nodes)
                .map(|index| base.checked_add(index.checked_mul(CHOSEN_STEP)?))
                .collect(),
        };
        ports
            .filter(|ports| {
                let last = u16::MAX - CHOSEN_VAULT_OFFSET;
                ports.iter().all(|port| (1..=last).contains(port))
            })
            .ok_or_else(|| {
                CliError::invalid(format!(
                    "--base-port leaves no ports for {nodes} nodes; choose one from 1 to 65000"
                ))
            })
    }

    /// A further port of each node: in steps from the first one's, or so far above its port for clients.
    fn others(&self, client_ports: &[u16], first: u16, step: u16, offset: u16) -> Vec<u16> {
        let of_node = |(client_port, index): (&u16, u16)| match self.base_port {
            None => first + index * step,
            Some(_) => client_port + offset,
        };
        client_ports.iter().zip(0_u16..).map(of_node).collect()
    }
}

fn check_port(port: u16) -> Result<(), CliError> {
    usable(port, TcpListener::bind(("127.0.0.1", port)))
}

fn check_datagram_port(port: u16) -> Result<(), CliError> {
    usable(port, UdpSocket::bind(("127.0.0.1", port)))
}

fn usable<Bound>(port: u16, bound: io::Result<Bound>) -> Result<(), CliError> {
    match bound {
        Ok(_) => Ok(()),
        Err(error) => Err(CliError::failure(format!(
            "port {port} of 127.0.0.1 cannot be used: {error}; stop what uses it (another `stead dev`, an etcd), or choose \
             other ports with --base-port, such as --base-port=12379"
        ))),
    }
}

/// Waits until every node knows a leader and serves a linearizable read.
async fn wait_until_serving(nodes: &[DevNode], children: &mut [Child]) -> Result<(), CliError> {
    let started = clock::now();
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        progress.set_style(style);
    }
    for node in nodes {
        progress.set_message(format!("waiting for {} of {} nodes", node.name, nodes.len()));
        let times = Times {
            dial: POLL_TIMEOUT,
            command: POLL_TIMEOUT,
            ..Times::default()
        };
        let client = Client::new(&node.endpoint(), &Security::default(), times)?;
        while !is_serving(&client).await {
            progress.tick();
            for (node, child) in nodes.iter().zip(children.iter_mut()) {
                if let Some(status) = child.try_wait()? {
                    return Err(did_not_start(node, &format!("ended ({status})")));
                }
            }
            if started.elapsed() > MAXIMUM_START {
                let what = format!("does not serve after {} s", MAXIMUM_START.as_secs());
                return Err(did_not_start(node, &what));
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Everything else serves whether the secret store does or not.
async fn initialize_secrets(nodes: &[DevNode], folder: &Path) -> Result<(), CliError> {
    let endpoints: Vec<String> = nodes.iter().map(DevNode::endpoint).collect();
    let client = Client::new(&endpoints.join(","), &Security::default(), Times::default())?;
    secrets::initialize(&client, folder).await
}

fn did_not_start(node: &DevNode, what: &str) -> CliError {
    CliError::failure(format!(
        "{} {what}; the end of its log, {}:\n{}",
        node.name,
        node.log.display(),
        node.log_end()
    ))
}

async fn is_serving(client: &Client) -> bool {
    let asked = async {
        let node = client.current();
        match node.maintenance().status(StatusRequest {}).await {
            Ok(status) if status.get_ref().leader == 0 => return Ok(false),
            Err(status) if !wants_identity(&status) => return Err(status),
            _ => {}
        }
        let request = RangeRequest {
            key: "health".into(),
            ..RangeRequest::default()
        };
        match node.kv().range(request).await {
            Err(status) if !wants_identity(&status) => Err(status),
            _ => Ok(true),
        }
    };
    matches!(
        timeout(POLL_TIMEOUT, asked).await,
        Ok(Ok::<_, tonic::Status>(true))
    )
}

/// Whether a node serves, but only those who say who they are.
fn wants_identity(status: &tonic::Status) -> bool {
    status.message() == "etcdserver: user name is empty"
}

/// Shows where the nodes are and what to try next.
fn show(nodes: &[DevNode], processes: &[u32], dev: &Dev, format: Format) -> Result<(), CliError> {
    let endpoints: Vec<String> = nodes.iter().map(DevNode::endpoint).collect();
    let endpoints = endpoints.join(",");
    let mut out = io::stdout().lock();
    if format.is_json() {
        let nodes: Vec<Value> = nodes
            .iter()
            .zip(processes)
            .map(|(node, process)| {
                json!({
                    "name": node.name,
                    "endpoint": node.endpoint(),
                    "peer": node.peer_address(),
                    "consul": node.consul_address(),
                    "vault": node.vault_address(),
                    "dns": node.dns_address(),
                    "process": process,
                    "log": node.log,
                })
            })
            .collect();
        return write_json(out, &json!({"endpoints": endpoints, "nodes": nodes}));
    }
    let program = env::args().next().unwrap_or_else(|| "stead".to_owned());
    let flag = if dev.base_port.is_none() {
        String::new()
    } else {
        format!(" --endpoints={endpoints}")
    };
    let plural = if nodes.len() == 1 { "" } else { "s" };
    writeln!(
        out,
        "A cluster of {} node{plural} serves; its data are in {}.\n",
        nodes.len(),
        dev.data_dir.display()
    )?;
    writeln!(
        out,
        "  {:<5} {:<16} {:<16} {:<16} {:<16} {:<16} {:<8} log",
        "node", "clients", "peers", "Consul", "Vault", "DNS", "process"
    )?;
    for (node, process) in nodes.iter().zip(processes) {
        writeln!(
            out,
            "  {:<5} {:<16} {:<16} {:<16} {:<16} {:<16} {:<8} {}",
            node.name,
            node.endpoint(),
            node.peer_address(),
            node.consul_address(),
            node.vault_address(),
            node.dns_address(),
            process,
            node.log.display()
        )?;
    }
    let victim = processes.first().copied().unwrap_or_default();
    writeln!(
        out,
        "\nTry in another terminal:\n  \
         {program} put{flag} greeting hello\n  \
         {program} get{flag} greeting\n  \
         {program} watch{flag} greeting\n  \
         {program} secret{flag} put secret/db/app password=-\n  \
         {program} endpoint{flag} status --cluster\n  \
         ETCDCTL_API=3 etcdctl --endpoints={endpoints} get greeting\n  \
         kill -9 {victim}    # the others go on, and the node is started again\n\n\
         Ctrl-C stops all nodes."
    )?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev(nodes: &str, base_port: Option<u16>) -> Dev {
        Dev {
            nodes: nodes.to_owned(),
            fresh: false,
            data_dir: PathBuf::new(),
            base_port,
        }
    }

    #[test]
    fn ports_are_those_of_a_local_etcd_cluster_unless_chosen() {
        assert_eq!(dev("3", None).ports().unwrap(), [2_379, 22_379, 32_379]);
        assert_eq!(dev("5", None).ports().unwrap().last(), Some(&52_379));
        assert_eq!(dev("3", Some(7_000)).ports().unwrap(), [7_000, 7_010, 7_020]);
        assert_eq!(
            dev("3", None).others(
                &[2_379, 22_379, 32_379],
                DEFAULT_DNS_PORT,
                DEFAULT_CONSUL_STEP,
                CHOSEN_DNS_OFFSET
            ),
            [8_600, 18_600, 28_600]
        );
        assert_eq!(
            dev("3", None).others(
                &[2_379, 22_379, 32_379],
                DEFAULT_VAULT_PORT,
                DEFAULT_VAULT_STEP,
                CHOSEN_VAULT_OFFSET
            ),
            [8_200, 8_202, 8_204]
        );
        assert_eq!(
            dev("3", Some(7_000)).others(
                &[7_000, 7_010, 7_020],
                DEFAULT_DNS_PORT,
                DEFAULT_CONSUL_STEP,
                CHOSEN_DNS_OFFSET
            ),
            [7_003, 7_013, 7_023]
        );
        assert!(
            dev("5", Some(65_500))
                .ports()
                .unwrap_err()
                .message
                .contains("--base-port")
        );
        assert!(dev("1", Some(0)).ports().is_err());
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_port(port).unwrap_err();
        assert!(error.message.contains(&port.to_string()), "{error}");
        assert!(error.message.contains("--base-port"), "{error}");
    }
}
