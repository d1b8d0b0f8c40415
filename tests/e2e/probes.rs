//! The health pages: what makes each of them fail, what does not, and what a probe may leave out.

use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::alarm_request::AlarmAction;
use stead::proto::etcdserverpb::{AlarmRequest, AlarmType};
use tokio::time::sleep;

use super::gateway::client::ask;
use crate::support::free_port;
use crate::support::{Clients, Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A member that is none, so that no member clears its alarm by itself.
const NOBODY: u64 = 5;

/// The status and body of a page.
async fn page(address: &str, path: &str) -> Result<(u16, String)> {
    let answer = ask(address, "GET", path, "", "").await?;
    Ok((answer.status, answer.body))
}

async fn pages_say(address: &str, expected: &[(&str, u16, &str)]) -> Result<()> {
    for (path, status, part) in expected {
        let (got, body) = page(address, path).await?;
        assert!(got == *status && body.contains(part), "{path}: {got} {body:?}");
    }
    Ok(())
}

async fn alarm(clients: &mut Clients, action: AlarmAction, alarm: AlarmType) -> Result<()> {
    let request = AlarmRequest {
        action: action.into(),
        member_id: NOBODY,
        alarm: alarm.into(),
    };
    clients.maintenance.alarm(request).await?;
    Ok(())
}

/// 3.5.1 has `/health` alone, and there always asks the others.
async fn say_what_is_wrong(program: Program, is_later: bool) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let address = cluster.node(0).client_address();
    let mut clients = cluster.clients(0)?;

    alarm(&mut clients, AlarmAction::Activate, AlarmType::Nospace).await?;
    pages_say(
        &address,
        &[
            ("/health", 503, r#"{"health":"false","reason":"ALARM NOSPACE"}"#),
            ("/health?exclude=NOSPACE", 200, r#""health":"true""#),
            (
                "/health?exclude=NOSPACE&serializable=true",
                200,
                r#""health":"true""#,
            ),
            ("/health?exclude=CORRUPT", 503, "ALARM NOSPACE"),
        ],
    )
    .await?;
    if is_later {
        pages_say(&address, &[("/readyz", 200, "ok\n"), ("/livez", 200, "ok\n")]).await?;
    }
    alarm(&mut clients, AlarmAction::Deactivate, AlarmType::Nospace).await?;

    alarm(&mut clients, AlarmAction::Activate, AlarmType::Corrupt).await?;
    pages_say(&address, &[("/health", 503, "ALARM CORRUPT")]).await?;
    if is_later {
        let corrupt = [
            ("/readyz", 503, "[-]data_corruption failed: "),
            ("/readyz", 503, "[+]serializable_read ok\n"),
            ("/readyz/data_corruption", 503, "[-]data_corruption failed: "),
            ("/readyz/non_learner", 200, "ok\n"),
            ("/readyz?exclude=data_corruption", 200, "ok\n"),
            (
                "/readyz?exclude=data_corruption&verbose",
                200,
                "[+]linearizable_read ok\n",
            ),
            ("/readyz/nothing", 404, "404 page not found\n"),
            ("/livez", 200, "ok\n"),
            ("/livez/serializable_read", 200, "ok\n"),
            ("/livez/linearizable_read", 404, ""),
        ];
        pages_say(&address, &corrupt).await?;
    }
    alarm(&mut clients, AlarmAction::Deactivate, AlarmType::Corrupt).await?;
    pages_say(&address, &[("/health", 200, r#"{"health":"true","reason":""}"#)]).await?;

    for node in 1..3 {
        cluster.node(node).kill()?;
    }
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        let (status, body) = page(&address, "/health").await?;
        assert_eq!(status, 503, "{body}");
        if body.contains("RAFT NO LEADER") {
            break;
        }
        assert!(Instant::now() < deadline, "{body}");
        sleep(POLL_INTERVAL).await;
    }
    if is_later {
        let alone = [
            ("/health?serializable=true", 200, r#""health":"true""#),
            ("/livez", 200, "ok\n"),
            ("/readyz", 503, "[-]linearizable_read failed: "),
            ("/readyz/serializable_read", 200, "ok\n"),
        ];
        pages_say(&address, &alone).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_pages_of_stead_say_what_is_wrong() -> TestResult {
    Ok(say_what_is_wrong(Program::stead()?, true).await?)
}

#[tokio::test]
async fn the_pages_of_etcd_say_what_is_wrong() -> TestResult {
    Ok(say_what_is_wrong(Program::etcd()?, false).await?)
}

async fn has_pages_apart(program: Program) -> Result<()> {
    let port = free_port()?;
    let mut cluster = Cluster::builder(program)
        .argument(format!("--listen-metrics-urls=http://127.0.0.1:{port}"))
        .start()
        .await?;
    let (client, apart) = (cluster.node(0).client_address(), format!("127.0.0.1:{port}"));
    for path in ["/health", "/metrics"] {
        assert_eq!(page(&apart, path).await?.0, 200, "{path}");
    }
    for path in ["/version", "/v3/kv/range"] {
        assert_eq!(page(&apart, path).await?.0, 404, "{path}");
    }
    assert_eq!(page(&client, "/version").await?.0, 200);
    for method in ["POST", "PUT", "DELETE"] {
        for path in ["/version", "/health"] {
            assert_eq!(
                ask(&client, method, path, "", "").await?.status,
                405,
                "{method} {path}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn monitors_of_stead_have_an_address_of_their_own() -> TestResult {
    Ok(has_pages_apart(Program::stead()?).await?)
}

#[tokio::test]
async fn monitors_of_etcd_have_an_address_of_their_own() -> TestResult {
    Ok(has_pages_apart(Program::etcd()?).await?)
}
