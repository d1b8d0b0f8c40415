//! A database that reaches its quota: every member refuses what would grow it, all else goes on, and writes are taken
//! again by themselves once there is room.

use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::alarm_request::AlarmAction;
use stead::proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RangeRequest,
};
use tonic::{Code, Status};

use super::members::{eventually, member_id, remove};
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const QUOTA_BYTES: usize = 24 * 1024 * 1024;
const VALUE_BYTES: usize = 256 * 1024;
/// Many times what fills the quota.
const MAXIMUM_PUTS: usize = 2_000;
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A value that cannot be compressed.
fn value(seed: usize) -> Vec<u8> {
    let mut state = (seed as u64) << 1 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..VALUE_BYTES / 8).flat_map(|_| next().to_le_bytes()).collect()
}

async fn put(clients: &mut Clients, key: &str, value: Vec<u8>) -> std::result::Result<i64, Status> {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: value.into(),
        ..PutRequest::default()
    };
    let answer = clients.kv.put(request).await?.into_inner();
    Ok(answer.header.map_or(0, |header| header.revision))
}

fn is_no_space(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted && status.message() == NO_SPACE
}

async fn alarms(clients: &mut Clients) -> Result<Vec<AlarmType>> {
    let answer = clients.maintenance.alarm(AlarmRequest::default()).await?;
    Ok(answer
        .into_inner()
        .alarms
        .iter()
        .map(|alarm| alarm.alarm())
        .collect())
}

/// Waits until `wanted` holds for the alarms that a member knows.
async fn alarms_become(clients: &mut Clients, wanted: impl Fn(&[AlarmType]) -> bool) -> Result<()> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        let active = alarms(clients).await?;
        if wanted(&active) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the alarms are {active:?} after {MAXIMUM_WAIT:?}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test]
async fn a_full_database_refuses_growth_on_every_member_until_there_is_room_again() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument(format!("--quota-backend-bytes={QUOTA_BYTES}"))
        .start()
        .await?;
    let mut clients = cluster.clients(0)?;
    let lease = LeaseGrantRequest { id: 7, ttl: 86_400 };
    clients.lease.lease_grant(lease).await?;
    let mut revision = 0;
    let refused = loop {
        assert!(revision < MAXIMUM_PUTS as i64, "the quota is never reached");
        match put(&mut clients, "key", value(revision as usize)).await {
            Ok(new) => revision = new,
            Err(status) => break status,
        }
    };
    assert!(is_no_space(&refused), "{refused}");
    alarms_become(&mut clients, |active| active.contains(&AlarmType::Nospace)).await?;
    for node in 0..cluster.size() {
        let mut clients = cluster.clients(node)?;
        alarms_become(&mut clients, |active| active.contains(&AlarmType::Nospace)).await?;
        let refused = put(&mut clients, "small", vec![1]).await.expect_err("it is full");
        assert!(is_no_space(&refused), "node {node}: {refused}");
        let grant = LeaseGrantRequest { id: 8, ttl: 60 };
        let refused = clients.lease.lease_grant(grant).await.expect_err("it is full");
        assert!(is_no_space(&refused), "node {node}: {refused}");
        let status = cluster.status(node).await?;
        assert!(
            status.errors.iter().any(|error| error.contains("NOSPACE")),
            "{status:?}"
        );
    }

    // Reads, the end of leases, deletions and compactions go on, and make room.
    clients
        .kv
        .range(RangeRequest {
            key: "key".into(),
            ..RangeRequest::default()
        })
        .await?;
    clients.lease.lease_revoke(LeaseRevokeRequest { id: 7 }).await?;
    let deleted = clients
        .kv
        .delete_range(DeleteRangeRequest {
            key: "key".into(),
            ..DeleteRangeRequest::default()
        })
        .await?
        .into_inner();
    let deleted = deleted.header.map_or(0, |header| header.revision);
    clients
        .kv
        .compact(CompactionRequest {
            revision: deleted,
            physical: true,
        })
        .await?;
    for node in 0..cluster.size() {
        let mut clients = cluster.clients(node)?;
        alarms_become(&mut clients, <[AlarmType]>::is_empty).await?;
        let deadline = Instant::now() + MAXIMUM_WAIT;
        // A member may still have to measure that it has room.
        while let Err(refused) = put(&mut clients, "small", vec![2]).await {
            assert!(is_no_space(&refused) && Instant::now() < deadline, "{refused}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_alarm_of_a_member_that_is_removed_goes_with_it() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let id = member_id(&cluster, 2).await?;
    cluster.node(2).kill()?;
    let mut clients = cluster.clients(0)?;
    let raise = AlarmRequest {
        action: AlarmAction::Activate.into(),
        member_id: id,
        alarm: AlarmType::Nospace.into(),
    };
    let raised = eventually(async || clients.maintenance.alarm(raise).await).await?;
    assert_eq!(raised.into_inner().alarms.len(), 1);
    let refused = put(&mut clients, "key", vec![1]).await.expect_err("it is full");
    assert!(is_no_space(&refused), "{refused}");
    remove(&cluster, 0, id).await?;
    for node in 0..2 {
        let mut clients = cluster.clients(node)?;
        alarms_become(&mut clients, <[AlarmType]>::is_empty).await?;
        put(&mut clients, "key", vec![1]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_alarm_that_an_operator_raised_is_obeyed_by_all_until_it_is_disarmed() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let mut clients = cluster.clients(0)?;
    let change = |action: AlarmAction, alarm: AlarmType| AlarmRequest {
        action: action.into(),
        member_id: 5,
        alarm: alarm.into(),
    };
    let raised = clients
        .maintenance
        .alarm(change(AlarmAction::Activate, AlarmType::Corrupt))
        .await?
        .into_inner();
    assert_eq!(raised.alarms.len(), 1);
    for node in 0..cluster.size() {
        let mut clients = cluster.clients(node)?;
        let refused = put(&mut clients, "key", vec![1])
            .await
            .expect_err("it is corrupt");
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        assert_eq!(refused.message(), "etcdserver: corrupt cluster");
    }
    let Program::Stead(stead) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    for (command, expected) in [
        ("list", "memberID:5 alarm:CORRUPT\n"),
        ("disarm", "memberID:5 alarm:CORRUPT\n"),
        ("list", ""),
    ] {
        let output = tokio::process::Command::new(&stead)
            .args([
                "alarm",
                command,
                "--endpoints",
                &cluster.nodes()[1].client_address(),
            ])
            .kill_on_drop(true)
            .output()
            .await?;
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "alarm {command}"
        );
    }
    put(&mut clients, "key", vec![1]).await?;
    Ok(())
}

#[tokio::test]
async fn defragmentation_gives_back_the_space_of_what_was_removed() -> TestResult {
    const PUTS: usize = 64;
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut clients = cluster.clients(0)?;
    let mut newest = 0;
    for number in 0..PUTS {
        newest = put(&mut clients, "key", value(number)).await?;
    }
    let written = cluster.status(0).await?.db_size;
    assert!(written > (PUTS * VALUE_BYTES / 2) as i64, "{written}");
    clients
        .kv
        .compact(CompactionRequest {
            revision: newest,
            physical: true,
        })
        .await?;
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        // What the last view of the store sees takes space until there is a newer one.
        put(&mut clients, "small", vec![1]).await?;
        clients
            .maintenance
            .defragment(stead::proto::etcdserverpb::DefragmentRequest {})
            .await?;
        let size = cluster.status(0).await?.db_size;
        if size < 4 * VALUE_BYTES as i64 {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "{size} of {written} bytes are left");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test]
async fn members_hash_the_same_at_a_revision_and_defragmentation_changes_nothing() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let mut clients = cluster.clients(0)?;
    for number in 0..50_u8 {
        put(&mut clients, &format!("key-{}", number % 5), vec![number]).await?;
    }
    clients
        .kv
        .compact(CompactionRequest {
            revision: 30,
            physical: false,
        })
        .await?;
    let mut hashes = Vec::new();
    for node in 0..cluster.size() {
        let mut clients = cluster.clients(node)?;
        // A read through the leader: this member has the compaction.
        clients
            .kv
            .range(RangeRequest {
                key: "key-1".into(),
                ..RangeRequest::default()
            })
            .await?;
        let hash = |revision| HashKvRequest { revision };
        let before = clients.maintenance.hash_kv(hash(40)).await?.into_inner().hash;
        clients
            .maintenance
            .defragment(stead::proto::etcdserverpb::DefragmentRequest {})
            .await?;
        let after = clients.maintenance.hash_kv(hash(40)).await?.into_inner().hash;
        let whole = clients
            .maintenance
            .hash(stead::proto::etcdserverpb::HashRequest {})
            .await?
            .into_inner()
            .hash;
        assert_eq!(before, after);
        hashes.push((after, whole));
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    Ok(())
}
