//! Changes of the registry: each is planned on what was read ([`plan`]), proposed, and planned anew where somebody else
//! was faster.
//!
//! Never changes what is not as it was seen.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::SemaphorePermit;

use super::definition::CheckKind;
use super::error::RegistryError;
use super::keys::{self, Owner, fence, single};
use super::model::{
    CheckDefinition, CheckState, Claim, INSTANCE_MAINTENANCE_PREFIX, NODE_MAINTENANCE, NewCheck, Node,
    Registration, Status,
};
use super::plan::{self, LeaseChoice, Seen, Verdict};
use super::{CheckPlace, Registered, Registry, plan_check, validate};
use crate::base::limits::{MAXIMUM_INSTANCES, MAXIMUM_REGISTRY_CHANGES_AT_ONCE};
use crate::base::{LeaseId, Revision};
use crate::service::ServiceError;
use crate::service::checks::heard;
use crate::service::header::Answered;
use crate::state::ReadView;
use crate::state::access::Request;
use crate::state::applied::{KeyValue, Refusal};
use crate::state::command::{Command, Keys, Range, Txn};

/// How often a change is tried on top of what others changed meanwhile.
const MAXIMUM_ATTEMPTS: usize = 8;

impl Registry {
    /// Registers an instance with these checks, which replace those that it had unless the claim says otherwise.
    ///
    /// # Errors
    /// Invalid; the claim does not hold; too many instances or changes; no space, or no answer in time.
    pub async fn register(
        &self,
        mut registration: Registration,
        claim: Claim,
        checks: &[NewCheck],
    ) -> Result<Answered<Registered>, ServiceError> {
        validate::registration(&registration)?;
        self.admit_checks(checks)?;
        let _place = self.place()?;
        if registration.ttl_seconds > 0 {
            registration.ttl_seconds = self.leases.least(registration.ttl_seconds);
        }
        let owner = Owner::instance(&registration.node, &registration.id);
        let mut granted = LeaseId::NONE;
        let outcome = self
            .try_register(owner, &registration, claim, checks, &mut granted)
            .await;
        let (revision, registered, left) = match outcome {
            Ok(registered) => registered,
            Err(error) => {
                self.leave([granted]);
                return Err(error);
            }
        };
        self.leave([left]);
        Ok(Answered {
            header: self.core.headers.at(revision),
            answer: registered,
        })
    }

    async fn try_register(
        &self,
        owner: Owner<'_>,
        registration: &Registration,
        claim: Claim,
        checks: &[NewCheck],
        granted: &mut LeaseId,
    ) -> Result<(Revision, Registered, LeaseId), ServiceError> {
        let mut seen = self.see(owner).await?;
        if registration.address.is_empty() && !self.has_node(owner.node).await? {
            return Err(RegistryError::Missing {
                field: "the address: give one, or register the node with one first; it",
            }
            .into());
        }
        for _ in 0..MAXIMUM_ATTEMPTS {
            let verdict = plan::judge(registration, claim, &seen)?;
            if let (Claim::Renewal(given), None) = (claim, &seen.record) {
                self.must_not_have_ended(owner, given, &seen).await?;
            }
            let Verdict { epoch, lease, left } = verdict;
            if seen.record.is_none() {
                self.admit_one_more()?;
            }
            let lease = match lease {
                LeaseChoice::None => LeaseId::NONE,
                LeaseChoice::Keep(lease) => lease,
                LeaseChoice::Grant => {
                    if granted.is_none() {
                        let leases = self.leases.by(self.caller.clone());
                        *granted = leases
                            .grant(LeaseId::NONE, registration.ttl_seconds)
                            .await?
                            .answer
                            .id;
                    }
                    *granted
                }
            };
            let registered = |revision| Registered {
                epoch: epoch.unwrap_or(revision),
                lease,
                ttl_seconds: registration.ttl_seconds,
            };
            let txn = plan::register(registration, claim, checks, &seen, verdict, lease)?;
            let Some(txn) = txn else {
                return Ok((seen.revision, registered(seen.revision), LeaseId::NONE));
            };
            match self.commit(txn).await {
                Ok(Some(revision)) => return Ok((revision, registered(revision), left)),
                Ok(None) => {}
                // The lease that was to be kept has ended, and the instance with it.
                Err(ServiceError::Refused(Refusal::LeaseNotFound)) if granted.is_none() => {}
                Err(error) => return Err(error),
            }
            let now = self.see(owner).await?;
            plan::may_retry(owner, claim, &seen, &now)?;
            seen = now;
        }
        Err(changed(owner))
    }

    /// Takes an instance away for good. With an epoch, only the registration that has it.
    ///
    /// # Errors
    /// No such instance (what registrations of it are under way end nevertheless), the epoch is another one, or no answer
    /// in time.
    pub async fn deregister(
        &self,
        node: &str,
        id: &str,
        epoch: Option<Revision>,
    ) -> Result<Answered<()>, ServiceError> {
        validate::name("the name of the node", node)?;
        validate::name("the id of the instance", id)?;
        let _place = self.place()?;
        let owner = Owner::instance(node, id);
        for _ in 0..MAXIMUM_ATTEMPTS {
            let seen = self.see(owner).await?;
            let there = seen.instance()?;
            if let (Some(given), Some((record, stored))) = (epoch, &there) {
                plan::held(node, id, given, Some(record.epoch_in(stored)))?;
            }
            let lease = there.as_ref().map(|(_, stored)| stored.lease);
            let Some(revision) = self.commit(plan::deregister(owner, &seen)?).await? else {
                continue;
            };
            let Some(lease) = lease else {
                let (node, id) = (node.to_owned(), id.to_owned());
                return Err(RegistryError::UnknownInstance { node, id }.into());
            };
            self.leave([lease]);
            return Ok(self.answered(revision, ()));
        }
        Err(changed(owner))
    }

    /// Makes a node known, or changes what is known of it, with these checks; others that it has stay.
    ///
    /// # Errors
    /// Invalid, too many changes, no space, or no answer in time.
    pub async fn register_node(
        &self,
        node: &Node,
        checks: &[NewCheck],
    ) -> Result<Answered<()>, ServiceError> {
        validate::node(node)?;
        self.admit_checks(checks)?;
        let owner = Owner::node(&node.name);
        self.change(owner, |seen| plan::register_node(node, checks, seen))
            .await
    }

    /// Takes a node away with its checks and all its instances, for good.
    ///
    /// # Errors
    /// No such node, or no answer in time.
    pub async fn deregister_node(&self, node: &str) -> Result<Answered<()>, ServiceError> {
        validate::name("the name of the node", node)?;
        let _place = self.place()?;
        self.authorize().await?;
        let catalog = self.catalog(false).await?;
        let there = catalog.node(node);
        let revision = self.commit(plan::deregister_node(node)?).await?;
        let Some(there) = there else {
            return Err(RegistryError::UnknownNode {
                node: node.to_owned(),
            }
            .into());
        };
        self.leave(there.instances().map(|entry| entry.instance.lease));
        Ok(self.answered(revision.unwrap_or_default(), ()))
    }

    /// Gives an instance, or a node if `id` is none, one more check, or changes one. With `keep_state`, one that is there
    /// stays as it is.
    ///
    /// # Errors
    /// Invalid, no such instance or node, too many checks or changes, no space, or no answer in time.
    pub async fn register_check(
        &self,
        node: &str,
        id: Option<&str>,
        check: &NewCheck,
        keep_state: bool,
    ) -> Result<Answered<()>, ServiceError> {
        self.admit_checks(std::slice::from_ref(check))?;
        let owner = owner(node, id)?;
        self.must_be_there(owner).await?;
        self.change(owner, |seen| {
            still_there(owner, seen)?;
            plan::put_check(owner, check, seen, keep_state)
        })
        .await
    }

    /// Takes a check from an instance, or from a node if `id` is none.
    ///
    /// # Errors
    /// No such check, or no answer in time.
    pub async fn deregister_check(
        &self,
        node: &str,
        id: Option<&str>,
        check: &str,
    ) -> Result<Answered<()>, ServiceError> {
        let owner = owner(node, id)?;
        self.change(owner, |seen| match seen.checks.contains_key(check) {
            true => Ok(Some(plan::remove_check(owner, check, seen))),
            false => Err(plan::unknown_check(owner, check)),
        })
        .await
    }

    /// Says how a check of an instance is, or of a node if `id` is none. What is so already is not written; of a check with
    /// a time to live, another output alone is written later.
    ///
    /// # Errors
    /// No such check, or one that is not reported; the output is too long; too many changes, or no answer in time.
    pub async fn report(
        &self,
        node: &str,
        id: Option<&str>,
        check: &str,
        state: &CheckState,
    ) -> Result<Answered<()>, ServiceError> {
        validate::check_state(state)?;
        let owner = owner(node, id)?;
        let (is_awaited, is_delayed) = (AtomicBool::new(false), AtomicBool::new(false));
        let changed = self
            .change(owner, |seen| {
                let report = plan_check::report(owner, check, state, seen)?;
                is_awaited.store(report.is_awaited, Relaxed);
                is_delayed.store(report.is_delayed, Relaxed);
                Ok(report.txn)
            })
            .await?;
        if is_awaited.into_inner() {
            let place = CheckPlace {
                node: keys::folded(node).into(),
                instance: id.map(Into::into),
                check: check.into(),
            };
            if is_delayed.into_inner() {
                self.heard.later(&place, state);
            }
            heard::tell(&self.core, &self.heard, &place).await?;
        }
        Ok(changed)
    }

    /// Takes an instance, or a node if `id` is none, out of service, for a reason, or back if that is none. An instance
    /// that is registered again stays out.
    ///
    /// # Errors
    /// No such instance or node, the reason is too long, too many changes, no space, or no answer in time.
    pub async fn set_maintenance(
        &self,
        node: &str,
        id: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Answered<()>, ServiceError> {
        validate::reason(reason.unwrap_or_default())?;
        let owner = owner(node, id)?;
        self.must_be_there(owner).await?;
        let check = match id {
            Some(id) => format!("{INSTANCE_MAINTENANCE_PREFIX}{id}"),
            None => NODE_MAINTENANCE.to_owned(),
        };
        self.change(owner, |seen| {
            still_there(owner, seen)?;
            let Some(reason) = reason else {
                let is_on = seen.checks.contains_key(&check);
                return Ok(is_on.then(|| plan::remove_check(owner, &check, seen)));
            };
            let maintenance = NewCheck {
                definition: CheckDefinition {
                    id: check.clone(),
                    name: "Maintenance".to_owned(),
                    notes: reason.to_owned(),
                    kind: CheckKind::Maintenance,
                },
                state: CheckState {
                    status: Status::Critical,
                    output: String::new(),
                },
            };
            plan::put_check(owner, &maintenance, seen, false)
        })
        .await
    }

    /// Does a change that is planned on what is there, and planned anew where somebody else was faster.
    async fn change(
        &self,
        owner: Owner<'_>,
        plan: impl Fn(&Seen) -> Result<Option<Txn>, RegistryError>,
    ) -> Result<Answered<()>, ServiceError> {
        let _place = self.place()?;
        let first = self.see(owner).await?;
        let mut seen = first.clone();
        for _ in 0..MAXIMUM_ATTEMPTS {
            let Some(txn) = plan(&seen)? else {
                return Ok(self.answered(seen.revision, ()));
            };
            match self.commit(txn).await {
                Ok(Some(revision)) => return Ok(self.answered(revision, ())),
                // The lease of the instance has ended, and the instance with it.
                Ok(None) | Err(ServiceError::Refused(Refusal::LeaseNotFound)) => {}
                Err(error) => return Err(error),
            }
            seen = self.see(owner).await?;
            plan::may_retry(owner, Claim::Whichever, &first, &seen)?;
        }
        Err(changed(owner))
    }

    /// Reads all of an owner, and the fences that a registration of it is bound to, as they were when this was called or
    /// later.
    pub(super) async fn see(&self, owner: Owner<'_>) -> Result<Seen, ServiceError> {
        let view = self.authorize().await?;
        let own = read(&view, owner.own())?;
        let mut keys = vec![fence(Owner::node(owner.node))];
        if owner.instance.is_some() {
            keys.push(fence(owner));
        }
        let mut fences = Vec::with_capacity(keys.len());
        for key in keys {
            let stored = read(&view, single(key.clone()))?.into_iter().next();
            fences.push((key, stored));
        }
        Ok(Seen::of(view.revision(), own, fences))
    }

    /// A state that holds everything that was acknowledged, in which the caller may change services.
    pub(super) async fn authorize(&self) -> Result<Arc<ReadView>, ServiceError> {
        self.core
            .view_for(&self.caller, false, &Request::ServiceWrite)
            .await
    }

    async fn has_node(&self, node: &str) -> Result<bool, ServiceError> {
        let view = self.authorize().await?;
        Ok(!read(&view, single(Owner::node(node).key()))?.is_empty())
    }

    /// Refuses what is about a node that nobody registered and that has no instances.
    async fn must_be_there(&self, owner: Owner<'_>) -> Result<(), ServiceError> {
        if owner.instance.is_some() {
            return Ok(());
        }
        let view = self.authorize().await?;
        let anything = Range {
            keys: owner.everything(),
            ..Range::default()
        };
        if view.range_page(&anything, 1, 1)??.key_values.is_empty() {
            let node = owner.node.to_owned();
            return Err(RegistryError::UnknownNode { node }.into());
        }
        Ok(())
    }

    /// Proposes a transaction; its revision, none if its conditions did not hold.
    pub(super) async fn commit(&self, txn: Txn) -> Result<Option<Revision>, ServiceError> {
        let answer = self.core.transact(&self.caller, txn).await?;
        Ok(answer.succeeded.then_some(answer.revision))
    }

    /// Ends leases that no instance hangs on any more, in their own time: nobody waits for it, and one that is forgotten
    /// ends by itself, since nobody renews it.
    fn leave(&self, leases: impl IntoIterator<Item = LeaseId>) {
        let leases: Vec<LeaseId> = leases.into_iter().filter(|lease| !lease.is_none()).collect();
        if leases.is_empty() {
            return;
        }
        let core = Arc::clone(&self.core);
        tokio::spawn(async move {
            for id in leases {
                match core.propose(Command::LeaseRevoke { id }.by_node(), Some).await {
                    Ok(_) => core.metrics.leases_revoked.inc(),
                    Err(ServiceError::Refused(Refusal::LeaseNotFound)) => {}
                    Err(error) => tracing::debug!(%error, %id, "the lease of a service ends by itself"),
                }
            }
        });
    }

    /// Whether there may be one more instance. Counted by what this member knows and works on, so that as many more than
    /// the limit may come in at once as the other members work on.
    fn admit_one_more(&self) -> Result<(), RegistryError> {
        let under_way = MAXIMUM_REGISTRY_CHANGES_AT_ONCE.saturating_sub(self.changes.available_permits());
        let known = self.board.current().instances();
        if known.saturating_add(under_way) > MAXIMUM_INSTANCES {
            return Err(RegistryError::Full);
        }
        Ok(())
    }

    /// Refuses checks that cannot be, and those that may not be registered here.
    fn admit_checks(&self, checks: &[NewCheck]) -> Result<(), RegistryError> {
        validate::checks(checks)?;
        self.core.settings.checks.admit(self.core.gate.is_open(), checks)
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, RegistryError> {
        self.changes
            .try_acquire()
            .map_err(|_| RegistryError::TooManyChanges)
    }
}

fn owner<'name>(node: &'name str, id: Option<&'name str>) -> Result<Owner<'name>, RegistryError> {
    validate::name("the name of the node", node)?;
    match id {
        Some(id) => {
            validate::name("the id of the instance", id)?;
            Ok(Owner::instance(node, id))
        }
        None => Ok(Owner::node(node)),
    }
}

fn still_there(owner: Owner<'_>, seen: &Seen) -> Result<(), RegistryError> {
    match owner.instance {
        Some(id) if seen.record.is_none() => Err(RegistryError::UnknownInstance {
            node: owner.node.to_owned(),
            id: id.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn changed(owner: Owner<'_>) -> ServiceError {
    let id = owner.instance.unwrap_or_default().to_owned();
    let node = owner.node.to_owned();
    RegistryError::Changed { node, id }.into()
}

fn read(view: &ReadView, keys: Keys) -> Result<Vec<KeyValue>, ServiceError> {
    let range = Range {
        keys,
        ..Range::default()
    };
    let answer: Result<_, Refusal> = view.range(&range)?;
    Ok(answer?.key_values)
}
