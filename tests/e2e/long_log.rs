//! A long log that was never purged, and is to be purged from the restart on: whoever leads then makes a snapshot at once
//! and finds out where each follower stands by asking in the middle of the log. All come to the same state all the same.
//! When a follower is cut off is decided, and tested, in `src/replication/network/append.rs`.

use super::writers::{Shape, Writers, all_serve_and_hold};
use crate::support::{Cluster, Program, TestResult};

/// Far more than one message to a follower holds.
const PUTS: usize = 30_000;

/// No snapshot at first, then one soon after the start.
const AT_FIRST: &str = "--snapshot-count=1000000";
const AFTERWARDS: &str = "--snapshot-count=1000";

const SHAPE: Shape = Shape {
    writers: 96,
    keys: 50,
    value_bytes: 8,
};

#[tokio::test]
async fn nodes_with_a_long_log_come_back_from_a_death_of_all_and_of_the_leader() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument(AT_FIRST)
        .start()
        .await?;
    let writers = Writers::start(&cluster.endpoints(), SHAPE);
    writers.more_acknowledged(PUTS).await?;
    cluster.kill_all()?;
    let acknowledged = writers.stop().await?;
    for node in 0..cluster.size() {
        cluster.node(node).set_arguments(vec![AFTERWARDS.to_owned()]);
    }
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
