//! A client of several endpoints of one etcd v3 store.
//!
//! The rules of repeating are those of etcd's own client: a read is repeated on the next endpoint when an endpoint is
//! lost; a change only when it provably was never sent, since repeating one that may have been made could make it
//! twice. Every call has a deadline. Never hides that an outcome is unknown.

use std::error::Error as _;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Response, Status};

use super::exit::{CliError, Exit};
use super::login::{Login, Token, wants_new_token};
use super::security::{self, Security};
use crate::base::clock;
use crate::base::tls::Tls;
use crate::proto::etcdserverpb::auth_client::AuthClient;
use crate::proto::etcdserverpb::cluster_client::ClusterClient;
use crate::proto::etcdserverpb::kv_client::KvClient;
use crate::proto::etcdserverpb::lease_client::LeaseClient;
use crate::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use crate::proto::etcdserverpb::watch_client::WatchClient;
use crate::proto::v3electionpb::election_client::ElectionClient;
use crate::proto::v3lockpb::lock_client::LockClient;

/// Pause after all endpoints were tried in vain.
const RETRY_MILLISECONDS: u64 = 100;

/// What an endpoint that is a Unix socket begins with, in the clear or with TLS.
const SOCKETS: [&str; 2] = ["unix:", "unixs:"];

/// Largest answer that is accepted.
pub(super) const MAXIMUM_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// Nothing was sent, since no endpoint could be reached.
    #[error(
        "cannot connect to {endpoints}: {reason}; start a server there (`stead dev`) or name others with --endpoints"
    )]
    NotConnected {
        /// All that were tried.
        endpoints: String,
        /// What the last one said.
        reason: String,
    },
    /// It was sent, and nobody knows what became of it.
    #[error("no answer from {endpoint}: {reason}; if it was a change, it may have been made")]
    Unknown {
        /// Who did not answer.
        endpoint: String,
        /// What is known.
        reason: String,
    },
    /// The server said no.
    #[error("{}", .0.message())]
    Refused(Status),
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NotConnected { .. } | ClientError::Unknown { .. } => Exit::BadConnection,
            ClientError::Refused(status)
                if matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) =>
            {
                Exit::InvalidRequest
            }
            ClientError::Refused(_) => Exit::Server,
        };
        Self::new(exit, error.to_string())
    }
}

/// Whether a call may be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    WhenLost,
    WhenNeverSent,
}

/// A connection that brings the token along.
type Connection = InterceptedService<Channel, Token>;

/// One endpoint. Its connection is made at the first call, and anew after a loss.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The address, as it was given.
    pub(super) endpoint: String,
    /// Its connection.
    channel: Channel,
    /// The token of the user, once there is one.
    token: Token,
}

impl Node {
    fn connection(&self) -> Connection {
        InterceptedService::new(self.channel.clone(), self.token.clone())
    }

    /// The service of users and roles.
    pub(super) fn auth(&self) -> AuthClient<Connection> {
        AuthClient::new(self.connection())
    }

    /// The same, for whoever has no token yet.
    pub(super) fn auth_without_token(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    /// The key-value service.
    pub(super) fn kv(&self) -> KvClient<Connection> {
        KvClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The watch service.
    pub(super) fn watch(&self) -> WatchClient<Connection> {
        WatchClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The lease service.
    pub(super) fn lease(&self) -> LeaseClient<Connection> {
        LeaseClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The lock service.
    pub(super) fn lock(&self) -> LockClient<Connection> {
        LockClient::new(self.connection())
    }

    /// The election service.
    pub(super) fn election(&self) -> ElectionClient<Connection> {
        ElectionClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The cluster service.
    pub(super) fn cluster(&self) -> ClusterClient<Connection> {
        ClusterClient::new(self.connection())
    }

    /// The maintenance service.
    pub(super) fn maintenance(&self) -> MaintenanceClient<Connection> {
        MaintenanceClient::new(self.connection())
    }
}

/// A client of several endpoints.
#[derive(Debug)]
pub(super) struct Client {
    nodes: Vec<Node>,
    current: Mutex<Position>,
    times: Times,
    security: Security,
    /// None: somebody without an identity.
    login: Option<Login>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// To connect.
    pub(super) dial: Duration,
    /// To answer.
    pub(super) command: Duration,
    /// Silence with open streams before a connection is tried.
    pub(super) keepalive: Duration,
    /// To answer that.
    pub(super) keepalive_timeout: Duration,
}

impl Default for Times {
    /// As etcdctl has them. Its library raises the time between pings to 10 s: servers send away who pings more often.
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(2),
            command: Duration::from_secs(5),
            keepalive: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(6),
        }
    }
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
    pub(super) fn new(endpoints: &str, security: &Security, times: Times) -> Result<Self, CliError> {
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
                node(endpoint, tls, times)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = nodes.first() else {
            return Err(CliError::invalid(
                "--endpoints is empty; write host:port,host:port",
            ));
        };
        Ok(Self {
            current: Mutex::new(Position {
                index: 0,
                node: first.clone(),
            }),
            nodes,
            times,
            security: security.clone(),
            login: None,
        })
    }

    /// The same for a user.
    pub(super) fn with_login(mut self, login: Option<Login>) -> Self {
        let token = login
            .as_ref()
            .map(|login| login.token().clone())
            .unwrap_or_default();
        let current = &mut self.current.get_mut().node;
        for node in self.nodes.iter_mut().chain([current]) {
            node.token = token.clone();
        }
        self.login = login;
        self
    }

    /// Makes sure of a token for the user, a new one if `anew`.
    ///
    /// # Errors
    /// The server did not answer, or does not accept the password.
    pub(super) async fn log_in(&self, node: &Node, anew: bool) -> Result<(), Status> {
        let Some(login) = &self.login else { return Ok(()) };
        if anew {
            login.forget();
        }
        login.ensure(node).await
    }

    /// All endpoints, in the order they were given.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The same client with one endpoint only.
    pub(super) fn only(&self, node: &Node) -> Self {
        Self {
            nodes: vec![node.clone()],
            current: Mutex::new(Position {
                index: 0,
                node: node.clone(),
            }),
            times: self.times,
            security: self.security.clone(),
            login: self.login.clone(),
        }
    }

    /// The same settings for other endpoints.
    ///
    /// # Errors
    /// An endpoint cannot be.
    pub(super) fn with_endpoints(&self, endpoints: &str) -> Result<Self, CliError> {
        let client = Self::new(endpoints, &self.security, self.times)?;
        Ok(client.with_login(self.login.clone()))
    }

    /// A client of another store, which is as patient; it knows nothing of this client's user.
    ///
    /// # Errors
    /// An endpoint cannot be, or a certificate cannot be used.
    pub(super) fn of_other(
        &self,
        endpoints: &str,
        security: &Security,
        login: Option<Login>,
    ) -> Result<Self, CliError> {
        Ok(Self::new(endpoints, security, self.times)?.with_login(login))
    }

    /// How long one call may take.
    pub(super) fn command_timeout(&self) -> Duration {
        self.times.command
    }

    /// The endpoint in use.
    pub(super) fn current(&self) -> Node {
        self.current.lock().node.clone()
    }

    /// Moves on to the next endpoint, unless another call has done so already; waits a little after a whole round.
    pub(super) async fn move_on(&self, lost: &Node) {
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
    pub(super) async fn read<T, F>(&self, call: impl Fn(Node) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Repeat::WhenLost, call).await
    }

    /// A call that changes something.
    ///
    /// # Errors
    /// No answer before the deadline, an outcome that is unknown, or a refusal.
    pub(super) async fn write<T, F>(&self, call: impl Fn(Node) -> F) -> Result<T, ClientError>
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
                        reason: format!("--command-timeout of {:?} is over", self.times.command),
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
    pub(super) fn not_connected(&self, status: &Status) -> ClientError {
        let endpoints: Vec<&str> = self.nodes.iter().map(|node| node.endpoint.as_str()).collect();
        ClientError::NotConnected {
            endpoints: endpoints.join(", "),
            reason: text_of(status),
        }
    }
}

fn node(endpoint: &str, tls: Option<Tls>, times: Times) -> Result<Node, CliError> {
    let invalid = |reason: &str| {
        CliError::invalid(format!(
            "--endpoints has {endpoint:?}: {reason}; write host:port,host:port"
        ))
    };
    if let Some(path) = SOCKETS.iter().find_map(|scheme| endpoint.strip_prefix(scheme)) {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        return Ok(node_of_socket(endpoint, path, tls, times));
    }
    let address = match endpoint.split_once("://") {
        None => endpoint,
        Some(("http" | "https", address)) => address,
        Some(_) => return Err(invalid("the scheme is unknown")),
    };
    let Some((host, Ok(_))) = address
        .trim_end_matches('/')
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()))
    else {
        return Err(invalid("the port is missing"));
    };
    let builder =
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| invalid(&error.to_string()))?;
    let settings = with_times(builder, times);
    let channel = match tls {
        None => settings.connect_lazy(),
        Some(tls) => {
            let origin = format!("https://{address}");
            let origin = origin.parse().map_err(|_| invalid("it is no address"))?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let connect = move |url| security::connect(url, tls.clone(), host.clone());
            settings
                .origin(origin)
                .connect_with_connector_lazy(tower::service_fn(connect))
        }
    };
    Ok(Node {
        endpoint: endpoint.to_owned(),
        channel,
        token: Token::default(),
    })
}

/// One endpoint at the path of a Unix socket.
fn node_of_socket(endpoint: &str, path: PathBuf, tls: Option<Tls>, times: Times) -> Node {
    let origin = if tls.is_some() {
        "https://localhost"
    } else {
        "http://localhost"
    };
    // With TLS the connection is made below tonic, which would add its own.
    let builder = Endpoint::from_static("http://localhost").origin(http::Uri::from_static(origin));
    let connect = tower::service_fn(move |_| security::connect_to_socket(path.clone(), tls.clone()));
    Node {
        endpoint: endpoint.to_owned(),
        channel: with_times(builder, times).connect_with_connector_lazy(connect),
        token: Token::default(),
    }
}

fn with_times(builder: Endpoint, times: Times) -> Endpoint {
    builder
        .connect_timeout(times.dial)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(times.keepalive)
        .keep_alive_timeout(times.keepalive_timeout)
}

/// Whether no byte of the request left this machine.
pub(super) fn is_connect_error(status: &Status) -> bool {
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
pub(super) fn is_lost(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted => true,
        // What breaks below the protocol has a cause; what the server says has none.
        Code::Unknown | Code::Internal => status.source().is_some(),
        _ => false,
    }
}

/// The text of a status with its deepest cause, which says more than "transport error".
pub(super) fn text_of(status: &Status) -> String {
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
            assert_eq!(error.exit, Exit::InvalidInput);
            assert!(error.message.contains("write host:port"), "{error}");
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
