//! The Python client py-consul of PyPI: the program `tests/clients/consul_client.py`, in an environment of `setup.sh`.

use std::path::Path;

use tokio::process::Command;

use super::succeeds;
use crate::e2e::consul::ConsulCluster;
use crate::support::{TestResult, clients_directory};

#[tokio::test]
async fn the_python_client_of_consul_works_with_stead() -> TestResult {
    let cluster = ConsulCluster::start(3, &[]).await?;
    let python = clients_directory().join("consul-venv/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/consul_client.py");
    succeeds(Command::new(python).arg(script).args(&cluster.addresses)).await?;
    Ok(())
}
