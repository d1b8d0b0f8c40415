//! Bytes that are no request, on both ports of every node: the connection ends, the cluster goes on, nothing is lost.

use std::time::Duration;

use rand::RngCore;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Cluster, ClusterBuilder, Program, Result, Security, TestResult};

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a node may keep a connection that has sent nothing sensible. It may also keep it: what counts is that the
/// node serves others.
const MAXIMUM_WAIT: Duration = Duration::from_millis(500);

fn garbage() -> Vec<Vec<u8>> {
    let mut noise = vec![0; 64 * 1024];
    rand::rng().fill_bytes(&mut noise);
    let frame = |length: [u8; 3], kind: u8, payload: &[u8]| {
        [HTTP2_PREFACE, &length, &[kind, 0, 0, 0, 0, 1], payload].concat()
    };
    vec![
        Vec::new(),
        b"\0".to_vec(),
        noise.clone(),
        vec![0xff; 1024 * 1024],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /etcdserverpb.KV/Put HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        b"GET /nothing/here HTTP/1.1\r\n".repeat(10_000),
        HTTP2_PREFACE.to_vec(),
        [HTTP2_PREFACE, &noise].concat(),
        // Settings that announce more than a frame may hold, headers that are no headers, data for no stream.
        frame([0xff, 0xff, 0xff], 4, &[]),
        frame([0, 0, 16], 1, &noise[..16]),
        frame([0, 0, 16], 0, &noise[..16]),
        // What begins like a TLS handshake: nothing more, noise in it, and the longest one announced.
        vec![0x16],
        [&[0x16, 3, 1, 0x3f, 0xff], &noise[..0x3fff]].concat(),
        vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff],
    ]
}

/// Sends the bytes and reads what comes until the other end closes, or says nothing.
async fn throw(address: &str, bytes: &[u8]) -> Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    // The other end may close before it has read everything: that is an answer, too.
    let _ = timeout(MAXIMUM_WAIT, connection.write_all(bytes)).await;
    let mut answer = Vec::new();
    let _ = timeout(MAXIMUM_WAIT, connection.read_to_end(&mut answer)).await;
    Ok(())
}

async fn survives_garbage(cluster: ClusterBuilder) -> Result<()> {
    let mut cluster = cluster.nodes(3).start().await?;
    let put = PutRequest {
        key: "a".into(),
        value: "1".into(),
        ..PutRequest::default()
    };
    cluster.clients(0)?.kv.put(put).await?;
    let ports: Vec<String> = cluster
        .nodes()
        .iter()
        .flat_map(|node| [node.client_address(), node.peer_address()])
        .collect();
    let garbage = garbage();
    for bytes in &garbage {
        futures::future::try_join_all(ports.iter().map(|port| throw(port, bytes))).await?;
    }
    // A node that has died of it is an error of this call.
    cluster.wait_until_ready().await?;
    for node in 0..cluster.size() {
        let get = RangeRequest {
            key: "a".into(),
            ..RangeRequest::default()
        };
        let answer = cluster.clients(node)?.kv.range(get).await?.into_inner();
        assert_eq!(
            answer.kvs.first().map(|pair| pair.value.as_ref()),
            Some(b"1".as_ref())
        );
        assert_eq!(
            answer.header.map(|header| header.revision),
            Some(2),
            "nothing was written"
        );
    }
    Ok(())
}

#[tokio::test]
async fn stead_survives_garbage_on_its_ports() -> TestResult {
    Ok(survives_garbage(Cluster::builder(Program::stead()?)).await?)
}

#[tokio::test]
async fn stead_survives_garbage_on_its_ports_with_tls() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?)
        .security(Security::SelfSigned)
        .argument("--auto-tls")
        .argument("--peer-auto-tls");
    Ok(survives_garbage(cluster).await?)
}

#[tokio::test]
async fn etcd_survives_garbage_on_its_ports() -> TestResult {
    Ok(survives_garbage(Cluster::builder(Program::etcd()?)).await?)
}
