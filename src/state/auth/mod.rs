//! Users, roles and rights: who may do what, at one applied index.
//!
//! All of it is in memory, bounded by [`MAXIMUM_AUTH_BYTES`](crate::base::limits::MAXIMUM_AUTH_BYTES), and the same in
//! the `auth` family. Immutable for its readers: a change makes a new one that shares what did not change.
//!
//! The rules are etcd's: the role `root` may do everything; a request about keys is refused if its identity was
//! established before the last change of users and roles. Never sees a password, only its hash.

mod change;
mod record;
mod rights;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rpds::RedBlackTreeMapSync;

pub use change::{AuthChange, Author, PasswordHash, Permission, PermissionKind};
pub use record::{AuthSettings, Role, User};
pub use rights::Rights;

use super::access::{Level, Request, accesses};
use super::applied::Refusal;
use crate::base::secret::Secret;
use crate::storage::{StorageError, View};

/// The user that must exist, and the role that may do everything.
pub const ROOT: &str = "root";

/// Who a request comes from, as a token or a certificate says. Not yet allowed anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name of the user.
    pub user: String,
    /// The auth revision for which it was established.
    pub auth_revision: u64,
    /// The auth revision at which the user got the password that it was established with; none if without a password.
    pub password_revision: Option<u64>,
}

/// For whom something is to be done.
#[derive(Debug, Clone, Copy)]
pub enum Who<'identity> {
    /// Somebody who said nothing.
    Nobody,
    /// The cluster itself.
    Node,
    /// A user, with the auth revision of the identity.
    User(&'identity str, u64),
}

impl<'identity> From<Option<&'identity Identity>> for Who<'identity> {
    fn from(identity: Option<&'identity Identity>) -> Self {
        identity.map_or(Self::Nobody, |identity| {
            Self::User(&identity.user, identity.auth_revision)
        })
    }
}

impl Author {
    /// The same, borrowed.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        match self {
            Self::Node => Who::Node,
            Self::User { name, auth_revision } => Who::User(name, *auth_revision),
        }
    }
}

/// Users, roles and settings at one applied index.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    settings: AuthSettings,
    users: RedBlackTreeMapSync<String, Arc<User>>,
    roles: RedBlackTreeMapSync<String, Arc<Role>>,
    /// Bytes of all stored users and roles, their keys included.
    bytes: usize,
    /// Merged rights of users who were looked at since the last change. Holds what the rest says, so it never makes a
    /// difference but in time.
    rights: Arc<RwLock<BTreeMap<String, Arc<Rights>>>>,
}

impl Auth {
    /// Whether requests need an identity.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.settings.is_enabled
    }

    /// One more for each change that counts; 1 in a fresh store.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.settings.revision
    }

    /// The key that simple tokens are signed with.
    #[must_use]
    pub fn token_key(&self) -> &Secret<Vec<u8>> {
        &self.settings.token_key
    }

    /// A user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(Arc::as_ref)
    }

    /// A role.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name).map(Arc::as_ref)
    }

    /// The names of all users, sorted.
    #[must_use]
    pub fn user_names(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// The names of all roles, sorted.
    #[must_use]
    pub fn role_names(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    /// Whether a request may be done on the state `view`, which is the one that these users and roles belong to.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: no identity, an old one, or not enough rights.
    pub fn authorize(
        &self,
        view: &dyn View,
        who: Who<'_>,
        request: &Request<'_>,
    ) -> Result<Result<(), Refusal>, StorageError> {
        let level = request.level();
        if !self.is_enabled() || level == Level::Anyone {
            return Ok(Ok(()));
        }
        let (name, auth_revision) = match who {
            Who::Node => return Ok(Ok(())),
            Who::Nobody | Who::User("", _) => return Ok(Err(Refusal::UserEmpty)),
            Who::User(name, auth_revision) => (name, auth_revision),
        };
        // Only requests about keys are refused for an old identity, before anything else about it (etcd).
        if level == Level::Ranges && auth_revision < self.revision() {
            return Ok(Err(Refusal::AuthOldRevision));
        }
        let Some(user) = self.user(name) else {
            return Ok(Err(Refusal::PermissionDenied));
        };
        let is_root = user.has_role(ROOT);
        let is_allowed = is_root
            || match level {
                Level::Anyone | Level::Identity => true,
                Level::Root => false,
                Level::RootOrUser(wanted) => wanted == name,
                Level::RootOrHolder(role) => user.has_role(role),
                Level::Ranges => {
                    let rights = self.rights(name, user);
                    accesses(view, request)?.iter().all(|access| rights.allow(access))
                }
            };
        Ok(if is_allowed {
            Ok(())
        } else {
            Err(Refusal::PermissionDenied)
        })
    }

    fn rights(&self, name: &str, user: &User) -> Arc<Rights> {
        if let Some(rights) = self.rights.read().get(name) {
            return Arc::clone(rights);
        }
        let roles = user.roles.iter().filter_map(|role| self.role(role));
        let rights = Arc::new(Rights::of(roles.flat_map(|role| &role.permissions)));
        self.rights.write().insert(name.to_owned(), Arc::clone(&rights));
        rights
    }

    /// What was worked out from what is about to change is not true any more.
    fn forget_rights(&mut self) {
        self.rights = Arc::default();
    }
}
