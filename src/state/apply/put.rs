//! Put.

use bytes::Bytes;

use super::{Outcome, PutAnswer, Refusal, Transition, mvcc};
use crate::state::command::Put;
use crate::storage::StorageError;

impl Transition<'_> {
    pub(super) fn put(&mut self, put: &Put) -> Outcome<PutAnswer> {
        if let Err(refusal) = self.check_put(put)? {
            return Ok(Err(refusal));
        }
        Ok(Ok(self.write_put(put)?))
    }

    /// Whether the put can be done on the state as it is.
    pub(super) fn check_put(&self, put: &Put) -> Outcome<()> {
        if !put.lease.is_none() && !self.lease_exists(put.lease)? {
            return Ok(Err(Refusal::LeaseNotFound));
        }
        let needs_key = put.ignore_value || put.ignore_lease;
        if needs_key && self.head(put.namespace, &put.key)?.is_none() {
            return Ok(Err(Refusal::KeyNotFound));
        }
        Ok(Ok(()))
    }

    /// Does a put that [`Transition::check_put`] let pass.
    pub(super) fn write_put(&mut self, put: &Put) -> Result<PutAnswer, StorageError> {
        let old = self.head(put.namespace, &put.key)?;
        let previous = match &old {
            Some(head) if put.previous || put.ignore_value => Some(mvcc::expected_version(
                &self.overlay,
                put.namespace,
                &put.key,
                head.id(),
            )?),
            _ => None,
        };
        let value = if put.ignore_value {
            previous
                .as_ref()
                .map_or_else(Bytes::new, |previous| previous.value.clone())
        } else {
            put.value.clone()
        };
        let lease = match &old {
            Some(head) if put.ignore_lease => head.lease,
            _ => put.lease,
        };
        self.write_version(put.namespace, &put.key, value, lease, old.as_ref())?;
        Ok(PutAnswer {
            revision: self.visible_revision(),
            previous: previous.filter(|_| put.previous),
        })
    }
}
