//! The Java client, io.etcd:jetcd-core: the program `tests/clients/java/Client.java`, built by `setup.sh`.

use super::{java_client, succeeds, three_nodes};
use crate::support::{Program, Result, TestResult};

/// What the program prints: all that it saw, but for what differs from run to run.
async fn seen(program: Program) -> Result<String> {
    let cluster = three_nodes(program).await?;
    succeeds(java_client().arg(cluster.endpoints().join(","))).await
}

#[tokio::test]
async fn the_java_client_sees_the_same_of_stead_as_of_etcd() -> TestResult {
    let of_etcd = seen(Program::etcd()?).await?;
    assert_eq!(seen(Program::stead()?).await?, of_etcd);
    Ok(())
}
