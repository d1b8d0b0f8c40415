//! The Python client etcd3 of PyPI: the program `tests/clients/python_client.py`, in the environment of `setup.sh`.

use std::path::Path;

use tokio::process::Command;

use super::{succeeds, three_nodes};
use crate::support::{Program, Result, TestResult, clients_directory};

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
