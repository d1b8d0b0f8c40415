//! A cluster starts, elects, survives each signal and stops. Shown on etcd too, which shows that the launcher is right.

use crate::support::{Cluster, Program, Result, TestResult};

async fn survives_every_signal(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;

    let leader = cluster.leader().await?;
    cluster.node(leader).kill()?;
    let successor = cluster.leader().await?;
    assert_ne!(leader, successor, "a killed node cannot lead");

    cluster.restart(leader).await?;
    cluster.node(leader).pause()?;
    assert!(
        cluster.status(leader).await.is_err(),
        "a paused node does not answer"
    );
    cluster.node(leader).resume()?;
    cluster.wait_until_ready().await?;

    cluster.node(leader).terminate()?;
    cluster.wait_until_ready().await?;

    cluster.kill_all()?;
    cluster.start_all().await
}

#[tokio::test]
async fn a_stead_cluster_survives_every_signal() -> TestResult {
    Ok(survives_every_signal(Program::stead()?).await?)
}

#[tokio::test]
async fn an_etcd_cluster_survives_every_signal() -> TestResult {
    Ok(survives_every_signal(Program::etcd()?).await?)
}
