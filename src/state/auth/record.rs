//! What is stored of users and roles, and how it is read and replaced.
//!
//! A change goes into the picture in memory and into the batch in one step, so that the two cannot differ. Never decides
//! whether a change is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Auth, PasswordHash, Permission};
use crate::base::limits::MAXIMUM_AUTH_BYTES;
use crate::base::secret::Secret;
use crate::state::{format, schema};
use crate::storage::overlay::Overlay;
use crate::storage::{Family, KeyRange, StorageError, View};

/// The auth revision of a fresh store, as in etcd.
const FIRST_REVISION: u64 = 1;

/// What is true of all users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthSettings {
    /// Whether requests need an identity.
    pub is_enabled: bool,
    /// See [`Auth::revision`].
    pub revision: u64,
    /// See [`Auth::token_key`].
    pub token_key: Secret<Vec<u8>>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            is_enabled: false,
            revision: FIRST_REVISION,
            token_key: Secret::default(),
        }
    }
}

/// A user, without the name (which is in its storage key).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// None: the user cannot log in with a password.
    pub password: Option<PasswordHash>,
    /// The auth revision that the last change of the password made: tokens from before it are void.
    pub password_revision: u64,
    /// The roles, sorted.
    pub roles: Vec<String>,
}

impl User {
    /// Whether the user has a role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles
            .binary_search_by(|other| other.as_str().cmp(role))
            .is_ok()
    }
}

/// A role, without the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its rights, sorted by key and end; one for each range.
    pub permissions: Vec<Permission>,
}

/// There is no room for what was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Auth {
    /// Reads everything.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn load(view: &dyn View) -> Result<Self, StorageError> {
        let mut auth = Self::default();
        if let Some(record) = view.get(Family::Auth, schema::AUTH_SETTINGS)? {
            auth.settings = format::decode("auth settings", &record)?;
        }
        for (name, key, record) in rows(view, schema::USER_PREFIX)? {
            auth.bytes += key + record.len();
            let user: User = format::decode("user", &record)?;
            auth.users.insert_mut(name, Arc::new(user));
        }
        for (name, key, record) in rows(view, schema::ROLE_PREFIX)? {
            auth.bytes += key + record.len();
            let role: Role = format::decode("role", &record)?;
            auth.roles.insert_mut(name, Arc::new(role));
        }
        Ok(auth)
    }

    /// Replaces the settings.
    pub fn put_settings(
        &mut self,
        overlay: &mut Overlay<'_>,
        settings: AuthSettings,
    ) -> Result<(), StorageError> {
        let record = format::encode("auth settings", &settings)?;
        overlay.put(Family::Auth, schema::AUTH_SETTINGS, record);
        self.settings = settings;
        Ok(())
    }

    /// Takes note of a change that counts.
    pub fn raise_revision(&mut self, overlay: &mut Overlay<'_>) -> Result<(), StorageError> {
        self.forget_rights();
        let settings = AuthSettings {
            revision: self.next_revision(),
            ..self.settings.clone()
        };
        self.put_settings(overlay, settings)
    }

    /// The revision that the next change that counts makes.
    #[must_use]
    pub fn next_revision(&self) -> u64 {
        self.settings.revision.saturating_add(1)
    }

    /// Sets a user.
    pub fn put_user(
        &mut self,
        overlay: &mut Overlay<'_>,
        name: &str,
        user: User,
    ) -> Result<Result<(), Full>, StorageError> {
        let record = format::encode("user", &user)?;
        let stored = self.store(overlay, schema::user(name), Some(record))?;
        if stored.is_ok() {
            self.users.insert_mut(name.to_owned(), Arc::new(user));
        }
        Ok(stored)
    }

    /// Removes a user.
    pub fn remove_user(&mut self, overlay: &mut Overlay<'_>, name: &str) -> Result<(), StorageError> {
        // Removing never needs room.
        let _ = self.store(overlay, schema::user(name), None)?;
        self.users.remove_mut(name);
        Ok(())
    }

    /// Sets a role.
    pub fn put_role(
        &mut self,
        overlay: &mut Overlay<'_>,
        name: &str,
        role: Role,
    ) -> Result<Result<(), Full>, StorageError> {
        let record = format::encode("role", &role)?;
        let stored = self.store(overlay, schema::role(name), Some(record))?;
        if stored.is_ok() {
            self.roles.insert_mut(name.to_owned(), Arc::new(role));
        }
        Ok(stored)
    }

    /// Removes a role; users who have it keep its name.
    pub fn remove_role(&mut self, overlay: &mut Overlay<'_>, name: &str) -> Result<(), StorageError> {
        let _ = self.store(overlay, schema::role(name), None)?;
        self.roles.remove_mut(name);
        Ok(())
    }

    /// The users who have a role.
    #[must_use]
    pub fn holders(&self, role: &str) -> BTreeMap<String, User> {
        let holders = self.users.iter().filter(|(_, user)| user.has_role(role));
        holders
            .map(|(name, user)| (name.clone(), user.as_ref().clone()))
            .collect()
    }

    /// Sets or removes a record, if there is room for it.
    fn store(
        &mut self,
        overlay: &mut Overlay<'_>,
        key: Vec<u8>,
        record: Option<Bytes>,
    ) -> Result<Result<(), Full>, StorageError> {
        let size = |record: &Bytes| key.len() + record.len();
        let old = overlay.get(Family::Auth, &key)?.map_or(0, |old| size(&old));
        let new = record.as_ref().map_or(0, size);
        let bytes = self.bytes.saturating_sub(old).saturating_add(new);
        if new > old && bytes > MAXIMUM_AUTH_BYTES {
            return Ok(Err(Full));
        }
        self.bytes = bytes;
        match record {
            Some(record) => overlay.put(Family::Auth, key, record),
            None => overlay.delete(Family::Auth, key),
        }
        Ok(Ok(()))
    }
}

/// The rows under a prefix: name, length of the whole key, record.
fn rows(view: &dyn View, prefix: &[u8]) -> Result<Vec<(String, usize, Bytes)>, StorageError> {
    let mut rows = Vec::new();
    let mut cursor = view.scan(Family::Auth, KeyRange::prefix(prefix))?;
    while let Some((key, record)) = cursor.item() {
        let name = schema::auth_name(prefix, key)?;
        rows.push((name, key.len(), Bytes::copy_from_slice(record)));
        cursor.advance()?;
    }
    Ok(rows)
}
