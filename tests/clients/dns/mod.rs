//! Programs that ask DNS: `dig`, haproxy, Prometheus, and CoreDNS on top of the keys; each on a cluster of three nodes,
//! one of which is killed.

mod coredns;
mod dig;
mod haproxy;
mod prometheus;
mod speed;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stead::proto::registry::{DeregisterRequest, Instance, Node, RegisterNodeRequest, RegisterRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::{Cluster, Program, Result, free_port};

/// How long what must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// A cluster of three nodes and where each answers DNS.
struct Served {
    cluster: Cluster,
    addresses: Vec<String>,
}

impl Served {
    /// One whose nodes answer DNS on free ports.
    async fn start() -> Result<Self> {
        let addresses = (0..3).map(|_| Ok(format!("127.0.0.1:{}", free_port()?)));
        Self::at(addresses.collect::<Result<_>>()?).await
    }

    /// One whose nodes answer DNS there.
    async fn at(addresses: Vec<String>) -> Result<Self> {
        let mut builder = Cluster::builder(Program::stead()?).nodes(addresses.len());
        for (node, address) in addresses.iter().enumerate() {
            builder = builder.argument_of(node, format!("--listen-dns={address}"));
        }
        let cluster = builder.start().await?;
        Ok(Self { cluster, addresses })
    }

    /// Registers an instance through a node that runs.
    async fn register(&self, through: usize, instance: Instance) -> Result<()> {
        let request = RegisterRequest {
            instance: Some(instance),
            ..RegisterRequest::default()
        };
        let mut clients = self.cluster.clients(through)?;
        let registering = async {
            loop {
                match clients.registry.register(request.clone()).await {
                    Ok(_) => return Ok(()),
                    Err(status) if is_passing(&status) => sleep(PAUSE).await,
                    Err(status) => return Err(status.into()),
                }
            }
        };
        timeout(MAXIMUM_WAIT, registering).await?
    }

    async fn register_node(&self, through: usize, node: Node) -> Result<()> {
        let request = RegisterNodeRequest {
            node: Some(node),
            ..RegisterNodeRequest::default()
        };
        let mut clients = self.cluster.clients(through)?;
        clients.registry.register_node(request).await?;
        Ok(())
    }

    async fn deregister(&self, through: usize, node: &str, id: &str) -> Result<()> {
        let request = DeregisterRequest {
            node: node.into(),
            id: id.into(),
            epoch: 0,
        };
        let mut clients = self.cluster.clients(through)?;
        clients.registry.deregister(request).await?;
        Ok(())
    }

    /// Kills the leader; a node that still runs.
    async fn kill_leader(&mut self) -> Result<(usize, usize)> {
        let leader = self.cluster.leader().await?;
        self.cluster.node(leader).kill()?;
        Ok((leader, (leader + 1) % self.addresses.len()))
    }
}

/// Whether a request may be made again: a leader is being elected.
fn is_passing(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::Unknown | tonic::Code::Aborted
    )
}

fn instance(id: &str, address: &str, port: u16) -> Instance {
    Instance {
        service: "web".into(),
        id: id.into(),
        node: "host1".into(),
        address: address.into(),
        port: port.into(),
        ..Instance::default()
    }
}

/// A program that runs until the test ends, in whatever way.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.spawn().map_err(|error| {
            format!(
                "cannot run {}: {error}: run tests/clients/setup.sh",
                name.display()
            )
        })?;
        Ok(Self(child))
    }

    /// Whether it still runs.
    fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until what is seen is as wanted; fails with what was seen last.
async fn wait_for<T: PartialEq + std::fmt::Debug>(
    wanted: T,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let seen = look().await;
        if seen.as_ref().is_ok_and(|seen| *seen == wanted) {
            return Ok(());
        }
        if started.elapsed() > MAXIMUM_WAIT {
            return Err(format!("wanted {wanted:?}, and after {MAXIMUM_WAIT:?} there is {seen:?}").into());
        }
        sleep(PAUSE).await;
    }
}

/// The body of a page.
async fn page(address: &str, path: &str) -> Result<String> {
    let reading = async {
        let mut connection = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(Duration::from_secs(10), reading).await??;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.to_owned()),
        None => Err(format!("{path}: no HTTP answer: {answer:?}").into()),
    }
}
