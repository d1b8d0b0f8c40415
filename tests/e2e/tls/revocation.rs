//! A certificate that is revoked while everything runs.

use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest, WatchCreateRequest, WatchRequest};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::site::{
    GET_METRICS, GET_METRICS_AND_STAY, HTTP2_PREFACE, Site, is_let_in, is_spoken_with, speak, text,
};
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
    // As are connections of theirs with each of the other listeners.
    let mut open = Vec::new();
    for (node, metrics_port) in cluster.nodes().iter().zip(&site.metrics_ports) {
        let metrics = format!("127.0.0.1:{metrics_port}");
        open.push(speak(&metrics, &as_client, GET_METRICS_AND_STAY).await??);
        open.push(speak(&node.peer_address(), &as_peer, HTTP2_PREFACE).await??);
    }

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
    let left = MAXIMUM_REVOCATION.saturating_sub(revoked_at.elapsed());
    let end = timeout(left, watched.message()).await?;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    for stream in &mut open {
        let left = MAXIMUM_REVOCATION.saturating_sub(revoked_at.elapsed());
        // A cut is an end or an error; what was sent before it is read first.
        let _ = timeout(left, tokio::io::copy(stream, &mut tokio::io::sink())).await?;
    }
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

#[tokio::test]
async fn a_member_whose_certificate_is_revoked_is_cut_off_until_it_shows_another() -> TestResult {
    let site = Site::new(3)?;
    let revoked = site.issue_node(2, &site.clients, &site.peers)?;
    let mut cluster = site.cluster(Program::stead()?).start().await?;
    // The lists are the same for all: what counts is that the others do not speak with it any more.
    site.replace("peer-crl.pem", &site.peers.revoke(&[&revoked])?)?;
    eventually(
        "the others have ended its connections, and lead without it",
        async || {
            // Followers need not have been connected with one another.
            let (mut is_cut_off, mut are_led) = (false, true);
            for node in 0..2 {
                let log = text(cluster.nodes()[node].log_path())?;
                let ended = |line: &&str| {
                    line.contains("certificates were read anew") && !line.contains("\"ended_connections\":0")
                };
                is_cut_off |= log.lines().any(|line| ended(&line));
                are_led &= cluster.status(node).await.is_ok_and(|status| status.leader != 0);
            }
            let alone = cluster.status(2).await.is_ok_and(|status| status.leader == 0);
            Ok(is_cut_off && are_led && alone)
        },
    )
    .await?;
    let put = PutRequest {
        key: "without".into(),
        ..PutRequest::default()
    };
    timeout(MAXIMUM_WAIT, cluster.clients(0)?.kv.put(put)).await??;

    site.issue_node(2, &site.clients, &site.peers)?;
    cluster.wait_until_ready().await?;
    let get = RangeRequest {
        key: "without".into(),
        ..RangeRequest::default()
    };
    let answer = timeout(MAXIMUM_WAIT, cluster.clients(2)?.kv.range(get)).await??;
    assert_eq!(answer.into_inner().count, 1);
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
