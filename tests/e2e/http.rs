//! What monitors, probes and installers ask for over plain HTTP/1.1 on the client port, beside gRPC.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Cluster, Program, Result, TestResult};

/// The status and the body of a GET.
pub(super) async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    ask("GET", address, path).await
}

async fn ask(method: &str, address: &str, path: &str) -> Result<(u16, String)> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
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

        for path in ["/health", "/version", "/debug/vars"] {
            for method in ["HEAD", "POST"] {
                let (status, _) = ask(method, &address, path).await?;
                assert_eq!(status, 405, "{method} {path}");
            }
        }
        let (status, _) = ask("HEAD", &address, "/metrics").await?;
        assert_eq!(status, 200);

        let (status, body) = get(&address, "/debug/vars").await?;
        assert_eq!(status, 200, "{body}");
        let variables: Value = serde_json::from_str(&body)?;
        let arguments = variables["cmdline"].as_array().ok_or("no arguments")?;
        assert!(arguments.contains(&Value::from("--name")), "{body}");
        assert!(variables["file_descriptor_limit"].as_u64() > Some(0), "{body}");
        let raft = &variables["raft.status"];
        for number in ["term", "commit", "applied"] {
            assert!(raft[number].as_u64() > Some(0), "{number}: {raft}");
        }
        let state = if raft["id"] == raft["lead"] {
            "StateLeader"
        } else {
            "StateFollower"
        };
        assert_eq!(raft["raftState"], state, "{raft}");
        assert!(
            raft["lead"]
                .as_str()
                .is_some_and(|id| u64::from_str_radix(id, 16).is_ok()),
            "{raft}"
        );

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
