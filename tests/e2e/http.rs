//! What monitors, probes and installers ask for over plain HTTP/1.1 on the client port, beside gRPC.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Cluster, Program, Result, TestResult};

/// The status and the body of a GET.
async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{path}: no HTTP answer: {answer}"))?;
    let status = head
        .split(' ')
        .nth(1)
        .ok_or_else(|| format!("{path}: no status: {head}"))?;
    Ok((status.parse()?, body.to_owned()))
}

async fn answers_probes(program: Program, paths_of_later_versions: &[&str]) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    for node in cluster.nodes() {
        let address = node.client_address();

        let (status, body) = get(&address, "/health").await?;
        let health: Value = serde_json::from_str(&body)?;
        assert_eq!((status, &health["health"]), (200, &Value::from("true")), "{body}");

        let (status, body) = get(&address, "/version").await?;
        let version: Value = serde_json::from_str(&body)?;
        assert_eq!(status, 200);
        for field in ["etcdserver", "etcdcluster"] {
            let numbers = version[field].as_str().map(|text| text.split('.').count());
            assert_eq!(numbers, Some(3), "{body}");
        }

        let (status, body) = get(&address, "/metrics").await?;
        assert_eq!(status, 200);
        for metric in [
            "etcd_server_has_leader 1",
            "etcd_server_is_leader",
            "etcd_server_proposals_applied_total",
        ] {
            assert!(
                body.lines().any(|line| line.starts_with(metric)),
                "{metric} is not in\n{body}"
            );
        }

        for path in paths_of_later_versions {
            let (status, body) = get(&address, path).await?;
            assert_eq!(status, 200, "{path}: {body}");
        }

        let (status, _) = get(&address, "/no/such/path").await?;
        assert_eq!(status, 404);
    }

    // A node without a quorum says that it is not healthy, and still answers.
    for node in 1..3 {
        cluster.node(node).kill()?;
    }
    let address = cluster.node(0).client_address();
    let (status, body) = get(&address, "/health").await?;
    let health: Value = serde_json::from_str(&body)?;
    assert_eq!(
        (status, &health["health"]),
        (503, &Value::from("false")),
        "{body}"
    );
    Ok(())
}

#[tokio::test]
async fn stead_answers_probes_over_http() -> TestResult {
    Ok(answers_probes(Program::stead()?, &["/livez", "/readyz", "/readyz?verbose"]).await?)
}

#[tokio::test]
async fn etcd_answers_probes_over_http() -> TestResult {
    // 3.5.1 has neither /livez nor /readyz.
    Ok(answers_probes(Program::etcd()?, &[]).await?)
}
