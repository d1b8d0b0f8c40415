//! The agent: what is registered through a member is on the node of that member.
//!
//! Clients behind a load balancer register through one member and deregister through another, so that an id that is not on
//! the node of the member that is asked is looked for on the nodes of the others. Never looks on a node of anybody else.

use std::sync::Arc;

use super::{Consul, ConsulError};
use crate::service::registry::{Catalog, Check, Entry, NodeEntry};

/// A check that was looked for by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCheck {
    /// The name of its node.
    pub node: String,
    /// The id of the instance that it is of; none: of the node itself.
    pub instance: Option<String>,
    /// The name of the service of that instance.
    pub service: Option<String>,
    /// The check.
    pub check: Check,
}

impl Consul {
    /// The node of this member, if it is known.
    #[must_use]
    pub fn own_node<'catalog>(&self, catalog: &'catalog Catalog) -> Option<&'catalog Arc<NodeEntry>> {
        catalog.node(&self.settings().node)
    }

    /// The nodes of the members, the one of this member first.
    async fn nodes<'catalog>(
        &self,
        catalog: &'catalog Catalog,
    ) -> Result<Vec<&'catalog Arc<NodeEntry>>, ConsulError> {
        let own = self.settings().node.as_str();
        let servers = self.servers().await?;
        let others = servers.iter().map(|server| server.name.as_str());
        let others = others.filter(|name| !name.eq_ignore_ascii_case(own));
        let names = std::iter::once(own).chain(others);
        Ok(names.filter_map(|name| catalog.node(name)).collect())
    }

    /// The instance with an id on the node of a member.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn instance(&self, catalog: &Catalog, id: &str) -> Result<Option<Arc<Entry>>, ConsulError> {
        let nodes = self.nodes(catalog).await?;
        Ok(nodes.into_iter().find_map(|node| node.instance(id)).cloned())
    }

    /// The check with an id on the node of a member.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn check(&self, catalog: &Catalog, id: &str) -> Result<Option<FoundCheck>, ConsulError> {
        let nodes = self.nodes(catalog).await?;
        Ok(nodes.into_iter().find_map(|node| self.check_on(node, id)))
    }

    /// The check with an id on a node: of the node itself, or of an instance on it.
    #[must_use]
    pub fn check_on(&self, node: &NodeEntry, id: &str) -> Option<FoundCheck> {
        let find = |checks: &[Check]| checks.iter().find(|check| check.definition.id == id).cloned();
        let of_instance = |entry: &Arc<Entry>| {
            let said = &entry.instance.registration;
            Some((
                find(&entry.checks)?,
                Some(said.id.clone()),
                Some(said.service.clone()),
            ))
        };
        let of_node = find(&node.state.checks).map(|check| (check, None, None));
        let (check, instance, service) = of_node.or_else(|| node.instances().find_map(of_instance))?;
        Some(FoundCheck {
            node: node.name().to_owned(),
            instance,
            service,
            check,
        })
    }

    /// Makes the node of this member known, if nobody has yet: what is registered on it needs an address.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn begin_own_node(&self) -> Result<(), ConsulError> {
        Ok(self.announcement.make_in_time().await?)
    }
}
