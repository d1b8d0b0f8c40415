//! How names are answered: what flags say. Never reads a flag itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::Name;

use crate::base::secret::Secret;

/// How names are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// The domains that are answered for, the first of which is used in answers to questions about addresses. Never empty.
    pub domains: Vec<DomainName>,
    /// The name of the datacenter.
    pub datacenter: String,
    /// The token with whose rights everybody asks, where ACLs count; none: the anonymous one.
    pub token: Option<Secret<String>>,
    /// Whether instances that warn are left out.
    pub only_passing: bool,
    /// Whether every answer has all that was acknowledged before the question, not only those that are asked for so.
    pub newest: bool,
    /// Whether an answer over UDP that was cut says so, so that the client asks again over TCP.
    pub tells_truncation: bool,
    /// How long answers about services are good for.
    pub service_ttls: ServiceTtls,
    /// How long answers about nodes are good for.
    pub node_ttl: Duration,
    /// Who is asked about names of other domains, one after the other; none: nobody.
    pub recursors: Vec<SocketAddr>,
    /// How long one of them may take.
    pub recursor_timeout: Duration,
    /// Where this server is found, as far as it is known.
    pub addresses: Vec<IpAddr>,
}

/// The name of a domain that is answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainName(pub(super) Name);

impl DomainName {
    /// Reads one such as `consul` or `dc.example.com`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !text.split('.').all(is_label) {
            return None;
        }
        Name::from_labels(text.to_ascii_lowercase().split('.').map(str::as_bytes))
            .ok()
            .map(Self)
    }
}

/// How long answers are good for, by service: of one name, of all that begin so (`api-*`), of all (`*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceTtls {
    exact: BTreeMap<String, Duration>,
    /// Without the star.
    prefixes: BTreeMap<String, Duration>,
}

impl ServiceTtls {
    /// Adds a rule; whether the pattern is one, and was not there.
    pub fn add(&mut self, pattern: &str, ttl: Duration) -> bool {
        let (rules, text) = match pattern.strip_suffix('*') {
            Some(prefix) => (&mut self.prefixes, prefix),
            None => (&mut self.exact, pattern),
        };
        !pattern.is_empty() && !text.contains('*') && rules.insert(text.to_ascii_lowercase(), ttl).is_none()
    }

    /// That of a service: by its name, else by the longest beginning; else none.
    #[must_use]
    pub fn of(&self, service: &str) -> Duration {
        if self.exact.is_empty() && self.prefixes.is_empty() {
            return Duration::ZERO;
        }
        let name = service.to_ascii_lowercase();
        let longest = || {
            let ends = (0..=name.len()).rev().filter(|end| name.is_char_boundary(*end));
            ends.filter_map(|end| self.prefixes.get(&name[..end])).next()
        };
        self.exact
            .get(&name)
            .or_else(longest)
            .copied()
            .unwrap_or_default()
    }
}
