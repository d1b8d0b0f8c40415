//! Clients that nobody here wrote keep writing while one node after the other is killed: what they were told is there,
//! is there, on every node.
//!
//! Each client is given the endpoints of all nodes and puts one new key after another, the value being the key. A put
//! that failed is never tried again by the writer: that key may be there or not. The programs in other languages print
//! each key whose put was acknowledged, and end when their input does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stead::proto::etcdserverpb::RangeRequest;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{java_client, node_client, succeeds, three_nodes};
use crate::support::{Cluster, Program, Result, TestResult, clients_directory};

/// How many writes are acknowledged before and after each death; fewer of a client that is a process for each write.
const WRITES_BETWEEN_DEATHS: usize = 50;
const PROCESSES_BETWEEN_DEATHS: usize = 3;

/// How long one put may take before the writer goes on to the next key.
const MAXIMUM_PUT: Duration = Duration::from_secs(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

const MAXIMUM_WAIT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

/// A client that writes until it is stopped.
struct Writer {
    acknowledged: Acknowledged,
    stopping: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Writer {
    fn start<Task>(write: impl FnOnce(Acknowledged, CancellationToken) -> Task) -> Self
    where
        Task: Future<Output = Result<()>> + Send + 'static,
    {
        let acknowledged = Acknowledged::default();
        let stopping = CancellationToken::new();
        let task = tokio::spawn(write(acknowledged.clone(), stopping.clone()));
        Self {
            acknowledged,
            stopping,
            task,
        }
    }

    /// Waits until so many more writes are acknowledged.
    async fn more_acknowledged(&self, writes: usize) -> Result<()> {
        let target = self.acknowledged.lock().len() + writes;
        let deadline = Instant::now() + MAXIMUM_WAIT;
        loop {
            let reached = self.acknowledged.lock().len();
            if reached >= target {
                return Ok(());
            }
            if self.task.is_finished() || Instant::now() > deadline {
                return Err(format!(
                    "{reached} of {target} writes were acknowledged in {MAXIMUM_WAIT:?}; the writer {}",
                    if self.task.is_finished() {
                        "has ended"
                    } else {
                        "runs"
                    }
                )
                .into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Ends the writer and returns the keys that were acknowledged.
    async fn stop(self) -> Result<BTreeSet<String>> {
        self.stopping.cancel();
        timeout(MAXIMUM_WAIT, self.task)
            .await
            .map_err(|_| format!("the writer does not end within {MAXIMUM_WAIT:?}"))???;
        Ok(std::mem::take(&mut *self.acknowledged.lock()))
    }
}

/// Runs a program that prints the keys, and closes its input when it shall end.
fn run_writer(mut command: Command, errors: &Path) -> Result<Writer> {
    let name = command.as_std().get_program().display().to_string();
    let errors = errors.to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run {name} ({error}): run tests/clients/setup.sh"))?;
    let mut input = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    Ok(Writer::start(
        async move |acknowledged: Acknowledged, stopping: CancellationToken| {
            loop {
                tokio::select! {
                    line = lines.next_line() => match line? {
                        Some(key) => acknowledged.lock().insert(key),
                        None => break,
                    },
                    () = stopping.cancelled(), if input.is_some() => input.take().is_some(),
                };
            }
            let status = child.wait().await?;
            match status.success() && stopping.is_cancelled() {
                true => Ok(()),
                false => Err(format!("{name} ended with {status}\n{}", fs::read_to_string(errors)?).into()),
            }
        },
    ))
}

fn go(cluster: &Cluster) -> Result<Writer> {
    let mut command = Command::new(clients_directory().join("go-client"));
    command.arg("writes").arg(cluster.endpoints().join(","));
    run_writer(command, &cluster.directory().join("go-client.log"))
}

fn python(cluster: &Cluster) -> Result<Writer> {
    let mut command = Command::new(clients_directory().join("venv/bin/python"));
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python_client.py"))
        .arg("writes")
        .args(cluster.nodes().iter().map(|node| node.client_address()));
    run_writer(command, &cluster.directory().join("python-client.log"))
}

fn node(cluster: &Cluster) -> Result<Writer> {
    let mut command = node_client();
    command.arg("writes").arg(cluster.endpoints().join(","));
    run_writer(command, &cluster.directory().join("node-client.log"))
}

fn java(cluster: &Cluster) -> Result<Writer> {
    let mut command = java_client();
    command.arg("writes").arg(cluster.endpoints().join(","));
    run_writer(command, &cluster.directory().join("java-client.log"))
}

fn rust(cluster: &Cluster) -> Result<Writer> {
    let endpoints = cluster.endpoints();
    Ok(Writer::start(
        async move |acknowledged: Acknowledged, stopping: CancellationToken| {
            let mut client = etcd_client::Client::connect(endpoints, None).await?;
            for number in 0.. {
                if stopping.is_cancelled() {
                    break;
                }
                let key = format!("writes/rust/{number}");
                match timeout(MAXIMUM_PUT, client.put(key.as_str(), key.as_str(), None)).await {
                    Ok(Ok(_)) => {
                        acknowledged.lock().insert(key);
                    }
                    Ok(Err(_)) | Err(_) => tokio::time::sleep(PAUSE_AFTER_FAILURE).await,
                }
            }
            Ok(())
        },
    ))
}

fn etcdctl(cluster: &Cluster) -> Result<Writer> {
    let endpoints = cluster.endpoints().join(",");
    Ok(Writer::start(
        async move |acknowledged: Acknowledged, stopping: CancellationToken| {
            for number in 0.. {
                if stopping.is_cancelled() {
                    break;
                }
                let key = format!("writes/etcdctl/{number}");
                let mut command = Command::new("etcdctl");
                command
                    .args(["put", &key, &key])
                    .env("ETCDCTL_API", "3")
                    .env("ETCDCTL_ENDPOINTS", &endpoints);
                match succeeds(&mut command).await {
                    Ok(printed) if printed == "OK\n" => {
                        acknowledged.lock().insert(key);
                    }
                    Ok(printed) => return Err(format!("etcdctl put printed {printed:?}").into()),
                    Err(_) => tokio::time::sleep(PAUSE_AFTER_FAILURE).await,
                }
            }
            Ok(())
        },
    ))
}

/// So many nodes answer a linearizable read with every key that was acknowledged.
async fn check(cluster: &Cluster, acknowledged: &BTreeSet<String>, needed: usize) -> Result<()> {
    let mut having: BTreeMap<&str, usize> = BTreeMap::new();
    for node in 0..cluster.size() {
        let request = RangeRequest {
            key: "writes/".into(),
            range_end: "writes0".into(),
            ..RangeRequest::default()
        };
        let mut clients = cluster.clients(node)?;
        let deadline = Instant::now() + MAXIMUM_WAIT;
        // A node that has just started may not be in touch with the others yet, and says so.
        let answer = loop {
            match clients.kv.range(request.clone()).await {
                Err(status) if status.code() == Code::Unavailable && Instant::now() < deadline => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                answer => break answer?.into_inner(),
            }
        };
        let found: BTreeMap<_, _> = answer
            .kvs
            .into_iter()
            .map(|pair| (pair.key, pair.value))
            .collect();
        for key in acknowledged {
            let is_there = found
                .get(key.as_bytes())
                .is_some_and(|value| value == key.as_bytes());
            *having.entry(key).or_default() += usize::from(is_there);
        }
    }
    for (key, nodes) in having {
        assert!(
            nodes >= needed,
            "{key} was acknowledged, and {nodes} nodes have it instead of {needed}"
        );
    }
    Ok(())
}

async fn loses_nothing(
    program: Program,
    start: impl FnOnce(&Cluster) -> Result<Writer>,
    writes: usize,
) -> Result<()> {
    // A member of etcd before 3.5.3 that is killed may skip a write for ever when it starts (etcd's issue 13766).
    let needed = match program {
        Program::Stead(_) => 3,
        Program::Etcd(_) => 2,
    };
    let mut cluster = three_nodes(program).await?;
    let writer = start(&cluster)?;
    // Whoever leads at first is among them; whoever leads in the end dies, too.
    for node in 0..cluster.size() {
        writer.more_acknowledged(writes).await?;
        cluster.node(node).kill()?;
        writer.more_acknowledged(writes).await?;
        cluster.restart(node).await?;
    }
    let leader = cluster.leader().await?;
    cluster.node(leader).kill()?;
    writer.more_acknowledged(writes).await?;
    cluster.restart(leader).await?;
    writer.more_acknowledged(writes).await?;
    let acknowledged = writer.stop().await?;
    check(&cluster, &acknowledged, needed).await
}

#[tokio::test]
async fn the_rust_client_loses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(loses_nothing(Program::stead()?, rust, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_rust_client_loses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(loses_nothing(Program::etcd()?, rust, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_python_client_loses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(loses_nothing(Program::stead()?, python, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_python_client_loses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(loses_nothing(Program::etcd()?, python, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_go_client_loses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(loses_nothing(Program::stead()?, go, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_go_client_loses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(loses_nothing(Program::etcd()?, go, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_node_client_loses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(loses_nothing(Program::stead()?, node, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_node_client_loses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(loses_nothing(Program::etcd()?, node, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_java_client_loses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(loses_nothing(Program::stead()?, java, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn the_java_client_loses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(loses_nothing(Program::etcd()?, java, WRITES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn etcdctl_loses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(loses_nothing(Program::stead()?, etcdctl, PROCESSES_BETWEEN_DEATHS).await?)
}

#[tokio::test]
async fn etcdctl_loses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(loses_nothing(Program::etcd()?, etcdctl, PROCESSES_BETWEEN_DEATHS).await?)
}
