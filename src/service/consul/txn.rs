//! Transactions on keys and entries of the catalog: all operations or none, each seeing those before it.
//!
//! One that only reads is read at one revision. One that writes is a `Plan`: decided on what is there, and bound to it.
//! If an operation fails, nothing is done, and all that fail are told.

use bytes::Bytes;
use uuid::Uuid;

use super::acl::Authorizer;
use super::catalog::{self, EntryOperation, ShownEntry};
use super::keys::Room;
use super::pair::{Pair, check_value};
use super::plan::{OWN_REVISION, Plan};
use super::{Consul, ConsulError};
use crate::base::Revision;
use crate::base::limits::MAXIMUM_CONSUL_TXN_OPERATIONS;

/// What is done with a key, or asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Write it.
    Set,
    /// Write it if its last change was at a revision; 0: if it is not there.
    SetAt(u64),
    /// Lock it for a session, and write it.
    Lock(Uuid),
    /// Unlock it, and write it.
    Unlock(Uuid),
    /// Show it; it must be there.
    Get,
    /// Show it, there or not.
    GetOrEmpty,
    /// Show all keys that begin with it.
    GetTree,
    /// Its last change must have been at a revision.
    CheckIndex(u64),
    /// It must be locked by a session.
    CheckSession(Uuid),
    /// It must not be there.
    CheckNotExists,
    /// Remove it.
    Delete,
    /// Remove all keys that begin with it.
    DeleteTree,
    /// Remove it if its last change was at a revision.
    DeleteAt(u64),
}

impl Verb {
    /// Whether it changes nothing.
    #[must_use]
    pub fn only_reads(self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::GetOrEmpty
                | Self::GetTree
                | Self::CheckIndex(_)
                | Self::CheckSession(_)
                | Self::CheckNotExists
        )
    }
}

/// An operation on keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOperation {
    /// What.
    pub verb: Verb,
    /// With which key.
    pub key: Bytes,
    /// What is written.
    pub value: Bytes,
    /// What is written beside it.
    pub flags: u64,
}

/// An operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOperation {
    /// On keys.
    Key(KeyOperation),
    /// On the catalog.
    Entry(EntryOperation),
}

impl TxnOperation {
    /// Whether it changes nothing.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Key(operation) => operation.verb.only_reads(),
            Self::Entry(operation) => operation.only_reads(),
        }
    }
}

/// What an operation shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A key with its value.
    Whole(Pair),
    /// A key that was written, without its value.
    Written(Pair),
    /// An entry of the catalog.
    Entry(Box<ShownEntry>),
}

/// What became of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the operations show, in their order; of one that failed, nothing.
    pub shown: Vec<Shown>,
    /// The operations that fail, by their number from 0, and why. If there are any, nothing was done.
    pub failed: Vec<(usize, String)>,
    /// The revision at which it was done.
    pub revision: Revision,
}

impl Consul {
    /// Does a transaction. What of it is about keys was found to be allowed; what is about the catalog is looked at here.
    ///
    /// # Errors
    /// Too many operations, or too large; what cannot be, or the token has no right to; no space, or no answer in time.
    pub async fn transact(
        &self,
        operations: &[TxnOperation],
        is_stale: bool,
        authorizer: &Authorizer,
    ) -> Result<Outcome, ConsulError> {
        if operations.len() > MAXIMUM_CONSUL_TXN_OPERATIONS {
            return Err(ConsulError::TooLarge(format!(
                "Transaction contains too many operations ({} > {MAXIMUM_CONSUL_TXN_OPERATIONS})",
                operations.len()
            )));
        }
        let mut has_entries = false;
        for operation in operations {
            match operation {
                TxnOperation::Key(operation) => check_value(&operation.key, &operation.value)?,
                TxnOperation::Entry(operation) => {
                    has_entries = true;
                    self.registry
                        .admit_checks(operation.check().map_or(&[], std::slice::from_ref))?;
                }
            }
        }
        let decide = |plan: &mut Plan<'_>| decide(plan, operations, authorizer);
        if operations.iter().all(TxnOperation::only_reads) {
            let view = self.view(is_stale).await?;
            let mut outcome = decide(&mut Plan::new(&view))?;
            outcome.revision = view.revision();
            return Ok(outcome);
        }
        let (mut outcome, revision) = match has_entries {
            true => self.change_entries(decide).await?,
            false => self.change(decide).await?,
        };
        outcome.revision = revision;
        for shown in &mut outcome.shown {
            match shown {
                Shown::Whole(pair) | Shown::Written(pair) => {
                    for at in [&mut pair.create, &mut pair.modified] {
                        if *at == OWN_REVISION {
                            *at = revision;
                        }
                    }
                }
                Shown::Entry(entry) => entry.settle(revision),
            }
        }
        Ok(outcome)
    }
}

fn decide(
    plan: &mut Plan<'_>,
    operations: &[TxnOperation],
    authorizer: &Authorizer,
) -> Result<Outcome, ConsulError> {
    let mut outcome = Outcome::default();
    for (number, operation) in operations.iter().enumerate() {
        let done = match operation {
            TxnOperation::Key(operation) => step(plan, operation)?,
            TxnOperation::Entry(operation) => {
                let shown = catalog::step(plan, operation, authorizer)?;
                shown.map(|shown| shown.map(Box::new).map(Shown::Entry).into_iter().collect())
            }
        };
        match done {
            Ok(shown) => outcome.shown.extend(shown),
            Err(reason) => outcome.failed.push((number, reason)),
        }
    }
    if !outcome.failed.is_empty() {
        plan.give_up();
    }
    Ok(outcome)
}

/// Does one operation: what it shows, or why it fails.
fn step(plan: &mut Plan<'_>, operation: &KeyOperation) -> Result<Result<Vec<Shown>, String>, ConsulError> {
    let KeyOperation {
        verb,
        key,
        value,
        flags,
    } = operation;
    let name = || format!("{:?}", String::from_utf8_lossy(key));
    let stale = |what: &str| Ok(Err(format!("failed to {what} key {}, index is stale", name())));
    match *verb {
        Verb::Set => plan.set(key, *flags, value)?,
        Verb::SetAt(index) => {
            if !plan.is_at(key, index)? {
                return stale("set");
            }
            plan.set(key, *flags, value)?;
        }
        Verb::Lock(session) => match plan.acquire(key, *flags, value, session) {
            Ok(true) => {}
            Ok(false) => {
                return Ok(Err(format!(
                    "failed to lock key {}, lock is already held",
                    name()
                )));
            }
            Err(ConsulError::Failed(reason)) => return Ok(Err(reason)),
            Err(error) => return Err(error),
        },
        Verb::Unlock(session) => {
            if !plan.release(key, *flags, value, session)? {
                return Ok(Err(format!(
                    "failed to unlock key {}, lock isn't held, or is held by another session",
                    name()
                )));
            }
        }
        Verb::Get => {
            return Ok(match plan.pair(key)? {
                Some(pair) => Ok(vec![Shown::Whole(pair)]),
                None => Err(format!("key {} doesn't exist", name())),
            });
        }
        Verb::GetOrEmpty => {
            let empty = || Pair {
                key: key.clone(),
                value: Bytes::new(),
                flags: 0,
                lock_index: 0,
                session: None,
                create: Revision(0),
                modified: Revision(0),
            };
            return Ok(Ok(vec![Shown::Whole(plan.pair(key)?.unwrap_or_else(empty))]));
        }
        Verb::GetTree => return Ok(Ok(plan.tree(key)?.into_iter().map(Shown::Whole).collect())),
        Verb::CheckIndex(index) => {
            let Some(pair) = plan.pair(key)? else {
                return Ok(Err(format!("key {} doesn't exist", name())));
            };
            if i64::try_from(index) != Ok(pair.modified.0) {
                return Ok(Err(format!(
                    "failed index check for key {}, current modify index {} != {index}",
                    name(),
                    pair.modified
                )));
            }
            return Ok(Ok(vec![Shown::Written(pair)]));
        }
        Verb::CheckSession(session) => {
            let Some(pair) = plan.pair(key)? else {
                return Ok(Err(format!("key {} doesn't exist", name())));
            };
            if pair.session != Some(session) {
                let current = pair
                    .session
                    .map(|current| current.to_string())
                    .unwrap_or_default();
                return Ok(Err(format!(
                    "failed session check for key {}, current session {current:?} != \"{session}\"",
                    name()
                )));
            }
            return Ok(Ok(vec![Shown::Written(pair)]));
        }
        Verb::CheckNotExists => {
            return Ok(match plan.pair(key)? {
                Some(_) => Err(format!("key {} exists", name())),
                None => Ok(Vec::new()),
            });
        }
        Verb::Delete => {
            plan.remove_pair(key)?;
            return Ok(Ok(Vec::new()));
        }
        Verb::DeleteTree => {
            plan.remove_all(Room::Value.prefix(key))?;
            plan.remove_all(Room::Lock.prefix(key))?;
            return Ok(Ok(Vec::new()));
        }
        Verb::DeleteAt(index) => {
            let pair = plan.pair(key)?;
            if pair.is_some_and(|pair| i64::try_from(index) != Ok(pair.modified.0)) {
                return stale("delete");
            }
            plan.remove_pair(key)?;
            return Ok(Ok(Vec::new()));
        }
    }
    Ok(Ok(plan.pair(key)?.map(Shown::Written).into_iter().collect()))
}
