//! The transaction of a draft: encrypted, proposed, and true only if nothing that was read has changed.
//!
//! Records that end by themselves get a lease of the store of their own, which is granted first; the lease of a record that
//! is replaced or removed is ended afterwards. Never tries again: whoever made the draft does, or makes another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::draft::{Draft, Seen, Write};
use super::keys;
use crate::base::{LeaseId, Revision};
use crate::service::ServiceError;
use crate::service::core::Core;
use crate::service::lease::Leases;
use crate::service::secrets::barrier::cipher::Place;
use crate::service::secrets::error::SecretsError;
use crate::state::applied::{Answer, KeyValue, Refusal};
use crate::state::command::{Command, Compare, CompareTarget, Comparison, DeleteRange, Operation, Put, Txn};

/// What became of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is written, at that revision.
    Written(Revision),
    /// Something that it read has changed: nothing is written.
    Conflict,
}

impl Draft {
    /// Writes what is to be written. Where there was no answer it can be tried again: what was written is a conflict then.
    ///
    /// # Errors
    /// It cannot be encrypted, the store takes no more, or no answer in time; then it may have been written.
    pub(in crate::service) async fn commit(
        &mut self,
        core: &Arc<Core>,
        leases: &Leases,
    ) -> Result<Committed, SecretsError> {
        let keys: Vec<Bytes> = self.writes.keys().cloned().collect();
        for key in keys {
            if !self.seen.contains_key(&key) {
                self.read(key, true)?;
            }
        }
        let mut granted = Vec::new();
        let outcome = self.propose(core, leases, &mut granted).await;
        let left: Vec<LeaseId> = match outcome {
            Ok(Committed::Written(_)) => {
                let replaced = self.writes.keys().filter_map(|key| self.seen.get(key));
                let replaced = replaced.map(|seen| seen.lease);
                replaced.filter(|lease| !lease.is_none()).collect()
            }
            Ok(Committed::Conflict) => granted,
            // What had no answer may be written, and hang on its lease: that ends by itself if not.
            Err(_) => Vec::new(),
        };
        if !left.is_empty() {
            tokio::spawn(end(Arc::clone(core), left));
        }
        outcome
    }

    async fn propose(
        &self,
        core: &Core,
        leases: &Leases,
        granted: &mut Vec<LeaseId>,
    ) -> Result<Committed, SecretsError> {
        let compare = self
            .seen
            .iter()
            .map(|(key, seen)| unchanged(key, *seen))
            .collect();
        let mut success = Vec::with_capacity(self.writes.len());
        for (key, write) in &self.writes {
            success.push(match write {
                Write::Delete => Operation::DeleteRange(DeleteRange {
                    keys: keys::single(key.clone()),
                    previous: false,
                }),
                Write::Plain(value) => Operation::Put(Put {
                    namespace: keys::single(key.clone()).namespace,
                    key: key.clone(),
                    value: value.clone(),
                    ..Put::default()
                }),
                Write::Put { plaintext, ttl } => {
                    let seen = self.seen.get(key).copied().unwrap_or_default();
                    let place = Place {
                        storage_key: key,
                        version: u64::try_from(seen.version).unwrap_or_default() + 1,
                    };
                    let value = Bytes::from(self.unsealed.encrypt(place, plaintext.expose())?);
                    let lease = match ttl {
                        Some(ttl) => grant(leases, *ttl, granted).await?,
                        None => LeaseId::NONE,
                    };
                    Operation::Put(Put {
                        namespace: keys::single(key.clone()).namespace,
                        key: key.clone(),
                        value,
                        lease,
                        ..Put::default()
                    })
                }
            });
        }
        let txn = Txn {
            compare,
            success,
            failure: Vec::new(),
        };
        decided(core, txn).await
    }
}

/// Writes what is no secret in place of a record, and beside it, without any key; only if the record has not changed.
///
/// # Errors
/// The store takes no more, or no answer in time; then it may have been written.
pub(in crate::service) async fn replace_plain(
    core: &Core,
    before: &KeyValue,
    writes: impl IntoIterator<Item = (&'static [u8], Bytes)>,
) -> Result<Committed, SecretsError> {
    let put = |(key, value): (&'static [u8], Bytes)| {
        let key = Bytes::from_static(key);
        Operation::Put(Put {
            namespace: keys::single(key.clone()).namespace,
            key,
            value,
            ..Put::default()
        })
    };
    let seen = Seen {
        revision: before.modification_revision,
        ..Seen::default()
    };
    let txn = Txn {
        compare: vec![unchanged(&before.key, seen)],
        success: writes.into_iter().map(put).collect(),
        failure: Vec::new(),
    };
    decided(core, txn).await
}

/// Proposes a transaction; whether what it compares was so.
async fn decided(core: &Core, txn: Txn) -> Result<Committed, SecretsError> {
    core.admission.txn(&txn)?;
    let pick = |answer| match answer {
        Answer::Txn(txn) => Some(txn),
        _ => None,
    };
    match core.propose(Command::Txn(txn).by_node(), pick).await {
        Ok((revision, answer)) if answer.succeeded => Ok(Committed::Written(revision)),
        Ok(_) | Err(ServiceError::Refused(Refusal::LeaseNotFound)) => Ok(Committed::Conflict),
        Err(error) => Err(error.into()),
    }
}

/// A lease of the store that lasts at least that long.
async fn grant(leases: &Leases, ttl: Duration, granted: &mut Vec<LeaseId>) -> Result<LeaseId, SecretsError> {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let seconds = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
    let lease = leases.grant_own(seconds).await?;
    granted.push(lease);
    Ok(lease)
}

fn unchanged(key: &Bytes, seen: Seen) -> Compare {
    Compare {
        keys: keys::single(key.clone()),
        comparison: Comparison::Equal,
        target: CompareTarget::Modification(seen.revision),
    }
}

async fn end(core: Arc<Core>, leases: Vec<LeaseId>) {
    for id in leases {
        let revoke = Command::LeaseRevoke { id }.by_node();
        let pick = |answer| matches!(answer, Answer::LeaseRevoke).then_some(());
        if let Err(error) = core.propose(revoke, pick).await {
            tracing::debug!(%error, "a lease that nothing hangs on ends by itself");
        }
    }
}
