//! Clients that nobody here wrote, each against a cluster of three nodes of Stead, and of etcd to show that the test
//! is right. `tests/clients/setup.sh` installs them.

mod drop_in;
mod etcdctl;
mod golang;
mod python;
mod rust;
mod writes;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Cluster, Program, Result};

/// How long one program of a client may take for all it does.
const MAXIMUM_RUN: Duration = Duration::from_secs(120);

async fn three_nodes(program: Program) -> Result<Cluster> {
    Cluster::builder(program).nodes(3).start().await
}

/// Runs a program of a client, which checks for itself and exits with 0 if all was as it should be.
async fn succeeds(command: &mut Command) -> Result<String> {
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
    let output = timeout(MAXIMUM_RUN, child.wait_with_output())
        .await
        .map_err(|_| {
            format!(
                "{} did not end within {MAXIMUM_RUN:?}",
                Path::new(&name).display()
            )
        })??;
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
