//! Raw gRPC clients of one node, generated from the wire definition.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stead::proto::etcdserverpb::auth_client::AuthClient;
use stead::proto::etcdserverpb::cluster_client::ClusterClient;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::lease_client::LeaseClient;
use stead::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use stead::proto::etcdserverpb::watch_client::WatchClient;
use stead::proto::registry::registry_client::RegistryClient;
use stead::proto::v3electionpb::election_client::ElectionClient;
use stead::proto::v3lockpb::lock_client::LockClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::Result;
use super::pki::Issued;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that sends a token with every call, once it is given one.
pub type Connection = InterceptedService<Channel, Token>;

/// The token of a user. Clones share it.
#[derive(Clone, Default)]
pub struct Token(Arc<Mutex<Option<AsciiMetadataValue>>>);

impl Token {
    /// From now on calls are sent with this token, or without any.
    pub fn set(&self, token: Option<&str>) {
        let token = token.map(|token| token.parse().expect("a token is plain text"));
        *self.0.lock().expect("nobody panics with it") = token;
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(token) = &*self.0.lock().expect("nobody panics with it") {
            request.metadata_mut().insert("token", token.clone());
        }
        Ok(request)
    }
}

/// What a client shows and whom it trusts.
#[derive(Clone)]
pub struct Credentials {
    /// Authorities in PEM.
    pub authorities: String,
    /// Its certificate, if it shows one.
    pub identity: Option<Issued>,
}

impl Credentials {
    /// The same for the library that these clients are made with.
    pub fn settings(&self) -> ClientTlsConfig {
        let settings = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authorities));
        match &self.identity {
            Some(issued) => settings.identity(Identity::from_pem(&issued.certificate, &issued.key)),
            None => settings,
        }
    }
}

/// The clients of one endpoint. They share one connection, which is made at the first request and again after a loss.
/// Cheap to clone.
#[derive(Clone)]
pub struct Clients {
    pub kv: KvClient<Connection>,
    pub watch: WatchClient<Connection>,
    pub lease: LeaseClient<Connection>,
    pub cluster: ClusterClient<Connection>,
    pub maintenance: MaintenanceClient<Connection>,
    pub lock: LockClient<Connection>,
    pub election: ElectionClient<Connection>,
    pub auth: AuthClient<Connection>,
    pub registry: RegistryClient<Connection>,
    pub token: Token,
}

impl Clients {
    /// Clients of `endpoint`, such as `http://127.0.0.1:2379`. Answers may have any size, as etcd's clients allow.
    pub fn of(endpoint: &str) -> Result<Self> {
        Self::of_user(endpoint, Token::default())
    }

    /// The same, which send a token.
    pub fn of_user(endpoint: &str, token: Token) -> Result<Self> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self::with_token(endpoint.connect_lazy(), token))
    }

    /// Clients of `endpoint`, such as `https://127.0.0.1:2379`.
    pub fn protected(endpoint: &str, credentials: &Credentials) -> Result<Self> {
        Self::protected_user(endpoint, credentials, Token::default())
    }

    /// The same, which send a token.
    pub fn protected_user(endpoint: &str, credentials: &Credentials, token: Token) -> Result<Self> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .tls_config(credentials.settings())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self::with_token(endpoint.connect_lazy(), token))
    }

    /// Clients on a connection that the caller made.
    pub fn on(channel: Channel) -> Self {
        Self::with_token(channel, Token::default())
    }

    fn with_token(channel: Channel, token: Token) -> Self {
        let channel = InterceptedService::new(channel, token.clone());
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            lock: LockClient::new(channel.clone()),
            election: ElectionClient::new(channel.clone()),
            registry: RegistryClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            auth: AuthClient::new(channel),
            token,
        }
    }
}
