//! Names: what one stands for among the services.
//!
//! | labels in front of the domain | stand for |
//! |---|---|
//! | `web.service` | the instances of a service that may be used |
//! | `v1.web.service`, `a.b.web.service` | those of them with the tag `v1`, or `a.b` |
//! | `_web._v1.service`, `_web._tcp`; `tcp` is no tag | the same (RFC 2782) |
//! | `host1.node` | a node |
//! | `0a000001.addr` | the address in these hexadecimal digits |
//! | `near.query` | what a prepared query finds |
//! | `ns` | this server |
//!
//! The datacenter may follow (`web.service.dc1`, or `web.service.dc1.dc`); there is one, and a name of another is unknown.
//! Case makes no difference. An instance that is critical is never given out, nor one whose node is. Instances are in an
//! order of chance, anew for every question.
//!
//! A name that is only the end of others (`service`, `node.dc1`) exists and has nothing: a resolver that asks label by
//! label (RFC 9156) takes "no such name" for an answer about all names below it.
//!
//! All is read from one catalog, so that an answer is of one revision. Never knows a message, a domain or how long an
//! answer is good for; never waits.

mod name;
mod offer;
mod reverse;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;

use super::registry::{Catalog, Entry, NodeEntry, Status};
pub use name::Subject;
pub use offer::{Address, Offer};
pub use reverse::{Owner, ReverseIndex};

/// Finds what names stand for. A handle: clones share one.
#[derive(Clone)]
pub struct Resolver {
    only_passing: bool,
    queries: Option<Arc<dyn PreparedQueries>>,
}

/// What knows prepared queries (Consul's): questions that have a name.
pub trait PreparedQueries: Send + Sync {
    /// The instances that one finds in a catalog, in the order in which they are to be tried; none: there is no query of
    /// that name or id, whatever its case. Those that may not be used are left out by whoever asks.
    fn find(&self, catalog: &Catalog, query: &str) -> Option<Found>;
}

/// What a prepared query finds.
pub struct Found {
    /// The instances.
    pub entries: Vec<Arc<Entry>>,
    /// How long an answer is good for, if the query says so.
    pub ttl: Option<Duration>,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Meaning {
    /// Nothing: there is no such name.
    Missing,
    /// Nothing, but there are names that end with it.
    Empty,
    /// The domain itself.
    Domain,
    /// This server.
    Server,
    /// Instances, at least one.
    Instances {
        /// In the order in which they are to be given.
        offers: Vec<Offer>,
        /// The name of the service; none for those of a prepared query.
        service: Option<String>,
        /// How long an answer is good for, if a prepared query says so.
        ttl: Option<Duration>,
    },
    /// A node.
    Node(Arc<NodeEntry>),
    /// An address.
    Address(IpAddr),
}

impl Resolver {
    /// One that gives out instances that warn, unless it gives out `only_passing` ones.
    #[must_use]
    pub fn new(only_passing: bool) -> Self {
        Self {
            only_passing,
            queries: None,
        }
    }

    /// The same, with prepared queries. Without, there are none.
    #[must_use]
    pub fn with_queries(self, queries: Arc<dyn PreparedQueries>) -> Self {
        Self {
            queries: Some(queries),
            ..self
        }
    }

    /// What a name stands for in a catalog.
    #[must_use]
    pub fn resolve(&self, catalog: &Catalog, subject: &Subject<'_>) -> Meaning {
        match subject {
            Subject::Domain => Meaning::Domain,
            Subject::Server => Meaning::Server,
            Subject::Ending => Meaning::Empty,
            Subject::Unknown => Meaning::Missing,
            Subject::Address(address) => Meaning::Address(*address),
            Subject::Node(name) => match catalog.node(name) {
                Some(node) if is_node_visible(node) => Meaning::Node(Arc::clone(node)),
                _ => Meaning::Missing,
            },
            Subject::Service { name, tag } => self.service(catalog, name, tag.as_deref()),
            Subject::Query(name) => {
                let found = self
                    .queries
                    .as_ref()
                    .and_then(|queries| queries.find(catalog, name));
                let Some(found) = found else {
                    return Meaning::Missing;
                };
                let usable = found.entries.iter().filter_map(|entry| self.offer(entry));
                given(usable.collect(), None, found.ttl)
            }
        }
    }

    fn service(&self, catalog: &Catalog, name: &str, tag: Option<&str>) -> Meaning {
        let Some(service) = catalog.service(name) else {
            // `_tcp.service` is the end of `_web._tcp.service`.
            return match name.starts_with('_') {
                true => Meaning::Empty,
                false => Meaning::Missing,
            };
        };
        let has_tag = |entry: &&Arc<Entry>| {
            tag.is_none_or(|tag| {
                let tags = &entry.instance.registration.tags;
                tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
            })
        };
        let usable = service.entries().filter(has_tag);
        let mut offers: Vec<Offer> = usable.filter_map(|entry| self.offer(entry)).collect();
        offers.shuffle(&mut rand::rng());
        given(offers, Some(service.name().to_owned()), None)
    }

    /// An instance, if it may be used and seen.
    fn offer(&self, entry: &Arc<Entry>) -> Option<Offer> {
        let status = entry.status();
        let is_well = match status {
            Status::Passing => true,
            Status::Warning => !self.only_passing,
            Status::Critical => false,
        };
        (is_well && is_visible(entry)).then(|| Offer::new(Arc::clone(entry), status))
    }
}

fn given(offers: Vec<Offer>, service: Option<String>, ttl: Option<Duration>) -> Meaning {
    if offers.is_empty() {
        return Meaning::Missing;
    }
    Meaning::Instances { offers, service, ttl }
}

/// Whether an instance is shown to those who ask by DNS, which nobody has to say who he is for: all are. Where users have
/// to, nothing is shown at all (see `transport::dns`).
fn is_visible(_entry: &Entry) -> bool {
    true
}

/// The same of a node.
fn is_node_visible(_node: &NodeEntry) -> bool {
    true
}
