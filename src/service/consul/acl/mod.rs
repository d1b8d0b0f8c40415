//! Who may do what through Consul's interface: tokens, policies, roles.
//!
//! Records in Consul's namespace, which every member keeps in memory (`picture`) and follows, so that a token that is
//! revoked stops on all of them as soon as they learn of it; one that a member does not know yet is looked for once more
//! behind a read barrier, so that it works at once.
//!
//! | key | record |
//! |---|---|
//! | `r/bootstrap` | that there was a first token |
//! | `r/token/` public id | [`Token`], on a lease if it ends |
//! | `r/secret/` SHA-256 of the secret id | whose it is |
//! | `r/policy/` id, `r/role/` id | [`Policy`], [`Role`] |
//! | `r/policy-name/` name, `r/role-name/` name | whose it is |
//!
//! The users and roles of etcd's interface are others. The secret ids of tokens are stored as they are, since Consul's
//! interface shows them again to whoever may read tokens.

mod authorizer;
mod change;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod model;
mod named;
mod picture;
mod rules;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::Watched;
use super::mirror::Mirror;
use crate::base::secret::Secret;
use crate::base::{Revision, clock};
use crate::service::ServiceError;
use crate::service::core::Core;
use crate::service::lease::Leases;
use crate::service::watch::WatchHub;
pub use authorizer::{Access, Authorizer, Resource};
pub use change::{Link, TokenDraft};
pub use error::AclError;
pub use model::{
    ANONYMOUS, ANONYMOUS_SECRET, GLOBAL_MANAGEMENT, Grants, Known, NodeIdentity, Policy, Role,
    ServiceIdentity, Token, fingerprint,
};
pub use picture::AclPicture;
use picture::Place;

/// All tokens, policies and roles, for whoever waits for them.
#[must_use]
pub fn watched() -> Watched {
    Watched::Keys(vec![model::all()])
}

/// How ACLs are set on a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclSettings {
    /// Whether they count.
    pub is_on: bool,
    /// Whether what no rule is about is allowed.
    pub allows_by_default: bool,
    /// The secret id of the first token, if it was given beforehand.
    pub initial_management: Option<Secret<String>>,
}

/// Tokens, policies and roles. A handle: clones share one.
#[derive(Clone)]
pub struct Acls {
    core: Arc<Core>,
    leases: Leases,
    mirror: Arc<Mirror<AclPicture>>,
    open: Arc<Authorizer>,
}

impl Acls {
    pub(in crate::service) fn new(core: Arc<Core>, leases: Leases) -> Self {
        Self {
            core,
            leases,
            mirror: Arc::new(Mirror::new()),
            open: Arc::new(Authorizer::open()),
        }
    }

    /// Follows what is stored, and makes the first token if it was given beforehand, until the node stops.
    pub(in crate::service) async fn run(&self, hub: &WatchHub) {
        if !self.is_enabled() {
            return std::future::pending().await;
        }
        tokio::join!(self.mirror.run(&self.core.reader, hub), self.begin());
    }

    /// Whether they count.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.settings().is_on
    }

    fn settings(&self) -> &AclSettings {
        &self.core.settings.consul.acls
    }

    /// Whether what no rule is about is allowed.
    #[must_use]
    pub fn allows_by_default(&self) -> bool {
        self.settings().allows_by_default
    }

    /// What the holder of a token may do; of none, or an empty one: what anybody may. Everything while they do not count.
    ///
    /// # Errors
    /// No such token, or no quorum in time.
    pub async fn resolve(&self, secret: Option<&str>) -> Result<Arc<Authorizer>, AclError> {
        if !self.is_enabled() {
            return Ok(Arc::clone(&self.open));
        }
        let (picture, token) = self.holder(secret).await?;
        Ok(picture.authorizer(&token.record, &self.place()))
    }

    /// As [`Acls::resolve`], by what this member knows now. It waits for nothing.
    ///
    /// # Errors
    /// No such token here, or nothing was read yet.
    pub fn resolve_now(&self, secret: Option<&str>) -> Result<Arc<Authorizer>, AclError> {
        if !self.is_enabled() {
            return Ok(Arc::clone(&self.open));
        }
        let picture = self.mirror.current();
        if picture.changed == Revision(0) {
            return Err(ServiceError::TimeoutApplied.into());
        }
        let token = holder_in(&picture, secret).ok_or(AclError::NotFound)?;
        Ok(picture.authorizer(&token.record, &self.place()))
    }

    /// The token that has a secret id.
    ///
    /// # Errors
    /// ACLs are off, no such token, or no quorum in time.
    pub async fn token_of(
        &self,
        secret: Option<&str>,
    ) -> Result<(Arc<AclPicture>, Arc<Known<Token>>), AclError> {
        self.must_be_on()?;
        self.holder(secret).await
    }

    async fn holder(&self, secret: Option<&str>) -> Result<(Arc<AclPicture>, Arc<Known<Token>>), AclError> {
        let picture = self.current(true).await?;
        if let Some(token) = holder_in(&picture, secret) {
            return Ok((picture, token));
        }
        let picture = self.current(false).await?;
        let token = holder_in(&picture, secret).ok_or(AclError::NotFound)?;
        Ok((picture, token))
    }

    /// All tokens, policies and roles: as this member knows them if `stale`, else with everything that was acknowledged.
    ///
    /// # Errors
    /// ACLs are off, or no quorum in time.
    pub async fn picture(&self, stale: bool) -> Result<Arc<AclPicture>, AclError> {
        self.must_be_on()?;
        self.current(stale).await
    }

    /// As [`Acls::picture`], with a revision up to which it shows everything, for whoever waits for what comes after.
    ///
    /// # Errors
    /// As [`Acls::picture`].
    pub async fn seen(&self, stale: bool) -> Result<(Arc<AclPicture>, Revision), AclError> {
        self.must_be_on()?;
        let revision = self.core.view(stale).await?.revision();
        Ok((self.reach(revision).await?, revision))
    }

    async fn current(&self, stale: bool) -> Result<Arc<AclPicture>, AclError> {
        let wanted = match stale {
            true => Revision(0),
            false => self.core.view(false).await?.revision(),
        };
        self.reach(wanted).await
    }

    async fn reach(&self, wanted: Revision) -> Result<Arc<AclPicture>, AclError> {
        Ok(self.core.in_time(self.mirror.reach(wanted)).await?)
    }

    fn must_be_on(&self) -> Result<(), AclError> {
        match self.is_enabled() {
            true => Ok(()),
            false => Err(AclError::Disabled),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            datacenter: &self.core.settings.consul.datacenter,
            allows_by_default: self.settings().allows_by_default,
        }
    }
}

/// The token with a secret id in a picture; without one, or with an empty one, that of anybody.
fn holder_in(picture: &AclPicture, secret: Option<&str>) -> Option<Arc<Known<Token>>> {
    let secret = secret
        .filter(|secret| !secret.is_empty())
        .unwrap_or(ANONYMOUS_SECRET);
    let now = u64::try_from(clock::unix_time().as_millis()).unwrap_or(u64::MAX);
    picture.by_secret(secret, now).cloned()
}
