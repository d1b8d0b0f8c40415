//! Changes of users and roles. The rules, and which of them make a new auth revision, are etcd's.

use std::sync::Arc;

use super::{Answer, Effect, Outcome, Refusal, Transition};
use crate::state::access::Request;
use crate::state::auth::{Auth, AuthChange, AuthSettings, Permission, ROOT, Role, User, Who};
use crate::state::command::Command;
use crate::state::{format, schema};
use crate::storage::overlay::Overlay;

/// Whether a change changed something, or why it was not made.
type Changed = Outcome<bool>;

impl Transition<'_> {
    /// Whether a command may be done for `who`.
    pub(super) fn authorize(&self, who: Who<'_>, command: &Command) -> Outcome<()> {
        if !self.auth.is_enabled() && !matches!(command, Command::By { .. }) {
            return Ok(Ok(()));
        }
        match Request::of(command) {
            Some(request) => self.auth.authorize(&self.overlay, who, &request),
            // No proposer wraps a command twice.
            None => Ok(Err(Refusal::PermissionDenied)),
        }
    }

    pub(super) fn change_auth(&mut self, change: &AuthChange) -> Outcome<Answer> {
        let auth = Arc::make_mut(&mut self.auth);
        let changed = match make(auth, &mut self.overlay, change)? {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if changed {
            let format = format::encode("database format", &schema::FORMAT_WITH_USERS)?;
            self.put_meta(schema::FORMAT, format);
            self.effects.push(Effect::AuthChanged);
        }
        Ok(Ok(Answer::Auth))
    }
}

fn make(auth: &mut Auth, overlay: &mut Overlay<'_>, change: &AuthChange) -> Changed {
    let made = match change {
        AuthChange::Enable { token_key } => {
            let changed = match auth.user(ROOT) {
                // A restored store has no key until the first login.
                _ if auth.is_enabled() && !auth.token_key().expose().is_empty() => return Ok(Ok(false)),
                None => Err(Refusal::RootUserMissing),
                Some(root) if !root.has_role(ROOT) => Err(Refusal::RootRoleMissing),
                Some(_) => Ok(true),
            };
            if changed.is_ok() {
                let settings = AuthSettings {
                    is_enabled: true,
                    revision: auth.revision(),
                    token_key: token_key.clone(),
                };
                auth.put_settings(overlay, settings)?;
            }
            // The only change that makes no new revision.
            return Ok(changed);
        }
        AuthChange::Disable => {
            if !auth.is_enabled() {
                return Ok(Ok(false));
            }
            auth.put_settings(
                overlay,
                AuthSettings {
                    revision: auth.revision(),
                    ..AuthSettings::default()
                },
            )?;
            Ok(true)
        }
        AuthChange::AddUser { name, password } => {
            if name.is_empty() {
                return Ok(Err(Refusal::UserEmpty));
            }
            if auth.user(name).is_some() {
                return Ok(Err(Refusal::UserExists));
            }
            let user = User {
                password: password.clone(),
                password_revision: auth.next_revision(),
                roles: Vec::new(),
            };
            put_user(auth, overlay, name, user)?
        }
        AuthChange::DeleteUser { name } => {
            if auth.is_enabled() && name == ROOT {
                return Ok(Err(Refusal::InvalidAuthManagement));
            }
            if auth.user(name).is_none() {
                return Ok(Err(Refusal::UserNotFound));
            }
            auth.remove_user(overlay, name)?;
            Ok(true)
        }
        AuthChange::ChangePassword { name, password } => {
            let Some(user) = auth.user(name) else {
                return Ok(Err(Refusal::UserNotFound));
            };
            let user = User {
                // A user without a password stays one, and the change counts all the same (etcd).
                password: user.password.as_ref().map(|_| password.clone()),
                password_revision: auth.next_revision(),
                roles: user.roles.clone(),
            };
            put_user(auth, overlay, name, user)?
        }
        AuthChange::GrantRole { user, role } => grant_role(auth, overlay, user, role)?,
        AuthChange::RevokeRole { user, role } => revoke_role(auth, overlay, user, role)?,
        AuthChange::AddRole { name } => {
            if name.is_empty() {
                return Ok(Err(Refusal::RoleEmpty));
            }
            if auth.role(name).is_some() {
                return Ok(Err(Refusal::RoleExists));
            }
            put_role(auth, overlay, name, Role::default())?
        }
        AuthChange::DeleteRole { name } => delete_role(auth, overlay, name)?,
        AuthChange::GrantPermission { role, permission } => {
            grant_permission(auth, overlay, role, permission)?
        }
        AuthChange::RevokePermission { role, key, end } => {
            let Some(found) = auth.role(role) else {
                return Ok(Err(Refusal::RoleNotFound));
            };
            let mut left = found.clone();
            left.permissions
                .retain(|permission| permission.key != key || permission.end != end);
            if left.permissions.len() == found.permissions.len() {
                return Ok(Err(Refusal::PermissionNotGranted));
            }
            put_role(auth, overlay, role, left)?
        }
    };
    if made == Ok(true) {
        auth.raise_revision(overlay)?;
    }
    Ok(made)
}

fn put_user(auth: &mut Auth, overlay: &mut Overlay<'_>, name: &str, user: User) -> Changed {
    let stored = auth.put_user(overlay, name, user)?;
    Ok(stored.map(|()| true).map_err(|_| Refusal::AuthFull))
}

fn put_role(auth: &mut Auth, overlay: &mut Overlay<'_>, name: &str, role: Role) -> Changed {
    let stored = auth.put_role(overlay, name, role)?;
    Ok(stored.map(|()| true).map_err(|_| Refusal::AuthFull))
}

fn grant_role(auth: &mut Auth, overlay: &mut Overlay<'_>, name: &str, role: &str) -> Changed {
    let Some(user) = auth.user(name) else {
        return Ok(Err(Refusal::UserNotFound));
    };
    // The role that may do everything need not exist (etcd).
    if role != ROOT && auth.role(role).is_none() {
        return Ok(Err(Refusal::RoleNotFound));
    }
    if user.has_role(role) {
        return Ok(Ok(false));
    }
    let mut user = user.clone();
    user.roles.push(role.to_owned());
    user.roles.sort_unstable();
    put_user(auth, overlay, name, user)
}

fn revoke_role(auth: &mut Auth, overlay: &mut Overlay<'_>, name: &str, role: &str) -> Changed {
    if auth.is_enabled() && name == ROOT && role == ROOT {
        return Ok(Err(Refusal::InvalidAuthManagement));
    }
    let Some(user) = auth.user(name) else {
        return Ok(Err(Refusal::UserNotFound));
    };
    if !user.has_role(role) {
        return Ok(Err(Refusal::RoleNotGranted));
    }
    let mut user = user.clone();
    user.roles.retain(|other| other != role);
    put_user(auth, overlay, name, user)
}

fn delete_role(auth: &mut Auth, overlay: &mut Overlay<'_>, name: &str) -> Changed {
    if auth.is_enabled() && name == ROOT {
        return Ok(Err(Refusal::InvalidAuthManagement));
    }
    if auth.role(name).is_none() {
        return Ok(Err(Refusal::RoleNotFound));
    }
    auth.remove_role(overlay, name)?;
    for (holder, mut user) in auth.holders(name) {
        user.roles.retain(|role| role != name);
        // A shorter record always has room.
        let _ = auth.put_user(overlay, &holder, user)?;
    }
    Ok(Ok(true))
}

fn grant_permission(
    auth: &mut Auth,
    overlay: &mut Overlay<'_>,
    name: &str,
    permission: &Permission,
) -> Changed {
    let ends_before_it_starts =
        !matches!(permission.end.as_ref(), [] | [0]) && permission.end <= permission.key;
    if permission.key.is_empty() || ends_before_it_starts {
        return Ok(Err(Refusal::InvalidAuthManagement));
    }
    let Some(role) = auth.role(name) else {
        return Ok(Err(Refusal::RoleNotFound));
    };
    let mut role = role.clone();
    let place = role
        .permissions
        .binary_search_by(|other| (&other.key, &other.end).cmp(&(&permission.key, &permission.end)));
    match place {
        Ok(place) => {
            if let Some(same) = role.permissions.get_mut(place) {
                same.kind = permission.kind;
            }
        }
        Err(place) => role.permissions.insert(place, permission.clone()),
    }
    put_role(auth, overlay, name, role)
}
