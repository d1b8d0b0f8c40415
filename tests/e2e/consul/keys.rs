//! Keys and values.

use std::time::Instant;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::*;
use crate::e2e::gateway::client::send;
use crate::support::TestResult;

/// Requests that wait at once.
const WAITING: usize = 1_500;

#[tokio::test]
async fn a_key_is_shown_with_exactly_the_fields_that_clients_check() -> TestResult {
    let cluster = ConsulCluster::start(1, &[]).await?;
    let address = &cluster.addresses[0];
    assert_eq!(
        put(address, "/v1/kv/a%2Fb%20c?flags=18446744073709551615", "v")
            .await?
            .body,
        "true"
    );
    let answer = get(address, "/v1/kv/a/b%20c").await?;
    let at = index(&answer)?;
    let expected = json!([{"LockIndex": 0, "Key": "a/b c", "Flags": u64::MAX, "Value": "dg==", "CreateIndex": at,
        "ModifyIndex": at}]);
    assert_eq!(answer.json()?, expected);
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    put(address, "/v1/kv/empty", "").await?;
    assert_eq!(
        get(address, "/v1/kv/empty").await?.json()?[0]["Value"],
        json!(null)
    );
    let deleted = ask(address, "DELETE", "/v1/kv/empty", "", "").await?;
    assert_eq!((deleted.status, deleted.body.as_str()), (200, "true"));
    Ok(())
}

#[tokio::test]
async fn keys_of_this_interface_and_of_etcds_are_apart() -> TestResult {
    let mut cluster = ConsulCluster::start(1, &[]).await?;
    put(&cluster.addresses[0], "/v1/kv/k", "v").await?;
    let client = cluster.cluster.node(0).client_address();
    let all = json!({"key": "AA==", "range_end": "AA=="});
    let range = crate::e2e::gateway::client::post(&client, "/v3/kv/range", &all).await?;
    assert_eq!(range.json()?.get("kvs"), None, "{}", range.body);
    Ok(())
}

#[tokio::test]
async fn thousands_of_requests_wait_and_only_those_whose_keys_change_come_back() -> TestResult {
    let cluster = ConsulCluster::start(1, &["--consul-max-requests-per-client=4000"]).await?;
    let address = &cluster.addresses[0];
    put(address, "/v1/kv/quiet/k", "v").await?;
    put(address, "/v1/kv/busy/k", "v").await?;
    let quiet = index(&get(address, "/v1/kv/quiet/?recurse").await?)?;
    let busy = index(&get(address, "/v1/kv/busy/?recurse").await?)?;
    let mut waiting = Vec::new();
    for number in 0..WAITING {
        let path = format!("/v1/kv/quiet/?recurse&index={quiet}&wait=300s&n={number}");
        waiting.push(send(address, "GET", &path, "", "").await?);
    }
    let path = format!("/v1/kv/busy/?recurse&index={busy}&wait=300s");
    let mut one = send(address, "GET", &path, "", "").await?;
    ask(address, "DELETE", "/v1/kv/busy/k", "", "").await?;
    let mut answer = String::new();
    timeout(PATIENCE, one.read_to_string(&mut answer)).await??;
    assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
    let mut byte = [0];
    for connection in &waiting {
        assert!(
            connection.try_read(&mut byte).is_err(),
            "none of the quiet ones is answered"
        );
    }
    put(address, "/v1/kv/quiet/k", "w").await?;
    for mut connection in waiting {
        let mut answer = String::new();
        timeout(PATIENCE, connection.read_to_string(&mut answer)).await??;
        assert!(answer.contains("dw=="), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_waits_in_vain_is_answered_with_the_index_it_gave() -> TestResult {
    let cluster = ConsulCluster::start(1, &[]).await?;
    let address = &cluster.addresses[0];
    for path in [
        "/v1/kv/none?",
        "/v1/kv/none/?recurse&",
        "/v1/session/list?",
        "/v1/event/list?",
    ] {
        let at = index(&get(address, path).await?)?;
        // Writes elsewhere are no change.
        put(address, "/v1/kv/other", path).await?;
        let began = Instant::now();
        let answer = get(address, &format!("{path}index={at}&wait=300ms")).await?;
        assert_eq!(index(&answer)?, at, "{path}");
        assert!(began.elapsed() >= Duration::from_millis(300), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_snapshot_is_put_back() -> TestResult {
    let cluster = ConsulCluster::start(1, &[]).await?;
    let address = &cluster.addresses[0];
    put(address, "/v1/kv/k", "old").await?;
    let mut connection = send(address, "GET", "/v1/snapshot", "", "").await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut answer)).await??;
    let head_end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("no head")?;
    let snapshot = &answer[head_end + 4..];
    put(address, "/v1/kv/k", "new").await?;
    put(address, "/v1/kv/since", "v").await?;
    let mut connection = tokio::net::TcpStream::connect(address.as_str()).await?;
    let head = format!(
        "PUT /v1/snapshot HTTP/1.0\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        snapshot.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut connection, &[head.as_bytes(), snapshot].concat()).await?;
    let mut restored = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut restored)).await??;
    assert!(restored.starts_with("HTTP/1.0 200"), "{restored}");
    assert_eq!(get(address, "/v1/kv/k?raw").await?.body, "old");
    assert_eq!(get(address, "/v1/kv/since").await?.status, 404);
    Ok(())
}
