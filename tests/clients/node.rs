//! The client etcd3 of npm: the program `tests/clients/node/client.mjs`, with the packages of `setup.sh`.

use super::{node_client, succeeds, three_nodes};
use crate::support::{Program, Result, TestResult};

/// What the program prints: all that it saw, but for what differs from run to run.
async fn seen(program: Program) -> Result<String> {
    let cluster = three_nodes(program).await?;
    succeeds(node_client().arg(cluster.endpoints().join(","))).await
}

#[tokio::test]
async fn the_node_client_sees_the_same_of_stead_as_of_etcd() -> TestResult {
    let of_etcd = seen(Program::etcd()?).await?;
    assert_eq!(seen(Program::stead()?).await?, of_etcd);
    Ok(())
}
