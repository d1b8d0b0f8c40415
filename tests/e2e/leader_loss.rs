//! One node of three is left: it can promise nothing, and says so to those who ask.

use std::time::Duration;

use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    DeleteRangeRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest, MemberListRequest, PutRequest,
    RangeRequest, TxnRequest, WatchCreateRequest, WatchRequest,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};

use crate::support::{Clients, Cluster, Program, Result, TestResult};

const NO_LEADER: &str = "etcdserver: no leader";

/// More than the time after which a node knows that it has lost its leader, three election timeouts.
const MAXIMUM_WAIT: Duration = Duration::from_secs(30);

/// The deadline that the client itself sets, shorter than that of the server.
const CLIENT_DEADLINE: Duration = Duration::from_secs(1);

fn with_leader<Message>(message: Message) -> Request<Message> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("hasleader", MetadataValue::from_static("true"));
    request
}

/// Whether a server says that it gave up: no leader, none in time, or that it lost it meanwhile. (etcd at times says no more
/// of a change than that time is over.)
fn ends_in_vain(status: &Status) -> bool {
    if (status.code(), status.message()) == (Code::Unknown, "context deadline exceeded") {
        return true;
    }
    let is_known = [NO_LEADER, "etcdserver: leader changed"].contains(&status.message())
        || status.message().starts_with("etcdserver: request timed out");
    status.code() == Code::Unavailable && is_known
}

/// Opens a watch that has been confirmed. The sender keeps it open.
async fn watch(
    clients: &mut Clients,
    wants_leader: bool,
) -> Result<(
    mpsc::Sender<WatchRequest>,
    Streaming<stead::proto::etcdserverpb::WatchResponse>,
)> {
    let (requests, outgoing) = mpsc::channel(1);
    let create = WatchCreateRequest {
        key: "a".into(),
        ..WatchCreateRequest::default()
    };
    requests
        .send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        })
        .await?;
    let stream = ReceiverStream::new(outgoing);
    let request = if wants_leader {
        with_leader(stream)
    } else {
        Request::new(stream)
    };
    let mut responses = clients.watch.watch(request).await?.into_inner();
    let created = timeout(MAXIMUM_WAIT, responses.message()).await??;
    assert!(created.is_some_and(|response| response.created));
    Ok((requests, responses))
}

async fn says_that_it_has_no_leader(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let survivor = (cluster.leader().await? + 1) % 3;
    let mut clients = cluster.clients(survivor)?;
    let put = PutRequest {
        key: "a".into(),
        value: "1".into(),
        ..PutRequest::default()
    };
    clients.kv.put(put.clone()).await?;
    let (_open, mut patient) = watch(&mut clients, false).await?;
    let (_held, mut demanding) = watch(&mut clients, true).await?;

    for node in (0..3).filter(|node| *node != survivor) {
        cluster.node(node).kill()?;
    }

    let end = timeout(MAXIMUM_WAIT, demanding.message()).await.map_err(|_| {
        format!("a watch that wants a leader is still open {MAXIMUM_WAIT:?} after the last one died")
    })?;
    let status = end.err().ok_or("a watch that wants a leader ends without one")?;
    assert_eq!((status.code(), status.message()), (Code::Unavailable, NO_LEADER));

    // From then on, requests that want a leader are refused at once.
    let status = clients
        .kv
        .put(with_leader(put.clone()))
        .await
        .err()
        .ok_or("a put without a quorum")?;
    assert_eq!((status.code(), status.message()), (Code::Unavailable, NO_LEADER));

    // Others wait for one as long as their client does.
    let mut patient_put = Request::new(put);
    patient_put.set_timeout(CLIENT_DEADLINE);
    assert!(clients.kv.put(patient_put).await.is_err(), "no quorum, no write");
    let mut read = Request::new(RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    });
    read.set_timeout(CLIENT_DEADLINE);
    assert!(
        clients.kv.range(read).await.is_err(),
        "no quorum, no linearizable read"
    );

    // Those whose client would wait for ever are told that it is in vain.
    let in_vain = async {
        let mut lease = clients.lease.clone();
        let time_to_live = LeaseTimeToLiveRequest { id: 7, keys: false };
        let status = lease.lease_time_to_live(time_to_live).await.err();
        let status = status.ok_or("the time to live of a lease without a quorum")?;
        assert!(ends_in_vain(&status), "time to live: {status:?}");
        let keep_alive = LeaseKeepAliveRequest { id: 7 };
        let answered = match lease.lease_keep_alive(tokio_stream::once(keep_alive)).await {
            Ok(answers) => answers.into_inner().message().await.map(drop),
            Err(status) => Err(status),
        };
        let status = answered.err().ok_or("a lease is kept alive without a quorum")?;
        assert!(ends_in_vain(&status), "keep alive: {status:?}");
        let status = clients.kv.delete_range(DeleteRangeRequest {
            key: "a".into(),
            ..DeleteRangeRequest::default()
        });
        let status = status.await.err().ok_or("a delete without a quorum")?;
        assert!(ends_in_vain(&status), "delete: {status:?}");
        let listed = MemberListRequest { linearizable: true };
        let status = clients.cluster.member_list(listed).await.err();
        let status = status.ok_or("a linearizable list of members without a quorum")?;
        assert!(ends_in_vain(&status), "members: {status:?}");
        Ok::<_, crate::support::Error>(())
    };
    timeout(MAXIMUM_WAIT, in_vain)
        .await
        .map_err(|_| "a request waits for ever")??;

    // What needs nobody else goes on.
    let listed = MemberListRequest { linearizable: false };
    assert_eq!(
        clients
            .cluster
            .member_list(listed)
            .await?
            .into_inner()
            .members
            .len(),
        3
    );
    assert!(
        clients
            .kv
            .txn(TxnRequest::default())
            .await?
            .into_inner()
            .succeeded
    );
    let local = RangeRequest {
        key: "a".into(),
        serializable: true,
        ..RangeRequest::default()
    };
    assert_eq!(clients.kv.range(local).await?.into_inner().count, 1);
    let status = cluster.status(survivor).await?;
    assert_eq!(status.leader, 0);
    assert_eq!(status.errors, [NO_LEADER]);

    // The watch that asked for no leader is still there when there is one again.
    cluster.start_all().await?;
    let again = PutRequest {
        key: "a".into(),
        value: "2".into(),
        ..PutRequest::default()
    };
    cluster.clients(survivor)?.kv.put(again).await?;
    let event = loop {
        let response = timeout(MAXIMUM_WAIT, patient.message())
            .await??
            .ok_or("the patient watch has ended")?;
        if let Some(event) = response.events.into_iter().find_map(|event| event.kv)
            && event.value == "2"
        {
            break event;
        }
    };
    assert_eq!(event.key, "a");
    Ok(())
}

#[tokio::test]
async fn a_stead_without_a_quorum_says_that_it_has_no_leader() -> TestResult {
    Ok(says_that_it_has_no_leader(Program::stead()?).await?)
}

#[tokio::test]
async fn an_etcd_without_a_quorum_says_that_it_has_no_leader() -> TestResult {
    Ok(says_that_it_has_no_leader(Program::etcd()?).await?)
}
