//! Clients of Consul that nobody here wrote, each against a cluster of three nodes of Stead. There is no Consul to compare
//! with: their programs, and the tests that come with them, know what they expect.

mod golang;
mod python;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::MAXIMUM_RUN;
use crate::e2e::consul::ConsulCluster;
use crate::support::Result;

const NODES: usize = 3;

/// A file among the tests of clients.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// Runs a program of a client that prints `kill` when the member at its first address, `victim`, is to be killed, and reads
/// a line when that is done. It checks for itself and exits with 0 if all was as it should be.
async fn survives(cluster: &mut ConsulCluster, victim: usize, mut command: Command) -> Result<()> {
    let errors = cluster.cluster.directory().join("client.log");
    let mut child = command
        .args((victim..victim + NODES).map(|node| &cluster.addresses[node % NODES]))
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
                cluster.cluster.node(victim).kill()?;
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
    match is_killed {
        true => Ok(()),
        false => Err("the client ended before a node was killed".into()),
    }
}
