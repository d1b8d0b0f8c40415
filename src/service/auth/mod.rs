//! Users, roles and who may do what: the gate that every request passes, tokens, and the calls of the Auth service.
//!
//! ```text
//!  front door: token, certificate --Caller--> Gate --Identity--> rights (state::auth) <-- state::access
//! ```
//!
//! [`Caller`] is the one way in for an identity, [`Gate`] the one place that lets a request through, and
//! [`accesses`](crate::state::access::accesses) the one list of what a request touches. Reads are judged on the very state
//! that answers them, writes again when they are applied. Passwords are hashed before anything is proposed; no log has one.

#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gate;
mod jwt;
mod password;
mod simple;
#[cfg(test)]
mod tests;
pub mod tokens;

use std::sync::Arc;

pub use gate::{Caller, Gate, Pass};
use password::Passwords;
pub use tokens::{JwtMethod, JwtSettings, TokenSettings, Tokens};

use super::ServiceError;
use super::core::Core;
use super::header::{Answered, Header};
use crate::base::clock;
use crate::base::secret::Secret;
use crate::state::access::Request;
use crate::state::applied::{Answer, Refusal};
use crate::state::auth::{AuthChange, PasswordHash, Permission};
use crate::state::command::Command;

/// Bytes of the key that simple tokens are signed with.
const TOKEN_KEY_BYTES: usize = 32;

/// The change by which requests need an identity, with a key that is new.
fn enabling() -> AuthChange {
    AuthChange::Enable {
        token_key: Secret::new(clock::random_bytes::<TOKEN_KEY_BYTES>().to_vec()),
    }
}

/// Whether requests need an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthStatus {
    /// Whether they do.
    pub is_enabled: bool,
    /// The revision of users and roles.
    pub revision: u64,
}

/// Users and roles. A handle: clones share one service.
#[derive(Clone)]
pub struct Users {
    core: Arc<Core>,
    caller: Caller,
    passwords: Passwords,
}

impl Users {
    pub(in crate::service) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            caller: Caller::default(),
            passwords: Passwords::default(),
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

    /// Whether requests need an identity, as this node knows it.
    #[must_use]
    pub fn status(&self) -> Answered<AuthStatus> {
        let view = self.core.reader.view();
        Answered {
            header: self.core.headers.at(view.revision()),
            answer: AuthStatus {
                is_enabled: view.auth().is_enabled(),
                revision: view.auth().revision(),
            },
        }
    }

    /// From now on requests need an identity.
    ///
    /// # Errors
    /// There is no user `root` with the role `root`, the caller may not, or no answer in time.
    pub async fn enable(&self) -> Result<Header, ServiceError> {
        self.change(enabling()).await
    }

    /// Checks a password and gives a token for it.
    ///
    /// # Errors
    /// Nobody needs an identity; the name and the password do not belong together; too many log in at once.
    pub async fn authenticate(
        &self,
        name: &str,
        password: Secret<String>,
    ) -> Result<Answered<Secret<String>>, ServiceError> {
        let mut view = self.core.view(false).await?;
        if view.auth().is_enabled() && view.auth().token_key().expose().is_empty() {
            // It was restored enabled: the first login draws the key.
            let changed = |answer| matches!(answer, Answer::Auth).then_some(());
            self.core
                .propose(Command::Auth(enabling()).by_node(), changed)
                .await?;
            view = self.core.view(false).await?;
        }
        let auth = view.auth();
        if !auth.is_enabled() {
            return Err(ServiceError::AuthNotEnabled);
        }
        let hash = match auth.user(name) {
            Some(user) => match &user.password {
                Some(hash) => Some(hash.clone()),
                None => return Err(ServiceError::PasswordNotWanted),
            },
            None => None,
        };
        if !self.passwords.check(password, hash).await? {
            return Err(ServiceError::AuthFailed);
        }
        Ok(Answered {
            header: self.core.headers.at(view.revision()),
            answer: self.core.gate.tokens().issue(auth, name)?,
        })
    }

    /// Creates a user; with no password, one who cannot log in with one.
    ///
    /// # Errors
    /// The name is empty or taken, the caller may not, or no answer in time.
    pub async fn add_user(
        &self,
        name: String,
        password: Option<Secret<String>>,
    ) -> Result<Header, ServiceError> {
        // Before the hash: whoever may not do this must not make the node work.
        self.admit(&Request::AuthChange).await?;
        let password = match password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        self.change(AuthChange::AddUser { name, password }).await
    }

    /// Gives a user another password; with none, no password opens the account any more. Tokens for the old one are void.
    ///
    /// # Errors
    /// No such user, the caller may not, or no answer in time.
    pub async fn change_password(
        &self,
        name: String,
        password: Option<Secret<String>>,
    ) -> Result<Header, ServiceError> {
        self.admit(&Request::AuthChange).await?;
        let password = match password {
            Some(password) => self.passwords.hash(password).await?,
            None => PasswordHash::new(String::new()),
        };
        self.change(AuthChange::ChangePassword { name, password }).await
    }

    /// Gives a role a right.
    ///
    /// # Errors
    /// No right was given, none on any key, no such role, the caller may not, or no answer in time.
    pub async fn grant_permission(
        &self,
        role: String,
        permission: Option<Permission>,
    ) -> Result<Header, ServiceError> {
        let Some(permission) = permission else {
            self.admit(&Request::AuthChange).await?;
            return Err(ServiceError::PermissionNotGiven);
        };
        self.change(AuthChange::GrantPermission { role, permission })
            .await
    }

    /// Makes any other change.
    ///
    /// # Errors
    /// The state refuses it, the caller may not, or no answer in time.
    pub async fn change(&self, change: AuthChange) -> Result<Header, ServiceError> {
        let pick = |answer| matches!(answer, Answer::Auth).then_some(());
        let (revision, ()) = self
            .core
            .propose_for(&self.caller, Command::Auth(change), pick)
            .await?;
        Ok(self.core.headers.at(revision))
    }

    /// The names of all users, sorted.
    ///
    /// # Errors
    /// The caller may not, or no quorum in time.
    pub async fn users(&self) -> Result<Answered<Vec<String>>, ServiceError> {
        let view = self
            .core
            .view_for(&self.caller, false, &Request::UserList)
            .await?;
        Ok(Answered {
            header: self.core.headers.at(view.revision()),
            answer: view.auth().user_names(),
        })
    }

    /// The names of all roles, sorted.
    ///
    /// # Errors
    /// The caller may not, or no quorum in time.
    pub async fn roles(&self) -> Result<Answered<Vec<String>>, ServiceError> {
        let view = self
            .core
            .view_for(&self.caller, false, &Request::RoleList)
            .await?;
        Ok(Answered {
            header: self.core.headers.at(view.revision()),
            answer: view.auth().role_names(),
        })
    }

    /// The roles of a user, sorted.
    ///
    /// # Errors
    /// No such user, the caller may not, or no quorum in time.
    pub async fn user(&self, name: &str) -> Result<Answered<Vec<String>>, ServiceError> {
        let view = self
            .core
            .view_for(&self.caller, false, &Request::UserGet(name))
            .await?;
        let user = view
            .auth()
            .user(name)
            .ok_or(ServiceError::Refused(Refusal::UserNotFound))?;
        Ok(Answered {
            header: self.core.headers.at(view.revision()),
            answer: user.roles.clone(),
        })
    }

    /// The rights of a role, sorted by key.
    ///
    /// # Errors
    /// No such role, the caller may not, or no quorum in time.
    pub async fn role(&self, name: &str) -> Result<Answered<Vec<Permission>>, ServiceError> {
        let view = self
            .core
            .view_for(&self.caller, false, &Request::RoleGet(name))
            .await?;
        let role = view
            .auth()
            .role(name)
            .ok_or(ServiceError::Refused(Refusal::RoleNotFound))?;
        Ok(Answered {
            header: self.core.headers.at(view.revision()),
            answer: role.permissions.clone(),
        })
    }

    async fn admit(&self, request: &Request<'_>) -> Result<(), ServiceError> {
        self.core.gate.admit(&self.caller, request).await.map(drop)
    }
}
