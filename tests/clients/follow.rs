//! A watch of a client that nobody here wrote goes on while one node after the other is killed: it shows every change
//! once, in order.
//!
//! The client is given the endpoints of all nodes and may be connected to any, so each of them dies once. The programs
//! print `following` when they watch, then each key that is put, and end when their input does.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use stead::proto::etcdserverpb::PutRequest;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use super::{java_client, node_client, three_nodes};
use crate::support::{Cluster, Program, Result, TestResult};

/// How many keys are put before, while and after a node is dead.
const PUTS: usize = 5;

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);

/// Puts the next keys on one node; returns them.
async fn put(cluster: &Cluster, node: usize, numbers: std::ops::Range<usize>) -> Result<Vec<String>> {
    let mut clients = cluster.clients(node)?;
    let mut keys = Vec::new();
    for number in numbers {
        let key = format!("follow/{number}");
        let request = PutRequest {
            key: key.clone().into(),
            ..PutRequest::default()
        };
        clients.kv.put(request).await?;
        keys.push(key);
    }
    Ok(keys)
}

/// Reads as many lines as there are keys, which must be those.
async fn expect(lines: &mut Lines<BufReader<ChildStdout>>, keys: &[String]) -> Result<()> {
    for key in keys {
        let line = timeout(MAXIMUM_WAIT, lines.next_line())
            .await
            .map_err(|_| format!("{key} was not shown within {MAXIMUM_WAIT:?}"))??;
        assert_eq!(line.as_ref(), Some(key), "every change is shown once, in order");
    }
    Ok(())
}

async fn misses_nothing(program: Program, mut command: Command) -> Result<()> {
    let mut cluster = three_nodes(program).await?;
    let errors = cluster.directory().join("client.log");
    let mut child = command
        .arg("follow")
        .arg(cluster.endpoints().join(","))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run the client ({error}): run tests/clients/setup.sh"))?;
    let input = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let outcome = async {
        expect(&mut lines, &["following".to_owned()]).await?;
        let mut number = 0;
        for node in 0..cluster.size() {
            let survivor = (node + 1) % cluster.size();
            expect(&mut lines, &put(&cluster, survivor, number..number + PUTS).await?).await?;
            cluster.node(node).kill()?;
            // The others may have to elect a leader first.
            cluster.wait_until_ready().await?;
            let missed = put(&cluster, survivor, number + PUTS..number + 2 * PUTS).await?;
            expect(&mut lines, &missed).await?;
            cluster.restart(node).await?;
            number += 2 * PUTS;
        }
        expect(&mut lines, &put(&cluster, 0, number..number + PUTS).await?).await?;
        drop(input);
        let end = timeout(MAXIMUM_WAIT, lines.next_line())
            .await
            .map_err(|_| format!("the client does not end within {MAXIMUM_WAIT:?}"))??;
        assert_eq!(end, None, "nothing is shown twice");
        match timeout(MAXIMUM_WAIT, child.wait()).await?? {
            status if status.success() => Ok(()),
            status => Err(format!("the client ended with {status}").into()),
        }
    };
    let outcome: Result<()> = outcome.await;
    Ok(outcome.map_err(|error| format!("{error}\n{}", fs::read_to_string(&errors).unwrap_or_default()))?)
}

#[tokio::test]
async fn the_node_client_misses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(misses_nothing(Program::stead()?, node_client()).await?)
}

#[tokio::test]
async fn the_node_client_misses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(misses_nothing(Program::etcd()?, node_client()).await?)
}

#[tokio::test]
async fn the_java_client_misses_nothing_when_nodes_of_stead_are_killed() -> TestResult {
    Ok(misses_nothing(Program::stead()?, java_client()).await?)
}

#[tokio::test]
async fn the_java_client_misses_nothing_when_nodes_of_etcd_are_killed() -> TestResult {
    Ok(misses_nothing(Program::etcd()?, java_client()).await?)
}
