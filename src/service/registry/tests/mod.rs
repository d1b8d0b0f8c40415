//! The registry on a node of its own, and its catalog by itself.

mod catalog;
mod checks;
mod limits;
mod model;
mod page;
mod registration;
mod renewal;
mod rights;
mod watching;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use super::keys::Owner;
use super::*;
use crate::base::limits::{
    MAXIMUM_INSTANCE_TAGS, MAXIMUM_METADATA_PAIRS, MAXIMUM_METADATA_VALUE_BYTES, MAXIMUM_REGISTRY_NAME_BYTES,
};
use crate::service::testing::{Node as TestNode, PATIENCE};
use crate::state::command::Range;

/// An instance with an address.
fn instance(service: &str, node: &str, id: &str) -> Registration {
    Registration {
        service: service.into(),
        id: id.into(),
        node: node.into(),
        address: "10.0.0.1".into(),
        port: 80,
        ..Registration::default()
    }
}

/// The same, which is gone when nothing is heard of it for the shortest time.
fn mortal(service: &str, node: &str, id: &str) -> Registration {
    Registration {
        ttl_seconds: 1,
        ..instance(service, node, id)
    }
}

fn check(id: &str, status: Status) -> NewCheck {
    NewCheck {
        definition: CheckDefinition {
            id: id.into(),
            name: String::new(),
            notes: String::new(),
            kind: CheckKind::Reported,
        },
        state: state(status),
    }
}

fn state(status: Status) -> CheckState {
    CheckState {
        status,
        output: format!("{status:?}"),
    }
}

fn known_node(name: &str) -> Node {
    Node {
        name: name.into(),
        address: "10.9.9.9".into(),
        ..Node::default()
    }
}

impl TestNode {
    fn registry(&self) -> &Registry {
        &self.services.registry
    }

    async fn register(&self, registration: Registration, claim: Claim) -> Result<Registered, ServiceError> {
        let registered = self.registry().register(registration, claim, &[]).await;
        registered.map(|answered| answered.answer)
    }

    async fn catalog(&self) -> Arc<Catalog> {
        self.registry().catalog(false).await.unwrap()
    }

    /// The ids of all instances with their status, in the order of lists.
    async fn shown(&self) -> Vec<(String, Status)> {
        let (entries, next) = self.catalog().await.page(&Filter::default(), None, 1_000);
        assert_eq!(next, None);
        let shown = entries.iter();
        shown
            .map(|entry| (entry.instance.registration.id.clone(), entry.status()))
            .collect()
    }

    async fn ids(&self) -> Vec<String> {
        self.shown().await.into_iter().map(|(id, _)| id).collect()
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, ServiceError>) -> RegistryError {
    match outcome {
        Err(ServiceError::Registry(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// What a watcher knows: applies what it is told, and holds it to its promises.
struct Watcher {
    watch: ServiceWatch,
    known: BTreeMap<Place, Arc<Entry>>,
    told: Revision,
    last: Revision,
}

impl Watcher {
    async fn open(node: &TestNode, filter: Filter, after: Option<Revision>) -> Self {
        let watch = node.registry().watch(filter, after).await.unwrap();
        Self {
            watch,
            known: BTreeMap::new(),
            told: after.unwrap_or_default(),
            last: after.unwrap_or_default(),
        }
    }

    /// The same, which knows already what another one knew.
    async fn resume(
        node: &TestNode,
        filter: Filter,
        known: BTreeMap<Place, Arc<Entry>>,
        told: Revision,
    ) -> Self {
        if told == Revision(0) {
            return Self::open(node, filter, None).await;
        }
        Self {
            known,
            ..Self::open(node, filter, Some(told)).await
        }
    }

    async fn next(&mut self) -> WatchBatch {
        let batch = timeout(PATIENCE, self.watch.next())
            .await
            .expect("the watch goes on");
        let batch = batch.unwrap();
        for (revision, delta) in &batch.changes {
            let is_new = batch.is_snapshot || *revision > self.told;
            assert!(is_new && *revision >= self.last, "{revision} after {}", self.told);
            self.last = *revision;
            let (Delta::Put(entry) | Delta::Removed(entry)) = delta;
            let registration = &entry.instance.registration;
            let place = Place::new(&registration.service, &registration.node, &registration.id);
            match delta {
                Delta::Put(entry) => {
                    let before = self.known.insert(place, Arc::clone(entry));
                    assert_ne!(before.as_ref(), Some(entry), "told twice");
                }
                Delta::Removed(_) => assert!(self.known.remove(&place).is_some(), "never told of {place:?}"),
            }
        }
        if let Some(revision) = batch.revision {
            assert!(revision >= self.told && revision >= self.last);
            self.told = revision;
        }
        batch
    }

    /// Reads until everything up to a revision is told.
    async fn until(&mut self, revision: Revision) {
        while self.told < revision {
            self.next().await;
        }
    }

    /// Holds what is known against the catalog.
    fn must_know(&self, catalog: &Catalog, filter: &Filter) {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = catalog.page(filter, after.as_ref(), 1_000);
            entries.extend(page);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let known: Vec<&Arc<Entry>> = self.known.values().collect();
        assert_eq!(known, entries.iter().collect::<Vec<_>>());
    }
}
