//! Services: which instances offer them, where, and how they are. One catalog for all members: no gossip, no ghosts.
//!
//! Everything is keys, leases and watches in a namespace of the store; the state machine knows nothing of services.
//!
//! | key | record | lease |
//! |---|---|---|
//! | `n` node `0` | [`Node`]: what was registered of a node | |
//! | `n` node `0` `c` check | [`CheckDefinition`]: a check of the node | |
//! | `n` node `0` `h` check | [`CheckState`]: how it is | |
//! | `n` node `0` `i` id `0` | epoch and [`Registration`] of an instance | its own |
//! | `n` node `0` `i` id `0` `c` check | [`CheckDefinition`]: a check of the instance | the instance's |
//! | `n` node `0` `i` id `0` `h` check | [`CheckState`]: how it is | the instance's |
//! | `f` number | the key of what was deregistered last among those with this number (see [`plan`]) | |
//!
//! A zero byte ends a name; the names of nodes and services have no case (`A` is `a`). So a node with its checks, a node
//! with all that is on it, and an instance with its checks are each one range: read, bound to and removed as a whole.
//! There is no second key for the list by service: every member has the whole catalog in memory, ordered both ways, and
//! one registration is one key, one event and one attachment to a lease. How a check is has a key of its own: a change of
//! it rewrites neither the instance nor its epoch.
//!
//! An *epoch* is the revision at which a registration was made. Whoever registers gets one and names it later on: what
//! comes from a registration that was replaced, or is gone, is refused. Deregistering is final: no delayed registration
//! brings an instance back (see [`plan`]).
//!
//! Every instance with a time to live has a lease of its own, so that it goes alone, within its time and a second. A lease
//! costs 8 bytes in a message of heartbeats and one step of a queue on the leader, and no write; what a shared lease would
//! save is not the work (the renewals of all streams of a member go to the leader together, thousands in a message), and
//! its instances could not go one by one. A heartbeat renews only what instances hang on.
//!
//! Reads and watches are shown to any user; every change needs the role `root`. Never checks the health of anything:
//! somebody reports it.

mod catalog;
mod error;
mod follow;
mod keys;
mod model;
mod plan;
mod record;
mod renew;
#[cfg(test)]
mod tests;
mod validate;
mod watch;

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::ServiceError;
use super::auth::Caller;
use super::core::Core;
use super::header::{Answered, Header};
use super::lease::Leases;
use super::watch::WatchHub;
use crate::base::limits::{
    MAXIMUM_HEARTBEAT_LEASES, MAXIMUM_INSTANCES, MAXIMUM_REGISTRY_CHANGES_AT_ONCE,
    MAXIMUM_REGISTRY_HISTORY_WATCHES, MAXIMUM_REGISTRY_WATCHES,
};
use crate::base::{LeaseId, Revision};
use crate::state::ReadView;
use crate::state::access::Request;
use crate::state::applied::{Answer, KeyValue, Refusal};
use crate::state::command::{Command, Keys, Range, Txn};
pub use catalog::{Catalog, Change, EntryChange, NodeEntry, Place, ServiceEntry, Summary};
pub use error::RegistryError;
use follow::Board;
use keys::{Owner, fence, single};
pub use model::{
    Check, CheckDefinition, CheckKind, CheckState, Claim, Entry, Filter, INSTANCE_MAINTENANCE_PREFIX,
    Instance, KnownNode, NODE_MAINTENANCE, NewCheck, Node, NodeState, Registration, Status, TaggedAddress,
    Weights,
};
use plan::{LeaseChoice, Seen, Verdict};
use renew::Renewals;
pub use watch::{Delta, ServiceWatch, WatchBatch};

/// How often a change is tried on top of what others changed meanwhile.
const MAXIMUM_ATTEMPTS: usize = 8;

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its epoch.
    pub epoch: Revision,
    /// What its heartbeats name; none without a time to live.
    pub lease: LeaseId,
    /// Its time to live in seconds, which may be more than asked for; 0: none.
    pub ttl_seconds: i64,
}

/// Services. A handle: clones share one registry.
#[derive(Clone)]
pub struct Registry {
    core: Arc<Core>,
    leases: Leases,
    hub: WatchHub,
    board: Arc<Board>,
    renewals: Renewals,
    changes: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    histories: Arc<Semaphore>,
    caller: Caller,
}

impl Registry {
    pub(super) fn new(core: Arc<Core>, leases: Leases, hub: WatchHub) -> Self {
        Self {
            renewals: Renewals::new(leases.clone()),
            core,
            leases,
            hub,
            board: Arc::new(Board::new()),
            changes: Arc::new(Semaphore::new(MAXIMUM_REGISTRY_CHANGES_AT_ONCE)),
            watches: Arc::new(Semaphore::new(MAXIMUM_REGISTRY_WATCHES)),
            histories: Arc::new(Semaphore::new(MAXIMUM_REGISTRY_HISTORY_WATCHES)),
            caller: Caller::default(),
        }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self {
            caller,
            ..self.clone()
        }
    }

    /// Keeps the catalog up to date and sends heartbeats on, until the node stops.
    pub(super) async fn run(&self) {
        tokio::select! {
            () = follow::run(&self.board, self.core.reader.clone(), self.hub.clone()) => {}
            () = self.renewals.run() => {}
        }
    }

    /// The catalog: as this member knows it if `stale`, else with everything that was acknowledged. Cheap to hold on to.
    ///
    /// # Errors
    /// The caller is not known, no quorum in time, or a record cannot be read.
    pub async fn catalog(&self, stale: bool) -> Result<Arc<Catalog>, ServiceError> {
        let view = self
            .core
            .view_for(&self.caller, stale, &Request::ServiceRead)
            .await?;
        // Where anything will do, one must at least have been read.
        let wanted = if stale { Revision(0) } else { view.revision() };
        let reaching = self.board.reach(wanted);
        match tokio::time::timeout(self.core.request_timeout(), reaching).await {
            Ok(reached) => reached,
            Err(_) => Err(ServiceError::TimeoutApplied),
        }
    }

    /// The header of an answer from a catalog at `revision`.
    #[must_use]
    pub fn header_at(&self, revision: Revision) -> Header {
        self.core.headers.at(revision)
    }

    /// Resolves when the catalog of this member is past `revision`.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn passed(&self, revision: Revision) -> Result<(), ServiceError> {
        self.board.passed(revision).await
    }

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
        validate::checks(checks)?;
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
                Err(ServiceError::LeaseNotFound) if granted.is_none() => {}
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
        validate::checks(checks)?;
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
        validate::checks(std::slice::from_ref(check))?;
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

    /// Says how a check of an instance is, or of a node if `id` is none. What is so already is not written.
    ///
    /// # Errors
    /// No such check, or one of a maintenance; the output is too long; too many changes, or no answer in time.
    pub async fn report(
        &self,
        node: &str,
        id: Option<&str>,
        check: &str,
        state: &CheckState,
    ) -> Result<Answered<()>, ServiceError> {
        validate::check_state(state)?;
        let owner = owner(node, id)?;
        self.change(owner, |seen| plan::report(owner, check, state, seen))
            .await
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

    /// Keeps the instances on these leases alive: which of the leases are gone, or have no instance.
    ///
    /// # Errors
    /// Too many at once, the caller may not do it, or no leader that can prove it in time; none is renewed then.
    pub async fn heartbeat(&self, leases: &[LeaseId]) -> Result<Answered<Vec<LeaseId>>, ServiceError> {
        if leases.len() > MAXIMUM_HEARTBEAT_LEASES {
            return Err(RegistryError::TooMany {
                what: "leases in one message",
                number: leases.len(),
                maximum: MAXIMUM_HEARTBEAT_LEASES,
            }
            .into());
        }
        self.core.gate.admit(&self.caller, &Request::ServiceWrite).await?;
        let mut catalog = self.board.current();
        if !leases.iter().all(|lease| catalog.has_lease(*lease)) {
            // Registered a moment ago, perhaps, on another member.
            let view = self.core.view(false).await?;
            let reaching = self.board.reach(view.revision());
            catalog = tokio::time::timeout(self.core.request_timeout(), reaching)
                .await
                .map_err(|_| ServiceError::TimeoutApplied)??;
        }
        let (known, mut gone): (Vec<LeaseId>, Vec<LeaseId>) =
            leases.iter().partition(|lease| catalog.has_lease(**lease));
        let renewed = self.renewals.renew(known.clone()).await?;
        let ended = known
            .into_iter()
            .zip(renewed)
            .filter(|(_, ttl_seconds)| *ttl_seconds <= 0);
        gone.extend(ended.map(|(lease, _)| lease));
        Ok(self.answered(self.core.reader.view().revision(), gone))
    }

    /// Watches what a filter lets through: from a snapshot on, or after a revision that was told before.
    ///
    /// # Errors
    /// The caller is not known, too many watches, the revision is compacted or yet to come, or no quorum in time.
    pub async fn watch(&self, filter: Filter, after: Option<Revision>) -> Result<ServiceWatch, ServiceError> {
        let identity = self.core.gate.admit(&self.caller, &Request::ServiceRead).await?;
        let place = Arc::clone(&self.watches).try_acquire_owned();
        let place = place.map_err(|_| RegistryError::TooManyWatches)?;
        let catalog = self.catalog(false).await?;
        let opening = watch::Opening {
            board: Arc::clone(&self.board),
            core: Arc::clone(&self.core),
            histories: Arc::clone(&self.histories),
            identity,
            filter,
            place,
        };
        let Some(after) = after else {
            return Ok(ServiceWatch::from_catalog(opening, catalog));
        };
        let current = catalog.revision();
        if after > current {
            return Err(RegistryError::Future { after, current }.into());
        }
        let compacted = self.core.reader.view().compacted();
        if let Some(compacted) = compacted.filter(|compacted| after < *compacted) {
            return Err(RegistryError::Compacted { after, compacted }.into());
        }
        Ok(ServiceWatch::after(opening, after))
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
                Ok(None) | Err(ServiceError::LeaseNotFound) => {}
                Err(error) => return Err(error),
            }
            seen = self.see(owner).await?;
            plan::may_retry(owner, Claim::Whichever, &first, &seen)?;
        }
        Err(changed(owner))
    }

    /// Reads all of an owner, and the fences that a registration of it is bound to, as they were when this was called or
    /// later.
    async fn see(&self, owner: Owner<'_>) -> Result<Seen, ServiceError> {
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
    async fn authorize(&self) -> Result<Arc<ReadView>, ServiceError> {
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
    async fn commit(&self, txn: Txn) -> Result<Option<Revision>, ServiceError> {
        self.core.admission.txn(&txn)?;
        let pick = |answer| match answer {
            Answer::Txn(txn) => Some(txn),
            _ => None,
        };
        let proposed = self.core.propose_for(&self.caller, Command::Txn(txn), pick).await;
        let (_, answer) = proposed?;
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
                    Err(ServiceError::LeaseNotFound) => {}
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

    fn place(&self) -> Result<SemaphorePermit<'_>, RegistryError> {
        self.changes
            .try_acquire()
            .map_err(|_| RegistryError::TooManyChanges)
    }

    fn answered<T>(&self, revision: Revision, answer: T) -> Answered<T> {
        Answered {
            header: self.core.headers.at(revision),
            answer,
        }
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
