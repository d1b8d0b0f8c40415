//! What the catalog is made of: nodes and services, what is stored of checks, and what became of an entry.
//!
//! Never ordered or indexed here: [`super::catalog`] does that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::error::RegistryError;
use super::keys::folded;
use super::model::{Check, CheckDefinition, CheckState, Entry, Instance, NodeState, Status};
use super::record::decode;
use crate::base::Revision;
use crate::state::applied::KeyValue;

/// Where an entry is in the order of lists. The names of service and node are folded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The service.
    pub service: Arc<str>,
    /// The node.
    pub node: Arc<str>,
    /// The id of the instance.
    pub id: Arc<str>,
}

impl Place {
    /// A place by its names, whatever their case.
    #[must_use]
    pub fn new(service: &str, node: &str, id: &str) -> Self {
        Self {
            service: folded(service).into(),
            node: folded(node).into(),
            id: id.into(),
        }
    }

    pub(super) fn of(entry: &Entry) -> Self {
        let registration = &entry.instance.registration;
        Self::new(&registration.service, &registration.node, &registration.id)
    }
}

/// What became of one entry.
#[derive(Debug, Clone)]
pub struct EntryChange {
    /// As it was; none: it was not there.
    pub before: Option<Arc<Entry>>,
    /// As it is; none: it is gone.
    pub after: Option<Arc<Entry>>,
}

/// All that changed at one revision.
#[derive(Debug, Clone)]
pub struct Change {
    /// The revision.
    pub revision: Revision,
    /// The entries.
    pub entries: Vec<EntryChange>,
}

/// What is known of a node: itself, and what is on it.
#[derive(Debug, Clone, Default)]
pub struct NodeEntry {
    pub(super) key: Arc<str>,
    /// The node itself.
    pub state: Arc<NodeState>,
    /// The revision at which something of it or on it changed last.
    pub changed: Revision,
    pub(super) checks: Checks,
    pub(super) instances: RedBlackTreeMapSync<Arc<str>, Arc<Parts>>,
}

impl NodeEntry {
    /// Its name as it was registered, else as the first of its instances has it.
    #[must_use]
    pub fn name(&self) -> &str {
        match (&self.state.known, self.instances().next()) {
            (Some(known), _) => &known.node.name,
            (None, Some(entry)) => &entry.instance.registration.node,
            (None, None) => &self.key,
        }
    }

    /// Its instances, by id.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.instances.values().filter_map(|parts| parts.entry.as_ref())
    }

    /// An instance on it.
    #[must_use]
    pub fn instance(&self, id: &str) -> Option<&Arc<Entry>> {
        self.instances.get(id)?.entry.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.known.is_none() && self.checks.is_empty() && self.instances.is_empty()
    }
}

/// The instances of a service.
#[derive(Debug, Clone, Default)]
pub struct ServiceEntry {
    pub(super) key: Arc<str>,
    /// The revision at which one of its instances changed last, or went.
    pub changed: Revision,
    pub(super) entries: RedBlackTreeMapSync<(Arc<str>, Arc<str>), Arc<Entry>>,
}

impl ServiceEntry {
    /// Its name, as the first of its instances has it.
    #[must_use]
    pub fn name(&self) -> &str {
        let first = self.entries().next();
        first.map_or(&self.key, |entry| &entry.instance.registration.service)
    }

    /// Its instances, by node and id.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// How many they are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries.size()
    }
}

/// What is stored of the checks of one owner. A definition may come before its state, and the other way round.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks {
    definitions: BTreeMap<Arc<str>, (Arc<CheckDefinition>, Revision, Revision)>,
    states: BTreeMap<Arc<str>, (Arc<CheckState>, Revision)>,
}

impl Checks {
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.states.is_empty()
    }

    /// The checks whose definition and state are there.
    pub fn complete(&self) -> Vec<Check> {
        let checks = self.definitions.iter().filter_map(|(id, definition)| {
            let (definition, create_revision, modified) = definition;
            let (state, said) = self.states.get(id)?;
            Some(Check {
                definition: Arc::clone(definition),
                state: Arc::clone(state),
                create_revision: *create_revision,
                definition_revision: *modified,
                state_revision: *said,
            })
        });
        checks.collect()
    }

    pub fn define(&mut self, id: &str, stored: Option<&KeyValue>) -> Result<(), RegistryError> {
        match stored {
            Some(stored) => {
                let definition = Arc::new(decode(&stored.value)?);
                let (created, modified) = (stored.create_revision, stored.modification_revision);
                self.definitions
                    .insert(id.into(), (definition, created, modified));
            }
            None => {
                self.definitions.remove(id);
            }
        }
        Ok(())
    }

    pub fn say(&mut self, id: &str, stored: Option<&KeyValue>) -> Result<(), RegistryError> {
        match stored {
            Some(stored) => {
                let state = Arc::new(decode(&stored.value)?);
                self.states
                    .insert(id.into(), (state, stored.modification_revision));
            }
            None => {
                self.states.remove(id);
            }
        }
        Ok(())
    }
}

/// What is stored of one instance, and the entry that it makes.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    pub instance: Option<Arc<Instance>>,
    pub checks: Checks,
    pub entry: Option<Arc<Entry>>,
}

/// The summary of a service for lists of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// All tags of its instances, each once.
    pub tags: BTreeSet<String>,
    /// How many instances pass all checks.
    pub passing: usize,
}

impl ServiceEntry {
    /// Its summary.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let tags = self
            .entries()
            .flat_map(|entry| entry.instance.registration.tags.iter());
        Summary {
            tags: tags.cloned().collect(),
            passing: self
                .entries()
                .filter(|entry| entry.status() == Status::Passing)
                .count(),
        }
    }
}
