//! The catalog: all nodes, instances and checks at one revision, in memory, by service and by node.
//!
//! Immutable once it is published; the next one shares with it all that has not changed. It is built from what the store
//! holds in the namespace, and brought on by the changes of one revision after the other ([`Catalog::apply`]), which says
//! which entries changed. Both lists, of a service and of a node, are ranges of an ordered map.
//!
//! Never reads the store and never waits: [`super::follow`] does both.

use std::collections::BTreeSet;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::entries::{Change, Checks, EntryChange, NodeEntry, Parts, Place, ServiceEntry};
use super::error::RegistryError;
use super::keys::{self, Key, Owner, folded};
use super::model::Entry;
use super::record::{read_instance, read_node};
use crate::base::{LeaseId, Revision};
use crate::state::applied::{EventKind, KeyValue};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    revision: Revision,
    pub(super) nodes: RedBlackTreeMapSync<Arc<str>, Arc<NodeEntry>>,
    pub(super) services: RedBlackTreeMapSync<Arc<str>, Arc<ServiceEntry>>,
    leases: RedBlackTreeMapSync<LeaseId, (Arc<str>, Arc<str>)>,
    pub(super) instances: usize,
    services_gone: Revision,
    changed: Revision,
    registered: Revision,
    nodes_changed: Revision,
}

impl Catalog {
    /// An empty one at a revision.
    pub(super) fn empty(revision: Revision) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// The revision it is at: it shows all changes up to it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The revision at which anything in it changed last.
    #[must_use]
    pub fn changed(&self) -> Revision {
        self.changed
    }

    /// The revision at which an instance was registered or went last.
    #[must_use]
    pub fn registered(&self) -> Revision {
        self.registered
    }

    /// The revision at which a node was registered, or went, last, with those that are there by their instances alone.
    #[must_use]
    pub fn nodes_changed(&self) -> Revision {
        self.nodes_changed
    }

    /// How many instances there are.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// All nodes by name: those that were registered, and those that have instances or checks.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeEntry>> {
        self.nodes.values()
    }

    /// A node by its name, whatever the case.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<NodeEntry>> {
        self.nodes.get(folded(name).as_str())
    }

    /// All services that have instances, by name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        self.services.values()
    }

    /// A service by its name, whatever the case.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceEntry>> {
        self.services.get(folded(name).as_str())
    }

    /// The revision at which the instances of a service changed last, which only grows: for one that has none, the
    /// revision at which a service lost its last instance.
    #[must_use]
    pub fn service_changed(&self, name: &str) -> Revision {
        self.service(name)
            .map_or(self.services_gone, |service| service.changed)
    }

    /// One instance.
    #[must_use]
    pub fn entry(&self, node: &str, id: &str) -> Option<&Arc<Entry>> {
        self.node(node)?.instance(id)
    }

    /// Whether an instance hangs on a lease.
    #[must_use]
    pub fn has_lease(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// Moves on to a revision at which nothing changed.
    pub(super) fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Applies all changes of one revision; what became of the entries.
    ///
    /// # Errors
    /// A record cannot be read.
    pub(super) fn apply<'event>(
        &mut self,
        revision: Revision,
        events: impl IntoIterator<Item = (EventKind, &'event KeyValue)>,
    ) -> Result<Change, RegistryError> {
        self.revision = revision;
        let mut touched = Touched::default();
        for (kind, key_value) in events {
            let stored = (kind == EventKind::Put).then_some(key_value);
            match keys::parse(&key_value.key) {
                None => {
                    let key = String::from_utf8_lossy(&key_value.key).into_owned();
                    return Err(RegistryError::Unreadable(format!("unknown key {key:?}")));
                }
                Some(Key::Fence) => continue,
                Some(key) => self.learn(key, stored, &mut touched)?,
            }
        }
        if !touched.is_empty() {
            self.changed = revision;
        }
        let entries = self.rebuild(revision, touched);
        Ok(Change { revision, entries })
    }

    /// Takes one record in, or out.
    fn learn(
        &mut self,
        key: Key<'_>,
        stored: Option<&KeyValue>,
        touched: &mut Touched,
    ) -> Result<(), RegistryError> {
        match key {
            Key::Fence => {}
            Key::Node(name) => {
                self.nodes_changed = self.revision;
                let known = stored.map(read_node).transpose()?;
                self.with_node(name, |node| Arc::make_mut(&mut node.state).known = known);
                touched.nodes.insert(name.into());
            }
            Key::Instance(node, id) => {
                self.registered = self.revision;
                let instance = stored.map(read_instance).transpose()?.map(Arc::new);
                self.with_parts(node, id, |parts| parts.instance = instance);
                touched.instances.insert((node.into(), id.into()));
            }
            Key::Check(owner, check) => {
                self.with_checks(owner, touched, |checks| checks.define(check, stored))?
            }
            Key::State(owner, check) => {
                self.with_checks(owner, touched, |checks| checks.say(check, stored))?
            }
        }
        Ok(())
    }

    fn with_checks(
        &mut self,
        owner: Owner<'_>,
        touched: &mut Touched,
        change: impl FnOnce(&mut Checks) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        match owner.instance {
            Some(id) => {
                touched.instances.insert((owner.node.into(), id.into()));
                self.with_parts(owner.node, id, |parts| change(&mut parts.checks))
            }
            None => {
                touched.nodes.insert(owner.node.into());
                self.with_node(owner.node, |node| change(&mut node.checks))
            }
        }
    }

    /// Changes a node; one that is not there is made, one that is empty after that is removed in [`Catalog::rebuild`].
    fn with_node<T>(&mut self, name: &str, change: impl FnOnce(&mut NodeEntry) -> T) -> T {
        if !self.nodes.contains_key(name) {
            self.nodes_changed = self.revision;
            let node = NodeEntry {
                key: name.into(),
                ..NodeEntry::default()
            };
            self.nodes.insert_mut(name.into(), Arc::new(node));
        }
        let mut node = self.nodes.get(name).cloned().unwrap_or_default();
        let changed = change(Arc::make_mut(&mut node));
        self.nodes.insert_mut(name.into(), node);
        changed
    }

    fn with_parts<T>(&mut self, node: &str, id: &str, change: impl FnOnce(&mut Parts) -> T) -> T {
        self.with_node(node, |node| {
            let mut parts = node.instances.get(id).cloned().unwrap_or_default();
            let changed = change(Arc::make_mut(&mut parts));
            node.instances.insert_mut(id.into(), parts);
            changed
        })
    }

    /// Makes the entries of what was touched anew.
    fn rebuild(&mut self, revision: Revision, touched: Touched) -> Vec<EntryChange> {
        let mut instances = touched.instances;
        for name in &touched.nodes {
            let on_node = self.with_node(name, |node| {
                Arc::make_mut(&mut node.state).checks = node.checks.complete();
                node.changed = revision;
                node.instances.keys().cloned().collect::<Vec<_>>()
            });
            instances.extend(on_node.into_iter().map(|id| (Arc::clone(name), id)));
        }
        let mut nodes = touched.nodes;
        let mut changes = Vec::new();
        for (name, id) in instances {
            let (before, after) = self.with_node(&name, |node| {
                node.changed = revision;
                let mut parts = node.instances.get(&id).cloned().unwrap_or_default();
                let own = Arc::make_mut(&mut parts);
                let after = own.instance.as_ref().map(|instance| {
                    Arc::new(Entry {
                        instance: Arc::clone(instance),
                        checks: own.checks.complete(),
                        node: Arc::clone(&node.state),
                    })
                });
                let before = std::mem::replace(&mut own.entry, after.clone());
                if own.instance.is_none() && own.checks.is_empty() {
                    node.instances.remove_mut(&id);
                } else {
                    node.instances.insert_mut(Arc::clone(&id), parts);
                }
                (before, after)
            });
            nodes.insert(name);
            self.index(revision, before, after, &mut changes);
        }
        for name in nodes {
            if self.nodes.get(&name).is_some_and(|node| node.is_empty()) {
                self.nodes_changed = revision;
                self.nodes.remove_mut(&name);
            }
        }
        changes
    }

    /// Brings the lists by service and by lease up to date.
    fn index(
        &mut self,
        revision: Revision,
        before: Option<Arc<Entry>>,
        after: Option<Arc<Entry>>,
        changes: &mut Vec<EntryChange>,
    ) {
        if let Some(before) = &before {
            self.instances -= 1;
            self.leases.remove_mut(&before.instance.lease);
            let place = Place::of(before);
            let is_empty = self.with_service(&place.service, |service| {
                service.changed = revision;
                service.entries.remove_mut(&(place.node, place.id));
                service.entries.is_empty()
            });
            let stays = after
                .as_ref()
                .is_some_and(|after| Place::of(after).service == place.service);
            if is_empty && !stays {
                self.services.remove_mut(&place.service);
                self.services_gone = revision;
            }
        }
        if let Some(after) = &after {
            self.instances += 1;
            let place = Place::of(after);
            let lease = after.instance.lease;
            if !lease.is_none() {
                self.leases
                    .insert_mut(lease, (Arc::clone(&place.node), Arc::clone(&place.id)));
            }
            self.with_service(&place.service, |service| {
                service.changed = revision;
                service
                    .entries
                    .insert_mut((place.node, place.id), Arc::clone(after));
            });
        }
        let has_moved = match (&before, &after) {
            (Some(before), Some(after)) => Place::of(before) != Place::of(after),
            _ => false,
        };
        match has_moved {
            // Whoever knows it by its old place has to forget that.
            true => changes.extend([
                EntryChange { before, after: None },
                EntryChange { before: None, after },
            ]),
            false if before.is_none() && after.is_none() => {}
            false => changes.push(EntryChange { before, after }),
        }
    }

    fn with_service<T>(&mut self, key: &Arc<str>, change: impl FnOnce(&mut ServiceEntry) -> T) -> T {
        let mut service = match self.services.get(key) {
            Some(service) => Arc::clone(service),
            None => Arc::new(ServiceEntry {
                key: Arc::clone(key),
                ..ServiceEntry::default()
            }),
        };
        let changed = change(Arc::make_mut(&mut service));
        self.services.insert_mut(Arc::clone(key), service);
        changed
    }
}

/// What the changes of one revision were about.
#[derive(Default)]
struct Touched {
    nodes: BTreeSet<Arc<str>>,
    instances: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.instances.is_empty()
    }
}
