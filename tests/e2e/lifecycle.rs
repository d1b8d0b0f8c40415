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

/// More than a quiet cluster says in the time that is looked at, far less than one that dials without a pause.
const MAXIMUM_LOG_BYTES: u64 = 1_000_000;

#[tokio::test]
async fn a_dead_member_does_not_fill_the_logs_of_the_others() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let dead = (leader + 1) % cluster.size();
    cluster.node(dead).kill()?;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    for node in cluster.nodes() {
        let bytes = std::fs::metadata(node.log_path())?.len();
        assert!(bytes < MAXIMUM_LOG_BYTES, "{} wrote {bytes} bytes", node.name());
    }
    Ok(())
}
