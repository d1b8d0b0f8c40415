//! The official Go client, go.etcd.io/etcd/client/v3: the program in `tests/clients/go/`, built by `setup.sh`.

use tokio::process::Command;

use super::{succeeds, three_nodes};
use crate::support::{Program, Result, TestResult, clients_directory};

async fn passes(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    let client = clients_directory().join("go-client");
    succeeds(Command::new(client).arg(cluster.endpoints().join(","))).await?;
    Ok(())
}

#[tokio::test]
async fn the_go_client_works_with_stead() -> TestResult {
    Ok(passes(Program::stead()?).await?)
}

#[tokio::test]
async fn the_go_client_works_with_etcd() -> TestResult {
    Ok(passes(Program::etcd()?).await?)
}
