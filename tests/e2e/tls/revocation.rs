//! A certificate that is revoked while everything runs.

use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest, watch_request::RequestUnion};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::site::{GET_METRICS, HTTP2_PREFACE, Site, is_let_in, is_spoken_with};
use super::{MAXIMUM_WAIT, eventually};
use crate::support::{Clients, Credentials, Program, Result, TestResult};

/// How soon a revocation must be in force on every listener.
const MAXIMUM_REVOCATION: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_every_listener_within_five_seconds() -> TestResult {
    let site = Site::new(3)?;
    let cluster = site.cluster(Program::stead()?).start().await?;
    let (mallory, spy) = (
        site.clients.issue("mallory", &[])?,
        site.peers.issue("spy", &["127.0.0.1"])?,
    );
    let as_client = Credentials {
        authorities: site.clients.pem(),
        identity: Some(mallory.clone()),
    };
    let as_peer = Credentials {
        authorities: site.peers.pem(),
        identity: Some(spy.clone()),
    };
    let accepted_somewhere = async || -> Result<bool> {
        for (node, metrics_port) in cluster.nodes().iter().zip(&site.metrics_ports) {
            let metrics = format!("127.0.0.1:{metrics_port}");
            if is_let_in(&node.endpoint(), &as_client).await?
                || is_spoken_with(&metrics, &as_client, GET_METRICS).await?
                || is_spoken_with(&node.peer_address(), &as_peer, HTTP2_PREFACE).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    };
    for (node, metrics_port) in cluster.nodes().iter().zip(&site.metrics_ports) {
        let metrics = format!("127.0.0.1:{metrics_port}");
        assert!(is_let_in(&node.endpoint(), &as_client).await?);
        assert!(is_spoken_with(&metrics, &as_client, GET_METRICS).await?);
        assert!(is_spoken_with(&node.peer_address(), &as_peer, HTTP2_PREFACE).await?);
    }
    // A watch of hers is open, and one of alice's.
    let mut watched = open_watch(&Clients::protected(&cluster.endpoints()[0], &as_client)?).await?;
    let mut kept = open_watch(&cluster.clients(0)?).await?;

    site.replace("client-crl.pem", &site.clients.revoke(&[&mallory])?)?;
    site.replace("peer-crl.pem", &site.peers.revoke(&[&spy])?)?;
    let revoked_at = Instant::now();
    eventually("a revoked certificate is refused everywhere", async || {
        Ok(!accepted_somewhere().await?)
    })
    .await?;
    let took = revoked_at.elapsed();
    assert!(took <= MAXIMUM_REVOCATION, "it took {took:?}");

    // Her open connection is ended; his is not.
    let end = timeout(MAXIMUM_WAIT, watched.message()).await?;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    let put = PutRequest {
        key: "watched".into(),
        ..PutRequest::default()
    };
    cluster.clients(1)?.kv.put(put).await?;
    let event = timeout(MAXIMUM_WAIT, kept.message())
        .await??
        .ok_or("the watch has ended")?;
    assert_eq!(event.events.len(), 1);
    Ok(())
}

/// A watch on the key `watched` that is known to be there. Its requests never end.
async fn open_watch(clients: &Clients) -> Result<Watch> {
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: "watched".into(),
            ..WatchCreateRequest::default()
        })),
    };
    let (requests, stream) = mpsc::channel(1);
    requests.send(create).await?;
    let answers = clients.watch.clone().watch(ReceiverStream::new(stream)).await?;
    let mut watch = Watch {
        answers: answers.into_inner(),
        _requests: requests,
    };
    let created = timeout(MAXIMUM_WAIT, watch.message())
        .await??
        .ok_or("no answer")?;
    assert!(created.created);
    Ok(watch)
}

struct Watch {
    answers: tonic::Streaming<stead::proto::etcdserverpb::WatchResponse>,
    _requests: mpsc::Sender<WatchRequest>,
}

impl Watch {
    async fn message(&mut self) -> Result<Option<stead::proto::etcdserverpb::WatchResponse>, tonic::Status> {
        self.answers.message().await
    }
}
