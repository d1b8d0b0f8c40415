//! Raw gRPC clients of one node, generated from the wire definition.

use std::time::Duration;

use stead::proto::etcdserverpb::cluster_client::ClusterClient;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::lease_client::LeaseClient;
use stead::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use stead::proto::etcdserverpb::watch_client::WatchClient;
use stead::proto::v3electionpb::election_client::ElectionClient;
use stead::proto::v3lockpb::lock_client::LockClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::Result;
use super::pki::Issued;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
    pub kv: KvClient<Channel>,
    pub watch: WatchClient<Channel>,
    pub lease: LeaseClient<Channel>,
    pub cluster: ClusterClient<Channel>,
    pub maintenance: MaintenanceClient<Channel>,
    pub lock: LockClient<Channel>,
    pub election: ElectionClient<Channel>,
}

impl Clients {
    /// Clients of `endpoint`, such as `http://127.0.0.1:2379`. Answers may have any size, as etcd's clients allow.
    pub fn of(endpoint: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self::on(endpoint.connect_lazy()))
    }

    /// Clients of `endpoint`, such as `https://127.0.0.1:2379`.
    pub fn protected(endpoint: &str, credentials: &Credentials) -> Result<Self> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .tls_config(credentials.settings())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self::on(endpoint.connect_lazy()))
    }

    /// Clients on a connection that the caller made.
    pub fn on(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            lock: LockClient::new(channel.clone()),
            election: ElectionClient::new(channel),
        }
    }
}
