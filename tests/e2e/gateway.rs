//! The JSON gateway, asked as a shell script would with curl: the same requests and the same answers on etcd and on
//! Stead. Answers are compared as JSON, without the ids and terms that differ from run to run.

use std::time::Duration;

use serde_json::{Value, json};
use stead::proto::etcdserverpb::RangeRequest;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};

use crate::support::{Cluster, Program, Result, TestResult};

/// How long one answer may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Result<Value> {
        let mut value = serde_json::from_str(&self.body)
            .map_err(|error| format!("{error}: {} {}", self.status, self.body))?;
        normalize(&mut value);
        Ok(value)
    }

    fn has_header(&self, header: &str) -> bool {
        let lines = || self.head.lines();
        lines().any(|line| line.eq_ignore_ascii_case(header))
    }
}

/// Takes out what differs from run to run.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["cluster_id", "member_id", "raft_term"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(normalize);
        }
        Value::Array(values) => values.iter_mut().for_each(normalize),
        _ => {}
    }
}

/// Sends a request; the connection, with nothing read of it. HTTP/1.0, so that the body comes as it is.
async fn send(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(address).await?;
    let host = if headers.contains("Host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let request = format!(
        "{method} {path} HTTP/1.0\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // A server may refuse a body before it has read all of it.
    let _ = connection.write_all(request.as_bytes()).await;
    Ok(connection)
}

async fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    let mut connection = send(address, method, path, headers, body).await?;
    let mut answer = Vec::new();
    let reading = timeout(MAXIMUM_WAIT, connection.read_to_end(&mut answer)).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{path}: no HTTP answer ({reading:?}): {answer}"))?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

async fn post(address: &str, path: &str, body: &Value) -> Result<Answer> {
    ask(address, "POST", path, "", &body.to_string()).await
}

/// A stream of answers: the lines of a body.
struct Stream {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writing: OwnedWriteHalf,
}

impl Stream {
    async fn open(address: &str, path: &str, body: &str) -> Result<Self> {
        Self::on(send(address, "POST", path, "", body).await?).await
    }

    /// The answers on a connection on which a request was sent.
    async fn on(connection: TcpStream) -> Result<Self> {
        let (reading, writing) = connection.into_split();
        let mut stream = Self {
            lines: BufReader::new(reading).lines(),
            writing,
        };
        let head = stream.line().await?;
        if !head.contains(" 200 ") {
            return Err(head.into());
        }
        while !stream.line().await?.is_empty() {}
        Ok(stream)
    }

    async fn line(&mut self) -> Result<String> {
        let line = timeout(MAXIMUM_WAIT, self.lines.next_line()).await??;
        line.ok_or_else(|| "the stream has ended".into())
    }

    async fn json(&mut self) -> Result<Value> {
        let mut value = serde_json::from_str(&self.line().await?)?;
        normalize(&mut value);
        Ok(value)
    }
}

/// Requests, each with its status and answer, in order, on a fresh store.
fn script() -> Vec<(&'static str, Value, u16, Value)> {
    let header = |revision: &str| json!({ "revision": revision });
    let a2 =
        json!({"key": "YQ==", "create_revision": "2", "mod_revision": "3", "version": "2", "value": "Mg=="});
    let range = json!({"header": header("3"), "kvs": [a2], "count": "1"});
    let gone = "etcdserver: mvcc: required revision has been compacted";
    let error = |code: i32, text: &str| json!({"error": text, "code": code, "message": text});
    vec![
        (
            "/v3/kv/put",
            json!({"key": "YQ==", "value": "MQ=="}),
            200,
            json!({"header": header("2")}),
        ),
        (
            "/v3/kv/put",
            json!({"key": "YQ==", "value": "Mg==", "prevKv": true, "unknown": {"a": [1]}}),
            200,
            json!({
                "header": header("3"),
                "prev_kv": {"key": "YQ==", "create_revision": "2", "mod_revision": "2", "version": "1", "value": "MQ=="},
            }),
        ),
        ("/v3/kv/range", json!({"key": "YQ=="}), 200, range.clone()),
        ("/v3beta/kv/range", json!({"key": "YQ=="}), 200, range.clone()),
        (
            "/v3/kv/range",
            json!({"key": "YQ==", "range_end": "eg==", "limit": "5", "sort_order": "DESCEND", "sortTarget": 3}),
            200,
            range.clone(),
        ),
        (
            "/v3/kv/range",
            json!({"key": "Yg=="}),
            200,
            json!({"header": header("3")}),
        ),
        (
            "/v3/kv/range",
            json!({"key": "YQ==", "count_only": true}),
            200,
            json!({"header": header("3"), "count": "1"}),
        ),
        (
            "/v3/kv/txn",
            json!({
                "compare": [{"target": "VALUE", "key": "YQ==", "value": "Mg==", "result": "EQUAL"}],
                "success": [{"requestRange": {"key": "YQ=="}}, {"request_put": {"key": "Yg=="}}],
            }),
            200,
            json!({
                "header": header("4"),
                "succeeded": true,
                "responses": [
                    {"response_range": {"header": header("3"), "kvs": range["kvs"], "count": "1"}},
                    {"response_put": {"header": header("4")}},
                ],
            }),
        ),
        (
            "/v3/kv/deleterange",
            json!({"key": "Yg==", "prev_kv": true}),
            200,
            json!({
                "header": header("5"),
                "deleted": "1",
                "prev_kvs": [{"key": "Yg==", "create_revision": "4", "mod_revision": "4", "version": "1"}],
            }),
        ),
        (
            "/v3/kv/compaction",
            json!({"revision": 5, "physical": true}),
            200,
            json!({"header": header("5")}),
        ),
        (
            "/v3/kv/range",
            json!({"key": "YQ==", "revision": "2"}),
            400,
            error(11, gone),
        ),
        (
            "/v3/kv/range",
            json!({}),
            400,
            error(3, "etcdserver: key is not provided"),
        ),
        (
            "/v3/lease/grant",
            json!({"TTL": 600, "ID": "31"}),
            200,
            json!({"header": header("5"), "ID": "31", "TTL": "600"}),
        ),
        (
            "/v3/lease/grant",
            json!({"TTL": 600, "ID": "31"}),
            400,
            error(9, "etcdserver: lease already exists"),
        ),
        (
            "/v3/kv/lease/leases",
            json!({}),
            200,
            json!({"header": header("5"), "leases": [{"ID": "31"}]}),
        ),
        (
            "/v3/lease/leases",
            json!({}),
            200,
            json!({"header": header("5"), "leases": [{"ID": "31"}]}),
        ),
        (
            "/v3/lease/timetolive",
            json!({"ID": "99"}),
            200,
            json!({"header": header("5"), "ID": "99", "TTL": "-1"}),
        ),
        (
            "/v3/kv/lease/timetolive",
            json!({"ID": "99"}),
            200,
            json!({"header": header("5"), "ID": "99", "TTL": "-1"}),
        ),
        (
            "/v3/lease/keepalive",
            json!({"ID": "31"}),
            200,
            json!({"result": {"header": header("5"), "ID": "31", "TTL": "600"}}),
        ),
        (
            "/v3/lock/lock",
            json!({"name": "TA==", "lease": "31"}),
            200,
            json!({"header": header("6"), "key": "TC8xZg=="}),
        ),
        (
            "/v3/lock/unlock",
            json!({"key": "TC8xZg=="}),
            200,
            json!({"header": header("7")}),
        ),
        (
            "/v3/election/leader",
            json!({"name": "RQ=="}),
            500,
            error(2, "election: no leader"),
        ),
        (
            "/v3/election/campaign",
            json!({"name": "RQ==", "lease": "31", "value": "MQ=="}),
            200,
            json!({"header": header("8"), "leader": {"name": "RQ==", "key": "RS8xZg==", "rev": "8", "lease": "31"}}),
        ),
        (
            "/v3/election/proclaim",
            json!({"leader": {"name": "RQ==", "key": "RS8xZg==", "rev": "8", "lease": "31"}, "value": "Mg=="}),
            200,
            json!({"header": header("9")}),
        ),
        (
            "/v3/election/leader",
            json!({"name": "RQ=="}),
            200,
            json!({
                "header": header("9"),
                "kv": {
                    "key": "RS8xZg==", "create_revision": "8", "mod_revision": "9", "version": "2", "value": "Mg==",
                    "lease": "31",
                },
            }),
        ),
        (
            "/v3/election/resign",
            json!({"leader": {"name": "RQ==", "key": "RS8xZg==", "rev": "8", "lease": "31"}}),
            200,
            json!({"header": header("10")}),
        ),
        (
            "/v3/election/resign",
            json!({}),
            500,
            error(2, "\"leader\" field must be provided"),
        ),
        (
            "/v3/lease/revoke",
            json!({"ID": "31"}),
            200,
            json!({"header": header("10")}),
        ),
        (
            "/v3/kv/lease/revoke",
            json!({"ID": "31"}),
            404,
            error(5, "etcdserver: requested lease not found"),
        ),
        (
            "/v3/maintenance/alarm",
            json!({"action": "GET"}),
            200,
            json!({"header": header("10")}),
        ),
        (
            "/v3/maintenance/transfer-leadership",
            json!({"targetID": "5"}),
            400,
            error(9, "etcdserver: bad leader transferee"),
        ),
    ]
}

async fn gives_the_answers_of_the_script(program: Program) -> Result<()> {
    let cluster = Cluster::builder(program).start().await?;
    let mut cluster = cluster;
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
    let answer = post(&address, "/v3/maintenance/snapshot", &json!({})).await?;
    assert_eq!((answer.status, &answer.json()?["code"]), (501, &json!(12)));
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
