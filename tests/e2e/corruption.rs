//! A member whose data differ from those of the others is found and named; members whose data are the same never are.

use std::fs;
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::alarm_request::AlarmAction;
use stead::proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, CompactionRequest, MoveLeaderRequest, PutRequest, RangeRequest,
};
use tonic::Code;

use super::members::{add, member_id, remove};
use super::writers::{Shape, Writers, all_serve_and_hold};
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The fault that makes a member store another value for one key, which has its name.
const FAULT: &str = "corrupt-apply";
const FAULTY: usize = 1;

async fn put(clients: &mut Clients, key: &str) -> Result<i64> {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: "value".into(),
        ..PutRequest::default()
    };
    let answer = clients.kv.put(request).await?.into_inner();
    Ok(answer.header.map_or(0, |header| header.revision))
}

/// What a member itself holds for a key.
async fn value_at(cluster: &Cluster, node: usize, key: &str) -> Result<String> {
    let request = RangeRequest {
        key: key.to_owned().into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let answer = cluster.clients(node)?.kv.range(request).await?.into_inner();
    let value = answer.kvs.first().map(|found| found.value.clone());
    Ok(String::from_utf8(value.unwrap_or_default().to_vec())?)
}

/// Waits until a member itself holds this value for a key.
async fn holds(cluster: &Cluster, node: usize, key: &str, value: &str) -> TestResult {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        match value_at(cluster, node, key).await {
            Ok(held) if held == value => return Ok(()),
            held if Instant::now() > deadline => {
                return Err(format!("node {node} holds {held:?} for {key:?}, not {value:?}").into());
            }
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

fn times_in_log(cluster: &Cluster, node: usize, text: &str) -> Result<usize> {
    Ok(fs::read_to_string(cluster.nodes()[node].log_path())?
        .matches(text)
        .count())
}

async fn alarms(cluster: &Cluster, node: usize) -> Result<Vec<AlarmMember>> {
    let answer = cluster
        .clients(node)?
        .maintenance
        .alarm(AlarmRequest::default())
        .await?;
    Ok(answer.into_inner().alarms)
}

/// The comparisons of all members that a node has made: how many found no difference, and how many did.
fn comparisons(cluster: &Cluster, node: usize) -> Result<(usize, usize)> {
    let log = fs::read_to_string(cluster.nodes()[node].log_path())?;
    let of_all = log
        .lines()
        .filter(|line| line.contains("compared the data of the members") && line.contains("\"compared\":3"));
    let (same, different): (Vec<_>, Vec<_>) = of_all.partition(|line| line.contains("\"same\":true"));
    Ok((same.len(), different.len()))
}

fn comparisons_of_all(cluster: &Cluster) -> Result<(usize, usize)> {
    (0..cluster.size())
        .map(|node| comparisons(cluster, node))
        .try_fold((0, 0), |sum, next| {
            let next = next?;
            Ok((sum.0 + next.0, sum.1 + next.1))
        })
}

/// Waits until so many comparisons of all members have found no difference.
async fn compared(cluster: &Cluster, times: usize) -> Result<()> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    while comparisons_of_all(cluster)?.0 < times {
        if Instant::now() > deadline {
            return Err(format!(
                "{:?} comparisons within {MAXIMUM_WAIT:?}",
                comparisons_of_all(cluster)?
            )
            .into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Waits until a member has the alarm, and sees all of them refuse changes.
async fn is_found_corrupt(cluster: &Cluster, member: u64) -> TestResult {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    let active = loop {
        let active = alarms(cluster, 0).await?;
        if !active.is_empty() || Instant::now() > deadline {
            break active;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let found: Vec<_> = active
        .iter()
        .map(|alarm| (alarm.member_id, alarm.alarm()))
        .collect();
    assert_eq!(found, [(member, AlarmType::Corrupt)], "it is member {member}");
    for node in 0..cluster.size() {
        // A read through the leader: this member knows the alarm by then.
        alarms(cluster, node).await?;
        let request = PutRequest {
            key: "key".into(),
            ..PutRequest::default()
        };
        let refused = cluster
            .clients(node)?
            .kv
            .put(request)
            .await
            .expect_err("it is corrupt");
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::DataLoss, "etcdserver: corrupt cluster")
        );
    }
    let Program::Stead(stead) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let output = tokio::process::Command::new(&stead)
        .args([
            "alarm",
            "list",
            "--endpoints",
            &cluster.nodes()[0].client_address(),
        ])
        .kill_on_drop(true)
        .output()
        .await?;
    let listed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(listed, format!("memberID:{member} alarm:CORRUPT\n"));
    Ok(())
}

#[tokio::test]
async fn the_leader_finds_the_member_whose_data_differ_also_if_it_is_itself() -> TestResult {
    const RAISING: &str = "raising the alarm CORRUPT";
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--corrupt-check-time=500ms")
        .environment_of(FAULTY, "STEAD_FAULT", FAULT)
        .start()
        .await?;
    let member = member_id(&cluster, FAULTY).await?;
    compared(&cluster, 1).await?;
    put(&mut cluster.clients(0)?, FAULT).await?;
    is_found_corrupt(&cluster, member).await?;

    // The member that differs leads: it finds itself.
    let leader = cluster.leader().await?;
    if leader != FAULTY {
        let mut clients = cluster.clients(leader)?;
        let request = MoveLeaderRequest { target_id: member };
        clients.maintenance.move_leader(request).await?;
    }
    let raised = times_in_log(&cluster, FAULTY, RAISING)?;
    let disarm = AlarmRequest {
        action: AlarmAction::Deactivate.into(),
        member_id: member,
        alarm: AlarmType::Corrupt.into(),
    };
    cluster.clients(0)?.maintenance.alarm(disarm).await?;
    is_found_corrupt(&cluster, member).await?;
    assert_eq!(times_in_log(&cluster, FAULTY, RAISING)?, raised + 1);
    Ok(())
}

#[tokio::test]
async fn a_difference_that_outlives_a_compaction_is_found_after_it() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--experimental-compact-hash-check-enabled=true")
        .argument("--experimental-compact-hash-check-time=200ms")
        .environment_of(FAULTY, "STEAD_FAULT", FAULT)
        .start()
        .await?;
    let member = member_id(&cluster, FAULTY).await?;
    let mut clients = cluster.clients(0)?;
    let compact = async |clients: &mut Clients, revision| {
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        clients.kv.compact(request).await
    };
    for compactions in 1..=3 {
        let revision = put(&mut clients, "key").await?;
        compact(&mut clients, revision).await?;
        compared(&cluster, compactions).await?;
    }
    let revision = put(&mut clients, FAULT).await?;
    assert_eq!(alarms(&cluster, 0).await?, [], "nothing was compacted since");
    compact(&mut clients, revision).await?;
    is_found_corrupt(&cluster, member).await
}

#[tokio::test]
async fn members_with_the_same_data_raise_no_alarm_under_load() -> TestResult {
    const SHAPE: Shape = Shape {
        writers: 8,
        keys: 50,
        value_bytes: 256,
    };
    const ROUNDS: usize = 3;
    const COMPACTIONS: usize = 100;
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--corrupt-check-time=20ms")
        .argument("--compact-hash-check-enabled")
        .argument("--compact-hash-check-time=30ms")
        .argument("--snapshot-count=100")
        .start()
        .await?;
    let follower = (cluster.leader().await? + 1) % 3;
    let others: Vec<String> = (0..3)
        .filter(|node| *node != follower)
        .map(|node| cluster.nodes()[node].endpoint())
        .collect();
    let writers = Writers::start(&others, SHAPE);
    let mut clients = cluster.clients((follower + 1) % 3)?;
    for round in 1..=ROUNDS {
        writers.more_acknowledged(300).await?;
        // So fast that members are asked while they are at different compactions.
        for _ in 0..COMPACTIONS {
            let revision = put(&mut clients, "compacted").await?;
            clients
                .kv
                .compact(CompactionRequest {
                    revision,
                    physical: false,
                })
                .await?;
        }
        // A follower that lags, and catches up.
        cluster.node(follower).pause()?;
        writers.more_acknowledged(300).await?;
        cluster.node(follower).resume()?;
        compared(&cluster, 3 * round).await?;
    }
    let acknowledged = writers.stop().await?;
    let (same, different) = comparisons_of_all(&cluster)?;
    assert_eq!(different, 0, "of {same}");
    assert_eq!(alarms(&cluster, 0).await?, []);
    println!("{same} comparisons of all members");
    Ok(all_serve_and_hold(&cluster, &acknowledged).await?)
}

#[tokio::test]
async fn a_member_with_other_data_does_not_start_until_it_is_made_anew() -> TestResult {
    const READY: &str = "ready to serve client requests";
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--initial-corrupt-check")
        .environment_of(FAULTY, "STEAD_FAULT", FAULT)
        .start()
        .await?;
    put(&mut cluster.clients(0)?, FAULT).await?;
    holds(&cluster, FAULTY, FAULT, "another value").await?;
    let id = member_id(&cluster, FAULTY).await?;
    let others = [member_id(&cluster, 0).await?, member_id(&cluster, 2).await?];

    cluster.node(FAULTY).terminate()?;
    cluster.node(FAULTY).start()?;
    let ended = cluster.node(FAULTY).wait_for_exit(MAXIMUM_WAIT)?;
    assert_eq!(ended.code(), Some(1), "{}", cluster.node(FAULTY).log_tail());
    let log = cluster.node(FAULTY).log_tail();
    for part in [
        format!("member {id:x} found data inconsistency with peers: at revision "),
        format!("member {:x} hash ", others[0]),
        format!("member {:x} hash ", others[1]),
        "stead member remove".to_owned(),
    ] {
        assert!(log.contains(&part), "{part:?} is not in\n{log}");
    }
    assert_eq!(
        times_in_log(&cluster, FAULTY, READY)?,
        1,
        "only before it was stopped"
    );

    // As the message says: the member is made anew.
    remove(&cluster, 0, id).await?;
    let (anew, _) = add(&mut cluster, 0, false).await?;
    cluster.node(anew).start()?;
    holds(&cluster, anew, FAULT, "value").await?;
    cluster.restart(anew).await?;
    holds(&cluster, anew, FAULT, "value").await
}

#[tokio::test]
async fn members_with_the_same_data_start_also_when_the_others_cannot_be_asked() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--experimental-initial-corrupt-check=true")
        .start()
        .await?;
    for number in 0..20 {
        put(&mut cluster.clients(0)?, &format!("key-{number}")).await?;
    }
    for node in 0..cluster.size() {
        cluster.restart(node).await?;
        let log = fs::read_to_string(cluster.nodes()[node].log_path())?;
        let mut compared = log.lines().filter(|line| line.contains("compared the data"));
        let last = compared.next_back().unwrap_or_default().to_owned();
        assert!(
            last.contains("\"compared\":3") && last.contains("\"same\":true"),
            "{last}"
        );
    }
    cluster.kill_all()?;
    cluster.node(0).start()?;
    holds(&cluster, 0, "key-19", "value").await?;
    assert!(times_in_log(&cluster, 0, "a member's data could not be compared")? >= 2);
    Ok(())
}
