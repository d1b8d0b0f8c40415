//! Probes against real targets on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status as Refusal};

use super::*;
use crate::base::tls::{CertificateFiles, Entrance, Identity, Side, Tls, TlsSettings, pki};
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::{Health, HealthServer};
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use crate::service::registry::{HttpTarget, TargetTls};

/// Bytes of a request that are read.
const MAXIMUM_REQUEST_BYTES: usize = 16 * 1024;

fn http(url: String) -> HttpTarget {
    HttpTarget {
        url,
        method: String::new(),
        headers: BTreeMap::new(),
        body: String::new(),
        disable_redirects: false,
        tls: TargetTls::default(),
    }
}

async fn outcome(target: Target) -> CheckState {
    let probe = Probe {
        timeout_milliseconds: 2_000,
        ..Probe::new(target, Duration::from_secs(1))
    };
    run(&Dialer::new(Policy::default()), &probe).await
}

/// A server that answers each path with what `answer` says, given the whole request.
async fn web(servers: &mut JoinSet<()>, answer: fn(&str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; MAXIMUM_REQUEST_BYTES];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            // Whoever has enough of the answer hangs up.
            let _ = stream.write_all(answer(&request).as_bytes()).await;
        }
    });
    address
}

fn reply(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn site(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    match path {
        "/well" => reply("200 OK", "fine"),
        "/busy" => reply("429 Too Many Requests", "later"),
        "/ill" => reply("503 Service Unavailable", "no"),
        "/large" => reply("200 OK", &"x".repeat(1_000_000)),
        "/echo" => reply("200 OK", request),
        "/moved" => reply("302 Found\r\nlocation: /echo", ""),
        "/around" => reply("302 Found\r\nlocation: /around", ""),
        "/secrets" => reply("302 Found\r\nlocation: http://169.254.169.254/latest/", ""),
        "/file" => reply("302 Found\r\nlocation: file:///etc/passwd", ""),
        "/broken" => "what?\r\n\r\n".to_owned(),
        _ => reply("404 Not Found", ""),
    }
}

#[tokio::test]
async fn an_answer_of_http_passes_warns_or_is_critical_by_its_status() {
    let mut servers = JoinSet::new();
    let address = web(&mut servers, site).await;
    for (path, status, part) in [
        ("well", Status::Passing, "/well: 200 OK Output: fine"),
        ("busy", Status::Warning, "429 Too Many Requests Output: later"),
        ("ill", Status::Critical, "503 Service Unavailable Output: no"),
        ("other", Status::Critical, "404 Not Found"),
        ("moved", Status::Passing, "GET /echo"),
        ("around", Status::Critical, "more than 10 redirects"),
        ("secrets", Status::Critical, "refused: 169.254.169.254 is in none"),
        ("file", Status::Critical, "no URL of HTTP"),
        ("broken", Status::Critical, "no answer of HTTP"),
    ] {
        let found = outcome(Target::Http(http(format!("http://{address}/{path}")))).await;
        assert_eq!(found.status, status, "{path}: {found:?}");
        assert!(found.output.contains(part), "{path}: {found:?}");
    }
    let large = outcome(Target::Http(http(format!("http://{address}/large")))).await;
    assert_eq!((large.status, large.output.len()), (Status::Passing, 4_096));
    let still = HttpTarget {
        disable_redirects: true,
        ..http(format!("http://{address}/moved"))
    };
    let found = outcome(Target::Http(still)).await;
    assert!(
        found.status == Status::Critical && found.output.contains("302"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_request_of_http_is_sent_as_it_is_defined_and_its_headers_to_nobody_else() {
    let mut servers = JoinSet::new();
    let address = web(&mut servers, site).await;
    let target = |path: &str| HttpTarget {
        method: "PUT".into(),
        headers: BTreeMap::from([
            ("x-token".to_owned(), vec!["one".to_owned(), "two".to_owned()]),
            ("Host".to_owned(), vec!["web.example".to_owned()]),
        ]),
        body: "the body".into(),
        ..http(format!("http://{address}/{path}"))
    };
    let sent = outcome(Target::Http(target("echo"))).await.output;
    for part in [
        "PUT /echo HTTP/1.1",
        "x-token: one",
        "x-token: two",
        "host: web.example",
        "the body",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    // A redirect that is no 307 or 308 is followed with GET and without the body.
    let moved = outcome(Target::Http(target("moved"))).await.output;
    assert!(
        moved.contains("GET /echo HTTP/1.1") && moved.contains("x-token: one"),
        "{moved}"
    );
    assert!(!moved.contains("the body"), "{moved}");

    static OTHER: std::sync::OnceLock<SocketAddr> = std::sync::OnceLock::new();
    OTHER.set(address).unwrap();
    let sender = web(&mut servers, |_| {
        let other = OTHER.get().unwrap();
        reply(
            &format!("307 Temporary Redirect\r\nlocation: http://{other}/echo"),
            "",
        )
    })
    .await;
    let elsewhere = HttpTarget {
        url: format!("http://{sender}/"),
        ..target("")
    };
    let sent = outcome(Target::Http(elsewhere)).await.output;
    assert!(sent.contains("PUT /echo") && sent.contains("the body"), "{sent}");
    assert!(
        !sent.contains("x-token") && !sent.contains("web.example"),
        "{sent}"
    );
}

#[tokio::test]
async fn a_target_that_says_nothing_is_critical_when_its_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let probe = Probe {
        timeout_milliseconds: 100,
        ..Probe::new(
            Target::Http(http(format!("http://{address}/"))),
            Duration::from_secs(1),
        )
    };
    let found = run(&Dialer::new(Policy::default()), &probe).await;
    assert_eq!(found.status, Status::Critical);
    assert!(found.output.contains("no answer within 100ms"), "{found:?}");
}

#[tokio::test]
async fn a_connection_is_accepted_or_not_and_a_datagram_is_taken_or_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tcp = |address: &str| Target::Tcp {
        address: address.to_owned(),
        tls: None,
    };
    let found = outcome(tcp(&address)).await;
    assert_eq!(
        (found.status, found.output),
        (Status::Passing, format!("TCP connect {address}: Success"))
    );
    drop(listener);
    let found = outcome(tcp(&address)).await;
    assert_eq!(found.status, Status::Critical, "{found:?}");
    let named = address.replace("127.0.0.1", "localhost");
    assert_eq!(outcome(tcp(&named)).await.status, Status::Critical);
    let unknown = outcome(tcp("no-such-host.invalid:80")).await;
    assert!(unknown.output.contains("cannot be resolved"), "{unknown:?}");

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let udp = || Target::Udp {
        address: address.clone(),
    };
    assert_eq!(outcome(udp()).await.status, Status::Passing);
    drop(socket);
    assert_eq!(outcome(udp()).await.status, Status::Critical);
}

struct Half;

#[tonic::async_trait]
impl Health for Half {
    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Refusal>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Refusal> {
        let status = match request.into_inner().service.as_str() {
            "" | "good" => ServingStatus::Serving,
            "bad" => ServingStatus::NotServing,
            other => return Err(Refusal::not_found(format!("no {other}"))),
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Refusal> {
        Err(Refusal::unimplemented("no lists"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Refusal> {
        Err(Refusal::unimplemented("no watches"))
    }
}

#[tokio::test]
async fn a_grpc_service_is_asked_for_its_health_and_http2_for_a_ping() {
    let mut servers = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    servers.spawn(async move {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(HealthServer::new(Half));
        server.serve_with_incoming(incoming).await.unwrap();
    });
    let grpc = |address: &str, service: &str| Target::Grpc {
        address: address.to_owned(),
        service: service.to_owned(),
        tls: None,
    };
    for (service, status, part) in [
        ("", Status::Passing, "success"),
        ("good", Status::Passing, "success"),
        ("bad", Status::Critical, "NOT_SERVING"),
        ("other", Status::Critical, "NotFound: no other"),
    ] {
        let found = outcome(grpc(&address, service)).await;
        assert_eq!(found.status, status, "{service}: {found:?}");
        assert!(found.output.contains(part), "{found:?}");
    }
    let ping = |address: &str| Target::H2Ping {
        address: address.to_owned(),
        tls: None,
    };
    let found = outcome(ping(&address)).await;
    assert_eq!(found.status, Status::Passing, "{found:?}");
    let plain = web(&mut servers, site).await.to_string();
    for (target, part) in [(ping(&plain), "no HTTP/2"), (grpc(&plain, ""), "transport error")] {
        let found = outcome(target).await;
        assert!(
            found.status == Status::Critical && found.output.contains(part),
            "{found:?}"
        );
    }
    let over_tls = Target::Tcp {
        address: plain,
        tls: Some(TargetTls::default()),
    };
    let found = outcome(over_tls).await;
    assert!(
        found.status == Status::Critical && found.output.contains("TLS with 127.0.0.1"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_probe_goes_nowhere_else() {
    for address in ["169.254.169.254:80", "[fe80::1]:80", "192.0.2.1:80"] {
        for target in [
            Target::Tcp {
                address: address.into(),
                tls: None,
            },
            Target::Udp {
                address: address.into(),
            },
            Target::Http(http(format!("http://{address}/"))),
        ] {
            let found = outcome(target).await;
            assert!(found.output.contains("refused: "), "{found:?}");
        }
    }
    // However it is written.
    for url in [
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://[::ffff:a9fe:a9fe]/",
    ] {
        let found = outcome(Target::Http(http(url.into()))).await;
        assert!(found.output.contains("refused: "), "{found:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_taken_only_if_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pki::self_signed("server", &["127.0.0.1"]).unwrap();
    let pair = pair.write(folder.path(), "server").unwrap();
    let tls = Tls::load(TlsSettings {
        identity: Some(Identity::Files(CertificateFiles {
            certificate: pair.certificate,
            key: pair.key,
        })),
        dials: false,
        ..TlsSettings::new(Side::Client)
    })
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut servers = JoinSet::new();
    let entrance = Entrance::new(Side::Client, Some(tls));
    servers.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Some(mut socket) = entrance.admit(stream).await else {
                continue;
            };
            let _ = socket.read(&mut [0; MAXIMUM_REQUEST_BYTES]).await;
            // Whoever only connects hangs up.
            let _ = socket.write_all(reply("200 OK", "safe").as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    for (skip_verify, status) in [(true, Status::Passing), (false, Status::Critical)] {
        let tls = TargetTls {
            skip_verify,
            server_name: String::new(),
        };
        let page = Target::Http(HttpTarget {
            tls: tls.clone(),
            ..http(format!("https://{address}/"))
        });
        let found = outcome(page).await;
        assert_eq!(found.status, status, "{found:?}");
        assert_eq!(
            found.output.contains("200 OK Output: safe"),
            skip_verify,
            "{found:?}"
        );
        let socket = Target::Tcp {
            address: address.to_string(),
            tls: Some(tls),
        };
        let found = outcome(socket).await;
        assert_eq!(found.status, status, "{found:?}");
    }
}
