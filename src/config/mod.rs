//! The configuration of a server: typed, complete and checked before the disk is touched.
//!
//! Settings come from flags, then the environment (`STEAD_NAME`, then `ETCD_NAME`), then etcd's defaults; or, as in
//! etcd, from a YAML file alone. [`parse`] is the whole door: what it returns can be started as it is. Every error names
//! the flag, the value and the mend.
//!
//! Reads the files that it checks, never writes to the disk and never opens a socket.

mod auth;
mod checks;
mod corruption;
mod dns;
mod error;
mod flags;
#[cfg(fuzzing)]
pub mod fuzzing;
mod help;
mod listen;
mod rights;
mod secrets;
mod settings;
mod sources;
mod tls;
mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::base::duration::parse as parse_duration;
pub use error::ConfigError;
pub use help::help;

use crate::base::tls::TlsSettings;
use crate::base::{ClusterId, MemberId};
use crate::replication::PeerMember;
use crate::service::auth::TokenSettings;
use crate::service::checks::Policy;
use crate::service::consul::acl::AclSettings;
use crate::service::secrets::SealSource;
use crate::transport::dns::DnsSettings;

/// The etcd whose behaviour and flags Stead follows; what it reports as its version, since clients switch features on
/// by it.
pub const ETCD_VERSION: &str = "3.7.1";

/// What the command line of a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// To run.
    Run(Box<ServerConfig>),
    /// To print the help.
    Help,
    /// To print the version.
    Version,
}

/// Everything a node needs to know to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The name of this member.
    pub name: String,
    /// Where the log, the state and snapshots are kept.
    pub data_folder: PathBuf,
    /// Where to listen for clients.
    pub listen_client: Vec<ListenAddress>,
    /// Unix sockets to listen on for clients.
    pub listen_sockets: Vec<ListenSocket>,
    /// Where else to serve clients pages over HTTP; if there are any, only there.
    pub listen_client_http: Vec<ListenAddress>,
    /// Where to listen for other members.
    pub listen_peer: Vec<ListenAddress>,
    /// Where else to serve metrics and the health pages.
    pub listen_metrics: Vec<ListenAddress>,
    /// Where to answer DNS; nowhere if it is empty.
    pub listen_dns: Vec<SocketAddr>,
    /// How DNS is answered.
    pub dns: DnsSettings,
    /// Where to serve Consul's interface; nowhere if empty.
    pub listen_consul: Vec<ListenAddress>,
    /// The datacenter that Consul's interface says the cluster is.
    pub consul_datacenter: String,
    /// The rights on Consul's interface.
    pub consul_acls: AclSettings,
    /// What unseals the secret store of this node by itself.
    pub seals: Vec<SealSource>,
    /// Most requests of one client address under way on Consul's interface.
    pub consul_requests_per_client: u32,
    /// TLS on addresses for clients and metrics; none if none of them has it.
    pub client_tls: Option<TlsSettings>,
    /// TLS between members; none if no address of a member that is known has it.
    pub peer_tls: Option<TlsSettings>,
    /// Where clients are told to find this member.
    pub advertise_client_urls: Vec<String>,
    /// Where other members find this member.
    pub advertise_peer_urls: Vec<String>,
    /// This member's id.
    pub member: MemberId,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The members a new cluster starts with, by id; this one among them.
    pub initial_members: Vec<PeerMember>,
    /// Whether to form a new cluster if the data folder is empty, or to join one that is there.
    pub new_cluster: bool,
    /// Whether changes of the members that put the quorum at risk are refused.
    pub strict_reconfiguration: bool,
    /// Most learners at a time.
    pub maximum_learners: u32,
    /// Where to dial instead of an advertised `host:port` (`STEAD_PEER_DIAL_MAP`, for translated addresses).
    pub peer_dial_map: BTreeMap<String, String>,
    /// Time between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// Time without a leader after which an election starts.
    pub election: Duration,
    /// Log entries between two snapshots.
    pub snapshot_entries: u64,
    /// Largest request of a client.
    pub maximum_request_bytes: u32,
    /// Most operations in one list of a transaction.
    pub maximum_txn_operations: u32,
    /// Size of the data above which writes are refused; none for no limit.
    pub quota_bytes: Option<i64>,
    /// How much history to keep.
    pub auto_compaction: AutoCompaction,
    /// When the data of the members are compared.
    pub corruption_checks: CorruptionChecks,
    /// Where checks of services may go, and who may register them.
    pub checks: Policy,
    /// Most streams on one connection of a client.
    pub maximum_concurrent_streams: u32,
    /// Pings on connections of clients.
    pub keepalive: Keepalive,
    /// Time between progress notes on a quiet watch.
    pub watch_progress_interval: Duration,
    /// How tokens of users are made.
    pub tokens: TokenSettings,
    /// Whether the JSON gateway is served.
    pub gateway: bool,
    /// Origins of web pages whose scripts may use HTTP; none for all.
    pub cors_origins: Option<BTreeSet<String>>,
    /// Host names under which HTTP may be asked for; none for all.
    pub host_names: Option<BTreeSet<String>>,
    /// Whether the time of calls is measured for each method.
    pub extensive_metrics: bool,
    /// A call with one answer that takes longer is logged.
    pub slow_request: Duration,
    /// What takes longer to apply, or to read once it may begin, is logged.
    pub slow_apply: Duration,
    /// What to log, how and where.
    pub log: LogConfig,
    /// What the operator should know: settings that have no effect, and why. To be logged at the start.
    pub warnings: Vec<String>,
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress {
    /// The address.
    pub address: SocketAddr,
    /// Whether TLS is spoken there.
    pub is_tls: bool,
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.address)
    }
}

/// A Unix socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSocket {
    /// The path of its file.
    pub path: PathBuf,
    /// Whether TLS is spoken there.
    pub is_tls: bool,
}

impl std::fmt::Display for ListenSocket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "unixs" } else { "unix" };
        write!(formatter, "{scheme}://{}", self.path.display())
    }
}

/// How much history is kept by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCompaction {
    /// All of it.
    Off,
    /// What is younger than this.
    Periodic(Duration),
    /// This many revisions.
    Revisions(i64),
}

/// When the data of the members are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptionChecks {
    /// Before this member serves, which it does not if others hold other data.
    pub initial: bool,
    /// Time between two comparisons of the newest data; none for never.
    pub interval: Option<Duration>,
    /// Time between two looks whether history was forgotten, of which the rest is compared then; none for never.
    pub compaction_interval: Option<Duration>,
}

/// Pings on connections of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Time without traffic before the server pings; none for never.
    pub interval: Option<Duration>,
    /// Time to wait for the answer to a ping before the connection is closed; none for forever.
    pub timeout: Option<Duration>,
}

/// What is logged, how and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe lines that are logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
    /// Where lines go.
    pub outputs: Vec<LogOutput>,
}

/// The least severe lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// All.
    Debug,
    /// What happens to the node.
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// Text for people.
    Text,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of a file.
    File(PathBuf),
}

/// Reads the configuration of a server from the arguments after the program's (and subcommand's) name and the
/// environment.
///
/// # Errors
/// The first value that cannot be, with its mend.
pub fn parse(
    arguments: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Invocation, ConfigError> {
    let arguments = sources::Arguments::parse(arguments)?;
    if arguments.help {
        return Ok(Invocation::Help);
    }
    if arguments.version {
        return Ok(Invocation::Version);
    }
    let values = sources::Values::collect(arguments, environment)?;
    let dial_map = environment.get("STEAD_PEER_DIAL_MAP").map_or("", String::as_str);
    Ok(Invocation::Run(Box::new(settings::build(values, dial_map)?)))
}

/// The truth values that Go's flags know.
#[must_use]
pub fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
