//! Clients that nobody here wrote, each against a cluster of three nodes of Stead, and of etcd to show that the test
//! is right. `tests/clients/setup.sh` installs them.

mod consul;
mod dns;
mod drop_in;
mod etcdctl;
mod follow;
mod golang;
mod java;
mod node;
mod python;
mod rust;
mod vault;
mod writes;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Cluster, Program, Result, clients_directory};

/// How long one program of a client may take for all it does.
const MAXIMUM_RUN: Duration = Duration::from_secs(120);

/// The program of the Node client, `tests/clients/node/client.mjs`, where `setup.sh` has put it with its packages.
fn node_client() -> Command {
    let mut command = Command::new("node");
    command.arg(clients_directory().join("node/client.mjs"));
    command
}

/// The program of the Java client, `tests/clients/java/Client.java`, compiled by `setup.sh`.
fn java_client() -> Command {
    let built = clients_directory().join("java");
    let mut command = Command::new("java");
    command
        .arg("-cp")
        .arg(format!("{0}/classes:{0}/lib/*", built.display()))
        .arg("Client");
    command
}

async fn three_nodes(program: Program) -> Result<Cluster> {
    Cluster::builder(program).nodes(3).start().await
}

/// Whether a client is told the same by Stead as by etcd: its program prints all that it saw, but for what differs from run
/// to run.
async fn sees_the_same(client: fn() -> Command) -> Result<()> {
    let seen = async |program| {
        let cluster = three_nodes(program).await?;
        succeeds(client().arg(cluster.endpoints().join(","))).await
    };
    let of_etcd = seen(Program::etcd()?).await?;
    assert_eq!(seen(Program::stead()?).await?, of_etcd);
    Ok(())
}

/// Runs a program of a client, which checks for itself and exits with 0 if all was as it should be. Returns what it
/// printed.
async fn succeeds(command: &mut Command) -> Result<String> {
    succeeds_within(MAXIMUM_RUN, command).await
}

async fn succeeds_within(limit: Duration, command: &mut Command) -> Result<String> {
    let name = command.as_std().get_program().to_owned();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let child = child.map_err(|error| {
        format!(
            "cannot run {} ({error}): run tests/clients/setup.sh",
            Path::new(&name).display()
        )
    })?;
    let output = timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| format!("{} did not end within {limit:?}", Path::new(&name).display()))??;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(printed)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "{} ended with {}\n{printed}\n{errors}",
            Path::new(&name).display(),
            output.status
        )
        .into())
    }
}
