//! What operators and their tools see beside keys: leadership that moves, pieces of a snapshot, the order of leases, large
//! answers.

use stead::proto::etcdserverpb::request_op::Request as Operation;
use stead::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseLeasesRequest, MoveLeaderRequest, PutRequest, RangeRequest, RequestOp,
    SnapshotRequest, TxnRequest,
};
use tonic::Code;

use crate::support::{Cluster, Program, Result, TestResult};

/// Bytes of the largest piece of a snapshot, and of the checksum behind it.
const MAXIMUM_PIECE_BYTES: usize = 32 * 1024;
const CHECKSUM_BYTES: usize = 32;

async fn shows_what_operators_look_at(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let follower = (leader + 1) % 3;

    // Who does not lead hands nothing over.
    let target = cluster
        .status(follower)
        .await?
        .header
        .ok_or("no header")?
        .member_id;
    let mut clients = cluster.clients(follower)?;
    let refused = clients
        .maintenance
        .move_leader(MoveLeaderRequest { target_id: target })
        .await;
    let refused = refused.err().ok_or("a follower hands leadership over")?;
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "etcdserver: not leader")
    );

    // The lease that ends first is listed first.
    for (id, ttl) in [(3, 600), (4, 100), (5, 300)] {
        clients.lease.lease_grant(LeaseGrantRequest { ttl, id }).await?;
    }
    let leases = cluster
        .clients(leader)?
        .lease
        .lease_leases(LeaseLeasesRequest {})
        .await?
        .into_inner();
    let ids: Vec<i64> = leases.leases.iter().map(|lease| lease.id).collect();
    assert_eq!(ids, [4, 5, 3]);

    // An answer may be larger than what clients of gRPC take unless they are told to, as those of etcd are.
    let value = vec![b'x'; 200_000];
    for number in 0..40 {
        let request = PutRequest {
            key: format!("large/{number:02}").into(),
            value: value.clone().into(),
            ..PutRequest::default()
        };
        clients.kv.put(request).await?;
    }
    let all = RangeRequest {
        key: "large/".into(),
        range_end: "large0".into(),
        ..RangeRequest::default()
    };
    let answer = clients.kv.range(all).await?.into_inner();
    assert_eq!((answer.count, answer.more), (40, false));
    assert!(answer.kvs.len() == 40 && answer.kvs.iter().all(|pair| pair.value == value));

    // The pieces of a snapshot count down to their end; the checksum is the last.
    let mut snapshot = clients
        .maintenance
        .snapshot(SnapshotRequest {})
        .await?
        .into_inner();
    let mut pieces = Vec::new();
    while let Some(piece) = snapshot.message().await? {
        assert!(piece.header.is_none() && piece.blob.len() <= MAXIMUM_PIECE_BYTES);
        pieces.push((piece.blob.len(), piece.remaining_bytes));
    }
    let (checksum, data) = pieces.split_last().ok_or("no pieces")?;
    assert_eq!(*checksum, (CHECKSUM_BYTES, 0));
    let mut left: usize = data.iter().map(|(bytes, _)| bytes).sum();
    assert!(left > 40 * value.len());
    for (bytes, remaining) in data {
        left -= bytes;
        assert_eq!(usize::try_from(*remaining)?, left);
    }

    // A leader that is told to end does not leave the others to notice.
    cluster.node(leader).terminate()?;
    let successor = cluster.status(follower).await?.leader;
    let before = cluster.status((leader + 2) % 3).await?.leader;
    assert!(successor != 0 && successor == before, "{successor:x} {before:x}");
    let members = [follower, (leader + 2) % 3];
    let mut running = Vec::new();
    for member in members {
        running.push(cluster.status(member).await?.header.ok_or("no header")?.member_id);
    }
    assert!(
        running.contains(&successor),
        "{successor:x} is not one of {running:x?}"
    );
    Ok(())
}

#[tokio::test]
async fn stead_shows_operators_what_etcd_does() -> TestResult {
    Ok(shows_what_operators_look_at(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_shows_operators_what_is_expected_of_stead() -> TestResult {
    Ok(shows_what_operators_look_at(Program::etcd()?).await?)
}

/// What 3.5.1 does not tell.
#[tokio::test]
async fn stead_tells_its_quota_and_the_version_of_its_files() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?)
        .argument("--quota-backend-bytes=1234567890")
        .start()
        .await?;
    let status = cluster.status(0).await?;
    assert_eq!(status.db_size_quota, 1_234_567_890);
    assert_eq!(status.storage_version, "3.7.0");
    assert!(status.downgrade_info.is_some_and(|downgrade| !downgrade.enabled));
    let mut snapshot = cluster
        .clients(0)?
        .maintenance
        .snapshot(SnapshotRequest {})
        .await?
        .into_inner();
    let piece = snapshot.message().await?.ok_or("no piece")?;
    assert_eq!(piece.version, "3.7.0");
    Ok(())
}

/// A transaction that can be sent can be applied, on every member and after a restart: the limit of depth is the decoder's of
/// requests, not that of entries of the log.
#[tokio::test]
async fn a_transaction_as_deep_as_can_be_sent_is_applied_and_a_deeper_one_is_refused() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let mut clients = cluster.clients(0)?;
    let mut deepest = 0;
    for depth in [1, 20, 40, 45, 46, 47, 48, 49, 50, 51, 52, 60, 90] {
        let put = PutRequest {
            key: "depth".into(),
            value: depth.to_string().into(),
            ..PutRequest::default()
        };
        let mut operation = Operation::RequestPut(put);
        for _ in 0..depth {
            operation = Operation::RequestTxn(TxnRequest {
                success: vec![RequestOp {
                    request: Some(operation),
                }],
                ..TxnRequest::default()
            });
        }
        let Operation::RequestTxn(request) = operation else {
            return Err("it is a transaction".into());
        };
        match clients.kv.txn(request).await {
            Ok(_) => deepest = depth,
            Err(status) => {
                assert_eq!(status.code(), Code::Internal, "{depth}: {status:?}");
                assert!(
                    status.message().contains("recursion limit"),
                    "{depth}: {status:?}"
                );
            }
        }
    }
    assert!((40..60).contains(&deepest), "{deepest}");
    cluster.kill_all()?;
    cluster.start_all().await?;
    for node in 0..3 {
        let request = RangeRequest {
            key: "depth".into(),
            ..RangeRequest::default()
        };
        let answer = cluster.clients(node)?.kv.range(request).await?.into_inner();
        let applied: usize = String::from_utf8(answer.kvs[0].value.to_vec())?.parse()?;
        // This client cannot read the answer to the deepest, which has a header on each level.
        assert!((deepest..=deepest + 1).contains(&applied), "{applied} {deepest}");
    }
    Ok(())
}
