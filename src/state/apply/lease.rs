//! LeaseGrant and LeaseRevoke.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Answer, Effect, Outcome, Refusal, Transition, format, schema};
use crate::base::{LeaseId, Namespace};
use crate::storage::{Family, KeyRange, StorageError, View};

impl Transition<'_> {
    pub(super) fn grant_lease(&mut self, id: LeaseId, ttl_seconds: i64) -> Outcome<Answer> {
        if self.lease_exists(id)? {
            return Ok(Err(Refusal::LeaseExists));
        }
        let record = format::encode("lease", &ttl_seconds)?;
        self.overlay.put(Family::Leases, schema::lease(id), record);
        self.effects.push(Effect::LeaseGranted { id, ttl_seconds });
        Ok(Ok(Answer::LeaseGrant { id, ttl_seconds }))
    }

    /// Ends a lease and removes its keys, in key order, in one revision.
    pub(super) fn revoke_lease(&mut self, id: LeaseId) -> Outcome<Answer> {
        if !self.lease_exists(id)? {
            return Ok(Err(Refusal::LeaseNotFound));
        }
        for (namespace, key) in attached_keys(&self.overlay, id)? {
            if let Some(head) = self.head(namespace, &key)? {
                self.write_tombstone(namespace, &key, &head)?;
            }
        }
        self.overlay.delete(Family::Leases, schema::lease(id));
        self.effects.push(Effect::LeaseRevoked { id });
        Ok(Ok(Answer::LeaseRevoke))
    }
}

/// The leases that a client of etcd sees, by id: not those whose keys are all in other namespaces.
pub(in crate::state) fn visible_leases(view: &dyn View) -> Result<Vec<LeaseId>, StorageError> {
    let mut hidden = BTreeSet::new();
    let mut last = None;
    let mut cursor = view.scan(Family::LeaseKeys, KeyRange::prefix(&[]))?;
    while let Some((encoded, _)) = cursor.item() {
        let (id, namespace) = schema::attachment(encoded)?;
        // The default namespace comes before all others.
        if last != Some(id) && namespace != Namespace::DEFAULT {
            hidden.insert(id);
        }
        last = Some(id);
        cursor.advance()?;
    }
    let mut ids = Vec::new();
    let mut cursor = view.scan(Family::Leases, KeyRange::prefix(&[]))?;
    while let Some((encoded, _)) = cursor.item() {
        let id = schema::lease_id(encoded)?;
        if !hidden.contains(&id) {
            ids.push(id);
        }
        cursor.advance()?;
    }
    Ok(ids)
}

/// The keys attached to a lease, in order.
pub(in crate::state) fn attached_keys(
    view: &dyn View,
    id: LeaseId,
) -> Result<Vec<(Namespace, Bytes)>, StorageError> {
    let mut attached = Vec::new();
    let mut cursor = view.scan(Family::LeaseKeys, KeyRange::prefix(&schema::lease(id)))?;
    while let Some((encoded, _)) = cursor.item() {
        attached.push(schema::attached_key(encoded)?);
        cursor.advance()?;
    }
    Ok(attached)
}
