//! Applying one command: a function of (state, command) to (changes, outcome, effects). One file for each command.
//!
//! A [`Transition`] collects the changes of a batch of entries on top of a view. Every command is checked in full before
//! its first write, so a refusal leaves nothing to undo.

mod alarm;
mod auth;
mod compact;
mod delete;
mod lease;
mod put;
mod restore;
mod txn;

pub(super) use alarm::{Alarms, active_alarms};
pub(super) use lease::{attached_keys, visible_leases};

use std::sync::Arc;

use bytes::Bytes;

use super::applied::{
    Answer, DeleteRangeAnswer, Effect, Effects, Event, EventKind, Events, KeyValue, OperationAnswer,
    PutAnswer, Refusal, TxnAnswer, VersionId,
};
use super::auth::{Auth, Who};
use super::command::Command;
use super::format::{self, Change, Head, Publication, Version};
use super::mvcc::history::tombstone;
use super::mvcc::range::Moment;
use super::recent::RecentKeys;
use super::{mvcc, schema};
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::overlay::Overlay;
use crate::storage::{Batch, Family, StorageError, View};

/// The counters of the store, and what else every command depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The newest revision.
    pub revision: Revision,
    /// The oldest readable revision, none if never compacted.
    pub compacted: Option<Revision>,
    /// The kinds of alarm that are active.
    pub alarms: Alarms,
}

/// What a command gives: an answer or a refusal, which are values, or a storage error, which is not.
type Outcome<T> = Result<Result<T, Refusal>, StorageError>;

/// The state that a batch of entries is turning into another one.
pub struct Transition<'view> {
    overlay: Overlay<'view>,
    recent: &'view RecentKeys,
    counters: Counters,
    auth: Arc<Auth>,
    /// Changes of the command in hand; they make one revision.
    events: Events,
    effects: Effects,
    /// What is being encoded.
    key: Vec<u8>,
    /// See `key`.
    record: Vec<u8>,
}

impl<'view> Transition<'view> {
    /// Starts from a view, its counters, users and roles, and the keys that are remembered.
    #[must_use]
    pub fn new(
        view: &'view dyn View,
        counters: Counters,
        auth: Arc<Auth>,
        recent: &'view RecentKeys,
    ) -> Self {
        Self {
            overlay: Overlay::new(view),
            recent,
            counters,
            auth,
            events: Events::new(),
            effects: Effects::new(),
            key: Vec::new(),
            record: Vec::new(),
        }
    }

    /// The counters after the commands so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Users and roles after the commands so far.
    #[must_use]
    pub fn auth(&self) -> Arc<Auth> {
        Arc::clone(&self.auth)
    }

    /// Sets a record of the node's own, such as the applied position.
    pub fn put_meta(&mut self, key: &'static [u8], record: Bytes) {
        self.overlay.put(Family::Meta, Bytes::from_static(key), record);
    }

    /// All changes, to be written in one batch.
    #[must_use]
    pub fn into_batch(self) -> Batch {
        self.overlay.into_batch()
    }

    /// Applies one command and returns its outcome with the news it makes.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn apply(&mut self, command: &Command) -> Result<(Result<Answer, Refusal>, Effects), StorageError> {
        let (who, command) = match command {
            Command::By { author, command } => (author.who(), command.as_ref()),
            command => (Who::Nobody, command),
        };
        let outcome = match self.authorize(who, command)? {
            Ok(()) => self.dispatch(command)?,
            Err(refusal) => Err(refusal),
        };
        if !self.events.is_empty() {
            self.counters.revision = self.pending_revision();
            self.effects.push(Effect::Changed {
                revision: self.counters.revision,
                events: std::mem::take(&mut self.events),
            });
        }
        Ok((outcome, std::mem::take(&mut self.effects)))
    }

    fn dispatch(&mut self, command: &Command) -> Outcome<Answer> {
        if let Some(refusal) = self.counters.alarms.forbid(command) {
            return Ok(Err(refusal));
        }
        match command {
            Command::Put(put) => Ok(self.put(put)?.map(Answer::Put)),
            Command::DeleteRange(delete) => Ok(Ok(Answer::DeleteRange(self.delete_range(delete)?))),
            Command::Txn(txn) => Ok(self.transaction(txn)?.map(Answer::Txn)),
            Command::Compact { revision } => self.compact(*revision),
            Command::LeaseGrant { id, ttl_seconds } => self.grant_lease(*id, *ttl_seconds),
            Command::LeaseRevoke { id } => self.revoke_lease(*id),
            Command::PublishMember {
                id,
                name,
                client_urls,
            } => self.publish_member(*id, name, client_urls),
            Command::AlarmActivate { member, alarm } => self.set_alarm(*member, *alarm, true),
            Command::AlarmDeactivate { member, alarm } => self.set_alarm(*member, *alarm, false),
            Command::Auth(change) => self.change_auth(change),
            // A command has one author; `authorize` has refused this.
            Command::By { .. } => Ok(Err(Refusal::PermissionDenied)),
        }
    }

    /// The revision that the command in hand makes if it changes something.
    fn pending_revision(&self) -> Revision {
        Revision(self.counters.revision.0 + 1)
    }

    /// The revision that a read inside the command in hand sees: its own, once it has changed something.
    fn visible_revision(&self) -> Revision {
        if self.events.is_empty() {
            self.counters.revision
        } else {
            self.pending_revision()
        }
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            view: &self.overlay,
            recent: self.recent,
            revision: self.visible_revision(),
            compacted: self.counters.compacted,
        }
    }

    fn next_version_id(&self) -> Result<VersionId, StorageError> {
        let sub = u32::try_from(self.events.len()).map_err(|_| StorageError::Corrupt {
            what: "command",
            reason: "it makes more than 2^32 changes".to_owned(),
        })?;
        Ok(VersionId {
            revision: self.pending_revision(),
            sub,
        })
    }

    fn head(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Head>, StorageError> {
        self.moment().head(namespace, key)
    }

    fn lease_exists(&self, id: LeaseId) -> Result<bool, StorageError> {
        Ok(self.overlay.get(Family::Leases, &schema::lease(id))?.is_some())
    }

    /// Writes a new version of a key.
    fn write_version(
        &mut self,
        namespace: Namespace,
        key: &Bytes,
        value: Bytes,
        lease: LeaseId,
        old: Option<&Head>,
    ) -> Result<(), StorageError> {
        let id = self.next_version_id()?;
        let head = Head {
            create_revision: old.map_or(id.revision, |old| old.create_revision),
            modification_revision: id.revision,
            sub: id.sub,
            version: old.map_or(1, |old| old.version + 1),
            lease,
        };
        let version = Version {
            create_revision: head.create_revision,
            version: head.version,
            lease,
            value,
        };
        self.key.clear();
        self.record.clear();
        schema::push_head(&mut self.key, namespace, key);
        head.push(&mut self.record)?;
        self.overlay.put_copy(Family::Heads, &self.key, &self.record);
        self.recent.put(namespace, key, head, &version.value);
        self.put_version(namespace, key, id, &version)?;
        self.move_attachment(namespace, key, old.map_or(LeaseId::NONE, |old| old.lease), lease);
        let key_value = KeyValue {
            key: key.clone(),
            value: version.value,
            create_revision: head.create_revision,
            modification_revision: id.revision,
            version: head.version,
            lease,
        };
        self.push_event(namespace, EventKind::Put, key_value, id, old)
    }

    /// Removes a live key.
    fn write_tombstone(&mut self, namespace: Namespace, key: &Bytes, old: &Head) -> Result<(), StorageError> {
        let id = self.next_version_id()?;
        self.overlay.delete(Family::Heads, schema::head(namespace, key));
        self.recent.remove(namespace, key, id.revision);
        self.put_version(namespace, key, id, &Version::default())?;
        self.move_attachment(namespace, key, old.lease, LeaseId::NONE);
        let key_value = tombstone(key.clone(), id.revision);
        self.push_event(namespace, EventKind::Delete, key_value, id, Some(old))
    }

    fn put_version(
        &mut self,
        namespace: Namespace,
        key: &[u8],
        id: VersionId,
        version: &Version,
    ) -> Result<(), StorageError> {
        self.key.clear();
        self.record.clear();
        schema::push_version(&mut self.key, namespace, key, id);
        version.push(&mut self.record)?;
        self.overlay.put_copy(Family::Versions, &self.key, &self.record);
        Ok(())
    }

    fn move_attachment(&mut self, namespace: Namespace, key: &[u8], from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if !from.is_none() {
            self.overlay
                .delete(Family::LeaseKeys, schema::lease_key(from, namespace, key));
        }
        if !to.is_none() {
            self.overlay.put(
                Family::LeaseKeys,
                schema::lease_key(to, namespace, key),
                Bytes::new(),
            );
        }
    }

    fn push_event(
        &mut self,
        namespace: Namespace,
        kind: EventKind,
        key_value: KeyValue,
        id: VersionId,
        old: Option<&Head>,
    ) -> Result<(), StorageError> {
        let superseded = old.map(Head::id);
        let change = Change {
            kind,
            namespace,
            key: key_value.key.clone(),
            superseded,
        };
        self.key.clear();
        self.record.clear();
        schema::push_event(&mut self.key, id);
        change.push(&mut self.record)?;
        self.overlay.put_copy(Family::Events, &self.key, &self.record);
        self.events.push(Event {
            namespace,
            kind,
            key_value,
            id,
            superseded,
        });
        Ok(())
    }

    /// Forgets what a member published, and remembers that it was removed.
    pub fn remove_member(&mut self, id: MemberId) {
        self.overlay.delete(Family::Meta, schema::member(id));
        self.overlay.put(Family::Meta, schema::removed(id), Bytes::new());
    }

    /// A publication that was on its way when its member was removed changes nothing.
    fn publish_member(&mut self, id: MemberId, name: &str, client_urls: &[String]) -> Outcome<Answer> {
        if self.overlay.get(Family::Meta, &schema::removed(id))?.is_some() {
            return Ok(Ok(Answer::PublishMember));
        }
        let publication = Publication {
            name: name.to_owned(),
            client_urls: client_urls.to_vec(),
        };
        let record = format::encode("member publication", &publication)?;
        self.overlay.put(Family::Meta, schema::member(id), record);
        self.effects.push(Effect::MemberPublished { id });
        Ok(Ok(Answer::PublishMember))
    }
}
