//! Moving a store from etcd to Stead and back by snapshot files: nothing that a client sees changes. And what a restore
//! does with bad files and forgotten members.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::request_op::Request;
use stead::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseLeasesRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use stead::proto::mvccpb::KeyValue;
use tokio::process::Command;

use super::members;
use crate::support::{Clients, Cluster, Node, Program, Result, TestResult};

const LEASE: i64 = 0x1f;
/// What the lease is granted for: long enough to outlast the test on any machine.
const LEASE_SECONDS: i64 = 86_400;
/// The revision at which history is compacted, and the newest.
const COMPACTED: i64 = 20;
const LAST: i64 = 36;

/// How long members may take to hash the same.
const MAXIMUM_WAIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

fn put(key: &str, value: String, lease: i64) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.into(),
        lease,
        ..PutRequest::default()
    }
}

/// Changes of every kind.
async fn fill(clients: &mut Clients) -> Result<()> {
    clients
        .lease
        .lease_grant(LeaseGrantRequest {
            id: LEASE,
            ttl: LEASE_SECONDS,
        })
        .await?;
    clients.kv.put(put("leased", "1".to_owned(), LEASE)).await?;
    for number in 0..30 {
        clients
            .kv
            .put(put(&format!("key-{}", number % 7), format!("value {number}"), 0))
            .await?;
    }
    let delete = DeleteRangeRequest {
        key: "key-3".into(),
        ..DeleteRangeRequest::default()
    };
    clients.kv.delete_range(delete.clone()).await?;
    clients
        .kv
        .compact(CompactionRequest {
            revision: COMPACTED,
            physical: true,
        })
        .await?;
    let puts = [
        put("key-3", "again".to_owned(), 0),
        put("binary", "\0\u{1}".to_owned(), LEASE),
    ];
    let success = puts.map(|put| RequestOp {
        request: Some(Request::RequestPut(put)),
    });
    let txn = TxnRequest {
        success: success.into(),
        ..TxnRequest::default()
    };
    clients.kv.txn(txn).await?;
    clients.kv.put(put("large", "x".repeat(300_000), 0)).await?;
    let last = clients.kv.delete_range(delete).await?.into_inner();
    assert_eq!(last.header.map(|header| header.revision), Some(LAST));
    Ok(())
}

/// What a client sees of a store.
#[derive(Debug, PartialEq)]
struct Seen {
    keys_by_revision: Vec<(i64, Vec<KeyValue>)>,
    hash: u32,
    compacted: i64,
    leases: Vec<(i64, i64, Vec<bytes::Bytes>)>,
}

async fn seen(clients: &mut Clients) -> Result<Seen> {
    let mut keys_by_revision = Vec::new();
    for revision in COMPACTED..=LAST {
        let range = RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            revision,
            ..RangeRequest::default()
        };
        let answer = clients.kv.range(range).await?.into_inner();
        assert_eq!(answer.header.map(|header| header.revision), Some(LAST));
        keys_by_revision.push((revision, answer.kvs));
    }
    let hash = clients
        .maintenance
        .hash_kv(HashKvRequest { revision: LAST })
        .await?
        .into_inner();
    let listed = clients
        .lease
        .lease_leases(LeaseLeasesRequest {})
        .await?
        .into_inner();
    let mut leases = Vec::new();
    for lease in listed.leases {
        let request = LeaseTimeToLiveRequest {
            id: lease.id,
            keys: true,
        };
        let mut answer = clients.lease.lease_time_to_live(request).await?.into_inner();
        answer.keys.sort();
        leases.push((answer.id, answer.granted_ttl, answer.keys));
    }
    Ok(Seen {
        keys_by_revision,
        hash: hash.hash,
        compacted: hash.compact_revision,
        leases,
    })
}

pub(super) fn stead_path() -> Result<PathBuf> {
    match Program::stead()? {
        Program::Stead(path) => Ok(path),
        Program::Etcd(_) => Err("the program is not stead".into()),
    }
}

/// Runs a command to its end; the error is its exit code and what it said.
async fn run(command: &mut Command) -> Result<Result<String, (Option<i32>, String)>> {
    let output = command.kill_on_drop(true).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err((output.status.code(), text(&output.stderr)))
    })
}

pub(super) async fn succeeds(command: &mut Command) -> Result<String> {
    run(command)
        .await?
        .map_err(|(code, said)| format!("{command:?} ended with {code:?}: {said}").into())
}

pub(super) fn etcdctl() -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3");
    command
}

pub(super) async fn stead_restores(
    file: &Path,
    node: &Node,
    more: &[&str],
) -> Result<Result<String, (Option<i32>, String)>> {
    let mut command = Command::new(stead_path()?);
    command
        .args(["snapshot", "restore"])
        .arg(file)
        .args(node.restore_arguments())
        .args(more);
    run(&mut command).await
}

pub(super) fn check<T>(outcome: Result<T, (Option<i32>, String)>) -> Result<T> {
    outcome.map_err(|(code, said)| format!("exit code {code:?}: {said}").into())
}

/// A Stead of its own, saved after it was filled, and its file.
async fn filled(directory: &Path) -> Result<(Cluster, PathBuf)> {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    fill(&mut cluster.clients(0)?).await?;
    let file = directory.join("snapshot.db");
    succeeds(
        Command::new(stead_path()?)
            .args(["snapshot", "save"])
            .arg(&file)
            .args(["--endpoints", &cluster.nodes()[0].client_address()]),
    )
    .await?;
    Ok((cluster, file))
}

#[tokio::test]
async fn from_etcd_to_stead_to_etcd_a_client_sees_the_same_store() -> TestResult {
    let directory = tempfile::tempdir()?;
    let etcd = Cluster::builder(Program::etcd()?).start().await?;
    fill(&mut etcd.clients(0)?).await?;
    let original = seen(&mut etcd.clients(0)?).await?;
    assert_eq!(original.compacted, COMPACTED);
    assert_eq!(original.leases.len(), 1);

    let from_etcd = directory.path().join("from-etcd.db");
    let address = etcd.nodes()[0].client_address();
    succeeds(
        Command::new(stead_path()?)
            .args(["snapshot", "save"])
            .arg(&from_etcd)
            .args(["--endpoints", &address]),
    )
    .await?;
    let mut stead = Cluster::builder(Program::stead()?).nodes(3).build()?;
    for node in stead.nodes() {
        check(stead_restores(&from_etcd, node, &[]).await?)?;
    }
    stead.start_all().await?;
    for node in 0..stead.size() {
        assert_eq!(seen(&mut stead.clients(node)?).await?, original, "node {node}");
    }

    let from_stead = directory.path().join("from-stead.db");
    succeeds(
        etcdctl()
            .args(["snapshot", "save"])
            .arg(&from_stead)
            .args(["--endpoints", &stead.nodes()[1].client_address()]),
    )
    .await?;
    let mut back = Cluster::builder(Program::etcd()?).build()?;
    succeeds(
        etcdctl()
            .args(["snapshot", "restore"])
            .arg(&from_stead)
            .args(back.nodes()[0].restore_arguments()),
    )
    .await?;
    back.start_all().await?;
    assert_eq!(seen(&mut back.clients(0)?).await?, original);

    // Neither is a museum: both go on from there.
    for cluster in [&stead, &back] {
        let answer = cluster
            .clients(0)?
            .kv
            .put(put("leased", "2".to_owned(), LEASE))
            .await?
            .into_inner();
        assert_eq!(answer.header.map(|header| header.revision), Some(LAST + 1));
    }
    Ok(())
}

#[tokio::test]
async fn both_command_lines_say_the_same_of_a_file() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (_cluster, file) = filled(directory.path()).await?;
    let ours = succeeds(
        Command::new(stead_path()?)
            .args(["snapshot", "status", "-o", "json"])
            .arg(&file),
    )
    .await?;
    let theirs = succeeds(etcdctl().args(["snapshot", "status", "-w", "json"]).arg(&file)).await?;
    let ours: serde_json::Value = serde_json::from_str(&ours)?;
    let theirs: serde_json::Value = serde_json::from_str(&theirs)?;
    for (our_name, their_name) in [
        ("hash", "hash"),
        ("revision", "revision"),
        ("total_keys", "totalKey"),
        ("total_bytes", "totalSize"),
    ] {
        assert_eq!(ours[our_name], theirs[their_name], "{our_name}");
    }
    assert_eq!(ours["revision"], LAST);
    Ok(())
}

#[tokio::test]
async fn a_member_that_was_not_restored_gets_the_store_of_those_that_were() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (original, file) = filled(directory.path()).await?;
    let expected = seen(&mut original.clients(0)?).await?;
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).build()?;
    for node in cluster.nodes().iter().take(2) {
        check(stead_restores(&file, node, &[]).await?)?;
    }
    cluster.start_all().await?;
    Ok(has_caught_up(&cluster, 2, &expected).await?)
}

/// Waits until a node answers, and checks that it holds the expected store.
async fn has_caught_up(cluster: &Cluster, node: usize, expected: &Seen) -> Result<()> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        // A read through the log of others waits until this member has caught up.
        match seen(&mut cluster.clients(node)?).await {
            Ok(store) => {
                assert_eq!(store, *expected, "node {node}");
                return Ok(());
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Name and peer URLs of each member, in order.
async fn names_and_urls(cluster: &Cluster, through: usize) -> Result<Vec<(String, Vec<String>)>> {
    let members = members::members(cluster, through).await?;
    let mut named: Vec<_> = members
        .into_iter()
        .map(|member| (member.name, member.peer_ur_ls))
        .collect();
    named.sort();
    Ok(named)
}

#[tokio::test]
async fn a_restored_cluster_has_the_members_it_was_told_and_they_come_and_go() -> TestResult {
    let directory = tempfile::tempdir()?;
    // The file is of a cluster that had three members, then two.
    let mut original = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    fill(&mut original.clients(0)?).await?;
    let expected = seen(&mut original.clients(0)?).await?;
    let removed = members::member_id(&original, 2).await?;
    members::remove(&original, 0, removed).await?;
    let file = directory.path().join("snapshot.db");
    succeeds(
        Command::new(stead_path()?)
            .args(["snapshot", "save"])
            .arg(&file)
            .args(["--endpoints", &original.nodes()[1].client_address()]),
    )
    .await?;
    original.kill_all()?;

    let mut cluster = Cluster::builder(Program::stead()?).nodes(2).build()?;
    for node in cluster.nodes() {
        check(stead_restores(&file, node, &[]).await?)?;
    }
    cluster.start_all().await?;
    let told: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| (node.name().to_owned(), vec![node.peer_url().to_owned()]))
        .collect();
    assert_eq!(names_and_urls(&cluster, 0).await?, told);

    // A member that joins gets the restored store, and one that was restored can go.
    let (joined, _) = members::add(&mut cluster, 0, false).await?;
    cluster.node(joined).start()?;
    has_caught_up(&cluster, joined, &expected).await?;
    let first = members::member_id(&cluster, 0).await?;
    members::remove(&cluster, 1, first).await?;
    assert_eq!(cluster.node(0).wait_for_exit(MAXIMUM_WAIT)?.code(), Some(0));
    // Who was restored knows after a restart who the members are now.
    cluster.node(1).kill()?;
    cluster.node(1).start()?;
    has_caught_up(&cluster, 1, &expected).await?;
    let names: Vec<String> = names_and_urls(&cluster, joined)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [cluster.nodes()[1].name(), cluster.nodes()[joined].name()]);
    let mut clients = cluster.clients(joined)?;
    let answer = clients.kv.put(put("after", "1".to_owned(), LEASE)).await?;
    let revision = answer.into_inner().header.map(|header| header.revision);
    assert_eq!(revision, Some(LAST + 1));
    Ok(())
}

#[tokio::test]
async fn a_bumped_store_is_far_ahead_and_its_history_is_compacted() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (_cluster, file) = filled(directory.path()).await?;
    let mut bumped = Cluster::builder(Program::stead()?).build()?;
    let alone = ["--bump-revision=1000000"];
    let (code, said) = stead_restores(&file, &bumped.nodes()[0], &alone)
        .await?
        .expect_err("one of the two flags is not enough");
    assert_eq!(code, Some(128), "{said}");
    let both = ["--bump-revision=1000000", "--mark-compacted"];
    check(stead_restores(&file, &bumped.nodes()[0], &both).await?)?;
    bumped.start_all().await?;
    let mut clients = bumped.clients(0)?;
    let range = |revision| RangeRequest {
        key: "key-1".into(),
        revision,
        ..RangeRequest::default()
    };
    let answer = clients.kv.range(range(0)).await?.into_inner();
    assert_eq!(
        answer.header.map(|header| header.revision),
        Some(LAST + 1_000_000)
    );
    assert_eq!(answer.kvs.len(), 1, "the keys are there");
    let old = clients.kv.range(range(LAST)).await.expect_err("it is compacted");
    assert!(old.message().contains("has been compacted"), "{old}");
    Ok(())
}

#[tokio::test]
async fn a_bad_file_is_refused_and_nothing_is_left_behind() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (_cluster, file) = filled(directory.path()).await?;
    let whole = fs::read(&file)?;
    let target = Cluster::builder(Program::stead()?).build()?;
    let node = &target.nodes()[0];
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let content = whole.len() - 32;
    let bad = directory.path().join("bad.db");
    let cases: [(&[u8], &[&str], &str); 5] = [
        (&damaged, &[], "it is damaged"),
        (&whole[..middle], &[], "does not end in a checksum"),
        (b"no database", &[], "does not end in a checksum"),
        (b"no database", &["--skip-hash-check"], "another kind of file"),
        (&whole[..content - 4096], &["--skip-hash-check"], "cut short"),
    ];
    for (bytes, flags, expected) in cases {
        fs::write(&bad, bytes)?;
        let (code, said) = stead_restores(&bad, node, flags)
            .await?
            .expect_err("a bad file is refused");
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(fs::read_dir(target.directory())?.count(), 0, "{expected}");
    }
    // The content without its checksum is what an etcd has on its disk.
    fs::write(&bad, &whole[..content])?;
    check(stead_restores(&bad, node, &["--skip-hash-check"]).await?)?;
    let (_, said) = stead_restores(&file, node, &[])
        .await?
        .expect_err("a folder that holds something is refused");
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(fs::read_dir(target.directory())?.count(), 1);
    Ok(())
}
