//! Locks: a contest whose contenders have no value.
//!
//! A lock is held by a lease: a second request for the same lock with the same lease finds its key, and is as good as the
//! first. It is given up by removing the key, or with the lease.

use bytes::Bytes;

use super::{Caller, Contests, single};
use crate::base::LeaseId;
use crate::service::ServiceError;
use crate::service::header::Answered;
use crate::state::command::DeleteRange;

/// Locks. A handle: clones share one service.
#[derive(Clone)]
pub struct Locks {
    contests: Contests,
}

impl Locks {
    pub(in crate::service) fn new(contests: Contests) -> Self {
        Self { contests }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self::new(self.contests.by(caller))
    }

    /// Waits until the lock `name` is held by `lease`, or by a lease of its own of 60 s if that is none: the key that
    /// stands for holding it. Dropping the future before its end gives the place in the queue up.
    ///
    /// # Errors
    /// No such lease, the lease ended before the lock was held, no space, or no answer in time to a change.
    pub async fn lock(&self, name: &Bytes, lease: LeaseId) -> Result<Answered<Bytes>, ServiceError> {
        let mut place = self.contests.enter(name, lease, Bytes::new()).await?;
        let header = place.wait(ServiceError::SessionExpired).await?;
        let answer = place.key.clone();
        place.keep();
        Ok(Answered { header, answer })
    }

    /// Gives a lock up, by its key. One that is not held is given up already.
    ///
    /// # Errors
    /// No key, or no answer in time.
    pub async fn unlock(&self, key: &Bytes) -> Result<Answered<()>, ServiceError> {
        let request = DeleteRange {
            keys: single(key),
            previous: false,
        };
        let answered = self.contests.kv.delete_range(request).await?;
        Ok(Answered {
            header: answered.header,
            answer: (),
        })
    }
}
