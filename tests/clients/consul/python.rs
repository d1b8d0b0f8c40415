//! The Python clients of Consul of PyPI, in environments of `setup.sh`: py-consul, with the program
//! `tests/clients/consul_client.py` and the tests that come with it, and what it was made from, python-consul, with the program
//! `tests/clients/python_consul_client.py`.

use std::time::Duration;

use tokio::process::Command;

use super::super::{succeeds, succeeds_within};
use super::{NODES, source, survives};
use crate::e2e::consul::ConsulCluster;
use crate::support::{TestResult, clients_directory};

/// How long the client's own tests may take: each starts a cluster.
const MAXIMUM_SUITE: Duration = Duration::from_secs(1200);

/// How many tests come with the client, and how many of them are about what Stead refuses (see `consul_suite`).
const SUITE_SIZE: usize = 168;
const SUITE_LEFT_OUT: usize = 29;

#[tokio::test]
async fn the_python_client_of_consul_works_with_stead() -> TestResult {
    let cluster = ConsulCluster::start(NODES, &[]).await?;
    let python = clients_directory().join("consul-venv/bin/python");
    let script = source("consul_client.py");
    succeeds(Command::new(python).arg(script).args(&cluster.addresses)).await?;
    Ok(())
}

#[tokio::test]
async fn the_older_python_client_of_consul_goes_on_when_the_leader_is_killed() -> TestResult {
    let mut cluster = ConsulCluster::start(NODES, &[]).await?;
    let leader = cluster.cluster.leader().await?;
    let mut client = Command::new(clients_directory().join("python-consul-venv/bin/python"));
    client.arg(source("python_consul_client.py"));
    Ok(survives(&mut cluster, leader, client).await?)
}

#[tokio::test]
async fn the_tests_of_the_python_client_of_consul_pass_with_stead() -> TestResult {
    let environment = clients_directory().join("consul-venv");
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(environment.join("bin/python"));
    command
        .args(["-m", "pytest", "-v", "--no-header", "-o", "asyncio_mode=auto"])
        .args(["-p", "against_stead"])
        .args(["-p", "no:cacheprovider", "-p", "no:warnings"])
        .arg("tests")
        .current_dir(environment.join("py-consul-source"))
        .env("PYTHONPATH", source("consul_suite"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "STEAD_BINARY",
            std::env::var_os("STEAD_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_stead").into()),
        )
        .env("STEAD_FOLDER", folder.path());
    let printed = succeeds_within(MAXIMUM_SUITE, &mut command).await?;
    let outcomes: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("tests/"))
        .collect();
    let passed = outcomes.iter().filter(|line| line.contains(" PASSED ")).count();
    assert_eq!(
        (outcomes.len(), passed),
        (SUITE_SIZE, SUITE_SIZE - SUITE_LEFT_OUT),
        "{outcomes:#?}"
    );
    Ok(())
}
