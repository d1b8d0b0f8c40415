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
//! Case makes no difference. An instance that is critical is never given out, nor one whose node is, unless it is so by a
//! check that a prepared query ignores. Instances are in an order of chance, anew for every question; where a prepared
//! query wants those of a node first, they are.
//!
//! A name that is only the end of others (`service`, `node.dc1`) exists and has nothing: a resolver that asks label by
//! label (RFC 9156) takes "no such name" for an answer about all names below it.
//!
//! All is read from one catalog, so that an answer is of one revision, and with the rights of one token ([`Sight`]): what
//! that may not see is as if it were not there. An instance is seen by whoever may read its service and its node.
//!
//! Never knows a message, a domain or how long an answer is good for; never waits.

mod name;
mod offer;
mod reverse;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;

use super::consul::acl::{Access, Authorizer, Resource};
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

/// What is looked at, and with whose rights.
#[derive(Debug, Clone)]
pub struct Sight {
    /// Services and nodes.
    pub catalog: Arc<Catalog>,
    /// What may be seen of them.
    pub authorizer: Arc<Authorizer>,
}

/// What knows prepared queries (Consul's): questions that have a name.
pub trait PreparedQueries: Send + Sync {
    /// The instances that one finds in a catalog, in the order in which they are to be tried; none: there is no query of
    /// that name or id, whatever its case. How well they must be is for the query to say; those that may not be seen are
    /// left out by whoever asks.
    fn find(&self, catalog: &Catalog, query: &str) -> Option<Found>;
}

/// What a prepared query finds.
pub struct Found {
    /// The instances.
    pub entries: Vec<Arc<Entry>>,
    /// The name of their service.
    pub service: String,
    /// How long an answer is good for, if the query says so.
    pub ttl: Option<Duration>,
    /// With whose rights it is asked, if not with those of whoever asks.
    pub authorizer: Option<Arc<Authorizer>>,
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
        /// The name of the service.
        service: String,
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

    /// What a name stands for.
    #[must_use]
    pub fn resolve(&self, sight: &Sight, subject: &Subject<'_>) -> Meaning {
        match subject {
            Subject::Domain => Meaning::Domain,
            Subject::Server => Meaning::Server,
            Subject::Ending => Meaning::Empty,
            Subject::Unknown => Meaning::Missing,
            Subject::Address(address) => Meaning::Address(*address),
            Subject::Node(name) => match sight.catalog.node(name) {
                Some(node) if sight.shows_node(node.name()) => Meaning::Node(Arc::clone(node)),
                _ => Meaning::Missing,
            },
            Subject::Service { name, tag } => self.service(sight, name, tag.as_deref()),
            Subject::Query(name) => {
                let found = self
                    .queries
                    .as_ref()
                    .and_then(|queries| queries.find(&sight.catalog, name));
                let Some(found) = found else {
                    return Meaning::Missing;
                };
                let authorizer = found.authorizer.as_ref().unwrap_or(&sight.authorizer);
                let seen = found.entries.into_iter().filter(|entry| authorizer.shows(entry));
                given(seen.map(Offer::of).collect(), found.service, found.ttl)
            }
        }
    }

    fn service(&self, sight: &Sight, name: &str, tag: Option<&str>) -> Meaning {
        let Some(service) = sight.catalog.service(name) else {
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
        let entries = service.entries().filter(has_tag);
        let seen = entries.filter(|entry| sight.authorizer.shows(entry));
        let offers = seen.map(|entry| Offer::of(Arc::clone(entry)));
        let mut usable: Vec<Offer> = offers.filter(|offer| self.is_usable(offer)).collect();
        usable.shuffle(&mut rand::rng());
        given(usable, service.name().to_owned(), None)
    }

    fn is_usable(&self, offer: &Offer) -> bool {
        match offer.status() {
            Status::Passing => true,
            Status::Warning => !self.only_passing,
            Status::Critical => false,
        }
    }
}

impl Sight {
    fn shows_node(&self, name: &str) -> bool {
        self.authorizer.allows(Resource::Node(name), Access::Read)
    }
}

fn given(offers: Vec<Offer>, service: String, ttl: Option<Duration>) -> Meaning {
    if offers.is_empty() {
        return Meaning::Missing;
    }
    Meaning::Instances { offers, service, ttl }
}
