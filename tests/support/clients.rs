//! Raw gRPC clients of one node, generated from the wire definition.

use std::time::Duration;

use stead::proto::etcdserverpb::cluster_client::ClusterClient;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::lease_client::LeaseClient;
use stead::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use stead::proto::etcdserverpb::watch_client::WatchClient;
use stead::proto::v3electionpb::election_client::ElectionClient;
use stead::proto::v3lockpb::lock_client::LockClient;
use tonic::transport::{Channel, Endpoint};

use super::Result;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
