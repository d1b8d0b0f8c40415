//! A node with its secret store unsealed, and requests to it in one line.

use serde_json::{Value, json};

use crate::base::secret::Secret;
use crate::service::secrets::engine::Peer;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::status::InitSettings;
use crate::service::secrets::{Request, Response, Secrets, SecretsError, Verb, path};
use crate::service::testing::Node;

pub(super) struct Store {
    pub node: Node,
    pub secrets: Secrets,
    pub root: String,
    pub shares: Vec<crate::service::secrets::seal::Share>,
}

impl Store {
    /// A store of three shares of which two are needed.
    pub async fn start() -> Self {
        let node = Node::start().await;
        let secrets = node.services.secrets.clone();
        let settings = InitSettings {
            shares: 3,
            threshold: 2,
        };
        let made = secrets
            .initialize(settings)
            .await
            .expect("a new store is initialized");
        Self {
            node,
            secrets,
            root: made.root_token.expose().clone(),
            shares: made.shares,
        }
    }

    pub async fn ask(
        &self,
        token: &str,
        verb: Verb,
        at: &str,
        body: Value,
    ) -> Result<Response, SecretsError> {
        let request = request(token, verb, at, &body);
        self.secrets.handle(request).await
    }

    pub async fn write(&self, at: &str, body: Value) -> Result<Response, SecretsError> {
        self.ask(&self.root, Verb::Write, at, body).await
    }

    pub async fn read(&self, at: &str) -> Result<Response, SecretsError> {
        self.ask(&self.root, Verb::Read, at, json!({})).await
    }

    /// A token with these policies.
    pub async fn token(&self, body: Value) -> String {
        let made = self
            .write("auth/token/create", body)
            .await
            .expect("root makes tokens");
        made.auth.expect("a token was made").token.expose().clone()
    }
}

pub(super) fn request(token: &str, verb: Verb, at: &str, body: &Value) -> Request {
    Request {
        id: "1".to_owned(),
        verb,
        path: path::normalise(at, verb == Verb::List).expect("a path of a test"),
        body: Body::parse(body.to_string().as_bytes()).expect("a body of a test"),
        token: (!token.is_empty()).then(|| Secret::new(token.to_owned())),
        wrap: None,
        peer: Peer::default(),
    }
}

/// The data of an answer.
pub(super) fn data(response: &Response) -> Value {
    serde_json::to_value(&response.data).expect("data are JSON")
}

/// What a refusal says.
pub(super) fn refusal<T: std::fmt::Debug>(outcome: Result<T, SecretsError>) -> String {
    outcome.expect_err("it is refused").to_string()
}
