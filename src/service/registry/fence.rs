//! Fences: what every deregistration writes (see `plan`), and what that tells of a registration that is to be renewed.
//!
//! Whoever renews acts on its own, so it must not bring back what somebody ended. Never proposes anything.

use super::Registry;
use super::error::RegistryError;
use super::keys::{Owner, fence, single};
use super::plan::Seen;
use super::record::{StoredFence, decode, encode};
use crate::base::{Namespace, Revision};
use crate::service::ServiceError;
use crate::state::applied::{KeyValue, Refusal};
use crate::state::command::{Operation, Put, Range};

/// How many deregistrations of others are looked through for one of the instance that is to be renewed.
const MAXIMUM_FENCES_READ: usize = 1_024;

/// Writes the fence of an owner that is deregistered: what registrations of it are under way do not hold any more.
///
/// # Errors
/// The record cannot be written.
pub(super) fn raise(owner: Owner<'_>) -> Result<Operation, RegistryError> {
    let value = encode(&StoredFence { key: owner.key() })?;
    Ok(Operation::Put(Put {
        namespace: Namespace::SERVICES,
        key: fence(owner),
        value,
        ..Put::default()
    }))
}

/// Whether it was `owner`, or the node it is on, that was deregistered when a fence was written.
///
/// # Errors
/// The record cannot be read.
pub(super) fn is_own(owner: Owner<'_>, fence: &KeyValue) -> Result<bool, RegistryError> {
    let last: StoredFence = decode(&fence.value)?;
    Ok([owner.key(), Owner::node(owner.node).key()].contains(&last.key))
}

impl Registry {
    /// Refuses to renew what was deregistered after the revision `given`, or may have been: a fence is shared with others,
    /// and what it said before is history, which may be compacted.
    ///
    /// # Errors
    /// It was deregistered, or may have been; or no quorum in time.
    pub(super) async fn must_not_have_ended(
        &self,
        owner: Owner<'_>,
        given: Revision,
        seen: &Seen,
    ) -> Result<(), ServiceError> {
        let view = self.authorize().await?;
        let ended = || RegistryError::Ended {
            node: owner.node.to_owned(),
            id: owner.instance.unwrap_or_default().to_owned(),
            given,
        };
        for (key, stored) in &seen.fences {
            let mut stored = stored.clone();
            let mut read = 0_usize;
            while let Some(raised) = stored.take_if(|raised| raised.modification_revision > given) {
                read = read.saturating_add(1);
                if read > MAXIMUM_FENCES_READ || is_own(owner, &raised)? {
                    return Err(ended().into());
                }
                let before = Range {
                    keys: single(key.clone()),
                    revision: Revision(raised.modification_revision.0.saturating_sub(1)),
                    ..Range::default()
                };
                match view.range(&before)? {
                    Ok(found) => stored = found.key_values.into_iter().next(),
                    Err(Refusal::Compacted) => return Err(ended().into()),
                    Err(refusal) => return Err(refusal.into()),
                }
            }
        }
        Ok(())
    }
}
