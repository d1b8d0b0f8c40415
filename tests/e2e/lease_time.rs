//! The time of a lease goes on with the next leader: it neither runs out early nor begins anew.

use std::time::Duration;

use stead::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest, MoveLeaderRequest,
};
use tokio::time::{sleep, timeout};
use tokio_stream::once;

use crate::support::{Clients, Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
const TTL_SECONDS: i64 = 600;
/// How much of a lease is used up before the leader dies: far more than what a new leader may add.
const USED_SECONDS: i64 = 8;

/// Seconds that are left of a lease, however often it must be asked.
async fn left(clients: &mut Clients, id: i64) -> Result<i64> {
    let asking = async {
        loop {
            let request = LeaseTimeToLiveRequest { id, keys: false };
            match clients.lease.lease_time_to_live(request).await {
                Ok(answer) => return answer.into_inner().ttl,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    Ok(timeout(MAXIMUM_WAIT, asking).await?)
}

async fn keep_alive(clients: &mut Clients, id: i64) -> Result<i64> {
    let asking = async {
        loop {
            let request = once(LeaseKeepAliveRequest { id });
            if let Ok(answers) = clients.lease.lease_keep_alive(request).await
                && let Ok(Some(answer)) = answers.into_inner().message().await
            {
                return answer.ttl;
            }
            sleep(PAUSE).await;
        }
    };
    Ok(timeout(MAXIMUM_WAIT, asking).await?)
}

#[tokio::test]
async fn the_time_of_a_lease_goes_on_with_the_next_leader() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let mut clients = cluster.clients((leader + 1) % 3)?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = LeaseGrantRequest {
            ttl: TTL_SECONDS,
            id: 0,
        };
        ids.push(clients.lease.lease_grant(request).await?.into_inner().id);
    }
    let (old, renewed) = (ids[0], ids[1]);
    let aging = async {
        while left(&mut clients, old).await? > TTL_SECONDS - USED_SECONDS {
            sleep(PAUSE).await;
        }
        Ok::<(), crate::support::Error>(())
    };
    timeout(MAXIMUM_WAIT, aging).await??;
    let next = (leader + 1) % 3;
    let header = cluster.status(next).await?.header.unwrap_or_default();
    let request = MoveLeaderRequest {
        target_id: header.member_id,
    };
    cluster.clients(leader)?.maintenance.move_leader(request).await?;
    let left_of_old = left(&mut clients, old).await?;
    assert!(
        left_of_old < TTL_SECONDS - 2,
        "handed over, it began anew: {left_of_old} s are left"
    );
    assert_eq!(keep_alive(&mut clients, renewed).await?, TTL_SECONDS);
    let leader = cluster.leader().await?;
    let mut clients = cluster.clients((leader + 1) % 3)?;
    cluster.node(leader).kill()?;

    let left_of_old = left(&mut clients, old).await?;
    assert!(
        left_of_old < TTL_SECONDS - 2,
        "it began anew: {left_of_old} s are left"
    );
    let left_of_renewed = left(&mut clients, renewed).await?;
    assert!(
        left_of_renewed > left_of_old,
        "a renewal was lost: {left_of_renewed} s are left, and {left_of_old} s of one that is older"
    );
    Ok(())
}
