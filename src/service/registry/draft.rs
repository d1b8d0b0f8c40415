//! Several changes of the registry that are one transaction with others: each is planned ([`plan`]) on what was read and on
//! what those before it do, and all of it is bound to what was read.
//!
//! The guards are those of single changes: a registration is bound to the fences as they were when it began, also where it
//! is planned anew ([`Begun`]), so that what was deregistered meanwhile stays so. Never proposes: whoever makes a draft
//! makes its conditions and operations part of a transaction of its own.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::sync::SemaphorePermit;

use super::change::{owner, read, see, still_there};
use super::entries::Checks;
use super::error::RegistryError;
use super::keys::{self, Key, Owner, folded};
use super::model::{Check, Claim, Instance, KnownNode, NewCheck, Node, Registration};
use super::plan::{self, LeaseChoice, Seen, is_at};
use super::record::{read_instance, read_node};
use super::{Registry, validate};
use crate::base::{LeaseId, Revision};
use crate::service::ServiceError;
use crate::state::ReadView;
use crate::state::applied::{KeyValue, Refusal};
use crate::state::command::{Compare, CompareTarget, Comparison, Keys, Operation, Range};

/// The revision of what a transaction writes, until it is done.
pub(in crate::service) const OWN_REVISION: Revision = Revision(i64::MAX);

/// What was registered, by node and id, as it was when that began.
#[derive(Default)]
pub(in crate::service) struct Begun(BTreeMap<(String, Option<String>), Seen>);

/// See the module.
pub(in crate::service) struct Draft<'view> {
    view: &'view ReadView,
    operations: Vec<Operation>,
    /// Keys that were looked at, with the revisions of their last changes; 0: not there.
    bound: BTreeMap<Bytes, Revision>,
    /// Ranges that were looked at as a whole.
    bound_whole: Vec<Keys>,
    begun: BTreeMap<(String, Option<String>), Seen>,
    left: Vec<LeaseId>,
    new_instances: usize,
}

impl<'view> Draft<'view> {
    /// One that changes nothing yet.
    pub fn new(view: &'view ReadView) -> Self {
        Self {
            view,
            operations: Vec::new(),
            bound: BTreeMap::new(),
            bound_whole: Vec::new(),
            begun: BTreeMap::new(),
            left: Vec::new(),
            new_instances: 0,
        }
    }

    /// What was registered of a node.
    ///
    /// # Errors
    /// The name cannot be, or the record cannot be read.
    pub fn node(&mut self, name: &str) -> Result<Option<KnownNode>, ServiceError> {
        let seen = self.look(owner(name, None)?)?;
        Ok(seen.record.as_ref().map(read_node).transpose()?)
    }

    /// An instance.
    ///
    /// # Errors
    /// As [`Draft::node`].
    pub fn instance(&mut self, node: &str, id: &str) -> Result<Option<Instance>, ServiceError> {
        let seen = self.look(owner(node, Some(id))?)?;
        Ok(seen.record.as_ref().map(read_instance).transpose()?)
    }

    /// A check of an instance, or of a node if `id` is none.
    ///
    /// # Errors
    /// As [`Draft::node`].
    pub fn check(
        &mut self,
        node: &str,
        id: Option<&str>,
        check: &str,
    ) -> Result<Option<Check>, ServiceError> {
        let owner = owner(node, id)?;
        let seen = self.look(owner)?;
        self.bind_check(owner, check)?;
        let mut checks = Checks::default();
        checks.define(check, seen.checks.get(check))?;
        checks.say(check, seen.states.get(check))?;
        Ok(checks.complete().pop())
    }

    /// Whose a check of this id on a node is: the node's itself, else that of the first of its instances that has one.
    /// None if there is no such check.
    ///
    /// # Errors
    /// As [`Draft::node`].
    pub fn holder(&mut self, node: &str, check: &str) -> Result<Option<Option<String>>, ServiceError> {
        let keys = self.keys_on(owner(node, None)?)?;
        let holder = keys.iter().find_map(|key| match keys::parse(key) {
            Some(Key::Check(owner, id)) if id == check => Some(owner.instance.map(str::to_owned)),
            _ => None,
        });
        Ok(holder)
    }

    /// Whether a node is registered, or has anything on it.
    ///
    /// # Errors
    /// As [`Draft::node`].
    pub fn has_node(&mut self, name: &str) -> Result<bool, ServiceError> {
        let owner = owner(name, None)?;
        Ok(self.look(owner)?.record.is_some() || !self.keys_on(owner)?.is_empty())
    }

    /// Makes a node known, or changes what is known of it; its checks stay.
    ///
    /// # Errors
    /// It cannot be, or a record cannot be read.
    pub fn register_node(&mut self, node: &Node) -> Result<(), ServiceError> {
        validate::node(node)?;
        let seen = self.begin(owner(&node.name, None)?)?;
        let txn = plan::register_node(node, &[], &seen)?;
        self.operations
            .extend(txn.into_iter().flat_map(|txn| txn.success));
        Ok(())
    }

    /// Registers an instance that stays until it is deregistered, whichever was there before; its checks stay.
    ///
    /// # Errors
    /// It cannot be; it has no address, and its node neither; or a record cannot be read.
    pub fn register(&mut self, registration: &Registration) -> Result<(), ServiceError> {
        validate::registration(registration)?;
        if registration.ttl_seconds > 0 {
            let reason = "what is registered together with other things stays until it is deregistered";
            let given = registration.ttl_seconds.to_string();
            return Err(validate::invalid("the time to live", &given, reason).into());
        }
        let seen = self.begin(owner(&registration.node, Some(&registration.id))?)?;
        if registration.address.is_empty() && self.node(&registration.node)?.is_none() {
            return Err(RegistryError::WITHOUT_ADDRESS.into());
        }
        let claim = Claim::Whichever;
        let mut verdict = plan::judge(registration, claim, &seen)?;
        // The epoch of what was registered by this draft already is the revision at which all of it is done.
        verdict.epoch = verdict.epoch.filter(|epoch| *epoch != OWN_REVISION);
        let lease = match verdict.lease {
            LeaseChoice::Keep(lease) => lease,
            LeaseChoice::None | LeaseChoice::Grant => LeaseId::NONE,
        };
        if seen.record.is_none() {
            self.new_instances = self.new_instances.saturating_add(1);
        }
        if let Some(txn) = plan::register(registration, claim, &[], &seen, verdict, lease)? {
            self.operations.extend(txn.success);
            self.left.push(verdict.left);
        }
        Ok(())
    }

    /// Gives an instance, or a node if `id` is none, one more check, or changes one with its state. The check was admitted
    /// ([`Registry::admit_checks`]).
    ///
    /// # Errors
    /// No such instance or node, too many checks, or a record cannot be read.
    pub fn register_check(
        &mut self,
        node: &str,
        id: Option<&str>,
        check: &NewCheck,
    ) -> Result<(), ServiceError> {
        let owner = owner(node, id)?;
        let seen = self.begin(owner)?;
        still_there(owner, &seen)?;
        if !self.has_node(node)? {
            let node = node.to_owned();
            return Err(RegistryError::UnknownNode { node }.into());
        }
        let txn = plan::put_check(owner, check, &seen, false)?;
        self.operations
            .extend(txn.into_iter().flat_map(|txn| txn.success));
        Ok(())
    }

    /// Takes a node away with its checks and all its instances, for good, and ends what registrations of it are under way.
    ///
    /// # Errors
    /// The name cannot be, or a record cannot be read.
    pub fn deregister_node(&mut self, name: &str) -> Result<(), ServiceError> {
        let owner = owner(name, None)?;
        let there = self.after(read_keys(self.view, owner.everything())?, &owner.everything());
        let instances = there
            .values()
            .filter(|stored| matches!(keys::parse(&stored.key), Some(Key::Instance(..))));
        self.left.extend(instances.map(|stored| stored.lease));
        self.operations.extend(plan::deregister_node(name)?.success);
        Ok(())
    }

    /// Takes an instance away, for good, and ends what registrations of it are under way.
    ///
    /// # Errors
    /// As [`Draft::deregister_node`].
    pub fn deregister(&mut self, node: &str, id: &str) -> Result<(), ServiceError> {
        let owner = owner(node, Some(id))?;
        let seen = self.look(owner)?;
        self.left.extend(seen.record.as_ref().map(|stored| stored.lease));
        self.operations.extend(plan::deregister(owner, &seen)?.success);
        Ok(())
    }

    /// Takes a check from an instance, or from a node if `id` is none; nothing if it is not there.
    ///
    /// # Errors
    /// As [`Draft::deregister_node`].
    pub fn deregister_check(
        &mut self,
        node: &str,
        id: Option<&str>,
        check: &str,
    ) -> Result<(), ServiceError> {
        let owner = owner(node, id)?;
        let seen = self.look(owner)?;
        self.bind_check(owner, check)?;
        if seen.checks.contains_key(check) {
            self.operations
                .extend(plan::remove_check(owner, check, &seen).success);
        }
        Ok(())
    }

    /// Whether it writes anything.
    pub fn writes(&self) -> bool {
        !self.operations.is_empty()
    }

    /// Refuses what is registered if it was deregistered since that began; what is registered for the first time begins.
    ///
    /// # Errors
    /// It was deregistered.
    pub fn must_not_have_ended(&self, begun: &mut Begun) -> Result<(), RegistryError> {
        for ((node, id), now) in &self.begun {
            match begun.0.entry((node.clone(), id.clone())) {
                Place::Vacant(place) => {
                    place.insert(now.clone());
                }
                Place::Occupied(before) => {
                    let instance = id.as_deref();
                    plan::may_retry(Owner { node, instance }, Claim::Whichever, before.get(), now)?;
                }
            }
        }
        Ok(())
    }

    /// The conditions under which its operations hold, its operations, and the leases that nothing hangs on once they are
    /// done.
    pub fn into_parts(self) -> (Vec<Compare>, Vec<Operation>, Vec<LeaseId>) {
        let nothing_new = |keys: Keys| Compare {
            keys,
            comparison: Comparison::Less,
            target: CompareTarget::Modification(Revision(self.view.revision().0.saturating_add(1))),
        };
        let whole = self.bound_whole.into_iter().map(nothing_new);
        let single = self.bound.into_iter().map(|(key, modified)| is_at(key, modified));
        (single.chain(whole).collect(), self.operations, self.left)
    }

    /// An owner with its checks, after all that the draft does so far. Only the owner's own key is bound.
    fn look(&mut self, owner: Owner<'_>) -> Result<Seen, ServiceError> {
        let own = read(self.view, owner.own())?;
        let record = own.iter().find(|stored| stored.key == owner.key());
        self.bind(owner.key(), record);
        let now = self.after(own, &owner.own()).into_values().collect();
        Ok(Seen::of(self.view.revision(), now, Vec::new()))
    }

    /// As [`Draft::look`], for an owner that is registered or given checks: all of it is bound, and its fences.
    fn begin(&mut self, owner: Owner<'_>) -> Result<Seen, ServiceError> {
        let before = see(self.view, owner)?;
        self.bind(owner.key(), before.record.as_ref());
        for stored in before.checks.values().chain(before.states.values()) {
            self.bind(stored.key.clone(), Some(stored));
        }
        for (key, stored) in &before.fences {
            self.bind(key.clone(), stored.as_ref());
        }
        self.bind_whole(owner.own());
        let place = (folded(owner.node), owner.instance.map(str::to_owned));
        self.begun.entry(place).or_insert(before);
        self.look(owner)
    }

    fn bind(&mut self, key: Bytes, stored: Option<&KeyValue>) {
        let modified = stored.map_or(Revision(0), |stored| stored.modification_revision);
        self.bound.insert(key, modified);
    }

    fn bind_check(&mut self, owner: Owner<'_>, check: &str) -> Result<(), ServiceError> {
        for key in [owner.check(check), owner.state(check)] {
            let stored = read(self.view, keys::single(key.clone()))?.into_iter().next();
            self.bind(key, stored.as_ref());
        }
        Ok(())
    }

    fn bind_whole(&mut self, keys: Keys) {
        if !self.bound_whole.contains(&keys) {
            self.bound_whole.push(keys);
        }
    }

    /// The keys of a node and of all that is on it, after all that the draft does so far; that nothing comes is bound.
    fn keys_on(&mut self, node: Owner<'_>) -> Result<BTreeSet<Bytes>, ServiceError> {
        let everything = node.everything();
        let there = self.after(read_keys(self.view, everything.clone())?, &everything);
        self.bind_whole(everything);
        Ok(there.into_keys().collect())
    }

    /// What is under `keys`, where `read` was, after all that the draft does so far.
    fn after(&self, read: Vec<KeyValue>, keys: &Keys) -> BTreeMap<Bytes, KeyValue> {
        let holds = |keys: &Keys, key: &Bytes| match keys.end.is_empty() {
            true => keys.key == *key,
            false => (&keys.key..&keys.end).contains(&key),
        };
        let mut there: BTreeMap<Bytes, KeyValue> = read
            .into_iter()
            .map(|stored| (stored.key.clone(), stored))
            .collect();
        for operation in &self.operations {
            match operation {
                Operation::Put(put) if holds(keys, &put.key) => {
                    let before = there.get(&put.key);
                    let written = KeyValue {
                        key: put.key.clone(),
                        value: put.value.clone(),
                        create_revision: before.map_or(OWN_REVISION, |before| before.create_revision),
                        modification_revision: OWN_REVISION,
                        version: before.map_or(1, |before| before.version.saturating_add(1)),
                        lease: put.lease,
                    };
                    there.insert(put.key.clone(), written);
                }
                Operation::DeleteRange(delete) => there.retain(|key, _| !holds(&delete.keys, key)),
                _ => {}
            }
        }
        there
    }
}

impl Registry {
    /// A place among the changes that this member works on, for one that is made of a draft.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::service) fn enter(&self) -> Result<SemaphorePermit<'_>, RegistryError> {
        self.place()
    }

    /// Refuses a draft that would make more instances than there may be.
    ///
    /// # Errors
    /// It would.
    pub(in crate::service) fn admit(&self, draft: &Draft<'_>) -> Result<(), RegistryError> {
        match draft.new_instances {
            0 => Ok(()),
            number => self.admit_more(number),
        }
    }
}

/// As [`read`], without the values.
fn read_keys(view: &ReadView, keys: Keys) -> Result<Vec<KeyValue>, ServiceError> {
    let range = Range {
        keys,
        keys_only: true,
        ..Range::default()
    };
    let answer: Result<_, Refusal> = view.range(&range)?;
    Ok(answer?.key_values)
}
