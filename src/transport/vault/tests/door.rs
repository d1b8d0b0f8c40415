//! Whole requests to a node of its own, through all that a request passes.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body as Stream;
use axum::extract::Request;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::pages;
use crate::base::limits::MAXIMUM_SECRET_REQUESTS_PER_CLIENT;
use crate::service::testing::Node;
use crate::transport::{ConnectionSettings, FrontDoors, Origin};

/// A node with the interface before it.
pub(super) struct Site {
    _node: Node,
    router: Router,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answered {
    /// The body of an answer with that status.
    pub(super) fn with(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.body
    }
}

impl Site {
    pub(super) async fn new() -> Self {
        let node = Node::start().await;
        let router = pages(&node.services);
        Self { _node: node, router }
    }

    /// Sends a request, and takes nothing of the body of its answer.
    async fn send(&self, method: &str, path: &str, token: &str, body: Value) -> Response<Stream> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-vault-token", token)
            .extension(Origin {
                address: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
                certificates: Vec::new().into(),
            })
            .body(Stream::from(body))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn ask(&self, method: &str, path: &str, token: &str, body: Value) -> Answered {
        let response = self.send(method, path, token, body).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.headers["cache-control"], "no-store");
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap(),
        };
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, "", Value::Null).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answered {
        self.ask("PUT", path, "", body).await
    }
}

#[tokio::test]
async fn what_is_not_below_the_root_of_the_interface_is_not_found() {
    let site = Site::new().await;
    for path in ["/", "/ui/", "/v2/sys/health", "/v1"] {
        assert_eq!(site.get(path).await.with(404), json!({"errors": []}), "{path}");
    }
    for (method, path) in [
        ("DELETE", "/v1/sys/init"),
        ("POST", "/v1/sys/health"),
        ("HEAD", "/v1/sys/init"),
        ("LIST", "/v1/sys/seal-status"),
    ] {
        site.ask(method, path, "", Value::Null).await.with(405);
    }
    let options = site.ask("OPTIONS", "/v1/secret/a", "", Value::Null).await;
    assert!(options.headers["allow"].to_str().unwrap().contains("PATCH"));
    options.with(204);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_keeps_the_place_of_its_client() {
    let site = Site::new().await;
    let mut answers = Vec::new();
    for _ in 0..MAXIMUM_SECRET_REQUESTS_PER_CLIENT {
        answers.push(site.send("GET", "/v2", "", Value::Null).await);
    }
    let refused = site.get("/v2").await.with(429);
    let text = refused["errors"][0].as_str().unwrap();
    assert!(text.ends_with("at most 1024 may be"), "{text}");

    // A connection over HTTP/2 holds bytes whose body has ended.
    let mut body = answers.pop().unwrap().into_body();
    let held = body.frame().await.unwrap().unwrap();
    drop(body);
    site.get("/v2").await.with(429);
    drop(held);
    site.get("/v2").await.with(404);
}

#[tokio::test]
async fn a_connection_has_no_more_streams_than_its_client_may_have_requests() {
    let node = Node::start().await;
    for (set, served) in [(u32::MAX, 1_024), (100, 100)] {
        let connections = ConnectionSettings {
            maximum_concurrent_streams: set,
            keepalive_interval: None,
            keepalive_timeout: None,
        };
        let doors = FrontDoors::for_vault(&node.services, connections, CancellationToken::new());
        assert_eq!(doors.shared.connections.maximum_concurrent_streams, served);
    }
}

#[tokio::test]
async fn a_store_is_initialised_and_unsealed_and_people_with_shares_make_others_and_a_root_token() {
    let site = Site::new().await;
    assert_eq!(
        site.get("/v1/sys/init").await.with(200),
        json!({"initialized": false})
    );
    site.get("/v1/sys/health").await.with(501);
    let refused = site.get("/v1/secret/a").await.with(503);
    assert!(refused["errors"][0].is_string(), "{refused}");
    let unsealing = site.put("/v1/sys/unseal", json!({"key": "00".repeat(32)})).await;
    assert_eq!(unsealing.with(400)["errors"], json!(["Vault is not initialized"]));

    let numbers = json!({"secret_shares": 3, "secret_threshold": 2});
    let made = site.put("/v1/sys/init", numbers.clone()).await.with(200);
    let again = site.put("/v1/sys/init", numbers.clone()).await.with(400);
    assert_eq!(again["errors"], json!(["Vault is already initialized"]));
    let token = made["root_token"].as_str().unwrap();
    let mut keys = made["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 3);
    for key in &keys {
        site.put("/v1/sys/unseal", json!({"key": key})).await.with(200);
    }
    let status = site.get("/v1/sys/seal-status").await.with(200);
    assert_eq!(
        (&status["sealed"], &status["t"], &status["n"]),
        (&json!(false), &json!(2), &json!(3))
    );
    site.get("/v1/sys/health").await.with(200);
    assert_eq!(site.get("/v1/sys/leader").await.with(200)["is_self"], true);

    let begun = site.put("/v1/sys/rekey/init", numbers).await.with(200);
    assert_eq!((&begun["started"], &begun["n"]), (&json!(true), &json!(3)));
    let mut done = Value::Null;
    for key in &keys[..2] {
        let offered = json!({"key": key, "nonce": begun["nonce"]});
        done = site.put("/v1/sys/rekey/update", offered).await.with(200);
    }
    assert_eq!(done["complete"], true);
    assert_eq!(done["verification_required"], false);
    keys.clone_from(done["keys"].as_array().unwrap());

    let begun = site
        .put("/v1/sys/generate-root/attempt", Value::Null)
        .await
        .with(200);
    assert_eq!(json!(begun["otp"].as_str().unwrap().len()), begun["otp_length"]);
    for key in &keys[..2] {
        let offered = json!({"key": key, "nonce": begun["nonce"]});
        done = site.put("/v1/sys/generate-root/update", offered).await.with(200);
    }
    assert_eq!(done["complete"], true);
    let progress = site.get("/v1/sys/generate-root/attempt").await.with(200);
    assert_eq!(progress["started"], false);

    site.ask("PUT", "/v1/sys/seal", token, Value::Null)
        .await
        .with(204);
    let sealed = site.get("/v1/sys/leader").await.with(503);
    assert_eq!(sealed["errors"], json!(["Vault is sealed"]));
    site.get("/v1/sys/health").await.with(503);
    site.get("/v1/sys/health?sealedcode=200").await.with(200);
    let half = site
        .put("/v1/sys/unseal", json!({"key": keys[2]}))
        .await
        .with(200);
    assert_eq!(half["progress"], 1);
    let reset = site.put("/v1/sys/unseal", json!({"reset": true})).await.with(200);
    assert_eq!(reset["progress"], 0);
    for key in &keys[1..] {
        site.put("/v1/sys/unseal", json!({"key": key})).await.with(200);
    }
    let looked = site
        .ask("GET", "/v1/auth/token/lookup-self", token, Value::Null)
        .await;
    assert_eq!(looked.headers["content-type"], "application/json");
    assert_eq!(looked.with(200)["data"]["policies"], json!(["root"]));
    site.get("/v1/auth/token/lookup-self").await.with(403);
}
