//! A change that is decided on what is there, and done in one transaction if it is still so.
//!
//! A [`Plan`] reads from one state, remembers what it has seen, sees its own writes, and becomes a transaction that is
//! bound to what it saw. A decision that writes is committed; if somebody was faster, it is made anew. One that writes
//! nothing ("somebody else has the lock") is believed only on a state that holds all that was acknowledged, so that no
//! answer is older than the question.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;

use super::keys::{self, Room};
use super::{Consul, ConsulError};
use crate::base::limits::MAXIMUM_CONSUL_TXN_KEYS;
use crate::base::{LeaseId, Namespace, Revision};
use crate::service::auth::Caller;
use crate::state::ReadView;
use crate::state::applied::{KeyValue, TxnAnswer};
use crate::state::command::{
    Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Range, Txn,
};

/// How often a change is decided anew because somebody was faster.
const MAXIMUM_ATTEMPTS: u32 = 64;
/// Longest pause before that, for each time it happened.
const PAUSE_MICROSECONDS: u64 = 500;

/// The revision of what a plan writes, until it is done.
pub(super) const OWN_REVISION: Revision = Revision(i64::MAX);

/// What is at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub value: Bytes,
    pub create: Revision,
    pub modified: Revision,
}

impl From<KeyValue> for Found {
    fn from(found: KeyValue) -> Self {
        Self {
            value: found.value,
            create: found.create_revision,
            modified: found.modification_revision,
        }
    }
}

/// See the module.
pub(super) struct Plan<'view> {
    view: &'view ReadView,
    seen: BTreeMap<Bytes, Revision>,
    /// Ranges of which the plan has seen all.
    seen_whole: Vec<Keys>,
    written: BTreeMap<Bytes, Option<Found>>,
    operations: Vec<Operation>,
    is_given_up: bool,
}

impl<'view> Plan<'view> {
    pub fn new(view: &'view ReadView) -> Self {
        Self {
            view,
            seen: BTreeMap::new(),
            seen_whole: Vec::new(),
            written: BTreeMap::new(),
            operations: Vec::new(),
            is_given_up: false,
        }
    }

    /// What is at a key, after all that the plan has done so far.
    pub fn get(&mut self, key: &Bytes) -> Result<Option<Found>, ConsulError> {
        if let Some(written) = self.written.get(key) {
            return Ok(written.clone());
        }
        let range = Range {
            keys: keys::keys(key.clone(), Bytes::new()),
            ..Range::default()
        };
        let found = self.view.range(&range)??.key_values.into_iter().next();
        let modified = found
            .as_ref()
            .map_or(Revision(0), |found| found.modification_revision);
        self.seen.insert(key.clone(), modified);
        Ok(found.map(Found::from))
    }

    /// All keys in a range, after all that the plan has done so far.
    ///
    /// # Errors
    /// There are more than a transaction may be bound to.
    pub fn list(&mut self, keys: Keys) -> Result<BTreeMap<Bytes, Found>, ConsulError> {
        let range = Range {
            keys: keys.clone(),
            ..Range::default()
        };
        let page = self
            .view
            .range_page(&range, MAXIMUM_CONSUL_TXN_KEYS, usize::MAX)??;
        if page.more {
            return Err(ConsulError::TooLarge(format!(
                "A transaction that writes may read at most {MAXIMUM_CONSUL_TXN_KEYS} keys of one prefix"
            )));
        }
        let mut found: BTreeMap<Bytes, Found> = BTreeMap::new();
        for key_value in page.key_values {
            if !self.written.contains_key(&key_value.key) {
                self.seen
                    .insert(key_value.key.clone(), key_value.modification_revision);
            }
            found.insert(key_value.key.clone(), key_value.into());
        }
        let own = self.written.range(keys.key.clone()..keys.end.clone());
        for (key, written) in own {
            match written {
                Some(written) => found.insert(key.clone(), written.clone()),
                None => found.remove(key),
            };
        }
        self.seen_whole.push(keys);
        Ok(found)
    }

    /// Writes a key.
    pub fn put(&mut self, key: Bytes, value: Bytes, lease: LeaseId) -> Result<(), ConsulError> {
        let before = self.get(&key)?;
        let found = Found {
            value: value.clone(),
            create: before.map_or(OWN_REVISION, |before| before.create),
            modified: OWN_REVISION,
        };
        self.written.insert(key.clone(), Some(found));
        self.operations.push(Operation::Put(Put {
            namespace: Namespace::CONSUL,
            key,
            value,
            lease,
            ..Put::default()
        }));
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, key: Bytes) {
        self.written.insert(key.clone(), None);
        self.operations.push(delete(keys::keys(key, Bytes::new())));
    }

    /// Removes all keys of a range.
    ///
    /// # Errors
    /// There are more than a transaction may be bound to.
    pub fn remove_all(&mut self, keys: Keys) -> Result<(), ConsulError> {
        let there: Vec<Bytes> = self.list(keys.clone())?.into_keys().collect();
        if !there.is_empty() {
            self.written.extend(there.into_iter().map(|key| (key, None)));
            self.operations.push(delete(keys));
        }
        Ok(())
    }

    /// Nothing of it is to be done: the decision is an answer.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
    }

    fn writes(&self) -> bool {
        !self.operations.is_empty() && !self.is_given_up
    }

    fn into_txn(self) -> Txn {
        let as_seen = |(key, revision): (Bytes, Revision)| Compare {
            keys: keys::keys(key, Bytes::new()),
            comparison: Comparison::Equal,
            target: CompareTarget::Modification(revision),
        };
        let after = Revision(self.view.revision().0.saturating_add(1));
        let nothing_new = |keys: Keys| Compare {
            keys,
            comparison: Comparison::Less,
            target: CompareTarget::Modification(after),
        };
        let seen = self.seen.into_iter().map(as_seen);
        Txn {
            compare: seen.chain(self.seen_whole.into_iter().map(nothing_new)).collect(),
            success: self.operations,
            failure: Vec::new(),
        }
    }
}

/// Removes a range.
pub(super) fn delete(keys: Keys) -> Operation {
    Operation::DeleteRange(DeleteRange {
        keys,
        previous: false,
    })
}

impl Consul {
    /// Does what `decide` decides: its answer, with the revision of what was written, or at which nothing was to be.
    ///
    /// # Errors
    /// Those of `decide`, too many others were faster, no space, or no answer in time.
    pub(super) async fn change<T>(
        &self,
        decide: impl Fn(&mut Plan<'_>) -> Result<T, ConsulError>,
    ) -> Result<(T, Revision), ConsulError> {
        let mut view = self.view(true).await?;
        let mut is_fresh = false;
        for attempt in 1..=MAXIMUM_ATTEMPTS {
            // A plan is not held across an await.
            let decided = {
                let mut plan = Plan::new(&view);
                match decide(&mut plan) {
                    Ok(answer) if plan.writes() => Ok((answer, Some(plan.into_txn()))),
                    decided => decided.map(|answer| (answer, None)),
                }
            };
            match decided {
                Ok((answer, Some(txn))) => {
                    if let Some(done) = self.commit(txn).await? {
                        return Ok((answer, done.revision));
                    }
                    pause(attempt).await;
                }
                Ok((answer, None)) if is_fresh => return Ok((answer, view.revision())),
                Err(error) if is_fresh => return Err(error),
                Ok((_, None)) | Err(_) => {}
            }
            view = self.view(false).await?;
            is_fresh = true;
        }
        Err(ConsulError::Failed(format!(
            "others changed the same keys {MAXIMUM_ATTEMPTS} times meanwhile; try again"
        )))
    }

    /// Proposes a transaction; its answer, none if its conditions did not hold.
    pub(super) async fn commit(&self, txn: Txn) -> Result<Option<TxnAnswer>, ConsulError> {
        let answer = self.propose(txn).await?;
        Ok(answer.succeeded.then_some(answer))
    }

    /// Proposes a transaction; its answer, whichever way it went.
    pub(super) async fn propose(&self, txn: Txn) -> Result<TxnAnswer, ConsulError> {
        Ok(self.core.transact(&Caller::node(), txn).await?)
    }

    /// Ends a lease that nothing hangs on any more, in its own time.
    pub(super) fn leave(&self, lease: LeaseId) {
        if !lease.is_none() {
            let leases = self.leases.clone();
            tokio::spawn(async move {
                if let Err(error) = leases.revoke(lease).await {
                    tracing::debug!(%error, %lease, "the lease of a session ends by itself");
                }
            });
        }
    }
}

async fn pause(attempt: u32) {
    let longest = PAUSE_MICROSECONDS.saturating_mul(attempt.into());
    let pause = rand::rng().random_range(0..=longest);
    tokio::time::sleep(Duration::from_micros(pause)).await;
}

/// The key of a session.
pub(super) fn session_key(session: uuid::Uuid) -> Bytes {
    Room::Session.key(session.as_bytes())
}
