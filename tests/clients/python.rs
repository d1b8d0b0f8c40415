//! The Python client etcd3 of PyPI: the program `tests/clients/python_client.py`, and the tests that come with the client,
//! in the environment of `setup.sh`.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::{succeeds, succeeds_within, three_nodes};
use crate::support::{Cluster, Program, Result, TestResult, clients_directory};

/// How long the client's own tests may take. They sleep for a minute, and run hundreds of processes.
const MAXIMUM_SUITE: Duration = Duration::from_secs(1200);

/// How many tests come with the client.
const SUITE_SIZE: usize = 82;

async fn passes(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    let python = clients_directory().join("venv/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python_client.py");
    succeeds(Command::new(python).arg(script).args(cluster.addresses())).await?;
    Ok(())
}

#[tokio::test]
async fn the_python_client_works_with_stead() -> TestResult {
    Ok(passes(Program::stead()?).await?)
}

#[tokio::test]
async fn the_python_client_works_with_etcd() -> TestResult {
    Ok(passes(Program::etcd()?).await?)
}

/// Runs the tests that come with the client; returns the outcome of each. They pause two of three nodes, and ask for
/// certain names: `tests/clients/python_suite/` has what they need, and says which of them cannot work.
async fn suite(program: Program) -> Result<Vec<String>> {
    let cluster = Cluster::builder(program).nodes(3).names("pifpaf").start().await?;
    let environment = clients_directory().join("venv");
    let additions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python_suite");
    let mut programs: Vec<PathBuf> = vec![additions.clone()];
    programs.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let paused: Vec<String> = cluster.nodes()[1..]
        .iter()
        .filter_map(|node| Some(node.process_id()?.to_string()))
        .collect();
    let mut command = Command::new(environment.join("bin/python"));
    command
        .args(["-m", "pytest", "-v", "--no-header"])
        .args(["-p", "against_a_cluster"])
        .args(["-p", "no:cacheprovider", "-p", "no:warnings"])
        .arg("tests")
        .current_dir(environment.join("etcd3-source"))
        .env("PATH", env::join_paths(programs)?)
        .env("PYTHONPATH", additions)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "HYPOTHESIS_STORAGE_DIRECTORY",
            cluster.directory().join("hypothesis"),
        )
        .env("ETCDCTL_ENDPOINTS", cluster.nodes()[0].endpoint())
        .env("TEST_ETCD_VERSION", "v3.5.1")
        .env("STEAD_PAUSED_PROCESSES", paused.join("\n"));
    let printed = succeeds_within(MAXIMUM_SUITE, &mut command).await?;
    let outcomes = printed.lines().filter(|line| line.starts_with("tests/"));
    Ok(outcomes.map(str::to_owned).collect())
}

#[tokio::test]
async fn the_tests_of_the_python_client_pass_with_stead_as_with_etcd() -> TestResult {
    // At the same time, because most of it is sleep.
    let (of_stead, of_etcd) = tokio::try_join!(suite(Program::stead()?), suite(Program::etcd()?))?;
    assert_eq!(of_stead, of_etcd);
    let passed = of_stead.iter().filter(|line| line.contains(" PASSED ")).count();
    assert_eq!(
        (of_stead.len(), passed),
        (SUITE_SIZE, SUITE_SIZE - 1),
        "{of_stead:#?}"
    );
    Ok(())
}
