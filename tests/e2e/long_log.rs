//! A log that is never purged: whoever leads after a restart finds out where each follower stands by asking in the
//! middle of it, and must not take that for a follower that is far behind.

use super::writers::{Shape, Writers, all_serve_and_hold};
use crate::support::{Cluster, Program, TestResult};

/// Far more than one message to a follower holds.
const PUTS: usize = 30_000;

const SHAPE: Shape = Shape {
    writers: 96,
    keys: 50,
    value_bytes: 8,
};

#[tokio::test]
async fn nodes_with_a_long_log_come_back_from_a_death_of_all_and_of_the_leader() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--snapshot-count=1000000")
        .start()
        .await?;
    let writers = Writers::start(&cluster.endpoints(), SHAPE);
    writers.more_acknowledged(PUTS).await?;
    cluster.kill_all()?;
    let acknowledged = writers.stop().await?;
    cluster.start_all().await?;
    all_serve_and_hold(&cluster, &acknowledged).await?;

    let leader = cluster.leader().await?;
    cluster.restart(leader).await?;
    all_serve_and_hold(&cluster, &acknowledged).await?;

    // An orderly end, too: the leader may be the same again.
    let leader = cluster.leader().await?;
    cluster.node(leader).terminate()?;
    cluster.start_all().await?;
    Ok(all_serve_and_hold(&cluster, &acknowledged).await?)
}
