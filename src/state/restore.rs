//! Builds a state from what another store recorded: its versions with the revisions they had there, its leases and its
//! compacted revision. What comes out is what the same changes would have made here.
//!
//! Only ever fills an engine that is empty. Never knows in what form the other store kept it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::applied::{EventKind, Fatal, KeyValue, VersionId};
use super::apply::{Counters, Transition};
use super::auth::{Auth, AuthSettings, Role, User};
use super::command::Alarm;
use super::format::{self, ActiveAlarm, AppliedEntry, StoredMembership};
use super::machine::{AppliedPosition, load};
use super::recent::RecentKeys;
use super::schema;
use crate::base::limits::MAXIMUM_AUTH_BYTES;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::overlay::Overlay;
use crate::storage::{Batch, Durability, Engine, Family, StorageError};

/// A version of a key, as another store recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// Where the key lives.
    pub namespace: Namespace,
    /// Which version.
    pub id: VersionId,
    /// Put or removed: of a removed one only the key counts.
    pub kind: EventKind,
    /// The key-value; its modification revision is that of `id`.
    pub key_value: KeyValue,
}

/// Users and roles by name, as another store recorded them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuth {
    /// What is true of all users.
    pub settings: AuthSettings,
    /// The users.
    pub users: Vec<(String, User)>,
    /// The roles.
    pub roles: Vec<(String, Role)>,
}

/// A state that is being built.
pub struct StateBuilder {
    engine: Arc<dyn Engine>,
    counters: Counters,
    leases: BTreeSet<LeaseId>,
}

impl StateBuilder {
    /// Begins with an engine that is empty.
    ///
    /// # Errors
    /// The disk failed.
    pub fn new(engine: Arc<dyn Engine>) -> Result<Self, Fatal> {
        let counters = load(&engine, Arc::new(RecentKeys::with_places(0)))?.counters;
        Ok(Self {
            engine,
            counters,
            leases: BTreeSet::new(),
        })
    }

    /// Adds leases with their granted times to live in seconds. They come before the versions of keys attached to them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn leases(&mut self, leases: &[(LeaseId, i64)]) -> Result<(), Fatal> {
        let mut batch = Batch::default();
        for (id, ttl_seconds) in leases {
            batch.put(
                Family::Leases,
                schema::lease(*id),
                format::encode("lease", ttl_seconds)?,
            );
            self.leases.insert(*id);
        }
        Ok(self.engine.write(batch, Durability::Buffered)?)
    }

    /// Adds versions, of each namespace in the order of their revisions, as one batch: the caller bounds its size.
    ///
    /// # Errors
    /// The disk failed.
    pub fn versions(&mut self, versions: &[StoredVersion]) -> Result<(), Fatal> {
        let view = self.engine.view();
        let recent = RecentKeys::with_places(0);
        let mut transition = Transition::new(view.as_ref(), self.counters, Arc::default(), &recent);
        for stored in versions {
            transition.restore_version(stored, |lease| self.leases.contains(&lease))?;
            self.counters.revision = self.counters.revision.max(stored.id.revision);
        }
        Ok(self.engine.write(transition.into_batch(), Durability::Buffered)?)
    }

    /// Adds an alarm.
    ///
    /// # Errors
    /// The disk failed.
    pub fn alarm(&mut self, member: MemberId, alarm: Alarm) -> Result<(), Fatal> {
        let mut batch = Batch::default();
        let record = format::encode("alarm", &ActiveAlarm { member, alarm })?;
        batch.put(Family::Meta, schema::alarm(member, alarm.number()), record);
        Ok(self.engine.write(batch, Durability::Buffered)?)
    }

    /// Sets users and roles.
    ///
    /// # Errors
    /// The disk failed, or they take more room than they may.
    pub fn auth(&mut self, stored: StoredAuth) -> Result<(), Fatal> {
        let is_fresh = stored.settings == AuthSettings::default();
        if is_fresh && stored.users.is_empty() && stored.roles.is_empty() {
            return Ok(());
        }
        let view = self.engine.view();
        let mut overlay = Overlay::new(view.as_ref());
        let mut auth = Auth::default();
        let mut is_full = false;
        for (name, role) in stored.roles {
            is_full |= auth.put_role(&mut overlay, &name, role)?.is_err();
        }
        for (name, user) in stored.users {
            is_full |= auth.put_user(&mut overlay, &name, user)?.is_err();
        }
        if is_full {
            return Err(Fatal::Storage(StorageError::Corrupt {
                what: "users and roles",
                reason: format!(
                    "they take more than {MAXIMUM_AUTH_BYTES} bytes; remove some before the snapshot"
                ),
            }));
        }
        auth.put_settings(&mut overlay, stored.settings)?;
        let format = format::encode("database format", &schema::FORMAT_WITH_USERS)?;
        overlay.put(Family::Meta, Bytes::from_static(schema::FORMAT), format);
        Ok(self.engine.write(overlay.into_batch(), Durability::Buffered)?)
    }

    /// The newest revision so far.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.counters.revision
    }

    /// Ends with the store at `revision` and compacted at `compacted`, as of the applied position, and makes it durable.
    ///
    /// # Errors
    /// The disk failed, or the revision is older than a version.
    pub fn finish(
        self,
        revision: Revision,
        compacted: Option<Revision>,
        applied: AppliedPosition,
    ) -> Result<(), Fatal> {
        if revision < self.counters.revision || compacted.is_some_and(|compacted| compacted > revision) {
            return Err(Fatal::Storage(StorageError::Corrupt {
                what: "revision",
                reason: format!("{revision} is older than what it covers"),
            }));
        }
        let mut batch = Batch::default();
        batch.put(
            Family::Meta,
            schema::REVISION,
            format::encode("revision", &revision)?,
        );
        if let Some(compacted) = compacted {
            let record = format::encode("compacted revision", &compacted)?;
            batch.put(Family::Meta, schema::COMPACTED, record);
        }
        if let (Some(index), Some(position)) = (applied.index, applied.position) {
            let record = format::encode("applied position", &AppliedEntry { index, position })?;
            batch.put(Family::Meta, schema::APPLIED, record);
        }
        if let Some((position, membership)) = applied.membership {
            let stored = StoredMembership { position, membership };
            batch.put(
                Family::Meta,
                schema::MEMBERSHIP,
                format::encode("membership", &stored)?,
            );
        }
        self.engine.write(batch, Durability::Buffered)?;
        Ok(self.engine.flush()?)
    }
}
