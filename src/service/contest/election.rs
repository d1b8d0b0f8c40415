//! Elections: a contest whose contenders have a value, which the leader may change and everybody may observe.

use bytes::Bytes;

use super::observation::Observation;
use super::{Caller, Contest, Contests, removal, was_created};
use crate::base::{LeaseId, Namespace, Revision};
use crate::service::ServiceError;
use crate::service::header::{Answered, Header};
use crate::state::applied::KeyValue;
use crate::state::command::{Operation, Put, Txn};

/// What stands for leading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderKey {
    /// The name of the election.
    pub name: Bytes,
    /// The key of the leader.
    pub key: Bytes,
    /// The create revision of the key: the fencing token.
    pub revision: Revision,
    /// The lease of the leader; none where it is not known.
    pub lease: LeaseId,
}

/// Elections. A handle: clones share one service.
#[derive(Clone)]
pub struct Elections {
    contests: Contests,
}

impl Elections {
    pub(in crate::service) fn new(contests: Contests) -> Self {
        Self { contests }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self::new(self.contests.by(caller))
    }

    /// Waits until the contender with `lease`, or with a lease of its own of 60 s if that is none, leads the election
    /// `name`. The header is that of the moment at which it entered. Dropping the future before its end withdraws.
    ///
    /// # Errors
    /// No such lease, the lease ended before, no space, or no answer in time to a change.
    pub async fn campaign(
        &self,
        name: Bytes,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<Answered<LeaderKey>, ServiceError> {
        let mut place = self.contests.enter(&name, lease, value.clone()).await?;
        if place.replaced_value.as_ref().is_some_and(|there| *there != value) {
            self.set(&place.key, place.revision(), place.lease, value).await?;
        }
        place.wait(ServiceError::NotElectionLeader).await?;
        let header = place.header;
        let answer = LeaderKey {
            name,
            key: place.key.clone(),
            revision: place.revision(),
            lease: place.lease,
        };
        place.keep();
        Ok(Answered { header, answer })
    }

    /// Changes the value of the leader. Without a lease the key stays with the one it has.
    ///
    /// # Errors
    /// It does not lead any more, no such lease, no space, or no answer in time.
    pub async fn proclaim(&self, leader: &LeaderKey, value: Bytes) -> Result<Answered<()>, ServiceError> {
        let header = self
            .set(&leader.key, leader.revision, leader.lease, value)
            .await?;
        Ok(Answered { header, answer: () })
    }

    async fn set(
        &self,
        key: &Bytes,
        created: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<Header, ServiceError> {
        let put = Put {
            namespace: Namespace::DEFAULT,
            key: key.clone(),
            value,
            lease,
            ignore_lease: lease.is_none(),
            ..Put::default()
        };
        let txn = Txn {
            compare: vec![was_created(key, created)],
            success: vec![Operation::Put(put)],
            failure: Vec::new(),
        };
        let answered = self.contests.kv.txn(txn, false).await?;
        if answered.answer.succeeded {
            Ok(answered.header)
        } else {
            Err(ServiceError::NotElectionLeader)
        }
    }

    /// The key and value of the leader.
    ///
    /// # Errors
    /// Nobody leads, or no quorum in time.
    pub async fn leader(&self, name: &Bytes) -> Result<Answered<KeyValue>, ServiceError> {
        let (header, holder) = self.contests.holder(&Contest::named(name), false).await?;
        let answer = holder.ok_or(ServiceError::NoElectionLeader)?;
        Ok(Answered { header, answer })
    }

    /// Follows who leads, and with which value.
    #[must_use]
    pub fn observe(&self, name: &Bytes) -> Observation {
        Observation::new(self.contests.clone(), Contest::named(name))
    }

    /// Gives leadership up. Who does not lead any more has given it up already.
    ///
    /// # Errors
    /// No key, or no answer in time.
    pub async fn resign(&self, leader: &LeaderKey) -> Result<Answered<()>, ServiceError> {
        let txn = removal(&leader.key, leader.revision);
        let answered = self.contests.kv.txn(txn, false).await?;
        Ok(Answered {
            header: answered.header,
            answer: (),
        })
    }
}
