//! Snapshots of what Consul's interface shows: taken at one revision, and put back by changing only what differs.
//!
//! In a snapshot is all that stays without anybody renewing it: keys with their flags and values, events, prepared queries,
//! rights, and nodes, instances and checks without a time to live. Not in it are sessions, and so locks: what is held stays
//! held, as far as the key is still there. Putting back is many transactions, and so not at one revision; if it fails
//! midway, it can be done again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys::{self, Room};
use super::kv::read_all;
use super::plan::delete;
use super::record::{decode, encode};
use super::{Consul, ConsulError};
use crate::base::{Namespace, Revision};
use crate::service::ServiceError;
use crate::state::ReadView;
use crate::state::command::{Keys, Operation, Put, Txn};

/// Bytes of keys and values in one transaction of a restoration, the last one not counted.
const CHUNK_BYTES: usize = 256 * 1024;
/// Operations in one transaction of a restoration.
const CHUNK_OPERATIONS: usize = 256;

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// What [`Consul::restore`] takes.
    pub content: Bytes,
    /// The revision at which it was taken.
    pub revision: Revision,
}

/// What a snapshot holds: namespace, key and value of each record.
#[derive(Serialize, Deserialize)]
struct Records(Vec<(Namespace, Bytes, Bytes)>);

type ByKey = BTreeMap<(Namespace, Bytes), Bytes>;

/// Whether records of a key are in a snapshot: not those of sessions.
fn is_kept(namespace: Namespace, key: &Bytes) -> bool {
    let fleeting = [Room::Lock, Room::Delay, Room::Session, Room::Alive, Room::Held];
    namespace != Namespace::CONSUL || !fleeting.into_iter().any(|room| room.name(key).is_some())
}

fn read(view: &ReadView) -> Result<ByKey, ConsulError> {
    let mut records = ByKey::new();
    for namespace in [Namespace::CONSUL, Namespace::SERVICES] {
        let all = Keys {
            namespace,
            ..keys::all()
        };
        for found in read_all(view, all, false)? {
            if found.lease.is_none() && is_kept(namespace, &found.key) {
                records.insert((namespace, found.key), found.value);
            }
        }
    }
    Ok(records)
}

impl Consul {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// It is larger than an answer may be, or no quorum in time.
    pub async fn archive(&self, is_stale: bool) -> Result<Archive, ConsulError> {
        let view = self.view(is_stale).await?;
        let revision = view.revision();
        let records = self.records(view).await?;
        let records = records
            .into_iter()
            .map(|((namespace, key), value)| (namespace, key, value));
        Ok(Archive {
            content: encode(&Records(records.collect()))?,
            revision,
        })
    }

    async fn records(&self, view: Arc<ReadView>) -> Result<ByKey, ConsulError> {
        match tokio::task::spawn_blocking(move || read(&view)).await {
            Ok(records) => records,
            Err(_) => Err(ServiceError::Stopped.into()),
        }
    }

    /// Puts back what a snapshot holds: see the module.
    ///
    /// # Errors
    /// It is no snapshot of this version; no space, or no answer in time.
    pub async fn restore(&self, content: &Bytes) -> Result<(), ConsulError> {
        let Records(records) = decode(content).map_err(|error| {
            ConsulError::Invalid(format!(
                "the snapshot cannot be read: {error}; was it taken from Stead?"
            ))
        })?;
        let mut wanted = ByKey::new();
        for (namespace, key, value) in records {
            let is_own = [Namespace::CONSUL, Namespace::SERVICES].contains(&namespace);
            if !is_own || key.is_empty() || !is_kept(namespace, &key) {
                return Err(ConsulError::Invalid(
                    "the snapshot holds what no snapshot of this interface does".into(),
                ));
            }
            wanted.insert((namespace, key), value);
        }
        let there = self.records(self.view(false).await?).await?;
        let mut chunk = Vec::new();
        let mut bytes: usize = 0;
        for ((namespace, key), value) in &wanted {
            if there.get(&(*namespace, key.clone())) == Some(value) {
                continue;
            }
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            chunk.push(Operation::Put(Put {
                namespace: *namespace,
                key: key.clone(),
                value: value.clone(),
                ..Put::default()
            }));
            if bytes > CHUNK_BYTES || chunk.len() >= CHUNK_OPERATIONS {
                self.do_all(std::mem::take(&mut chunk)).await?;
                bytes = 0;
            }
        }
        for (namespace, key) in there.into_keys().filter(|place| !wanted.contains_key(place)) {
            if let (Namespace::CONSUL, Some(name)) = (namespace, Room::Value.name(&key)) {
                chunk.push(delete(Room::Lock.single(&name)));
            }
            let end = Bytes::new();
            chunk.push(delete(Keys { namespace, key, end }));
            if chunk.len() >= CHUNK_OPERATIONS {
                self.do_all(std::mem::take(&mut chunk)).await?;
            }
        }
        self.do_all(chunk).await
    }

    async fn do_all(&self, success: Vec<Operation>) -> Result<(), ConsulError> {
        if !success.is_empty() {
            self.propose(Txn {
                success,
                ..Txn::default()
            })
            .await?;
        }
        Ok(())
    }
}
