//! Flags do what they say: a server with unusual values behaves by them.

use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::compare::{CompareResult, CompareTarget};
use stead::proto::etcdserverpb::request_op::Request as Operation;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    Compare, MemberAddRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    WatchRequest, WatchResponse,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::support::{Clients, Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Long enough for a stream that is let in to open.
const HELD_BACK: Duration = Duration::from_millis(500);

fn message<T>(outcome: std::result::Result<T, Status>) -> String {
    outcome
        .err()
        .map(|status| status.message().to_owned())
        .unwrap_or_default()
}

async fn put(clients: &mut Clients, bytes: usize) -> std::result::Result<(), Status> {
    let request = PutRequest {
        key: "a".into(),
        value: vec![b'x'; bytes].into(),
        ..PutRequest::default()
    };
    clients.kv.put(request).await.map(drop)
}

/// A watch of one key; the sender keeps it open.
async fn watch(
    clients: &mut Clients,
) -> Result<(
    mpsc::Sender<WatchRequest>,
    std::result::Result<Response<Streaming<WatchResponse>>, Status>,
)> {
    let (requests, outgoing) = mpsc::channel(1);
    let create = WatchCreateRequest {
        key: "a".into(),
        progress_notify: true,
        ..WatchCreateRequest::default()
    };
    requests
        .send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        })
        .await?;
    let opened = clients.watch.watch(ReceiverStream::new(outgoing)).await;
    Ok((requests, opened))
}

async fn obeys_its_limits(program: Program) -> Result<()> {
    let cluster = Cluster::builder(program)
        .argument("--max-request-bytes=10000")
        .argument("--max-txn-ops=3")
        .argument("--experimental-watch-progress-notify-interval=100ms")
        .start()
        .await?;
    let mut clients = cluster.clients(0)?;
    put(&mut clients, 9_000).await?;
    assert_eq!(
        message(put(&mut clients, 10_001).await),
        "etcdserver: request is too large"
    );

    let operations = |count: usize| TxnRequest {
        compare: vec![
            Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Version.into(),
                key: "b".into(),
                ..Compare::default()
            };
            count
        ],
        success: vec![
            RequestOp {
                request: Some(Operation::RequestRange(RangeRequest {
                    key: "b".into(),
                    ..RangeRequest::default()
                })),
            };
            3
        ],
        failure: Vec::new(),
    };
    clients.kv.txn(operations(3)).await?;
    assert_eq!(
        message(clients.kv.txn(operations(4)).await),
        "etcdserver: too many operations in txn request"
    );

    // A watch that asked for it hears now and then how far it is.
    let (_open, watching) = watch(&mut clients).await?;
    let mut watching = watching?.into_inner();
    let mut created = false;
    let progress = async {
        loop {
            let response = watching.message().await?.ok_or("the watch has ended")?;
            if created && response.events.is_empty() {
                return Ok::<_, crate::support::Error>(response.header.map(|header| header.revision));
            }
            created |= response.created;
        }
    };
    assert_eq!(timeout(MAXIMUM_WAIT, progress).await??, Some(2));
    Ok(())
}

#[tokio::test]
async fn stead_obeys_the_limits_that_it_is_given() -> TestResult {
    Ok(obeys_its_limits(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_obeys_the_limits_that_it_is_given() -> TestResult {
    Ok(obeys_its_limits(Program::etcd()?).await?)
}

/// 3.5.1 has no such limit.
#[tokio::test]
async fn a_stream_above_the_limit_of_a_connection_waits_for_another_to_end() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?)
        .argument("--max-concurrent-streams=2")
        .start()
        .await?;
    let mut clients = cluster.clients(0)?;
    let (first, opened) = watch(&mut clients).await?;
    let first_watching = opened?;
    let (second, opened) = watch(&mut clients).await?;
    let second_watching = opened?;
    let mut others = clients.clone();
    let mut third = Box::pin(watch(&mut others));
    assert!(
        timeout(HELD_BACK, &mut third).await.is_err(),
        "a third stream on the connection"
    );
    drop((first, first_watching));
    let (_third, opened) = timeout(MAXIMUM_WAIT, third).await??;
    opened?;
    drop((second, second_watching));
    Ok(())
}

async fn compacts_by_itself(program: Program) -> Result<()> {
    let cluster = Cluster::builder(program)
        .nodes(3)
        .argument("--auto-compaction-mode=periodic")
        .argument("--auto-compaction-retention=1s")
        .start()
        .await?;
    let mut clients = cluster.clients(0)?;
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        put(&mut clients, 1).await?;
        let old = RangeRequest {
            key: "a".into(),
            revision: 2,
            ..RangeRequest::default()
        };
        match clients.kv.range(old).await {
            Ok(_) => assert!(Instant::now() < deadline, "nothing is compacted"),
            Err(status) => {
                assert_eq!(
                    status.message(),
                    "etcdserver: mvcc: required revision has been compacted"
                );
                break;
            }
        }
        sleep(POLL_INTERVAL).await;
    }
    let newest = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    assert_eq!(clients.kv.range(newest).await?.into_inner().count, 1);
    Ok(())
}

#[tokio::test]
async fn stead_compacts_by_itself_what_is_older_than_it_is_told_to_keep() -> TestResult {
    Ok(compacts_by_itself(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_compacts_by_itself_what_is_older_than_it_is_told_to_keep() -> TestResult {
    Ok(compacts_by_itself(Program::etcd()?).await?)
}

/// 3.5.1 does not have these.
#[tokio::test]
async fn the_most_learners_a_file_of_flags_and_the_form_of_the_log_are_obeyed() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .argument("--max-learners=2")
        .argument("--log-format=console")
        .argument("--log-level=info")
        .start()
        .await?;
    let mut clients = cluster.clients(0)?;
    for (port, refusal) in [
        (1, ""),
        (2, ""),
        (3, "etcdserver: too many learner members in cluster"),
    ] {
        let request = MemberAddRequest {
            peer_ur_ls: vec![format!("http://127.0.0.1:{port}")],
            is_learner: true,
        };
        assert_eq!(message(clients.cluster.member_add(request).await), refusal);
    }
    let log = std::fs::read_to_string(cluster.node(0).log_path())?;
    let ready = log
        .lines()
        .find(|line| line.contains("ready to serve client requests"));
    let ready = ready.ok_or("the node is not ready")?;
    assert!(!ready.starts_with('{'), "it is for people: {ready}");
    Ok(())
}
