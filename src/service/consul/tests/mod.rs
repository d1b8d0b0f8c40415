//! A node of its own for each claim.

mod archive;
mod entries;
mod kv;
mod session;
mod txn;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::kv::{Condition, Pair};
use super::session::{Behavior, NewSession};
use super::{Consul, ConsulError};
use crate::base::Revision;
use crate::service::testing::Node;

/// A session without anything that ends it.
pub(super) fn endless() -> NewSession {
    NewSession {
        name: "test".into(),
        node: None,
        lock_delay: Duration::ZERO,
        behavior: Behavior::Release,
        ttl: None,
        node_checks: Some(Vec::new()),
        service_checks: Vec::new(),
    }
}

/// A node with its Consul interface.
pub(super) async fn start() -> (Node, Consul) {
    let node = Node::start().await;
    let consul = node.services.consul.clone();
    (node, consul)
}

/// A key as it is.
pub(super) async fn get(consul: &Consul, key: &str) -> Option<Pair> {
    consul.pair(key.as_bytes(), false, true).await.unwrap().content
}

/// Writes a key under a condition.
pub(super) async fn put(consul: &Consul, key: &str, value: &'static str, condition: Condition) -> bool {
    let value = Bytes::from(value);
    consul.put(key.as_bytes(), 0, value, condition).await.unwrap()
}

/// The index of a prefix.
pub(super) async fn index(consul: &Consul, prefix: &str) -> Revision {
    consul.pairs(prefix.as_bytes(), false, true).await.unwrap().index
}

/// Locks a key.
pub(super) async fn lock(consul: &Consul, key: &str, session: Uuid) -> bool {
    put(consul, key, "locked", Condition::Acquire(session)).await
}
