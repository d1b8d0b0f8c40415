//! Several endpoints of one etcd v3 store.
//!
//! The rules of repeating are those of etcd's own client: a read is repeated on the next endpoint when an endpoint is
//! lost; a change only when it provably was never sent, since repeating one that may have been made could make it
//! twice. Every call has a deadline. Never hides that an outcome is unknown.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tonic::{Code, ConnectError, Response, Status};

use super::error::ClientError;
use super::login::{Login, wants_new_token};
use super::node::{Node, Times};
use super::security::Security;
use crate::base::clock;

/// Pause after all endpoints were tried in vain.
const RETRY_MILLISECONDS: u64 = 100;

/// Whether a call may be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    WhenLost,
    WhenNeverSent,
}

/// A client of several endpoints of one store. A handle: clones share the connections and the endpoint in use.
#[derive(Debug, Clone)]
pub struct Client {
    nodes: Vec<Node>,
    current: Arc<Mutex<Position>>,
    times: Times,
    security: Security,
    /// None: somebody without an identity.
    login: Option<Login>,
}

/// The endpoint in use and its index.
#[derive(Debug, Clone)]
struct Position {
    index: usize,
    node: Node,
}

impl Client {
    /// A client of comma-separated endpoints, `host:port`, `http://host:port`, `https://host:port`,
    /// `unix:///path` or `unixs:///path`. Connects to none yet.
    ///
    /// # Errors
    /// An endpoint cannot be, or a certificate cannot be used.
    pub(crate) fn new(endpoints: &str, security: &Security, times: Times) -> Result<Self, ClientError> {
        let endpoints: Vec<&str> = endpoints.split(',').map(str::trim).collect();
        let tls = if endpoints.iter().any(|endpoint| security.protects(endpoint)) {
            Some(security.load()?)
        } else {
            None
        };
        let nodes = endpoints
            .into_iter()
            .map(|endpoint| {
                let tls = tls.clone().filter(|_| security.protects(endpoint));
                Node::new(endpoint, tls, times)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = nodes.first() else {
            return Err(ClientError::Endpoint {
                endpoint: String::new(),
                reason: "there is none".to_owned(),
            });
        };
        Ok(Self {
            current: Arc::new(Mutex::new(Position {
                index: 0,
                node: first.clone(),
            })),
            nodes,
            times,
            security: security.clone(),
            login: None,
        })
    }

    /// The same for a user.
    pub(crate) fn with_login(mut self, login: Option<Login>) -> Self {
        let token = login
            .as_ref()
            .map(|login| login.token().clone())
            .unwrap_or_default();
        for node in &mut self.nodes {
            node.set_token(token.clone());
        }
        self.current.lock().node.set_token(token);
        self.login = login;
        self
    }

    /// Makes sure of a token for the user, a new one if `anew`.
    ///
    /// # Errors
    /// The server did not answer, or does not accept the password.
    pub(crate) async fn log_in(&self, node: &Node, anew: bool) -> Result<(), Status> {
        let Some(login) = &self.login else { return Ok(()) };
        if anew {
            login.forget();
        }
        login.ensure(node).await
    }

    /// All endpoints, in the order they were given.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The same client with one endpoint only.
    pub(crate) fn only(&self, node: &Node) -> Self {
        Self {
            nodes: vec![node.clone()],
            current: Arc::new(Mutex::new(Position {
                index: 0,
                node: node.clone(),
            })),
            times: self.times,
            security: self.security.clone(),
            login: self.login.clone(),
        }
    }

    /// The same settings for other endpoints.
    ///
    /// # Errors
    /// An endpoint cannot be.
    pub(crate) fn with_endpoints(&self, endpoints: &str) -> Result<Self, ClientError> {
        let client = Self::new(endpoints, &self.security, self.times)?;
        Ok(client.with_login(self.login.clone()))
    }

    /// A client of another store, which is as patient; it knows nothing of this client's user.
    ///
    /// # Errors
    /// An endpoint cannot be, or a certificate cannot be used.
    pub(crate) fn of_other(
        &self,
        endpoints: &str,
        security: &Security,
        login: Option<Login>,
    ) -> Result<Self, ClientError> {
        Ok(Self::new(endpoints, security, self.times)?.with_login(login))
    }

    /// How long one call may take.
    pub(crate) fn command_timeout(&self) -> Duration {
        self.times.command
    }

    /// The endpoint in use.
    pub(crate) fn current(&self) -> Node {
        self.current.lock().node.clone()
    }

    /// Moves on to the next endpoint, unless another call has done so already; waits a little after a whole round.
    pub(crate) async fn move_on(&self, lost: &Node) {
        let whole_round = {
            let mut position = self.current.lock();
            if position.node.endpoint != lost.endpoint {
                return;
            }
            let next = position.index.saturating_add(1);
            let index = if next < self.nodes.len() { next } else { 0 };
            if let Some(node) = self.nodes.get(index) {
                *position = Position {
                    index,
                    node: node.clone(),
                };
            }
            index == 0
        };
        if whole_round {
            sleep(Duration::from_millis(RETRY_MILLISECONDS)).await;
        }
    }

    /// A call that changes nothing.
    ///
    /// # Errors
    /// No answer before the deadline, or a refusal.
    pub(crate) async fn read<T, F>(&self, call: impl Fn(Node) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Repeat::WhenLost, call).await
    }

    /// A call that changes something.
    ///
    /// # Errors
    /// No answer before the deadline, an outcome that is unknown, or a refusal.
    pub(crate) async fn write<T, F>(&self, call: impl Fn(Node) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Repeat::WhenNeverSent, call).await
    }

    async fn call<T, F>(&self, repeat: Repeat, call: impl Fn(Node) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let started = clock::now();
        let mut wants_token = false;
        loop {
            let node = self.current();
            let left = self.times.command.saturating_sub(started.elapsed());
            let attempt = async {
                self.log_in(&node, wants_token).await?;
                call(node.clone()).await
            };
            let status = match timeout(left, attempt).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => {
                    return Err(ClientError::Unknown {
                        endpoint: node.endpoint,
                        reason: format!("the time for an answer, {:?}, is over", self.times.command),
                    });
                }
            };
            if self.login.is_some() && !wants_token && wants_new_token(&status) {
                // It was refused, so nothing was done: even a change is sent again, once.
                wants_token = true;
                continue;
            }
            let never_sent = is_connect_error(&status);
            if never_sent && started.elapsed() >= self.times.dial {
                return Err(self.not_connected(&status));
            }
            let is_lost = is_lost(&status);
            let is_last = started.elapsed() >= self.times.command;
            match repeat {
                _ if never_sent => {}
                Repeat::WhenLost if is_lost && !is_last => {}
                _ if is_lost => {
                    return Err(ClientError::Unknown {
                        endpoint: node.endpoint,
                        reason: text_of(&status),
                    });
                }
                _ => return Err(ClientError::Refused(status)),
            }
            self.move_on(&node).await;
        }
    }

    /// The error for endpoints that cannot be reached.
    pub(crate) fn not_connected(&self, status: &Status) -> ClientError {
        let endpoints: Vec<&str> = self.nodes.iter().map(|node| node.endpoint.as_str()).collect();
        ClientError::NotConnected {
            endpoints: endpoints.join(", "),
            reason: text_of(status),
        }
    }
}

/// Whether no byte of the request left this machine.
pub(crate) fn is_connect_error(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the answer is lost, so that nobody knows what became of the request.
pub(crate) fn is_lost(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted => true,
        // What breaks below the protocol has a cause; what the server says has none.
        Code::Unknown | Code::Internal => status.source().is_some(),
        _ => false,
    }
}

/// The text of a status with its deepest cause, which says more than "transport error".
pub(crate) fn text_of(status: &Status) -> String {
    let mut deepest = None;
    let mut cause = status.source();
    while let Some(error) = cause {
        deepest = Some(error.to_string());
        cause = error.source();
    }
    match deepest {
        Some(cause) => cause,
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endpoint_that_cannot_be_is_named_with_its_mend() {
        for endpoints in ["ftp://a:1", "a", "https://a", "", "a:1,,b:2", "a:99999"] {
            let error = Client::new(endpoints, &Security::default(), Times::default()).unwrap_err();
            assert!(error.to_string().contains("write host:port"), "{error}");
        }
    }

    #[test]
    fn only_a_lost_answer_leaves_the_outcome_unknown() {
        assert!(is_lost(&Status::unavailable("etcdserver: request timed out")));
        assert!(is_lost(&Status::deadline_exceeded("")));
        assert!(!is_lost(&Status::invalid_argument("")));
        assert!(!is_lost(&Status::unknown("etcdserver: too many requests")));
        assert!(!is_connect_error(&Status::unavailable("")));
    }
}
