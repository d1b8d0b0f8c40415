//! From addresses to names: of nodes first, and of services where no node that may be seen has the address.
//!
//! Made of a whole catalog at a time, for those few who ask. Never follows the catalog.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Address, Sight};
use crate::base::Revision;
use crate::service::registry::{Catalog, Entry};

/// Who is found at an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A node of this name.
    Node(String),
    /// A service of this name.
    Service(String),
}

/// Who is found at which address, at one revision.
#[derive(Debug, Default)]
pub struct ReverseIndex {
    /// The revision at which anything in the catalog changed last.
    pub changed: Revision,
    nodes: HashMap<IpAddr, BTreeSet<String>>,
    /// The instances of each service.
    services: HashMap<IpAddr, BTreeMap<String, Vec<Arc<Entry>>>>,
}

impl ReverseIndex {
    /// That of a catalog. Its time grows with the catalog.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let mut index = Self {
            changed: catalog.changed(),
            ..Self::default()
        };
        for node in catalog.nodes() {
            let known = node.state.known.as_ref();
            if let Some(Address::Ip(address)) = known.map(|known| Address::read(&known.node.address)) {
                let names = index.nodes.entry(address).or_default();
                names.insert(node.name().to_owned());
            }
        }
        for service in catalog.services() {
            for entry in service.entries() {
                if let Address::Ip(address) = Address::read(entry.address()) {
                    let services = index.services.entry(address).or_default();
                    let instances = services.entry(service.name().to_owned()).or_default();
                    instances.push(Arc::clone(entry));
                }
            }
        }
        index
    }

    /// Who is found at an address and may be seen, in the order of names.
    #[must_use]
    pub fn owners(&self, address: IpAddr, sight: &Sight) -> Vec<Owner> {
        let nodes = self.nodes.get(&address).into_iter().flatten();
        let nodes = nodes.filter(|name| sight.shows_node(name));
        let nodes: Vec<Owner> = nodes.cloned().map(Owner::Node).collect();
        if !nodes.is_empty() {
            return nodes;
        }
        let services = self.services.get(&address).into_iter().flatten();
        let seen =
            services.filter(|(_, instances)| instances.iter().any(|entry| sight.authorizer.shows(entry)));
        seen.map(|(name, _)| Owner::Service(name.clone())).collect()
    }
}
