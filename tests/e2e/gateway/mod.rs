//! The JSON gateway, asked as a shell script would with curl: the same requests and the same answers on etcd and on
//! Stead. Answers are compared as JSON, without the ids and terms that differ from run to run.

mod changes;
pub mod client;
mod script;

use std::time::Duration;

use serde_json::json;
use stead::proto::etcdserverpb::RangeRequest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::{Cluster, Program, Result, TestResult};
use client::{MAXIMUM_WAIT, Stream, ask, post, send};
use script::script;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

async fn gives_the_answers_of_the_script(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).start().await?;
    let address = cluster.node(0).client_address();
    for (path, body, status, expected) in script() {
        let answer = post(&address, path, &body).await?;
        let shown = answer.json().map_err(|error| format!("{path}: {error}"))?;
        assert_eq!((answer.status, shown), (status, expected), "{path} {body}");
    }
    let answer = ask(&address, "POST", "/v3/kv/range", "", r#"{"key":"YQ=="}"#).await?;
    for header in [
        "content-type: application/json",
        "grpc-metadata-content-type: application/grpc",
        "access-control-allow-origin: *",
        "access-control-allow-methods: POST, GET, OPTIONS, PUT, DELETE",
        "access-control-allow-headers: accept, content-type, authorization",
    ] {
        assert!(answer.has_header(header), "{header} is not in\n{}", answer.head);
    }

    // What cannot be is refused.
    for body in ["{", "[]", r#"{"key":"*"}"#, r#"{"key":7}"#, r#"{"limit":"x"}"#] {
        let answer = ask(&address, "POST", "/v3/kv/range", "", body).await?;
        assert_eq!(
            (answer.status, &answer.json()?["code"]),
            (400, &json!(3)),
            "{body}: {}",
            answer.body
        );
    }
    for path in ["/v3/kv/nothing", "/v3/kv/rangestream", "/v3/"] {
        assert_eq!(post(&address, path, &json!({})).await?.status, 404, "{path}");
    }
    // Above the limit of a request, and above what gRPC takes at all.
    let too_large = json!({"key": "YQ==", "value": "A".repeat(2_200_000)});
    let answer = post(&address, "/v3/kv/put", &too_large).await?;
    let text = "etcdserver: request is too large";
    assert_eq!(answer.json()?["message"], text);
    assert_eq!(answer.status, 400);
    let far_too_large = json!({"key": "YQ==", "value": "A".repeat(3_600_000)});
    let answer = post(&address, "/v3/kv/put", &far_too_large).await?;
    assert_eq!(
        (answer.status, &answer.json()?["code"]),
        (429, &json!(8)),
        "{}",
        answer.body
    );

    // What operators read.
    let members = post(&address, "/v3/cluster/member/list", &json!({}))
        .await?
        .json()?;
    assert_eq!(members["members"][0]["name"], "n1");
    assert_eq!(
        members["members"][0]["clientURLs"],
        json!([cluster.node(0).endpoint()])
    );
    let id = members["members"][0]["ID"].as_str().ok_or("no id")?;
    assert!(id.parse::<u64>().is_ok(), "{id}");
    let status = post(&address, "/v3/maintenance/status", &json!({}))
        .await?
        .json()?;
    assert_eq!(status["leader"], id);
    // In 3.5.1 this path is the hash of the keys, in 3.7 that of the database.
    let hash = post(&address, "/v3/maintenance/hash", &json!({})).await?.json()?;
    assert!(hash["hash"].is_u64(), "32 bits are a number: {hash}");
    Ok(())
}

#[tokio::test]
async fn the_gateway_of_stead_gives_the_answers_of_etcds() -> TestResult {
    Ok(gives_the_answers_of_the_script(Program::stead()?).await?)
}

#[tokio::test]
async fn the_gateway_of_etcd_gives_the_answers_that_are_expected_of_stead() -> TestResult {
    Ok(gives_the_answers_of_the_script(Program::etcd()?).await?)
}

async fn streams_lines(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).start().await?;
    let address = cluster.node(0).client_address();
    let put = |value: &'static str| {
        let address = address.clone();
        async move { post(&address, "/v3/kv/put", &json!({"key": "YQ==", "value": value})).await }
    };
    put("MQ==").await?;
    let create = r#"{"create_request":{"key":"YQ==","start_revision":"2"}}"#;
    let mut watch = Stream::open(&address, "/v3/watch", create).await?;
    assert_eq!(
        watch.json().await?,
        json!({"result": {"header": {"revision": "2"}, "created": true}})
    );
    let event = |revision: &str, value: &str, version: &str| {
        json!({"result": {
            "header": {"revision": revision},
            "events": [{"kv": {
                "key": "YQ==", "create_revision": "2", "mod_revision": revision, "version": version, "value": value,
            }}],
        }})
    };
    assert_eq!(watch.json().await?, event("2", "MQ==", "1"));
    put("Mg==").await?;
    assert_eq!(watch.json().await?, event("3", "Mg==", "2"));
    post(&address, "/v3/kv/deleterange", &json!({"key": "YQ=="})).await?;
    assert_eq!(
        watch.json().await?,
        json!({"result": {
            "header": {"revision": "4"},
            "events": [{"type": "DELETE", "kv": {"key": "YQ==", "mod_revision": "4"}}],
        }})
    );
    drop(watch);

    // Several requests in one body are answered one after the other.
    let requests = "{\"create_request\":{\"key\":\"YQ==\"}}\n{\"createRequest\":{\"key\":\"Yg==\",\"watchId\":\"7\"}} \
                    {\"cancel_request\":{\"watch_id\":7}}";
    let mut watch = Stream::open(&address, "/v3/watch", requests).await?;
    let header = json!({"revision": "4"});
    assert_eq!(
        watch.json().await?,
        json!({"result": {"header": header, "created": true}})
    );
    assert_eq!(
        watch.json().await?,
        json!({"result": {"header": header, "created": true, "watch_id": "7"}})
    );
    assert_eq!(
        watch.json().await?,
        json!({"result": {"header": header, "canceled": true, "watch_id": "7"}})
    );

    // An observer hears nothing, not even a head, until there is a leader.
    let observing = Stream::open(&address, "/v3/election/observe", r#"{"name":"RQ=="}"#);
    let campaign = json!({"name": "RQ==", "value": "MQ=="});
    let (observed, campaign) = tokio::join!(observing, post(&address, "/v3/election/campaign", &campaign));
    let leader = campaign?.json()?["leader"]["key"].clone();
    assert_eq!(observed?.json().await?["result"]["kv"]["key"], leader);
    Ok(())
}

#[tokio::test]
async fn the_gateway_of_stead_streams_lines() -> TestResult {
    Ok(streams_lines(Program::stead()?).await?)
}

#[tokio::test]
async fn the_gateway_of_etcd_streams_lines() -> TestResult {
    Ok(streams_lines(Program::etcd()?).await?)
}

async fn checks_origins_and_hosts(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program)
        .argument("--cors=http://good.example:8000,http://other.example:8000")
        .argument("--host-whitelist=127.0.0.1,good.example")
        .start()
        .await?;
    let address = cluster.node(0).client_address();
    let range = r#"{"key":"YQ=="}"#;
    let allowed = "access-control-allow-origin: http://good.example:8000";

    let good = "Origin: http://good.example:8000\r\n";
    let answer = ask(&address, "POST", "/v3/kv/range", good, range).await?;
    assert!(
        answer.status == 200 && answer.has_header(allowed),
        "{}",
        answer.head
    );
    let bad = "Origin: http://bad.example\r\n";
    let answer = ask(&address, "POST", "/v3/kv/range", bad, range).await?;
    assert_eq!(answer.status, 200);
    assert!(
        !answer.head.to_lowercase().contains("access-control"),
        "{}",
        answer.head
    );
    // A browser asks first, on any path.
    for path in ["/v3/kv/range", "/version", "/no/such/path"] {
        let answer = ask(&address, "OPTIONS", path, good, "").await?;
        assert!(
            answer.status == 200 && answer.has_header(allowed),
            "{}",
            answer.head
        );
    }

    for (path, method) in [("/v3/kv/range", "POST"), ("/version", "GET")] {
        let answer = ask(&address, method, path, "Host: good.example:99\r\n", range).await?;
        assert_eq!(answer.status, 200, "{path}");
        let answer = ask(&address, method, path, "Host: bad.example\r\n", range).await?;
        assert_eq!(answer.status, 421, "{path}: {}", answer.body);
    }
    // Nor does it help to say that it were a call.
    let calling = "Host: bad.example\r\nContent-Type: application/grpc\r\n";
    let put = "\0\0\0\0\x03\x0a\x01a";
    for path in ["/v3/kv/put", "/etcdserverpb.KV/Put"] {
        let answer = ask(&address, "POST", path, calling, put).await?;
        assert_eq!(answer.status, 421, "{path}: {}", answer.body);
    }
    let answer = ask(&address, "POST", "/v3/kv/range", "", range).await?;
    assert_eq!(answer.json()?, json!({"header": {"revision": "1"}}));
    Ok(())
}

#[tokio::test]
async fn stead_checks_origins_and_hosts() -> TestResult {
    Ok(checks_origins_and_hosts(Program::stead()?).await?)
}

#[tokio::test]
async fn etcd_checks_origins_and_hosts() -> TestResult {
    Ok(checks_origins_and_hosts(Program::etcd()?).await?)
}

async fn can_be_left_out(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program)
        .argument("--enable-grpc-gateway=false")
        .start()
        .await?;
    let address = cluster.node(0).client_address();
    let answer = post(&address, "/v3/kv/range", &json!({"key": "YQ=="})).await?;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (404, "404 page not found\n")
    );
    Ok(())
}

#[tokio::test]
async fn the_gateway_of_stead_can_be_left_out() -> TestResult {
    Ok(can_be_left_out(Program::stead()?).await?)
}

#[tokio::test]
async fn the_gateway_of_etcd_can_be_left_out() -> TestResult {
    Ok(can_be_left_out(Program::etcd()?).await?)
}

/// The rules of etcd 3.7 that 3.5.1, which can be installed here, does not have.
#[tokio::test]
async fn the_gateway_takes_post_alone() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let address = cluster.node(0).client_address();
    for method in ["GET", "PUT", "DELETE"] {
        let answer = ask(&address, method, "/v3/kv/range", "", "").await?;
        let expected = json!({"error": "Method Not Allowed", "code": 12, "message": "Method Not Allowed"});
        assert_eq!((answer.status, answer.json()?), (501, expected), "{method}");
    }
    let answer = post(&address, "/v3/kv/nothing", &json!({})).await?;
    let expected = json!({"error": "Not Found", "code": 5, "message": "Not Found"});
    assert_eq!(answer.json()?, expected);
    let hash = post(&address, "/v3/maintenance/hashkv", &json!({}))
        .await?
        .json()?;
    assert!(hash["hash"].is_u64() && hash["hash_revision"] == "1", "{hash}");
    // A stream that breaks in the middle says so in its last line.
    let (create, nonsense) = (r#"{"create_request":{"key":"YQ=="}}"#, "nonsense");
    let mut connection = TcpStream::connect(&address).await?;
    let head = format!(
        "POST /v3/watch HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        create.len() + nonsense.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(create.as_bytes()).await?;
    let mut watch = Stream::on(connection).await?;
    assert_eq!(watch.json().await?["result"]["created"], true);
    watch.writing.write_all(nonsense.as_bytes()).await?;
    assert_eq!(watch.json().await?["error"]["code"], 3);
    // One that fails at once has the status of its error.
    let answer = ask(&address, "POST", "/v3/watch", "", "nonsense").await?;
    assert_eq!((answer.status, &answer.json()?["code"]), (400, &json!(3)));
    // A snapshot is one as well; its checksum of 32 bytes comes last.
    let answer = post(&address, "/v3/maintenance/snapshot", &json!({})).await?;
    let last: serde_json::Value =
        serde_json::from_str(answer.body.trim().lines().last().unwrap_or_default())?;
    assert_eq!(answer.status, 200);
    assert_eq!(last["result"]["blob"].as_str().map(str::len), Some(44), "{last}");
    Ok(())
}

#[tokio::test]
async fn who_hangs_up_while_it_waits_for_a_lock_leaves_nothing() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let address = cluster.node(0).client_address();
    let mut clients = cluster.clients(0)?;
    let name = json!({"name": "TA=="});
    assert_eq!(post(&address, "/v3/lock/lock", &name).await?.status, 200);
    let waiting = send(&address, "POST", "/v3/lock/lock", "", &name.to_string()).await?;
    let mut waiting = Some(waiting);
    for count in [2, 1] {
        let counting = async {
            loop {
                let request = RangeRequest {
                    key: "L/".into(),
                    range_end: "L0".into(),
                    count_only: true,
                    ..RangeRequest::default()
                };
                if clients.kv.range(request).await?.into_inner().count == count {
                    return Ok::<_, crate::support::Error>(());
                }
                sleep(POLL_INTERVAL).await;
            }
        };
        timeout(MAXIMUM_WAIT, counting).await??;
        drop(waiting.take());
    }
    Ok(())
}
