//! What a change of the registry writes: from what was read, to one transaction that only holds if that is still so.
//!
//! Pure functions, so that the rules of registration are in one place and are tested without a node.
//!
//! A deregistration is final although a registration may be held up for long on its way to the log: every deregistration
//! changes a *fence*, a key that it shares with others, and every registration is bound to the fences as they were when it
//! began. What it then finds in a changed fence says whether it was its own instance that was deregistered. There are at
//! most 65,536 fences, so nothing is left behind by what is gone.
//!
//! Never reads and never proposes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::definition::CheckKind;
use super::error::RegistryError;
use super::keys::{self, Key, Owner, single};
use super::model::{CheckDefinition, Claim, NewCheck, Node, Registration};
use super::record::{StoredFence, StoredInstance, decode, encode};
use crate::base::limits::MAXIMUM_CHECKS;
use crate::base::{LeaseId, Namespace, Revision};
use crate::state::applied::KeyValue;
use crate::state::command::{Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Txn};

/// What was read of an owner of checks, all at one revision.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The revision.
    pub revision: Revision,
    /// The record of the node or the instance.
    pub record: Option<KeyValue>,
    /// What its checks are, by id.
    pub checks: BTreeMap<String, KeyValue>,
    /// How its checks are, by id.
    pub states: BTreeMap<String, KeyValue>,
    /// The fences that it is bound to: key, and what was there.
    pub fences: Vec<(Bytes, Option<KeyValue>)>,
}

impl Seen {
    /// Sorts what was read of `owner`.
    pub fn of(revision: Revision, own: Vec<KeyValue>, fences: Vec<(Bytes, Option<KeyValue>)>) -> Self {
        let mut seen = Self {
            revision,
            fences,
            ..Self::default()
        };
        for found in own {
            match keys::parse(&found.key.clone()) {
                Some(Key::Node(_) | Key::Instance(..)) => seen.record = Some(found),
                Some(Key::Check(_, id)) => {
                    seen.checks.insert(id.to_owned(), found);
                }
                Some(Key::State(_, id)) => {
                    seen.states.insert(id.to_owned(), found);
                }
                Some(Key::Fence) | None => {}
            }
        }
        seen
    }

    /// The instance, if its record was read.
    pub fn instance(&self) -> Result<Option<(StoredInstance, &KeyValue)>, RegistryError> {
        let stored = self.record.as_ref();
        stored
            .map(|stored| Ok((decode(&stored.value)?, stored)))
            .transpose()
    }

    fn is_maintenance(&self, check: &str) -> Result<bool, RegistryError> {
        let stored = self.checks.get(check);
        let definition: Option<CheckDefinition> = stored.map(|stored| decode(&stored.value)).transpose()?;
        Ok(definition.is_some_and(|definition| definition.kind == CheckKind::Maintenance))
    }
}

/// What is to be done about the lease of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseChoice {
    /// It has none.
    None,
    /// It keeps the one it has.
    Keep(LeaseId),
    /// It gets one of its own.
    Grant,
}

/// What becomes of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Its epoch; none: the revision at which it is written.
    pub epoch: Option<Revision>,
    /// Its lease.
    pub lease: LeaseChoice,
    /// The lease that it leaves, which is of no use then.
    pub left: LeaseId,
}

/// Whether a claim holds.
///
/// # Errors
/// The registration that it means was replaced, or is gone.
pub(super) fn judge(
    registration: &Registration,
    claim: Claim,
    seen: &Seen,
) -> Result<Verdict, RegistryError> {
    let there = seen.instance()?;
    let epoch = match (&there, claim) {
        (_, Claim::New) | (None, Claim::Whichever) => None,
        (Some((record, stored)), Claim::Whichever) => Some(record.epoch_in(stored)),
        (there, Claim::Holder(given)) => {
            let current = there.as_ref().map(|(record, stored)| record.epoch_in(stored));
            held(&registration.node, &registration.id, given, current)?;
            Some(given)
        }
    };
    let (old, old_ttl) = there.as_ref().map_or((LeaseId::NONE, 0), |(record, stored)| {
        (stored.lease, record.registration.ttl_seconds)
    });
    let lease = match registration.ttl_seconds {
        0 => LeaseChoice::None,
        ttl if epoch.is_some() && !old.is_none() && ttl == old_ttl => LeaseChoice::Keep(old),
        _ => LeaseChoice::Grant,
    };
    let left = match lease {
        LeaseChoice::Keep(_) => LeaseId::NONE,
        LeaseChoice::None | LeaseChoice::Grant => old,
    };
    Ok(Verdict { epoch, lease, left })
}

/// Whether the registration with the epoch `given` is the one that is there.
pub(super) fn held(
    node: &str,
    id: &str,
    given: Revision,
    current: Option<Revision>,
) -> Result<(), RegistryError> {
    let (node, id) = (node.to_owned(), id.to_owned());
    match current {
        Some(current) if given == current => Ok(()),
        Some(current) if given < current => Err(RegistryError::OlderEpoch {
            node,
            id,
            given,
            current,
        }),
        Some(current) => Err(RegistryError::UnknownEpoch {
            node,
            id,
            given,
            current,
        }),
        None => Err(RegistryError::Gone { node, id, given }),
    }
}

/// The transaction that registers an instance on `lease`; none if that would change nothing.
///
/// # Errors
/// Too many checks, or a record cannot be written.
pub(super) fn register(
    registration: &Registration,
    claim: Claim,
    checks: &[NewCheck],
    seen: &Seen,
    verdict: Verdict,
    lease: LeaseId,
) -> Result<Option<Txn>, RegistryError> {
    let owner = Owner::instance(&registration.node, &registration.id);
    let record = StoredInstance {
        epoch: verdict.epoch,
        registration: registration.clone(),
    };
    let mut success = Vec::new();
    let mut value = encode(&record)?;
    if let (Some(epoch), Some((there, stored))) = (verdict.epoch, seen.instance()?) {
        // The same epoch, said or not said.
        let same = StoredInstance {
            epoch: there.epoch,
            registration: registration.clone(),
        };
        if there == same && there.epoch_in(stored) == epoch && stored.lease == lease {
            value = stored.value.clone();
        }
    }
    // A new registration is written even if it says the same: its epoch is the revision at which that is done.
    let replaced = seen.record.as_ref().filter(|_| claim != Claim::New);
    put_if_new(&mut success, owner.key(), value, lease, replaced);
    let drop_others = claim != Claim::Whichever;
    let keep_states = claim != Claim::New;
    write_checks(&mut success, owner, checks, seen, lease, drop_others, keep_states)?;
    Ok(if_unchanged(owner, seen, success))
}

/// The transaction that registers a node and checks of it; none if that would change nothing.
///
/// # Errors
/// As [`register`].
pub(super) fn register_node(
    node: &Node,
    checks: &[NewCheck],
    seen: &Seen,
) -> Result<Option<Txn>, RegistryError> {
    let owner = Owner::node(&node.name);
    let mut success = Vec::new();
    put_if_new(
        &mut success,
        owner.key(),
        encode(node)?,
        LeaseId::NONE,
        seen.record.as_ref(),
    );
    write_checks(&mut success, owner, checks, seen, LeaseId::NONE, false, true)?;
    Ok(if_unchanged(owner, seen, success))
}

/// The transaction that gives an owner one more check, or changes it, with its state; none if that would change nothing.
///
/// # Errors
/// As [`register`].
pub(super) fn put_check(
    owner: Owner<'_>,
    check: &NewCheck,
    seen: &Seen,
    keep_state: bool,
) -> Result<Option<Txn>, RegistryError> {
    let lease = seen.record.as_ref().map_or(LeaseId::NONE, |stored| stored.lease);
    let mut success = Vec::new();
    let checks = std::slice::from_ref(check);
    write_checks(&mut success, owner, checks, seen, lease, false, keep_state)?;
    Ok(if_unchanged(owner, seen, success))
}

/// The transaction that takes a check from an owner.
pub(super) fn remove_check(owner: Owner<'_>, check: &str, seen: &Seen) -> Txn {
    Txn {
        compare: unchanged(owner, seen),
        success: vec![remove(owner.check(check)), remove(owner.state(check))],
        failure: Vec::new(),
    }
}

/// That there is no such check.
pub(super) fn unknown_check(owner: Owner<'_>, check: &str) -> RegistryError {
    RegistryError::UnknownCheck {
        check: check.to_owned(),
        owner: owner.shown(),
    }
}

/// The transaction that takes an instance away, and ends what registrations of it are under way, whether or not it is
/// there.
///
/// # Errors
/// The record cannot be written.
pub(super) fn deregister(owner: Owner<'_>, seen: &Seen) -> Result<Txn, RegistryError> {
    let mut success = vec![raise_fence(owner)?];
    if seen.record.is_some() {
        success.push(remove_all(owner.everything()));
    }
    Ok(Txn {
        compare: vec![is_at(owner.key(), modification(seen.record.as_ref()))],
        success,
        failure: Vec::new(),
    })
}

/// The transaction that takes a node away with all that is on it.
///
/// # Errors
/// The record cannot be written.
pub(super) fn deregister_node(node: &str) -> Result<Txn, RegistryError> {
    let owner = Owner::node(node);
    Ok(Txn {
        compare: Vec::new(),
        success: vec![remove_all(owner.everything()), raise_fence(owner)?],
        failure: Vec::new(),
    })
}

/// Whether a registration that did not hold may be tried again, after `now` was read.
///
/// # Errors
/// The instance was deregistered meanwhile, or registered by somebody else.
pub(super) fn may_retry(
    owner: Owner<'_>,
    claim: Claim,
    before: &Seen,
    now: &Seen,
) -> Result<(), RegistryError> {
    let (node, id) = (
        owner.node.to_owned(),
        owner.instance.unwrap_or_default().to_owned(),
    );
    let own = [owner.key(), Owner::node(owner.node).key()];
    for ((_, old), (_, new)) in before.fences.iter().zip(&now.fences) {
        let version = |fence: &Option<KeyValue>| fence.as_ref().map_or(0, |stored| stored.version);
        let is_other = match (version(new) - version(old), new) {
            (0, _) => true,
            (1, Some(stored)) => {
                let last: StoredFence = decode(&stored.value)?;
                !own.contains(&last.key)
            }
            // What was deregistered in between is not known any more.
            _ => false,
        };
        if !is_other {
            return Err(RegistryError::Deregistered { node, id });
        }
    }
    let was_replaced =
        now.record.is_some() && modification(before.record.as_ref()) != modification(now.record.as_ref());
    if claim == Claim::New && was_replaced {
        return Err(RegistryError::Changed { node, id });
    }
    Ok(())
}

fn modification(stored: Option<&KeyValue>) -> Revision {
    stored.map_or(Revision(0), |stored| stored.modification_revision)
}

/// The operations, if there are any, where an owner, its checks and its fences are as they were seen.
fn if_unchanged(owner: Owner<'_>, seen: &Seen, success: Vec<Operation>) -> Option<Txn> {
    (!success.is_empty()).then(|| Txn {
        compare: unchanged(owner, seen),
        success,
        failure: Vec::new(),
    })
}

/// The conditions that an owner, its checks and its fences are as they were seen.
fn unchanged(owner: Owner<'_>, seen: &Seen) -> Vec<Compare> {
    let mut conditions = vec![
        is_at(owner.key(), modification(seen.record.as_ref())),
        Compare {
            keys: owner.own(),
            comparison: Comparison::Less,
            target: CompareTarget::Modification(Revision(seen.revision.0.saturating_add(1))),
        },
    ];
    let fences = seen.fences.iter();
    conditions.extend(fences.map(|(key, stored)| is_at(key.clone(), modification(stored.as_ref()))));
    conditions
}

/// The condition that a key was changed last at a revision; 0: that it is not there.
pub(super) fn is_at(key: Bytes, modified: Revision) -> Compare {
    Compare {
        keys: single(key),
        comparison: Comparison::Equal,
        target: CompareTarget::Modification(modified),
    }
}

fn put_if_new(
    operations: &mut Vec<Operation>,
    key: Bytes,
    value: Bytes,
    lease: LeaseId,
    there: Option<&KeyValue>,
) {
    if there.is_some_and(|there| there.value == value && there.lease == lease) {
        return;
    }
    operations.push(Operation::Put(Put {
        namespace: Namespace::SERVICES,
        key,
        value,
        lease,
        ..Put::default()
    }));
}

/// Writes checks and moves those that stay to `lease`. A maintenance always stays.
fn write_checks(
    operations: &mut Vec<Operation>,
    owner: Owner<'_>,
    checks: &[NewCheck],
    seen: &Seen,
    lease: LeaseId,
    drop_others: bool,
    keep_states: bool,
) -> Result<(), RegistryError> {
    let mut number = checks.len();
    for check in checks {
        let id = check.definition.id.as_str();
        let state = match seen.states.get(id) {
            Some(stored) if keep_states => stored.value.clone(),
            _ => encode(&check.state)?,
        };
        let definition = encode(&check.definition)?;
        put_if_new(
            operations,
            owner.check(id),
            definition,
            lease,
            seen.checks.get(id),
        );
        put_if_new(operations, owner.state(id), state, lease, seen.states.get(id));
    }
    for (id, stored) in &seen.checks {
        if checks.iter().any(|check| check.definition.id == *id) {
            continue;
        }
        if drop_others && !seen.is_maintenance(id)? {
            operations.extend([remove(owner.check(id)), remove(owner.state(id))]);
            continue;
        }
        number += 1;
        let state = seen.states.get(id);
        put_if_new(
            operations,
            owner.check(id),
            stored.value.clone(),
            lease,
            Some(stored),
        );
        if let Some(state) = state {
            put_if_new(
                operations,
                owner.state(id),
                state.value.clone(),
                lease,
                Some(state),
            );
        }
    }
    if number > MAXIMUM_CHECKS {
        return Err(RegistryError::TooMany {
            what: "checks",
            number,
            maximum: MAXIMUM_CHECKS,
        });
    }
    Ok(())
}

fn raise_fence(owner: Owner<'_>) -> Result<Operation, RegistryError> {
    let value = encode(&StoredFence { key: owner.key() })?;
    Ok(Operation::Put(Put {
        namespace: Namespace::SERVICES,
        key: keys::fence(owner),
        value,
        ..Put::default()
    }))
}

fn remove(key: Bytes) -> Operation {
    remove_all(single(key))
}

fn remove_all(keys: Keys) -> Operation {
    Operation::DeleteRange(DeleteRange {
        keys,
        previous: false,
    })
}
