//! The crate `etcd-client`, and the tests that come with it.

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, EventType, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp,
    TxnOpResponse, WatchOptions,
};
use tokio::process::Command;
use tokio::time::timeout;

use super::{succeeds_within, three_nodes};
use crate::support::{Cluster, Program, Result, TestResult, clients_directory};

const MAXIMUM_WAIT: Duration = Duration::from_secs(30);

/// How long the client's own tests may take. They wait half a minute for tokens to be void.
const MAXIMUM_SUITE: Duration = Duration::from_secs(300);

/// How many tests come with the client, and how many of them ask for what 3.5.1 does not have, or for a node that is
/// started while they run.
const SUITE_SIZE: usize = 29;
const SUITE_IGNORED: usize = 3;

async fn keys(cluster: &Cluster) -> Result<()> {
    let mut client = Client::connect(cluster.endpoints(), None).await?;
    for number in 0..10 {
        client
            .put(format!("rust/{number}"), format!("{}", 9 - number), None)
            .await?;
    }
    let options = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Value, SortOrder::Ascend)
        .with_limit(3);
    let page = client.get("rust/", Some(options)).await?;
    let values: Vec<&[u8]> = page.kvs().iter().map(|pair| pair.value()).collect();
    assert_eq!(values, [b"0", b"1", b"2"]);
    assert!(page.more());
    assert_eq!(page.count(), 10);

    let transaction = Txn::new()
        .when([
            Compare::value("rust/0", CompareOp::Equal, "9"),
            Compare::version("rust/none", CompareOp::Equal, 0),
        ])
        .and_then([TxnOp::put("rust/0", "new", None), TxnOp::get("rust/0", None)])
        .or_else([TxnOp::get("rust/0", None)]);
    let answer = client.txn(transaction.clone()).await?;
    assert!(answer.succeeded());
    match answer.op_responses().as_slice() {
        [TxnOpResponse::Put(_), TxnOpResponse::Get(range)] => assert_eq!(range.kvs()[0].value(), b"new"),
        other => panic!("a put and a range were asked: {other:?}"),
    }
    assert!(!client.txn(transaction).await?.succeeded());

    let deleted = client.delete("rust/0", None).await?;
    assert_eq!(deleted.deleted(), 1);
    Ok(())
}

async fn watches(cluster: &Cluster) -> Result<()> {
    let mut writer = Client::connect(&cluster.endpoints()[..1], None).await?;
    let mut reader = Client::connect(&cluster.endpoints()[1..2], None).await?;
    let first = writer.put("rust/watched", "0", None).await?;
    let revision = first.header().ok_or("no header")?.revision();
    let options = WatchOptions::new().with_start_revision(revision).with_prev_key();
    let mut watch = reader.watch("rust/watched", Some(options)).await?;
    for number in 1..20 {
        writer.put("rust/watched", number.to_string(), None).await?;
    }
    writer.delete("rust/watched", None).await?;
    let mut events = Vec::new();
    let mut watch_id = 0;
    while events.len() < 21 {
        let response = timeout(MAXIMUM_WAIT, watch.message())
            .await??
            .ok_or("the watch has ended")?;
        watch_id = response.watch_id();
        events.extend(response.events().iter().cloned());
    }
    for (number, event) in events.iter().take(20).enumerate() {
        let pair = event.kv().ok_or("no key")?;
        assert_eq!(event.event_type(), EventType::Put);
        assert_eq!(pair.value(), number.to_string().as_bytes());
        assert_eq!(pair.mod_revision(), revision + i64::try_from(number)?);
        assert_eq!(event.prev_kv().is_some(), number > 0);
    }
    assert_eq!(events[20].event_type(), EventType::Delete);
    watch.cancel(watch_id).await?;
    let end = timeout(MAXIMUM_WAIT, watch.message())
        .await??
        .ok_or("the watch has ended without an answer")?;
    assert!(end.canceled());
    Ok(())
}

async fn leases(cluster: &Cluster) -> Result<()> {
    let mut client = Client::connect(cluster.endpoints(), None).await?;
    let lease = client.lease_grant(60, None).await?.id();
    client
        .put("rust/leased", "1", Some(PutOptions::new().with_lease(lease)))
        .await?;
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
    for _ in 0..3 {
        keeper.keep_alive().await?;
        let answer = timeout(MAXIMUM_WAIT, answers.message())
            .await??
            .ok_or("the stream has ended")?;
        assert_eq!((answer.id(), answer.ttl()), (lease, 60));
    }
    client.lease_revoke(lease).await?;
    assert_eq!(client.get("rust/leased", None).await?.count(), 0);
    Ok(())
}

async fn members(cluster: &Cluster) -> Result<()> {
    let mut client = Client::connect(cluster.endpoints(), None).await?;
    let members = client.member_list().await?;
    let mut urls: Vec<&str> = members
        .members()
        .iter()
        .flat_map(|member| member.client_urls())
        .map(String::as_str)
        .collect();
    urls.sort_unstable();
    let mut endpoints = cluster.endpoints();
    endpoints.sort_unstable();
    assert_eq!(urls, endpoints);
    let status = client.status().await?;
    assert!(
        members
            .members()
            .iter()
            .any(|member| member.id() == status.leader())
    );
    Ok(())
}

async fn passes(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    keys(&cluster).await?;
    watches(&cluster).await?;
    leases(&cluster).await?;
    members(&cluster).await
}

#[tokio::test]
async fn the_rust_client_works_with_stead() -> TestResult {
    Ok(passes(Program::stead()?).await?)
}

#[tokio::test]
async fn the_rust_client_works_with_etcd() -> TestResult {
    Ok(passes(Program::etcd()?).await?)
}

/// Runs the tests that come with the client, as `setup.sh` has built them; returns the outcome of each.
async fn suite(program: Program, arguments: &[&str]) -> Result<Vec<String>> {
    let cluster = Cluster::builder(program)
        .argument("--auth-token-ttl=3")
        .start()
        .await?;
    let mut client = Client::connect(cluster.endpoints(), None).await?;
    client.user_add("root", "rootpwd", None).await?;
    client.role_add("root").await?;
    client.user_grant_role("root", "root").await?;
    let mut outcomes = Vec::new();
    for name in ["client", "namespace"] {
        let mut tests = Command::new(clients_directory().join("rust").join(name));
        tests
            .args(["--test-threads", "4"])
            .args(arguments)
            .env("TEST_ENDPOINT", &cluster.addresses()[0]);
        let printed = succeeds_within(MAXIMUM_SUITE, &mut tests).await?;
        let lines = printed.lines().filter(|line| line.starts_with("test test_"));
        outcomes.extend(lines.map(str::to_owned));
    }
    outcomes.sort();
    Ok(outcomes)
}

#[tokio::test]
async fn the_tests_of_the_rust_client_pass_with_stead_as_with_etcd() -> TestResult {
    // At the same time, because most of it is sleep.
    let (of_stead, of_etcd) = tokio::try_join!(suite(Program::stead()?, &[]), suite(Program::etcd()?, &[]))?;
    assert_eq!(of_stead, of_etcd);
    let passed = of_stead.iter().filter(|line| line.ends_with(" ... ok")).count();
    assert_eq!(
        (of_stead.len(), passed),
        (SUITE_SIZE, SUITE_SIZE - SUITE_IGNORED),
        "{of_stead:#?}"
    );
    let of_later_versions = suite(Program::stead()?, &["--ignored", "test_get_stream"]).await?;
    assert_eq!(
        of_later_versions,
        [
            "test test_get_stream ... ok",
            "test test_get_stream_chunked ... ok"
        ]
    );
    Ok(())
}
