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
//! | `f` number | the key of what was deregistered last among those with this number (see `plan`) | |
//!
//! A zero byte ends a name; the names of nodes and services have no case (`A` is `a`). So a node with its checks, a node
//! with all that is on it, and an instance with its checks are each one range: read, bound to and removed as a whole.
//! There is no second key for the list by service: every member has the whole catalog in memory, ordered both ways, and
//! one registration is one key, one event and one attachment to a lease. How a check is has a key of its own: a change of
//! it rewrites neither the instance nor its epoch.
//!
//! An *epoch* is the revision at which a registration was made. Whoever registers gets one and names it later on: what
//! comes from a registration that was replaced, or is gone, is refused. Deregistering is final: no delayed registration
//! brings an instance back (see `plan`), and nobody who only keeps it alive does (see `fence`).
//!
//! Every instance with a time to live has a lease of its own, so that it goes alone, within its time and a second. A lease
//! costs 8 bytes in a message of heartbeats and one step of a queue on the leader, and no write; what a shared lease would
//! save is not the work (the renewals of all streams of a member go to the leader together, thousands in a message), and
//! its instances could not go one by one. A heartbeat renews only what instances hang on.
//!
//! Reads and watches are shown to any user; every change needs the role `root`. Never checks the health of anything:
//! somebody reports it, or [`super::checks`] finds it out.

mod catalog;
mod change;
mod definition;
mod draft;
mod entries;
mod error;
mod fence;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keys;
mod model;
mod page;
mod plan;
mod plan_check;
mod record;
mod renew;
mod settle;
#[cfg(any(test, fuzzing))]
pub mod testing;
#[cfg(test)]
mod tests;
mod validate;
mod validate_check;
mod watch;

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ServiceError;
use super::auth::Caller;
use super::checks::heard::Heard;
use super::core::Core;
use super::header::{Answered, Header};
use super::lease::Leases;
use super::watch::WatchHub;
use crate::base::limits::{
    MAXIMUM_HEARTBEAT_LEASES, MAXIMUM_REGISTRY_CHANGES_AT_ONCE, MAXIMUM_REGISTRY_HISTORY_WATCHES,
    MAXIMUM_REGISTRY_WATCHES,
};
use crate::base::{LeaseId, Revision};
use crate::state::access::Request;
pub use catalog::Catalog;
pub use definition::{Alias, CheckKind, HttpTarget, Probe, Target, TargetTls, TimeToLive};
pub(in crate::service) use draft::{Begun, Draft, OWN_REVISION};
pub use entries::{Change, EntryChange, NodeEntry, Place, ServiceEntry, Summary};
pub use error::RegistryError;
use follow::Board;
pub use model::{
    Check, CheckDefinition, CheckState, Claim, Entry, Filter, INSTANCE_MAINTENANCE_PREFIX, Instance,
    KnownNode, MEMBER_CHECK, MEMBER_SERVICE, NODE_MAINTENANCE, NewCheck, Node, NodeState, Registration,
    Status, TaggedAddress, Weights,
};
use renew::Renewals;
pub use settle::CheckPlace;
pub use validate_check::{host_and_port, target_url};
pub use watch::{Delta, ServiceWatch, WatchBatch};

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
    heard: Arc<Heard>,
    changes: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    histories: Arc<Semaphore>,
    caller: Caller,
}

impl Registry {
    pub(super) fn new(core: Arc<Core>, leases: Leases, hub: WatchHub) -> Self {
        Self {
            renewals: Renewals::new(leases.clone()),
            heard: Arc::default(),
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
        let following = follow::run(&self.board, self.core.reader.clone(), self.hub.clone());
        tokio::join!(following, self.renewals.run());
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
        self.core.in_time(self.board.reach(wanted)).await
    }

    /// The catalog as this member knows it now, whoever asks; none before the first is read. It waits for nothing.
    #[must_use]
    pub fn local(&self) -> Option<Arc<Catalog>> {
        let catalog = self.board.current();
        (catalog.revision() > Revision(0)).then_some(catalog)
    }

    /// The header of an answer from a catalog at `revision`.
    #[must_use]
    pub fn header_at(&self, revision: Revision) -> Header {
        self.core.headers.at(revision)
    }

    /// The newest catalog of this member; an empty one before the first.
    pub(in crate::service) fn newest(&self) -> Arc<Catalog> {
        self.board.current()
    }

    /// What was heard of checks that must be reported in time.
    pub(in crate::service) fn heard(&self) -> &Arc<Heard> {
        &self.heard
    }

    /// Resolves when the catalog of this member is past `revision`.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn passed(&self, revision: Revision) -> Result<(), ServiceError> {
        self.board.passed(revision).await
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
            catalog = self.core.in_time(self.board.reach(view.revision())).await?;
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
        if after <= Revision(0) {
            return Err(RegistryError::Invalid {
                field: "the revision to go on after",
                value: after.to_string(),
                reason: "give one that a watch was told before, or none",
            }
            .into());
        }
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

    fn answered<T>(&self, revision: Revision, answer: T) -> Answered<T> {
        Answered {
            header: self.core.headers.at(revision),
            answer,
        }
    }
}
