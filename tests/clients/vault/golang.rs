//! The official Go client of Vault, github.com/hashicorp/vault/api: the program in `tests/clients/vault_go/`, built by
//! `setup.sh`, against three members, one of which is killed meanwhile.

use std::fs::{self, File};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::super::MAXIMUM_RUN;
use crate::support::{Cluster, Program, Result, TestResult, clients_directory, free_port};

const NODES: usize = 3;

/// A cluster whose members have the interface, and where it is.
async fn start() -> Result<(Cluster, Vec<String>)> {
    let mut builder = Cluster::builder(Program::stead()?).nodes(NODES);
    let mut addresses = Vec::new();
    for node in 0..NODES {
        let address = format!("127.0.0.1:{}", free_port()?);
        builder = builder.argument_of(node, format!("--listen-vault-urls=http://{address}"));
        addresses.push(address);
    }
    Ok((builder.start().await?, addresses))
}

#[tokio::test]
async fn the_go_client_of_vault_keeps_its_token_and_its_secrets_when_the_leader_is_killed() -> TestResult {
    let (mut cluster, addresses) = start().await?;
    let victim = cluster.leader().await?;
    let errors = cluster.directory().join("client.log");
    let mut child = Command::new(clients_directory().join("vault-go-client"))
        .args((victim..victim + NODES).map(|node| &addresses[node % NODES]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run the client ({error}): run tests/clients/setup.sh"))?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut is_killed = false;
    let outcome = async {
        while let Some(line) = lines.next_line().await? {
            if line == "kill" {
                cluster.node(victim).kill()?;
                input.write_all(b"killed\n").await?;
                is_killed = true;
            }
        }
        match child.wait().await? {
            status if status.success() => Ok(()),
            status => Err(format!("the client ended with {status}").into()),
        }
    };
    let outcome: Result<()> = timeout(MAXIMUM_RUN, outcome)
        .await
        .unwrap_or_else(|_| Err(format!("the client did not end within {MAXIMUM_RUN:?}").into()));
    outcome.map_err(|error| format!("{error}\n{}", fs::read_to_string(&errors).unwrap_or_default()))?;
    assert!(is_killed, "the client ended before a node was killed");
    Ok(())
}
