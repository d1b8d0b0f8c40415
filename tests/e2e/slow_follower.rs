//! A follower that stops and goes on again under load, with few log entries kept: it must take snapshots while entries
//! keep coming. Nobody dies of it, nothing is lost, and all agree in the end.

use std::fs;
use std::time::{Duration, Instant};

use super::writers::{Shape, Writers, all_serve_and_hold};
use crate::support::{Cluster, Program, Result, TestResult};

const SHAPE: Shape = Shape {
    writers: 24,
    keys: 100,
    value_bytes: 1_024,
};

/// After so many pauses in which the follower took a snapshot, or so many in all, it is enough. In the first it must take
/// one; in the others the log may still reach back far enough.
const SNAPSHOTS: usize = 2;
const MAXIMUM_PAUSES: usize = 4;

/// How long the follower is away: longer than the leader waits for an answer, so that the entries it needs are purged.
const PAUSE: Duration = Duration::from_secs(8);

/// While it comes back it is paused again and again, shortly.
const SHORT_PAUSES: usize = 10;
const SHORT_PAUSE: Duration = Duration::from_millis(250);

/// How many puts are acknowledged during each pause at least.
const PUTS: usize = 1_000;

/// How long the others may take to make the next snapshot.
const MAXIMUM_WAIT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How many snapshots the nodes other than `follower` have made.
pub(super) fn made_by_others(cluster: &Cluster, follower: usize) -> Result<usize> {
    let mut made = 0;
    for (index, node) in cluster.nodes().iter().enumerate() {
        if index != follower {
            let log = fs::read_to_string(node.log_path())?;
            made += log.matches("made a snapshot").count();
        }
    }
    Ok(made)
}

/// Which state database a node uses: another one after each snapshot that it took.
pub(super) fn state_in_use(cluster: &Cluster, node: usize) -> Result<String> {
    Ok(fs::read_to_string(
        cluster.nodes()[node].data_directory().join("current"),
    )?)
}

#[tokio::test]
async fn a_follower_that_stops_under_load_takes_snapshots_and_nobody_dies_of_it() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--snapshot-count=100")
        .start()
        .await?;
    let follower = (cluster.leader().await? + 1) % 3;
    let processes: Vec<_> = cluster.nodes().iter().map(|node| node.process_id()).collect();
    let others: Vec<String> = (0..3)
        .filter(|node| *node != follower)
        .map(|node| cluster.nodes()[node].endpoint())
        .collect();
    let mut snapshots = 0;
    let mut writers = None;
    for _ in 0..MAXIMUM_PAUSES {
        let state = state_in_use(&cluster, follower)?;
        let made = made_by_others(&cluster, follower)?;
        cluster.node(follower).pause()?;
        let paused = Instant::now();
        // The first pause begins before anything is written.
        let writers = writers.get_or_insert_with(|| Writers::start(&others, SHAPE));
        writers.more_acknowledged(PUTS).await?;
        while made_by_others(&cluster, follower)? == made || paused.elapsed() < PAUSE {
            if paused.elapsed() > MAXIMUM_WAIT {
                return Err(format!("no snapshot was made within {MAXIMUM_WAIT:?}").into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        for _ in 0..SHORT_PAUSES {
            cluster.node(follower).resume()?;
            tokio::time::sleep(SHORT_PAUSE).await;
            cluster.node(follower).pause()?;
            tokio::time::sleep(SHORT_PAUSE).await;
        }
        cluster.node(follower).resume()?;
        cluster.wait_until_ready().await?;
        writers.more_acknowledged(PUTS).await?;
        if state_in_use(&cluster, follower)? != state {
            snapshots += 1;
        }
        if snapshots >= SNAPSHOTS {
            break;
        }
    }
    let writers = writers.ok_or("nothing was written")?;
    println!("{} puts, {snapshots} snapshots taken", writers.puts());
    let acknowledged = writers.stop().await?;
    assert!(snapshots > 0, "the follower took no snapshot");
    all_serve_and_hold(&cluster, &acknowledged).await?;
    for (index, process) in processes.into_iter().enumerate() {
        let node = cluster.node(index);
        assert_eq!(node.exit_status()?, None, "{} has ended", node.name());
        assert_eq!(node.process_id(), process);
    }
    Ok(())
}
