//! Requests to a node of its own, through all that a request passes, and the answers that clients expect.

mod acl;
mod agent;
mod catalog;
mod event;
mod health;
mod query;
mod request;
mod txn;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::pages;
use crate::service::Settings;
use crate::service::testing::{Node, PATIENCE};

/// A node with the interface before it.
pub(super) struct Door {
    pub node: Node,
    router: Router,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn index(&self) -> u64 {
        let index = self.headers.get("x-consul-index").expect("an index");
        index.to_str().unwrap().parse().unwrap()
    }

    /// The JSON of a success.
    pub fn good(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        match self.text.is_empty() {
            true => Value::Null,
            false => self.json(),
        }
    }

    /// The text of a failure with a status.
    pub fn refused(self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert!(
            self.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain"),
            "{self:?}"
        );
        self.text
    }
}

impl Door {
    /// One whose node is known.
    pub async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let node = Node::start_with(change).await;
        let router = pages(&node.services.consul, 1_000, CancellationToken::new());
        Self { node, router }
    }

    pub async fn ask(&self, method: Method, path: &str, token: &str, body: &str) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("X-Consul-Token", token);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answering = self.router.clone().oneshot(request);
        let answer = tokio::time::timeout(PATIENCE, answering)
            .await
            .expect("an answer")
            .unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, "", "").await
    }

    pub async fn put(&self, path: &str, body: &str) -> Answered {
        self.ask(Method::PUT, path, "", body).await
    }
}
