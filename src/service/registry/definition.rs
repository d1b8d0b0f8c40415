//! How the status of a check comes about: somebody reports it, in time or whenever, or the cluster finds it out.
//!
//! What is stored is what was asked for; [`Probe::interval`] and its like say what is made of it. Variants are only ever
//! appended: they are stored by their number. Never checks anything: that is done in [`super::validate_check`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::limits::{
    DEFAULT_CHECK_TIMEOUT_SECONDS, MAXIMUM_CHECK_OUTPUT_BYTES, MINIMUM_CHECK_INTERVAL_SECONDS,
    MINIMUM_DEREGISTER_AFTER_SECONDS,
};

/// How the status of a check comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// Somebody reports it.
    Reported,
    /// It is critical for as long as it is there: an operator made it.
    Maintenance,
    /// Somebody reports it, and it is critical when nothing was reported for too long.
    TimeToLive(TimeToLive),
    /// A member of the cluster asks.
    Probe(Box<Probe>),
    /// As something else is.
    Alias(Alias),
}

/// A check that must be reported in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeToLive {
    /// Milliseconds after the last report at which it is critical.
    pub milliseconds: u64,
    /// Milliseconds of being critical after which its instance is deregistered; 0: never.
    pub deregister_after_milliseconds: u64,
}

/// A check that a member of the cluster does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub target: Target,
    /// Milliseconds between two times.
    pub interval_milliseconds: u64,
    /// Milliseconds that one time may take; 0: [`DEFAULT_CHECK_TIMEOUT_SECONDS`].
    pub timeout_milliseconds: u64,
    /// Successes in a row before it passes; 0 is 1.
    pub success_before_passing: u32,
    /// Failures in a row before it warns; 0: as many as before it is critical.
    pub failures_before_warning: u32,
    /// Failures in a row before it is critical; 0 is 1.
    pub failures_before_critical: u32,
    /// Milliseconds of being critical after which its instance is deregistered; 0: never.
    pub deregister_after_milliseconds: u64,
    /// Bytes that are kept of an answer; 0: [`MAXIMUM_CHECK_OUTPUT_BYTES`].
    pub maximum_output_bytes: u32,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A request of HTTP/1.1: 2xx passes, 429 warns, anything else is critical.
    Http(HttpTarget),
    /// A connection.
    Tcp {
        /// `host:port`.
        address: String,
        /// TLS; none: without.
        tls: Option<TargetTls>,
    },
    /// A datagram: critical if the machine says that nobody listens.
    Udp {
        /// `host:port`.
        address: String,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// `host:port`.
        address: String,
        /// The service that is asked for; empty: the server itself.
        service: String,
        /// TLS; none: without.
        tls: Option<TargetTls>,
    },
    /// A ping of HTTP/2.
    H2Ping {
        /// `host:port`.
        address: String,
        /// TLS; none: without.
        tls: Option<TargetTls>,
    },
}

/// How a target is protected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTls {
    /// Whether any certificate will do.
    pub skip_verify: bool,
    /// The name that its certificate must have; empty: the host of the address.
    pub server_name: String,
}

/// A request of HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTarget {
    /// `http://` or `https://`.
    pub url: String,
    /// Empty: `GET`.
    pub method: String,
    /// Further headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// May be empty.
    pub body: String,
    /// Whether a redirect is the answer instead of being followed.
    pub disable_redirects: bool,
    /// For `https://`.
    pub tls: TargetTls,
}

/// A check that is as bad as the checks of something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The node; empty: the one that the check is on.
    pub node: String,
    /// The id of the instance on it, whose checks and those of its node count; empty: those of the node alone.
    pub instance: String,
}

impl CheckKind {
    /// Its name, as Consul has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reported => "",
            Self::Maintenance => "maintenance",
            Self::TimeToLive(_) => "ttl",
            Self::Alias(_) => "alias",
            Self::Probe(probe) => match probe.target {
                Target::Http(_) => "http",
                Target::Tcp { .. } => "tcp",
                Target::Udp { .. } => "udp",
                Target::Grpc { .. } => "grpc",
                Target::H2Ping { .. } => "h2ping",
            },
        }
    }

    /// Whether the cluster has something to do for it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self, Self::Reported | Self::Maintenance)
    }

    /// How long it may be critical before its instance is deregistered; none: for ever.
    #[must_use]
    pub fn deregister_after(&self) -> Option<Duration> {
        let milliseconds = match self {
            Self::TimeToLive(ttl) => ttl.deregister_after_milliseconds,
            Self::Probe(probe) => probe.deregister_after_milliseconds,
            Self::Reported | Self::Maintenance | Self::Alias(_) => 0,
        };
        let least = Duration::from_secs(MINIMUM_DEREGISTER_AFTER_SECONDS);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds).max(least))
    }

    /// About how many bytes it takes in a message.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Reported | Self::Maintenance | Self::TimeToLive(_) => 0,
            Self::Alias(alias) => alias.node.len() + alias.instance.len(),
            Self::Probe(probe) => match &probe.target {
                Target::Http(http) => {
                    let headers = http.headers.iter();
                    let headers = headers
                        .map(|(name, values)| name.len() + values.iter().map(String::len).sum::<usize>());
                    http.url.len() + http.body.len() + headers.sum::<usize>()
                }
                Target::Tcp { address, .. } | Target::Udp { address } | Target::H2Ping { address, .. } => {
                    address.len()
                }
                Target::Grpc { address, service, .. } => address.len() + service.len(),
            },
        }
    }
}

impl Probe {
    /// A probe with nothing but a target and an interval.
    #[must_use]
    pub fn new(target: Target, interval: Duration) -> Self {
        Self {
            target,
            interval_milliseconds: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            timeout_milliseconds: 0,
            success_before_passing: 0,
            failures_before_warning: 0,
            failures_before_critical: 0,
            deregister_after_milliseconds: 0,
            maximum_output_bytes: 0,
        }
    }

    /// The time between two times: what was asked for, and no less than [`MINIMUM_CHECK_INTERVAL_SECONDS`].
    #[must_use]
    pub fn interval(&self) -> Duration {
        let least = Duration::from_secs(MINIMUM_CHECK_INTERVAL_SECONDS);
        Duration::from_millis(self.interval_milliseconds).max(least)
    }

    /// How long one time may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self.timeout_milliseconds {
            0 => Duration::from_secs(DEFAULT_CHECK_TIMEOUT_SECONDS),
            milliseconds => Duration::from_millis(milliseconds),
        }
    }

    /// How many bytes of an answer are kept.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        match usize::try_from(self.maximum_output_bytes) {
            Ok(0) | Err(_) => MAXIMUM_CHECK_OUTPUT_BYTES,
            Ok(bytes) => bytes.min(MAXIMUM_CHECK_OUTPUT_BYTES),
        }
    }
}
