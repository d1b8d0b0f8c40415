//! From addresses to names: of nodes first, and of services where no node has the address.
//!
//! Made of a whole catalog at a time, for those few who ask. Never follows the catalog.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Address, is_node_visible, is_visible};
use crate::base::Revision;
use crate::service::registry::Catalog;

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
    nodes: HashMap<IpAddr, BTreeSet<Owner>>,
    services: HashMap<IpAddr, BTreeSet<Owner>>,
}

impl ReverseIndex {
    /// That of a catalog. Its time grows with the catalog.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let mut index = Self {
            changed: catalog.changed(),
            ..Self::default()
        };
        for node in catalog.nodes().filter(|node| is_node_visible(node)) {
            let known = node.state.known.as_ref();
            if let Some(Address::Ip(address)) = known.map(|known| Address::read(&known.node.address)) {
                let owner = Owner::Node(node.name().to_owned());
                index.nodes.entry(address).or_default().insert(owner);
            }
        }
        for service in catalog.services() {
            for entry in service.entries().filter(|entry| is_visible(entry)) {
                if let Address::Ip(address) = Address::read(entry.address()) {
                    let owner = Owner::Service(service.name().to_owned());
                    index.services.entry(address).or_default().insert(owner);
                }
            }
        }
        index
    }

    /// Who is found at an address, in the order of names.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = &Owner> {
        let found = self.nodes.get(&address).or_else(|| self.services.get(&address));
        found.into_iter().flatten()
    }
}
