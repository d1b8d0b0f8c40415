//! The calls of an API server, one by one, in the shapes in which it sends them, and what it reads of the answers.
//!
//! The same calls go to a real etcd, so that the expectations are etcd's and not ours.

use bytes::Bytes;
use stead::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use stead::proto::etcdserverpb::response_op::Response;
use stead::proto::etcdserverpb::{
    CompactionRequest, Compare, LeaseGrantRequest, RangeRequest, RangeResponse, RequestOp, StatusRequest,
    TxnRequest, TxnResponse,
};
use stead::proto::mvccpb::KeyValue;
use tonic::{Code, Status};

use super::{delete, put, read, write_if};
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const PODS: &[u8] = b"/registry/pods/";
const PODS_END: &[u8] = b"/registry/pods0";
const COMPACTION_KEY: &[u8] = b"compact_rev_key";
/// What the API server's events and leases of masters have.
const LEASE_SECONDS: i64 = 3_600;
/// Smaller than the largest request (1.5 MiB), and larger.
const LARGE_BYTES: usize = 1_400_000;
const TOO_LARGE_BYTES: usize = 1_600_000;

/// An API server with one connection to one node.
struct ApiServer(Clients);

impl ApiServer {
    async fn range(&mut self, request: RangeRequest) -> Result<RangeResponse, Status> {
        Ok(self.0.kv.range(request).await?.into_inner())
    }

    /// Get: limit 1, at a revision if one is given.
    async fn get(&mut self, key: &[u8], revision: i64) -> Result<Option<KeyValue>, Status> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(key),
            limit: 1,
            revision,
            ..Default::default()
        };
        Ok(self.range(request).await?.kvs.pop())
    }

    /// The resource's prefix as a key, which never exists: only the revision is of interest.
    async fn revision(&mut self) -> Result<i64> {
        let request = RangeRequest {
            key: Bytes::from_static(PODS),
            limit: 1,
            ..Default::default()
        };
        let answer = self.range(request).await?;
        assert!(answer.kvs.is_empty());
        revision_of(answer.header)
    }

    async fn transact(&mut self, request: TxnRequest) -> Result<TxnResponse, Status> {
        Ok(self.0.kv.txn(request).await?.into_inner())
    }

    async fn create(&mut self, key: &Bytes, value: &[u8], lease: i64) -> Result<TxnResponse, Status> {
        let write = put(key.clone(), Bytes::copy_from_slice(value), lease);
        self.transact(write_if(key.clone(), 0, write, None)).await
    }

    async fn update(
        &mut self,
        key: &Bytes,
        revision: i64,
        value: &[u8],
        lease: i64,
    ) -> Result<TxnResponse, Status> {
        let write = put(key.clone(), Bytes::copy_from_slice(value), lease);
        self.transact(write_if(key.clone(), revision, write, Some(read(key.clone()))))
            .await
    }

    async fn delete(&mut self, key: &Bytes, revision: i64) -> Result<TxnResponse, Status> {
        let request = write_if(
            key.clone(),
            revision,
            delete(key.clone()),
            Some(read(key.clone())),
        );
        self.transact(request).await
    }
}

fn revision_of(header: Option<stead::proto::etcdserverpb::ResponseHeader>) -> Result<i64> {
    Ok(header.ok_or("an answer without a header")?.revision)
}

fn pod(number: usize) -> Bytes {
    Bytes::from(format!("/registry/pods/default/pod-{number:04}"))
}

/// What the branch taken has read: one answer, with the key or without.
fn read_instead(answer: &TxnResponse) -> Result<Option<KeyValue>> {
    match answer.responses.as_slice() {
        [response] => match &response.response {
            Some(Response::ResponseRange(range)) => Ok(range.kvs.first().cloned()),
            other => Err(format!("not a range: {other:?}").into()),
        },
        others => Err(format!("not one answer: {others:?}").into()),
    }
}

/// API servers up to 1.31 read the revision of a write there, and die without it.
fn revision_inside(answer: &TxnResponse) -> Result<i64> {
    match answer
        .responses
        .first()
        .and_then(|response| response.response.clone())
    {
        Some(Response::ResponsePut(put)) => revision_of(put.header),
        Some(Response::ResponseDeleteRange(delete)) => revision_of(delete.header),
        other => Err(format!("not a write: {other:?}").into()),
    }
}

async fn objects_are_created_changed_and_deleted(server: &mut ApiServer) -> Result<()> {
    let before = server.revision().await?;
    assert!(before > 0, "a list of nothing has a resource version, too");

    let key = pod(0);
    let created = server.create(&key, b"one", 0).await?;
    assert!(created.succeeded);
    let first = revision_of(created.header)?;
    assert_eq!(revision_inside(&created)?, first);
    assert_eq!(first, before + 1);
    let again = server.create(&key, b"two", 0).await?;
    assert!(!again.succeeded && again.responses.is_empty());
    assert_eq!(revision_of(again.header)?, first, "what failed makes no revision");

    let changed = server.update(&key, first, b"two", 0).await?;
    let second = revision_inside(&changed)?;
    assert!(changed.succeeded && second == first + 1);
    let stale = server.update(&key, first, b"three", 0).await?;
    let found = read_instead(&stale)?.ok_or("the conflict shows what is there")?;
    assert!(!stale.succeeded);
    assert_eq!(
        (
            &found.value[..],
            found.mod_revision,
            found.create_revision,
            found.version
        ),
        (&b"two"[..], second, first, 2)
    );
    let old = server.get(&key, first).await?.ok_or("history is there")?;
    assert_eq!(&old.value[..], b"one");

    let stale = server.delete(&key, first).await?;
    assert!(!stale.succeeded && read_instead(&stale)?.is_some());
    let deleted = server.delete(&key, second).await?;
    assert!(deleted.succeeded);
    assert_eq!(revision_inside(&deleted)?, second + 1);
    for conflict in [
        server.delete(&key, second).await?,
        server.update(&key, second, b"four", 0).await?,
    ] {
        assert!(!conflict.succeeded);
        assert_eq!(read_instead(&conflict)?, None, "one answer, and nothing in it");
    }
    assert_eq!(server.revision().await?, second + 1);
    Ok(())
}

async fn lists_are_paged_at_one_revision(server: &mut ApiServer) -> Result<()> {
    let objects = 25;
    for number in 0..objects {
        server.create(&pod(number), b"object", 0).await?;
    }
    let list = |key: Bytes, revision| RangeRequest {
        key,
        range_end: Bytes::from_static(PODS_END),
        limit: 10,
        revision,
        ..Default::default()
    };
    let mut page = server.range(list(Bytes::from_static(PODS), 0)).await?;
    let pinned = revision_of(page.header)?;
    let mut names = Vec::new();
    loop {
        assert_eq!(
            usize::try_from(page.count)?,
            objects - names.len(),
            "all that is left, whatever the limit"
        );
        names.extend(page.kvs.iter().map(|pair| pair.key.clone()));
        assert_eq!(page.more, names.len() < objects);
        if !page.more {
            break;
        }
        // What changes meanwhile is not on the pages to come.
        server.create(&pod(1_000 + names.len()), b"later", 0).await?;
        let next = [&names[names.len() - 1][..], b"\0"].concat();
        page = server.range(list(next.into(), pinned)).await?;
    }
    assert_eq!(names, (0..objects).map(pod).collect::<Vec<_>>());

    let whole = RangeRequest {
        key: Bytes::from_static(PODS),
        range_end: Bytes::from_static(PODS_END),
        ..Default::default()
    };
    let counted = server
        .range(RangeRequest {
            count_only: true,
            ..whole.clone()
        })
        .await?;
    assert!(counted.kvs.is_empty() && counted.count == 27);
    let keys = server
        .range(RangeRequest {
            keys_only: true,
            ..whole
        })
        .await?;
    assert_eq!(keys.kvs.len(), 27);
    assert!(
        keys.kvs
            .iter()
            .all(|pair| pair.value.is_empty() && pair.mod_revision > 0)
    );
    Ok(())
}

async fn a_key_leaves_its_lease_for_another(server: &mut ApiServer) -> Result<()> {
    let mut grant = async || -> Result<i64> {
        let request = LeaseGrantRequest {
            ttl: LEASE_SECONDS,
            id: 0,
        };
        let granted = server.0.lease.lease_grant(request).await?.into_inner();
        assert!(granted.id != 0 && granted.ttl >= LEASE_SECONDS);
        Ok(granted.id)
    };
    let (older, newer) = (grant().await?, grant().await?);
    let key = Bytes::from_static(b"/registry/masterleases/127.0.0.1");
    let created = server.create(&key, b"endpoints", older).await?;
    let moved = server
        .update(&key, revision_inside(&created)?, b"endpoints", newer)
        .await?;
    let pair = server.get(&key, 0).await?.ok_or("it is there")?;
    assert_eq!(pair.lease, newer);
    server
        .update(&key, revision_inside(&moved)?, b"endpoints", 0)
        .await?;
    let pair = server.get(&key, 0).await?.ok_or("it is there")?;
    assert_eq!(pair.lease, 0);
    let error = server.create(&pod(9_999), b"event", 12_345).await.err();
    let error = error.ok_or("a lease that nobody granted")?;
    assert_eq!(
        (error.code(), error.message()),
        (Code::NotFound, "etcdserver: requested lease not found")
    );
    Ok(())
}

/// The transaction by which API servers agree who compacts: the value is the revision to compact at next time.
async fn claim(server: &mut ApiServer, version: i64, value: i64) -> Result<(bool, KeyValue)> {
    let key = Bytes::from_static(COMPACTION_KEY);
    let operation = |request| {
        vec![RequestOp {
            request: Some(request),
        }]
    };
    let request = TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            key: key.clone(),
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::Version(version)),
        }],
        success: operation(put(key.clone(), Bytes::from(value.to_string()), 0)),
        failure: operation(read(key.clone())),
    };
    let answer = server.transact(request).await?;
    let pair = match answer.succeeded {
        true => server.get(&key, 0).await?,
        false => read_instead(&answer)?,
    };
    Ok((answer.succeeded, pair.ok_or("the key of the compactor")?))
}

async fn one_api_server_compacts(servers: &mut [ApiServer]) -> Result<()> {
    let revision = servers[0].revision().await?;
    let mut winners = 0;
    for server in servers.iter_mut() {
        let (won, pair) = claim(server, 0, revision).await?;
        winners += usize::from(won);
        assert_eq!((pair.version, pair.value), (1, Bytes::from(revision.to_string())));
    }
    assert_eq!(winners, 1);
    let (won, pair) = claim(&mut servers[1], 1, revision + 1).await?;
    assert!(won && pair.version == 2);

    let compaction = CompactionRequest {
        revision,
        physical: false,
    };
    servers[1].0.kv.compact(compaction).await?;
    let refusal = |status: Option<Status>| -> Result<(Code, String)> {
        let status = status.ok_or("it is refused")?;
        Ok((status.code(), status.message().to_owned()))
    };
    let compacted = (
        Code::OutOfRange,
        "etcdserver: mvcc: required revision has been compacted".to_owned(),
    );
    assert_eq!(
        refusal(servers[2].0.kv.compact(compaction).await.err())?,
        compacted
    );
    servers[0].get(&pod(0), revision).await?;
    assert_eq!(
        refusal(servers[0].get(&pod(0), revision - 1).await.err())?,
        compacted
    );
    let future = refusal(servers[0].get(&pod(0), revision + 1_000).await.err())?;
    assert_eq!(
        future,
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision".to_owned()
        )
    );
    Ok(())
}

async fn large_objects_pass_and_too_large_ones_are_refused(server: &mut ApiServer) -> Result<()> {
    let key = Bytes::from_static(b"/registry/secrets/default/large");
    let created = server.create(&key, &vec![b'x'; LARGE_BYTES], 0).await?;
    assert!(created.succeeded);
    let pair = server.get(&key, 0).await?.ok_or("it is there")?;
    assert_eq!(pair.value.len(), LARGE_BYTES);
    let error = server
        .update(&key, pair.mod_revision, &vec![b'x'; TOO_LARGE_BYTES], 0)
        .await
        .err()
        .ok_or("it is too large")?;
    assert_eq!(
        (error.code(), error.message()),
        (Code::InvalidArgument, "etcdserver: request is too large")
    );
    Ok(())
}

async fn an_api_server_can_live_on(program: Program) -> Result<()> {
    let cluster = Cluster::builder(program).nodes(3).start().await?;
    let mut servers = (0..3)
        .map(|node| Ok(ApiServer(cluster.clients(node)?)))
        .collect::<Result<Vec<_>>>()?;
    // The health probe: what counts is that there is no error.
    assert_eq!(servers[2].get(b"/registry/health", 0).await?, None);
    objects_are_created_changed_and_deleted(&mut servers[0]).await?;
    lists_are_paged_at_one_revision(&mut servers[1]).await?;
    a_key_leaves_its_lease_for_another(&mut servers[2]).await?;
    one_api_server_compacts(&mut servers).await?;
    large_objects_pass_and_too_large_ones_are_refused(&mut servers[0]).await
}

#[tokio::test]
async fn an_api_server_can_live_on_stead() -> TestResult {
    Ok(an_api_server_can_live_on(Program::stead()?).await?)
}

#[tokio::test]
async fn an_api_server_can_live_on_etcd() -> TestResult {
    Ok(an_api_server_can_live_on(Program::etcd()?).await?)
}

/// The API server asks for progress of watches, on which its consistent lists stand, only of versions that answer right.
#[tokio::test]
async fn every_node_has_a_version_with_progress_on_request() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    for node in 0..3 {
        let mut clients = cluster.clients(node)?;
        let status = clients.maintenance.status(StatusRequest::default()).await?;
        let status = status.into_inner();
        let version: Vec<u32> = status
            .version
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        assert!(version >= vec![3, 5, 24], "{}", status.version);
        assert!(status.db_size > 0 && status.errors.is_empty());
    }
    Ok(())
}
