//! All checks for which the cluster has something to do, as this member knows them, and since when they are as they are.
//!
//! Kept from one catalog to the next: only nodes that changed are looked at. Times are those at which this member saw a
//! change, on its own clock. Never waits and never writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::heard::number;
use crate::base::Revision;
use crate::service::registry::{Catalog, Check, CheckPlace, NodeEntry, Status};

/// What is known of a check.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// It, as in the newest catalog.
    pub check: Check,
    /// Its number.
    pub number: u64,
    /// The epoch of its instance; none if it is of a node.
    pub epoch: Option<Revision>,
    /// Since when it, or its state, has been written as it is.
    pub since: Instant,
    /// Since when it has been critical, if it is.
    pub critical_since: Option<Instant>,
    /// When something was last done about it by the leader.
    pub tried: Option<Instant>,
}

/// Names a check on a node: the instance, if it is of one, and the check.
type Name = (Option<Arc<str>>, Arc<str>);

/// All active checks.
#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: BTreeMap<Arc<str>, BTreeMap<Name, Known>>,
    at: Revision,
}

impl Table {
    /// Brings it up to date; whether anything changed.
    pub fn refresh(&mut self, catalog: &Catalog, now: Instant) -> bool {
        if catalog.revision() == Revision(0) || catalog.changed() <= self.at {
            return false;
        }
        self.nodes.retain(|node, _| catalog.node(node).is_some());
        for node in catalog.nodes().filter(|node| node.changed > self.at) {
            let name: Arc<str> = node.name().to_ascii_lowercase().into();
            let before = self.nodes.remove(&name).unwrap_or_default();
            let checks = checks_of(node, &name, &before, now);
            if !checks.is_empty() {
                self.nodes.insert(name, checks);
            }
        }
        self.at = catalog.changed();
        true
    }

    /// All checks, by place.
    pub fn iter(&self) -> impl Iterator<Item = (CheckPlace, &Known)> {
        self.nodes
            .iter()
            .flat_map(|(node, checks)| checks.iter().map(move |(name, known)| (place(node, name), known)))
    }

    /// All checks, by place, to note what was done about them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (CheckPlace, &mut Known)> {
        self.nodes.iter_mut().flat_map(|(node, checks)| {
            checks
                .iter_mut()
                .map(move |(name, known)| (place(node, name), known))
        })
    }
}

fn place(node: &Arc<str>, (instance, check): &Name) -> CheckPlace {
    CheckPlace {
        node: Arc::clone(node),
        instance: instance.clone(),
        check: Arc::clone(check),
    }
}

fn checks_of(
    node: &NodeEntry,
    name: &Arc<str>,
    before: &BTreeMap<Name, Known>,
    now: Instant,
) -> BTreeMap<Name, Known> {
    let own = node.state.checks.iter().map(|check| (None, None, check));
    let with_checks = node.instances().filter(|entry| !entry.checks.is_empty());
    let of_instances = with_checks.flat_map(|entry| {
        let instance = &entry.instance;
        let id: Arc<str> = instance.registration.id.as_str().into();
        entry
            .checks
            .iter()
            .map(move |check| (Some(Arc::clone(&id)), Some(instance.epoch), check))
    });
    own.chain(of_instances)
        .filter(|(_, _, check)| check.definition.kind.is_active())
        .map(|(id, epoch, check)| {
            let key: Name = (id, check.definition.id.as_str().into());
            let known = match before.get(&key) {
                Some(before) => brought_on(before, check, epoch, now),
                None => Known {
                    check: check.clone(),
                    number: number(&place(name, &key)),
                    epoch,
                    since: now,
                    critical_since: (check.state.status == Status::Critical).then_some(now),
                    tried: None,
                },
            };
            (key, known)
        })
        .collect()
}

fn brought_on(before: &Known, check: &Check, epoch: Option<Revision>, now: Instant) -> Known {
    let is_same = before.check.modification_revision() == check.modification_revision();
    let is_critical = check.state.status == Status::Critical;
    let critical_since = before.critical_since.filter(|_| before.epoch == epoch);
    Known {
        check: check.clone(),
        number: before.number,
        epoch,
        since: if is_same { before.since } else { now },
        critical_since: is_critical.then(|| critical_since.unwrap_or(now)),
        tried: before.tried,
    }
}
