//! Users and roles in a snapshot, as etcd keeps them.
//!
//! A password is there as its hash: etcd's own are good in Stead, Stead's are good in Stead only. The key that tokens are
//! signed with is never in a file: whoever restores one makes everybody log in again.

use bytes::Bytes;
use prost::Message;

use super::SnapshotError;
use super::read::{SnapshotFile, damaged, decode};
use super::schema::{self, StoredPermission, StoredRole, StoredUser, UserOptions};
use crate::base::secret::Secret;
use crate::state::applied::Fatal;
use crate::state::auth::{Auth, AuthSettings, Permission, PermissionKind, Role, User};
use crate::state::restore::StoredAuth;
use crate::storage::bbolt::Writer;

/// Writes the three buckets.
pub fn write(auth: &Auth, writer: &mut Writer) -> Result<(), Fatal> {
    let mut settings = writer.bucket(schema::AUTH.as_bytes());
    settings.put(schema::AUTH_ENABLED, &[u8::from(auth.is_enabled())])?;
    settings.put(schema::AUTH_REVISION, &auth.revision().to_be_bytes())?;
    settings.finish()?;
    let mut roles = writer.bucket(schema::AUTH_ROLES.as_bytes());
    for name in auth.role_names() {
        let permissions = auth.role(&name).map(|role| role.permissions.as_slice());
        let stored = StoredRole {
            name: name.clone().into(),
            permissions: permissions
                .unwrap_or_default()
                .iter()
                .map(stored_permission)
                .collect(),
        };
        roles.put(name.as_bytes(), &stored.encode_to_vec())?;
    }
    roles.finish()?;
    let mut users = writer.bucket(schema::AUTH_USERS.as_bytes());
    for name in auth.user_names() {
        let Some(user) = auth.user(&name) else { continue };
        let password = user.password.as_ref();
        let stored = StoredUser {
            name: name.clone().into(),
            password: password.map_or_else(Bytes::new, |hash| {
                Bytes::copy_from_slice(hash.expose().as_bytes())
            }),
            roles: user.roles.clone(),
            options: Some(UserOptions {
                no_password: password.is_none(),
            }),
        };
        users.put(name.as_bytes(), &stored.encode_to_vec())?;
    }
    Ok(users.finish()?)
}

fn stored_permission(permission: &Permission) -> StoredPermission {
    let kind = match permission.kind {
        PermissionKind::Read => schema::READ,
        PermissionKind::Write => schema::WRITE,
        PermissionKind::ReadWrite => schema::READ_WRITE,
    };
    StoredPermission {
        kind,
        key: permission.key.clone(),
        end: permission.end.clone(),
    }
}

/// Reads the three buckets, of which an old file may lack any.
pub fn read(file: &SnapshotFile) -> Result<StoredAuth, SnapshotError> {
    let mut settings = AuthSettings::default();
    file.each(schema::AUTH, |key, value| {
        if key == schema::AUTH_ENABLED {
            // As etcd reads it.
            settings.is_enabled = value.as_ref() == [1];
        } else if key == schema::AUTH_REVISION {
            let number = value
                .as_ref()
                .try_into()
                .map_err(|_| damaged("the auth revision is no number"))?;
            // An etcd that never had a user says 0.
            settings.revision = u64::from_be_bytes(number).max(settings.revision);
        }
        Ok(())
    })?;
    let mut roles = Vec::new();
    file.each(schema::AUTH_ROLES, |key, value| {
        roles.push((name("role", &key)?, role(&value)?));
        Ok(())
    })?;
    let mut users = Vec::new();
    file.each(schema::AUTH_USERS, |key, value| {
        users.push((name("user", &key)?, user(&value, settings.revision)?));
        Ok(())
    })?;
    Ok(StoredAuth {
        settings,
        users,
        roles,
    })
}

fn name(what: &str, key: &[u8]) -> Result<String, SnapshotError> {
    match std::str::from_utf8(key) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        Ok(_) | Err(_) => Err(damaged(format!("a {what} has no name"))),
    }
}

fn role(value: &Bytes) -> Result<Role, SnapshotError> {
    let stored: StoredRole = decode("role", value)?;
    let permissions = stored.permissions.into_iter().map(|stored| {
        let kind = match stored.kind {
            schema::READ => PermissionKind::Read,
            schema::WRITE => PermissionKind::Write,
            schema::READ_WRITE => PermissionKind::ReadWrite,
            other => return Err(damaged(format!("there is no permission of type {other}"))),
        };
        Ok(Permission {
            kind,
            key: stored.key,
            end: stored.end,
        })
    });
    let mut permissions: Vec<Permission> = permissions.collect::<Result<_, _>>()?;
    permissions.sort_by(|one, other| (&one.key, &one.end).cmp(&(&other.key, &other.end)));
    if permissions
        .windows(2)
        .any(|two| matches!(two, [one, other] if (&one.key, &one.end) == (&other.key, &other.end)))
    {
        return Err(damaged("a role has two permissions on one range"));
    }
    Ok(Role { permissions })
}

fn user(value: &Bytes, revision: u64) -> Result<User, SnapshotError> {
    let stored: StoredUser = decode("user", value)?;
    let hash = String::from_utf8(stored.password.to_vec());
    let hash = hash.map_err(|_| damaged("the hash of a password is no text"))?;
    let has_password = !stored.options.is_some_and(|options| options.no_password);
    let mut roles = stored.roles;
    roles.sort();
    roles.dedup();
    Ok(User {
        password: has_password.then(|| Secret::new(hash)),
        password_revision: revision,
        roles,
    })
}
