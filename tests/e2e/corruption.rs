//! A member whose data differ from those of the others is found and named; members whose data are the same never are.

use std::fs;
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::{PutRequest, RangeRequest};

use super::members::{add, member_id, remove};
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
