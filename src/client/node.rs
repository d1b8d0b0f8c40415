//! One endpoint of a store: its connection, and the services that are called on it.
//!
//! The connection is made below the library, which would begin to ask before the other side has said anything, and would
//! add TLS of its own. Never asks anything itself.

use std::path::PathBuf;
use std::time::Duration;

use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use super::error::ClientError;
use super::login::Token;
use super::security;
use crate::base::tls::Tls;
use crate::proto::etcdserverpb::auth_client::AuthClient;
use crate::proto::etcdserverpb::cluster_client::ClusterClient;
use crate::proto::etcdserverpb::kv_client::KvClient;
use crate::proto::etcdserverpb::lease_client::LeaseClient;
use crate::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use crate::proto::etcdserverpb::watch_client::WatchClient;
use crate::proto::registry::registry_client::RegistryClient;
use crate::proto::secrets::seal_client::SealClient;
use crate::proto::secrets::secrets_client::SecretsClient;
use crate::proto::v3electionpb::election_client::ElectionClient;
use crate::proto::v3lockpb::lock_client::LockClient;

/// What an endpoint that is a Unix socket begins with, in the clear or with TLS.
const SOCKETS: [&str; 2] = ["unix:", "unixs:"];

/// Largest answer that is accepted.
pub(crate) const MAXIMUM_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// To connect.
    pub(crate) dial: Duration,
    /// To answer.
    pub(crate) command: Duration,
    /// Silence with open streams before a connection is tried.
    pub(crate) keepalive: Duration,
    /// To answer that.
    pub(crate) keepalive_timeout: Duration,
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

/// A connection that brings the token along.
type Connection = InterceptedService<Channel, Token>;

/// One endpoint. Its connection is made at the first call, and anew after a loss.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The address, as it was given.
    pub(crate) endpoint: String,
    /// Its connection.
    channel: Channel,
    /// The token of the user, once there is one.
    token: Token,
}

impl Node {
    /// One endpoint; connects to nothing yet.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn new(endpoint: &str, tls: Option<Tls>, times: Times) -> Result<Self, ClientError> {
        let invalid = |reason: &str| ClientError::Endpoint {
            endpoint: endpoint.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = SOCKETS.iter().find_map(|scheme| endpoint.strip_prefix(scheme)) {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return Ok(Self::of_socket(endpoint, path, tls, times));
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
        let builder = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| invalid(&error.to_string()))?;
        let origin = format!("{}://{address}", scheme(tls.as_ref()));
        let origin = origin.parse().map_err(|_| invalid("it is no address"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let connect = tower::service_fn(move |url| security::connect(url, tls.clone(), host.clone()));
        Ok(Self::on(
            endpoint,
            with_times(builder.origin(origin), times).connect_with_connector_lazy(connect),
        ))
    }

    /// One endpoint at the path of a Unix socket.
    fn of_socket(endpoint: &str, path: PathBuf, tls: Option<Tls>, times: Times) -> Self {
        let origin = match scheme(tls.as_ref()) {
            "https" => "https://localhost",
            _ => "http://localhost",
        };
        let builder = Endpoint::from_static("http://localhost").origin(http::Uri::from_static(origin));
        let connect = tower::service_fn(move |_| security::connect_to_socket(path.clone(), tls.clone()));
        Self::on(
            endpoint,
            with_times(builder, times).connect_with_connector_lazy(connect),
        )
    }

    fn on(endpoint: &str, channel: Channel) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            channel,
            token: Token::default(),
        }
    }

    /// From now on calls bring this token along.
    pub(crate) fn set_token(&mut self, token: Token) {
        self.token = token;
    }

    fn connection(&self) -> Connection {
        InterceptedService::new(self.channel.clone(), self.token.clone())
    }

    /// The service of users and roles.
    pub(crate) fn auth(&self) -> AuthClient<Connection> {
        AuthClient::new(self.connection())
    }

    /// The same, for whoever has no token yet.
    pub(crate) fn auth_without_token(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    /// The key-value service.
    pub(crate) fn kv(&self) -> KvClient<Connection> {
        KvClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The watch service.
    pub(crate) fn watch(&self) -> WatchClient<Connection> {
        WatchClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The lease service.
    pub(crate) fn lease(&self) -> LeaseClient<Connection> {
        LeaseClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The lock service.
    pub(crate) fn lock(&self) -> LockClient<Connection> {
        LockClient::new(self.connection())
    }

    /// The election service.
    pub(crate) fn election(&self) -> ElectionClient<Connection> {
        ElectionClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The registry of services.
    pub(crate) fn registry(&self) -> RegistryClient<Connection> {
        RegistryClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The secret store.
    pub(crate) fn secrets(&self) -> SecretsClient<Connection> {
        SecretsClient::new(self.connection()).max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
    }

    /// The seal of its node.
    pub(crate) fn seal(&self) -> SealClient<Connection> {
        SealClient::new(self.connection())
    }

    /// The cluster service.
    pub(crate) fn cluster(&self) -> ClusterClient<Connection> {
        ClusterClient::new(self.connection())
    }

    /// The maintenance service.
    pub(crate) fn maintenance(&self) -> MaintenanceClient<Connection> {
        MaintenanceClient::new(self.connection())
    }
}

fn with_times(builder: Endpoint, times: Times) -> Endpoint {
    builder
        .connect_timeout(times.dial)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(times.keepalive)
        .keep_alive_timeout(times.keepalive_timeout)
}

fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}
