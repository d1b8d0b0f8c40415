//! The state machine as one would explain it: every version of every key in a map, and nothing clever.
//!
//! Slow on purpose. It shares no code with what it is compared to, only the types of commands and answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::base::{LeaseId, Namespace, Revision};
use crate::proto::mvccpb;
use crate::state::applied::{
    Answer, DeleteRangeAnswer, Effect, Effects, Event, EventKind, Events, KeyValue, OperationAnswer,
    PutAnswer, RangeAnswer, Refusal, TxnAnswer, VersionId,
};
use crate::state::command::{
    Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Range, SortOrder,
    SortTarget, Txn,
};

type Versions = Vec<(VersionId, Option<KeyValue>)>;

/// Everything that ever happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) revision: i64,
    pub(super) compacted: Option<i64>,
    /// All versions of each key, oldest first; none for a removal.
    versions: BTreeMap<(Namespace, Bytes), Versions>,
    pub(super) leases: BTreeMap<LeaseId, i64>,
    /// All changes in order, those of the command in hand included.
    pub(super) events: Vec<Event>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            revision: 1,
            ..Self::default()
        }
    }

    /// Applies a command.
    pub(super) fn apply(&mut self, command: &Command) -> (Result<Answer, Refusal>, Effects) {
        let mut effects = Effects::new();
        let changes_before = self.events.len();
        let outcome = match command {
            Command::Put(put) => {
                let checked = self.check_put(put);
                checked.map(|()| Answer::Put(self.put(put)))
            }
            Command::DeleteRange(delete) => Ok(Answer::DeleteRange(self.delete(delete))),
            Command::Txn(txn) => {
                let before = self.clone();
                before
                    .check_txn(txn)
                    .map(|()| Answer::Txn(self.transaction(&before, txn)))
            }
            Command::Compact { revision } => self.compact(revision.0, &mut effects),
            Command::LeaseGrant { id, ttl_seconds } => self.grant(*id, *ttl_seconds, &mut effects),
            Command::LeaseRevoke { id } => self.revoke(*id, &mut effects),
            other => panic!("the model does not know {other:?}"),
        };
        let events = Events::from(&self.events[changes_before..]);
        if !events.is_empty() {
            self.revision += 1;
            effects.push(Effect::Changed {
                revision: Revision(self.revision),
                events,
            });
        }
        (outcome, effects)
    }

    fn changes_in_hand(&self) -> usize {
        let newer = |event: &&Event| event.id.revision.0 > self.revision;
        self.events.iter().rev().take_while(newer).count()
    }

    fn visible_revision(&self) -> Revision {
        Revision(self.revision + i64::from(self.changes_in_hand() > 0))
    }

    fn read(
        &self,
        namespace: Namespace,
        key: &Bytes,
        at: Revision,
    ) -> Option<&(VersionId, Option<KeyValue>)> {
        let versions = self.versions.get(&(namespace, key.clone()))?;
        versions.iter().rev().find(|(id, _)| id.revision <= at)
    }

    fn live(&self, namespace: Namespace, key: &Bytes, at: Revision) -> Option<KeyValue> {
        self.read(namespace, key, at)?.1.clone()
    }

    fn live_now(&self, namespace: Namespace, key: &Bytes) -> Option<KeyValue> {
        self.live(namespace, key, Revision(self.revision + 1))
    }

    fn keys(&self, keys: &Keys, at: Revision) -> Vec<KeyValue> {
        let matching = self
            .versions
            .keys()
            .filter(|(namespace, key)| *namespace == keys.namespace && contains(keys, key));
        matching
            .filter_map(|(namespace, key)| self.live(*namespace, key, at))
            .collect()
    }

    fn write(&mut self, namespace: Namespace, key: &Bytes, written: Option<KeyValue>) {
        let id = VersionId {
            revision: Revision(self.revision + 1),
            sub: u32::try_from(self.changes_in_hand()).expect("few changes"),
        };
        let versions = self.versions.entry((namespace, key.clone())).or_default();
        let superseded = match versions.last() {
            Some((id, Some(_))) => Some(*id),
            _ => None,
        };
        versions.push((id, written.clone()));
        self.events.push(Event {
            namespace,
            kind: if written.is_some() {
                EventKind::Put
            } else {
                EventKind::Delete
            },
            key_value: written.unwrap_or(KeyValue {
                key: key.clone(),
                modification_revision: id.revision,
                ..KeyValue::default()
            }),
            id,
            superseded,
        });
    }

    fn check_put(&self, put: &Put) -> Result<(), Refusal> {
        if put.lease != LeaseId(0) && !self.leases.contains_key(&put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        let is_missing = self.live_now(put.namespace, &put.key).is_none();
        if (put.ignore_value || put.ignore_lease) && is_missing {
            return Err(Refusal::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, put: &Put) -> PutAnswer {
        let old = self.live_now(put.namespace, &put.key);
        let next = Revision(self.revision + 1);
        let mut written = KeyValue {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision: next,
            modification_revision: next,
            version: 1,
            lease: put.lease,
        };
        if put.ignore_value {
            written.value = Bytes::new();
        }
        if let Some(old) = &old {
            written.create_revision = old.create_revision;
            written.version = old.version + 1;
            if put.ignore_value {
                written.value = old.value.clone();
            }
            if put.ignore_lease {
                written.lease = old.lease;
            }
        }
        self.write(put.namespace, &put.key, Some(written));
        PutAnswer {
            revision: next,
            previous: old.filter(|_| put.previous),
        }
    }

    fn delete(&mut self, delete: &DeleteRange) -> DeleteRangeAnswer {
        let removed = self.keys(&delete.keys, Revision(self.revision + 1));
        for key_value in &removed {
            self.write(delete.keys.namespace, &key_value.key, None);
        }
        DeleteRangeAnswer {
            revision: self.visible_revision(),
            deleted: i64::try_from(removed.len()).expect("few keys"),
            previous: if delete.previous { removed } else { Vec::new() },
        }
    }

    fn grant(&mut self, id: LeaseId, ttl_seconds: i64, effects: &mut Effects) -> Result<Answer, Refusal> {
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExists);
        }
        self.leases.insert(id, ttl_seconds);
        effects.push(Effect::LeaseGranted { id, ttl_seconds });
        Ok(Answer::LeaseGrant { id, ttl_seconds })
    }

    fn revoke(&mut self, id: LeaseId, effects: &mut Effects) -> Result<Answer, Refusal> {
        self.leases.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        for (namespace, key) in self.attached(id) {
            self.write(namespace, &key, None);
        }
        effects.push(Effect::LeaseRevoked { id });
        Ok(Answer::LeaseRevoke)
    }

    /// The keys of a lease.
    pub(super) fn attached(&self, id: LeaseId) -> Vec<(Namespace, Bytes)> {
        let is_attached = |(namespace, key): &&(Namespace, Bytes)| {
            self.live_now(*namespace, key)
                .is_some_and(|live| live.lease == id)
        };
        self.versions.keys().filter(is_attached).cloned().collect()
    }

    fn compact(&mut self, revision: i64, effects: &mut Effects) -> Result<Answer, Refusal> {
        if revision <= self.compacted.unwrap_or(-1) {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = Some(revision);
        effects.push(Effect::Compacted {
            revision: Revision(revision),
        });
        Ok(Answer::Compact)
    }

    fn holds(&self, txn: &Txn) -> bool {
        txn.compare
            .iter()
            .all(|condition| self.condition_holds(condition))
    }

    fn condition_holds(&self, condition: &Compare) -> bool {
        let mut found = self.keys(&condition.keys, Revision(self.revision));
        if found.is_empty() {
            if matches!(condition.target, CompareTarget::Value(_)) {
                return false;
            }
            found.push(KeyValue::default());
        }
        found.iter().all(|key_value| {
            let ordering = match &condition.target {
                CompareTarget::Version(version) => key_value.version.cmp(version),
                CompareTarget::Create(revision) => key_value.create_revision.cmp(revision),
                CompareTarget::Modification(revision) => key_value.modification_revision.cmp(revision),
                CompareTarget::Value(value) => key_value.value.cmp(value),
                CompareTarget::Lease(lease) => key_value.lease.cmp(lease),
            };
            match condition.comparison {
                Comparison::Equal => ordering.is_eq(),
                Comparison::Greater => ordering.is_gt(),
                Comparison::Less => ordering.is_lt(),
                Comparison::NotEqual => ordering.is_ne(),
                Comparison::Always => true,
            }
        })
    }

    fn branch<'txn>(&self, txn: &'txn Txn) -> &'txn [Operation] {
        if self.holds(txn) {
            &txn.success
        } else {
            &txn.failure
        }
    }

    fn check_txn(&self, txn: &Txn) -> Result<(), Refusal> {
        for operation in self.branch(txn) {
            match operation {
                Operation::Range(range) => self.check_revision(range.revision.0)?,
                Operation::Put(put) => self.check_put(put)?,
                Operation::DeleteRange(_) => {}
                Operation::Txn(inner) => self.check_txn(inner)?,
            }
        }
        Ok(())
    }

    fn transaction(&mut self, before: &Self, txn: &Txn) -> TxnAnswer {
        let mut answers = Vec::new();
        for operation in before.branch(txn) {
            answers.push(match operation {
                Operation::Range(range) => OperationAnswer::Range(self.range_unchecked(range)),
                Operation::Put(put) => OperationAnswer::Put(self.put(put)),
                Operation::DeleteRange(delete) => OperationAnswer::DeleteRange(self.delete(delete)),
                Operation::Txn(inner) => OperationAnswer::Txn(self.transaction(before, inner)),
            });
        }
        TxnAnswer {
            revision: self.visible_revision(),
            succeeded: before.holds(txn),
            answers,
        }
    }

    fn check_revision(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision {
            Err(Refusal::FutureRevision)
        } else if revision > 0 && revision < self.compacted.unwrap_or(-1) {
            Err(Refusal::Compacted)
        } else {
            Ok(())
        }
    }

    /// Reads a range.
    pub(super) fn range(&self, range: &Range) -> Result<RangeAnswer, Refusal> {
        self.check_revision(range.revision.0)?;
        Ok(self.range_unchecked(range))
    }

    fn range_unchecked(&self, range: &Range) -> RangeAnswer {
        let revision = self.visible_revision();
        let at = if range.revision.0 > 0 {
            range.revision
        } else {
            revision
        };
        let mut found = self.keys(&range.keys, at);
        let count = i64::try_from(found.len()).expect("few keys");
        let answer = |key_values, more| RangeAnswer {
            revision,
            key_values,
            more,
            count,
        };
        if range.count_only {
            return answer(Vec::new(), false);
        }
        let bounds = [
            range.minimum_modification,
            range.maximum_modification,
            range.minimum_create,
            range.maximum_create,
        ];
        let has_filters = bounds != [Revision(0); 4];
        let natural_order = range.sort_order == SortOrder::None
            || (range.sort_order == SortOrder::Ascend && range.sort_target == SortTarget::Key);
        let limit = usize::try_from(range.limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        if natural_order && !has_filters {
            found.truncate(limit.saturating_add(1));
        }
        let passes = |number: Revision, minimum: Revision, maximum: Revision| {
            (minimum.0 == 0 || number >= minimum) && (maximum.0 == 0 || number <= maximum)
        };
        found.retain(|item| passes(item.modification_revision, bounds[0], bounds[1]));
        found.retain(|item| passes(item.create_revision, bounds[2], bounds[3]));
        // Equal ones stay in key order, in both directions; etcd promises no order among them.
        if range.sort_order == SortOrder::Descend {
            found.reverse();
        }
        match range.sort_target {
            SortTarget::Key => found.sort_by_key(|item| item.key.clone()),
            SortTarget::Version => found.sort_by_key(|item| item.version),
            SortTarget::Create => found.sort_by_key(|item| item.create_revision),
            SortTarget::Modification => found.sort_by_key(|item| item.modification_revision),
            SortTarget::Value => found.sort_by_key(|item| item.value.clone()),
        }
        if range.sort_order == SortOrder::Descend {
            found.reverse();
        }
        let more = found.len() > limit;
        found.truncate(limit);
        if range.keys_only {
            for item in &mut found {
                item.value = Bytes::new();
                if range.sort_target != SortTarget::Value {
                    item.lease = LeaseId(0);
                }
            }
        }
        answer(found, more)
    }

    /// A stored version.
    pub(super) fn version(&self, namespace: Namespace, key: &Bytes, id: VersionId) -> Option<KeyValue> {
        let versions = self.versions.get(&(namespace, key.clone()))?;
        versions.iter().find(|version| version.0 == id)?.1.clone()
    }

    /// The hash in etcd's definition.
    pub(super) fn hash(&self, revision: i64) -> Result<u32, Refusal> {
        self.check_revision(revision)?;
        let revision = Revision(if revision > 0 { revision } else { self.revision });
        let compacted = Revision(self.compacted.unwrap_or(-1));
        let live_at = |at: Revision| {
            let newest = self
                .versions
                .keys()
                .filter_map(move |(namespace, key)| self.read(*namespace, key, at));
            let ids = newest.filter(|(_, written)| written.is_some()).map(|(id, _)| *id);
            ids.collect::<Vec<_>>()
        };
        let mut kept = live_at(revision);
        if kept.is_empty() {
            kept = live_at(compacted);
        }
        let mut bytes = b"key".to_vec();
        for event in &self.events {
            let is_compacted = event.id.revision <= compacted;
            if event.id.revision > revision || (is_compacted && !kept.contains(&event.id)) {
                continue;
            }
            bytes.extend(event.id.revision.0.to_be_bytes());
            bytes.push(b'_');
            bytes.extend(i64::from(event.id.sub).to_be_bytes());
            if event.namespace != Namespace::DEFAULT {
                bytes.push(event.namespace.0);
            }
            let mut record = mvccpb::KeyValue {
                key: event.key_value.key.clone(),
                ..mvccpb::KeyValue::default()
            };
            match event.kind {
                EventKind::Delete => bytes.push(b't'),
                EventKind::Put => {
                    record.create_revision = event.key_value.create_revision.0;
                    record.mod_revision = event.key_value.modification_revision.0;
                    record.version = event.key_value.version;
                    record.value = event.key_value.value.clone();
                    record.lease = event.key_value.lease.0;
                }
            }
            bytes.extend(record.encode_to_vec());
        }
        Ok(crc32c::crc32c(&bytes))
    }
}

fn contains(keys: &Keys, key: &Bytes) -> bool {
    if keys.end.is_empty() {
        *key == keys.key
    } else if keys.end.as_ref() == [0] {
        *key >= keys.key
    } else {
        *key >= keys.key && *key < keys.end
    }
}
