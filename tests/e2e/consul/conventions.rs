//! What holds for every path.

use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use super::*;
use crate::e2e::gateway::client::send;
use crate::support::TestResult;

#[tokio::test]
async fn requests_are_refused_in_plain_text_with_the_status_that_clients_expect() -> TestResult {
    let cluster = ConsulCluster::start(1, &[]).await?;
    let address = &cluster.addresses[0];
    let large = "x".repeat(512 * 1024 + 1);
    let many = format!("[{}]", vec![r#"{"KV":{"Verb":"get","Key":"k"}}"#; 129].join(","));
    let both = "Cannot specify ?stale with ?consistent, conflicting semantics.";
    for (method, path, body, status, text) in [
        ("GET", "/v1/nothing", "", 404, "not a recognized"),
        (
            "GET",
            "/v1/connect/ca/roots",
            "",
            400,
            "does not support this: the service mesh",
        ),
        ("GET", "/v2/kv/a", "", 404, "not a recognized"),
        ("PATCH", "/v1/kv/a", "", 405, "method PATCH not allowed"),
        ("GET", "/v1/txn", "", 405, "method GET not allowed"),
        ("GET", "/v1/kv/a%0Ab", "", 400, "unprintable"),
        ("GET", "/v1/kv/", "", 400, "Missing key name"),
        ("PUT", "/v1/kv/", "v", 400, "Missing key name"),
        ("GET", "/v1/kv/a?stale&consistent", "", 400, both),
        ("GET", "/v1/kv/a?index=x", "", 400, "Invalid index"),
        ("GET", "/v1/kv/a?index=1&wait=x", "", 400, "Invalid wait time"),
        ("GET", "/v1/kv/a?dc=other", "", 500, "No path to datacenter"),
        ("GET", "/v1/kv/a?ns=team", "", 400, "\"ns\""),
        ("PUT", "/v1/kv/a?cas=1&acquire=x", "v", 400, "Conflicting flags"),
        ("PUT", "/v1/kv/a?flags=-1", "v", 400, "Invalid flags"),
        ("PUT", "/v1/kv/a?acquire=x", "v", 500, "invalid session"),
        ("PUT", "/v1/kv/a", &large, 413, "524288"),
        ("DELETE", "/v1/kv/a?recurse&cas=1", "", 400, "Conflicting flags"),
        (
            "PUT",
            "/v1/session/create",
            r#"{"TTL":"5s"}"#,
            500,
            "Invalid Session TTL",
        ),
        ("PUT", "/v1/session/create", "{", 400, "Request decode failed"),
        ("PUT", "/v1/session/renew/x", "", 404, "Session id 'x' not found"),
        ("PUT", "/v1/txn", &many, 413, "129 > 128"),
        (
            "PUT",
            "/v1/txn",
            r#"[{"KV":{"Verb":"x","Key":"k"}}]"#,
            400,
            "unknown KV operation",
        ),
        ("PUT", "/v1/snapshot", "x", 400, "no snapshot"),
    ] {
        let answer = ask(address, method, path, "", body).await?;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.body.contains(text), "{method} {path}: {}", answer.body);
        let kind = header(&answer, "content-type");
        assert_eq!(kind, Some("text/plain; charset=utf-8"), "{method} {path}");
    }
    let not_allowed = ask(address, "POST", "/v1/kv/a", "", "").await?;
    assert_eq!(header(&not_allowed, "allow"), Some("OPTIONS,GET,PUT,DELETE"));
    let options = ask(address, "OPTIONS", "/v1/kv/a", "", "").await?;
    assert_eq!(
        (options.status, header(&options, "allow")),
        (200, Some("OPTIONS,GET,PUT,DELETE"))
    );
    assert_eq!(get(address, "/").await?.body, "Consul Agent");
    Ok(())
}

#[tokio::test]
async fn every_read_says_how_current_it_is_also_when_there_is_nothing() -> TestResult {
    let cluster = ConsulCluster::start(1, &[]).await?;
    let address = &cluster.addresses[0];
    for (path, status, consistency) in [
        ("/v1/kv/none", 404, "leader"),
        ("/v1/kv/none?stale=", 404, "stale"),
        ("/v1/kv/none?consistent", 404, "consistent"),
        ("/v1/kv/none/?recurse", 404, "leader"),
        ("/v1/kv/none/?keys", 404, "leader"),
        ("/v1/kv/?keys", 200, "leader"),
        ("/v1/session/list", 200, "leader"),
        (
            "/v1/session/info/00000000-0000-0000-0000-000000000000",
            200,
            "leader",
        ),
        ("/v1/event/list", 200, "leader"),
        ("/v1/coordinate/nodes", 200, "leader"),
    ] {
        let answer = get(address, path).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(index(&answer)? > 0, "{path}");
        for (name, value) in [
            ("x-consul-knownleader", "true"),
            ("x-consul-lastcontact", "0"),
            ("x-consul-effective-consistency", consistency),
        ] {
            assert_eq!(header(&answer, name), Some(value), "{path}: {name}");
        }
        let body = if status == 404 { "" } else { "[]" };
        assert_eq!(answer.body, body, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn answers_are_indented_or_compressed_for_whoever_asks_for_it() -> TestResult {
    let cluster = ConsulCluster::start(1, &[]).await?;
    let address = &cluster.addresses[0];
    put(address, "/v1/kv/k", &"v".repeat(1_000)).await?;
    let pretty = get(address, "/v1/kv/k?pretty").await?.body;
    assert!(
        pretty.starts_with("[\n    {\n        \"LockIndex\": 0,") && pretty.ends_with("]\n"),
        "{pretty}"
    );
    let mut connection = send(address, "GET", "/v1/kv/k", "Accept-Encoding: gzip\r\n", "").await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut answer)).await??;
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(answer.len() < 800);
    let raw = get(address, "/v1/kv/k?raw").await?;
    assert_eq!(
        (raw.body.len(), header(&raw, "x-content-type-options")),
        (1_000, Some("nosniff"))
    );
    Ok(())
}

#[tokio::test]
async fn a_client_with_too_many_requests_under_way_is_told_so_until_one_ends() -> TestResult {
    let cluster = ConsulCluster::start(1, &["--consul-max-requests-per-client=3"]).await?;
    let address = &cluster.addresses[0];
    put(address, "/v1/kv/k", "v").await?;
    let path = format!("/v1/kv/k?index={}", index(&get(address, "/v1/kv/k").await?)?);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(send(address, "GET", &path, "", "").await?);
    }
    let began = Instant::now();
    while get(address, "/v1/status/leader").await?.status != 429 {
        assert!(began.elapsed() < PATIENCE, "three requests are under way");
        sleep(POLL_INTERVAL).await;
    }
    waiting.pop();
    while get(address, "/v1/status/leader").await?.status != 200 {
        assert!(began.elapsed() < PATIENCE, "one has gone");
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

#[tokio::test]
async fn without_the_flag_there_is_no_interface_and_nothing_is_written() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let address = cluster.node(0).client_address();
    assert_eq!(get(&address, "/v1/kv/a").await?.status, 404);
    let status = cluster.status(0).await?;
    assert_eq!(status.header.ok_or("no header")?.revision, 1);
    Ok(())
}
