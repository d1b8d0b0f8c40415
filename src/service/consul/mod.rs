//! What Consul's interface means, beyond the catalog: keys and values with locks, sessions, transactions, events.
//!
//! Everything is keys and leases in a namespace of its own, and the registry for what is about services; the state machine
//! knows nothing of it. The keys are listed in `keys`.
//!
//! ```text
//!  front door --> Consul --Plan--> one transaction of the store
//!                   |  ^
//!     waits on the  |  | what changed, and what was removed when
//!                   v  |
//!                  Board <-- watch hub
//! ```
//!
//! An index is the revision of the newest change of what a request shows, removals included; see `board`. Inside, all is
//! done as the node itself: who may do what is decided by [`acl`] before. Never knows a wire format, never writes anything
//! that nobody asked for.

pub mod acl;
mod agent;
mod archive;
mod board;
pub mod catalog;
pub mod duration;
mod error;
pub mod event;
pub mod filter;
mod keeper;
mod keys;
pub mod kv;
mod mirror;
mod pair;
mod plan;
pub mod query;
mod record;
mod servers;
pub mod session;
#[cfg(test)]
mod tests;
pub mod txn;

use std::sync::Arc;
use std::time::Duration;

use super::auth::Caller;
use super::checks::announcement::Announcement;
use super::core::Core;
use super::lease::Leases;
use super::registry::{Catalog, Registry};
use super::watch::WatchHub;
use crate::base::Revision;
use crate::state::ReadView;
use crate::state::command::Keys;
use acl::{AclSettings, Acls, Authorizer};
pub use agent::FoundCheck;
pub use archive::Archive;
use board::Board;
pub use board::{Waiter, Watched};
pub use error::ConsulError;
use query::Queries;
pub use servers::Server;

/// What Consul's interface is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The datacenter that the cluster is said to be.
    pub datacenter: String,
    /// The name of this member, which is that of its node.
    pub node: String,
    /// The rights.
    pub acls: AclSettings,
}

/// What an answer says about how current it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// Whether a leader is known.
    pub has_leader: bool,
    /// How long ago it was heard of; nothing on the leader.
    pub silence: Duration,
}

/// Consul's interface. A handle: clones share one.
#[derive(Clone)]
pub struct Consul {
    pub(super) core: Arc<Core>,
    registry: Registry,
    leases: Leases,
    hub: WatchHub,
    board: Arc<Board>,
    acls: Acls,
    queries: Queries,
    announcement: Arc<Announcement>,
}

impl Consul {
    pub(super) fn new(
        core: Arc<Core>,
        registry: &Registry,
        leases: &Leases,
        hub: WatchHub,
        announcement: Arc<Announcement>,
    ) -> Self {
        let leases = leases.by(Caller::node());
        let acls = Acls::new(Arc::clone(&core), leases.clone());
        let queries = Queries::new(Arc::clone(&core));
        Self {
            core,
            registry: registry.by(Caller::node()),
            leases,
            hub,
            board: Arc::new(Board::new()),
            acls,
            queries,
            announcement,
        }
    }

    /// Does the background work until the node stops.
    pub(super) async fn run(&self) {
        tokio::join!(
            board::run(&self.board, self.core.reader.clone(), self.hub.clone()),
            keeper::run(self),
            self.acls.run(&self.hub),
            self.queries.run(&self.hub),
        );
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.core.settings.consul
    }

    /// The registry, asked as the node itself.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Prepared queries.
    #[must_use]
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// The rights.
    #[must_use]
    pub fn acls(&self) -> &Acls {
        &self.acls
    }

    /// What a token lets through.
    ///
    /// # Errors
    /// No such token; or users count for the keys of this cluster, and rights do not count here.
    pub async fn authorize(&self, token: Option<&str>) -> Result<Arc<Authorizer>, ConsulError> {
        self.must_be_guarded()?;
        Ok(self.acls.resolve(token).await?)
    }

    /// Where users count for the keys of this cluster, tokens have to count here.
    fn must_be_guarded(&self) -> Result<(), ConsulError> {
        match self.acls.is_enabled() || self.core.gate.is_open() {
            true => Ok(()),
            false => Err(ConsulError::Denied(
                "Permission denied: authentication is enabled in this cluster, but --consul-acl is not: enable it on \
                 every member, so that tokens guard this interface as well"
                    .into(),
            )),
        }
    }

    /// As [`Consul::authorize`], by what this member knows now. It waits for nothing.
    ///
    /// # Errors
    /// The same, where a token that is not known here is none; or nothing was read yet.
    pub fn authorize_now(&self, token: Option<&str>) -> Result<Arc<Authorizer>, ConsulError> {
        self.must_be_guarded()?;
        Ok(self.acls.resolve_now(token)?)
    }

    /// The node that is meant where somebody wants what is near it: `_agent` is that of this member; none if it is empty.
    #[must_use]
    pub fn near<'a>(&'a self, near: &'a str) -> Option<&'a str> {
        query::node_near(near, &self.settings().node)
    }

    /// How current an answer is that this member gives from what it has.
    #[must_use]
    pub fn contact(&self) -> Contact {
        let has_leader = self.core.replication.status().borrow().leader.is_some();
        Contact {
            has_leader,
            silence: self.core.replication.silence(),
        }
    }

    /// The state to read from: as this member has it if `stale`, else with all that was acknowledged.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn view(&self, stale: bool) -> Result<Arc<ReadView>, ConsulError> {
        Ok(self.core.view(stale).await?)
    }

    /// The catalog, as [`Consul::view`].
    ///
    /// # Errors
    /// No quorum in time, or a record cannot be read.
    pub async fn catalog(&self, stale: bool) -> Result<Arc<Catalog>, ConsulError> {
        Ok(self.registry.catalog(stale).await?)
    }

    /// Begins to watch, before what is watched is read.
    #[must_use]
    pub fn waiter(&self, watched: Watched) -> Waiter {
        Waiter::new(Arc::clone(&self.board), self.registry.clone(), watched)
    }

    /// The newest removal under these keys that is in `view`; `is_exact`: surely, for which changes may have to be waited for.
    async fn removed(&self, keys: &Keys, view: &ReadView, is_exact: bool) -> Result<Revision, ConsulError> {
        // Before the first look the board knows of no removal at all.
        let known = if is_exact { view.revision() } else { Revision(1) };
        self.core.in_time(self.board.reach(known)).await?;
        Ok(self.board.removed(keys, view.revision()))
    }
}
