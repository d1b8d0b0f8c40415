//! The peer network: connections to the other members, and the service they connect to.
//!
//! Each peer has three connections, so that a snapshot never delays a heartbeat, nor a large append a vote. All of them
//! are dialled in one place, [`Peers::client`], with TLS where a member's URL says `https`. Every call has a deadline of its own or a watch on its silence. Never
//! retries: openraft, the proposer and the barrier decide that.

mod append;
mod client;
mod incoming;
pub mod introduction;
pub mod roster;
pub mod server;
pub(super) mod snapshot_receive;
mod snapshot_send;
pub mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use openraft::RaftNetworkFactory;
use parking_lot::Mutex;
use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Histogram, IntCounter};
use prost::Message;
use tokio::net::TcpStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

pub use self::client::PeerNetwork;
use self::introduction::Introduce;
use super::log::MAXIMUM_READ_BYTES;
use super::types::{Membership, Node, NodeId, TypeConfig};
use crate::base::gather::Gathered;
use crate::base::metrics::{Metrics, PeerMetrics};
use crate::base::tls::{Socket, Tls};
use crate::base::{ClusterId, MemberId};
use crate::proto::peer::peer_client::PeerClient;

/// A client of one peer.
pub type Client = PeerClient<InterceptedService<Channel, Introduce>>;

/// Longest time to wait for a connection.
const CONNECT_TIMEOUT_MILLISECONDS: u64 = 1_000;
/// Longest time to wait for a handshake on it.
const HANDSHAKE_TIMEOUT_MILLISECONDS: u64 = 2_000;
/// HTTP/2 window of a stream: what a peer may send before it is read.
pub const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// HTTP/2 window of a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// What a message may be larger than the records in it.
const MESSAGE_OVERHEAD_BYTES: usize = 64 * 1024;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Heartbeats, votes, read indexes: small and urgent.
    Control,
    /// Appends and forwarded proposals.
    Data,
    /// Snapshots.
    Snapshot,
}

/// What the network needs to know.
pub struct PeerSettings {
    /// The cluster.
    pub cluster: ClusterId,
    /// This member.
    pub member: MemberId,
    /// Where to dial instead of a `host:port`.
    pub dial_map: BTreeMap<String, String>,
    /// TLS for `https://` URLs; none if no member that is known has one.
    pub tls: Option<Tls>,
    /// Silence after which a connection counts as dead.
    pub silence: Duration,
    /// Largest encoded command.
    pub maximum_command_bytes: usize,
    /// Where calls are measured.
    pub metrics: Arc<Metrics>,
}

/// The other members: connections to them, and when they were last heard.
pub struct Peers {
    settings: PeerSettings,
    connections: Mutex<HashMap<(NodeId, Lane), Connection>>,
    /// Where the members are found now. What openraft was told when it made a client may be out of date.
    addresses: Mutex<HashMap<NodeId, Vec<String>>>,
    /// Since when each peer answers; no entry: it does not.
    active_since: Mutex<HashMap<NodeId, Instant>>,
    /// Entries below are to be purged: a follower that still needs one gets a snapshot.
    purge_end: AtomicU64,
    /// When followers were cut off because they need such entries.
    cut_off_at: Mutex<HashMap<NodeId, Instant>>,
}

/// How long a follower stays cut off: raft purges only what is on its way to nobody, and is asked to every second.
const CUT_OFF_SECONDS: u64 = 3;

struct Connection {
    urls: Vec<String>,
    /// Which URL is in use; the next one after a failure.
    turn: usize,
    channel: Channel,
}

impl Peers {
    /// No connections yet.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        Self {
            settings,
            connections: Mutex::default(),
            addresses: Mutex::default(),
            active_since: Mutex::default(),
            purge_end: AtomicU64::new(0),
            cut_off_at: Mutex::default(),
        }
    }

    /// A client of `target`. Connects with the first call; the connection is shared.
    ///
    /// # Errors
    /// The peer has no URL that can be dialled.
    pub fn client(&self, target: NodeId, node: &Node, lane: Lane) -> Result<Client, String> {
        let addresses = self.addresses.lock();
        let urls = addresses.get(&target).unwrap_or(&node.peer_urls);
        let mut connections = self.connections.lock();
        let known = connections
            .get(&(target, lane))
            .filter(|known| known.urls == *urls);
        let channel = match known {
            Some(known) => known.channel.clone(),
            None => {
                let channel = self.dial(target, urls, 0)?;
                let connection = Connection {
                    urls: urls.clone(),
                    turn: 0,
                    channel: channel.clone(),
                };
                connections.insert((target, lane), connection);
                channel
            }
        };
        let introduce = Introduce::new(self.settings.cluster, self.settings.member, MemberId(target));
        let maximum = self.maximum_message_bytes();
        Ok(PeerClient::with_interceptor(channel, introduce)
            .max_decoding_message_size(maximum)
            .max_encoding_message_size(maximum))
    }

    /// These are the members now: who is not among them is forgotten.
    pub fn set_members(&self, membership: &Membership) {
        let addresses = membership.nodes();
        let addresses: HashMap<_, _> = addresses
            .map(|(id, node)| (*id, node.peer_urls.clone()))
            .collect();
        self.connections
            .lock()
            .retain(|(id, _), _| addresses.contains_key(id));
        self.active_since
            .lock()
            .retain(|id, _| addresses.contains_key(id));
        let known = std::mem::replace(&mut *self.addresses.lock(), addresses.clone());
        for id in known.keys().chain(addresses.keys()) {
            let is_known = addresses.contains_key(id);
            if *id != self.settings.member.0 {
                self.pair(&self.metrics().known, *id).set(i64::from(is_known));
            }
            if !is_known {
                self.pair(&self.metrics().active, *id).set(0);
            }
        }
    }

    /// Bytes of the largest message.
    #[must_use]
    pub fn maximum_message_bytes(&self) -> usize {
        MAXIMUM_READ_BYTES + self.settings.maximum_command_bytes + MESSAGE_OVERHEAD_BYTES
    }

    /// A call to `target` was answered.
    pub fn succeeded(&self, target: NodeId) {
        self.active_since.lock().entry(target).or_insert_with(|| {
            self.pair(&self.metrics().active, target).set(1);
            Instant::now()
        });
    }

    /// A call to `target` failed: the next one goes to its next URL, if it has several.
    pub fn failed(&self, target: NodeId, lane: Lane) {
        if self.active_since.lock().remove(&target).is_some() {
            self.pair(&self.metrics().disconnections, target).inc();
        }
        self.pair(&self.metrics().active, target).set(0);
        self.settings
            .metrics
            .peers
            .sent_failures
            .with_label_values(&[label(target).as_str()])
            .inc();
        let mut connections = self.connections.lock();
        if let Some(connection) = connections.get_mut(&(target, lane))
            && connection.urls.len() > 1
        {
            connection.turn = connection.turn.wrapping_add(1);
            if let Ok(channel) = self.dial(target, &connection.urls, connection.turn) {
                connection.channel = channel;
            }
        }
    }

    /// Counts the bytes that go to `target`. Finding it costs more than counting: a stream keeps it.
    pub fn sent_bytes(&self, target: NodeId) -> IntCounter {
        self.metrics().sent_bytes.with_label_values(&[label(target)])
    }

    /// Counts the bytes that come from `from`, as [`Peers::sent_bytes`].
    pub fn received_bytes(&self, from: NodeId) -> IntCounter {
        self.metrics().received_bytes.with_label_values(&[label(from)])
    }

    /// Counts what comes from `from` and is broken, as [`Peers::sent_bytes`].
    fn received_failures(&self, from: NodeId) -> IntCounter {
        self.metrics().received_failures.with_label_values(&[label(from)])
    }

    /// Measures the seconds until `target` answers, as [`Peers::sent_bytes`].
    pub fn round_trip_seconds(&self, target: NodeId) -> Histogram {
        self.metrics()
            .round_trip_seconds
            .with_label_values(&[label(target)])
    }

    /// Since when `target` answers without a failure; none if it does not.
    #[must_use]
    pub fn active_since(&self, target: NodeId) -> Option<Instant> {
        self.active_since.lock().get(&target).copied()
    }

    /// Entries below `index` are to be purged from now on.
    pub fn set_purge_end(&self, index: u64) {
        self.purge_end.fetch_max(index, Ordering::Relaxed);
    }

    /// Sends `target` no entries that are to be purged for a while.
    fn cut_off(&self, target: NodeId) {
        self.cut_off_at.lock().insert(target, Instant::now());
    }

    fn is_cut_off(&self, target: NodeId) -> bool {
        let cut_off_at = self.cut_off_at.lock();
        cut_off_at
            .get(&target)
            .is_some_and(|at| at.elapsed() < Duration::from_secs(CUT_OFF_SECONDS))
    }

    fn purge_end(&self) -> u64 {
        self.purge_end.load(Ordering::Relaxed)
    }

    /// What is measured of this member and another.
    fn pair<M: MetricVecBuilder>(&self, metrics: &MetricVec<M>, other: NodeId) -> M::M {
        metrics.with_label_values(&[self.settings.member.to_string(), label(other)])
    }

    fn metrics(&self) -> &PeerMetrics {
        &self.settings.metrics.peers
    }

    fn dial(&self, target: NodeId, urls: &[String], turn: usize) -> Result<Channel, String> {
        let url = turn.checked_rem(urls.len()).and_then(|turn| urls.get(turn));
        let url = url.ok_or_else(|| format!("member {target:x} has no peer URL"))?;
        let cannot =
            |reason: &str| format!("peer URL {url} of member {target:x} cannot be dialled: {reason}");
        let (address, tls) = match url.split_once("://") {
            Some(("http", address)) => (address, None),
            Some(("https", address)) => {
                let tls = self.settings.tls.clone().ok_or_else(|| {
                    cannot("this member has no TLS for peers; start it with --peer-cert-file and --peer-trusted-ca-file")
                })?;
                (address, Some(tls))
            }
            _ => return Err(cannot("it does not begin with http:// or https://")),
        };
        let address = address.trim_end_matches('/');
        let dialled = self
            .settings
            .dial_map
            .get(address)
            .map_or(address, String::as_str);
        let limit = if tls.is_some() {
            CONNECT_TIMEOUT_MILLISECONDS + HANDSHAKE_TIMEOUT_MILLISECONDS
        } else {
            CONNECT_TIMEOUT_MILLISECONDS
        };
        // The certificate must be for the host that is advertised, wherever it is dialled.
        let host = host_of(address).to_owned();
        let connect = move |dialled: Uri| connect(dialled, tls.clone().map(|tls| (tls, host.clone())));
        // The stream is protected below HTTP/2, which therefore believes that it is plain.
        let endpoint =
            Endpoint::from_shared(format!("http://{dialled}")).map_err(|error| cannot(&error.to_string()))?;
        Ok(endpoint
            .connect_timeout(Duration::from_millis(limit))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(self.settings.silence)
            .keep_alive_timeout(self.settings.silence)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(tower::service_fn(connect)))
    }
}

/// The host of `host:port`, without brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host)
}

/// Connects to the host and port of `url`, and speaks TLS with the host that is given.
async fn connect(url: Uri, tls: Option<(Tls, String)>) -> std::io::Result<TokioIo<Gathered<Socket>>> {
    let address = url.authority().map_or("", Authority::as_str);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = match tls {
        Some((tls, host)) => tls.connect(stream, &host).await?,
        None => Socket::Plain(stream.into()),
    };
    Ok(TokioIo::new(Gathered::new(socket)))
}

/// Adds the bytes of a message.
pub fn count(bytes: &IntCounter, message: &impl Message) {
    bytes.inc_by(u64::try_from(message.encoded_len()).unwrap_or(u64::MAX));
}

/// A member in the labels of metrics: hexadecimal, as etcd shows it.
fn label(member: NodeId) -> String {
    MemberId(member).to_string()
}

/// Gives openraft its clients.
#[derive(Clone)]
pub struct PeerNetworkFactory {
    /// The peers.
    pub peers: Arc<Peers>,
}

impl PeerNetworkFactory {
    fn network(&self, target: NodeId, node: &Node, lane: Lane) -> PeerNetwork {
        PeerNetwork::new(self.peers.clone(), target, node.clone(), lane)
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetworkFactory {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, node: &Node) -> PeerNetwork {
        self.network(target, node, Lane::Data)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Node) -> PeerNetwork {
        self.network(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Node) -> PeerNetwork {
        self.network(target, node, Lane::Snapshot)
    }
}
