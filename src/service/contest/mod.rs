//! Contests: locks and elections, held with nothing but keys, leases and watches.
//!
//! A contender puts a key under the name of the contest, attached to its lease: `name/` and the lease in hexadecimal, as
//! the client libraries of etcd do, so that both kinds of contenders meet. The oldest key, by create revision, holds the
//! contest; every other waits for the one before it, so that an end wakes one contender and not all.
//!
//! The create revision of the holder's key is a fencing token: it is larger than that of every holder before. A resource
//! that remembers the largest token it has seen, and refuses smaller ones, is safe from a holder that was paused past the
//! end of its lease.
//!
//! Invariants: whoever is told that it holds the contest had the oldest key at a moment after it asked; a contender that
//! goes away before it is told leaves no key behind (it is removed, or dies with the lease). Adds no command to the state
//! machine. Never polls, never renews a lease: the contender does.

mod election;
mod follow;
mod lock;
mod observation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::runtime::Handle;

use super::ServiceError;
use super::auth::Caller;
use super::core::Core;
use super::header::Header;
use super::kv::Kv;
use super::lease::Leases;
use super::watch::{WatchCreate, WatchHub};
use crate::base::{LeaseId, Namespace, Revision};
use crate::state::access::Request;
use crate::state::applied::{KeyValue, OperationAnswer, RangeAnswer};
use crate::state::command::{
    Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Range, SortOrder,
    SortTarget, Txn,
};
pub use election::{Elections, LeaderKey};
use follow::{Followed, Follower};
pub use lock::Locks;
pub use observation::{Observation, Observed};

/// Time to live of the lease that a contender without one gets (etcd's).
const GRANTED_SECONDS: i64 = 60;

/// What contests are held with.
#[derive(Clone)]
pub(super) struct Contests {
    kv: Kv,
    leases: Leases,
    hub: WatchHub,
    core: Arc<Core>,
    caller: Caller,
}

impl Contests {
    pub(super) fn new(kv: Kv, leases: Leases, hub: WatchHub, core: Arc<Core>) -> Self {
        Self {
            kv,
            leases,
            hub,
            core,
            caller: Caller::default(),
        }
    }

    /// The same, as asked for by `caller`.
    fn by(&self, caller: Caller) -> Self {
        Self {
            kv: self.kv.by(caller.clone()),
            leases: self.leases.by(caller.clone()),
            caller,
            ..self.clone()
        }
    }

    /// Opens a stream of the contender's with these watches.
    async fn follow(&self, watches: impl IntoIterator<Item = WatchCreate>) -> Follower {
        let pass = self.core.gate.pass(self.caller.clone());
        Follower::open(&self.hub, pass, watches).await
    }

    /// Puts the key of a contender, unless its lease has one there already. Without a lease, the contender gets one.
    async fn enter(&self, name: &Bytes, lease: LeaseId, value: Bytes) -> Result<Place, ServiceError> {
        let contests = self.clone();
        let contest = Contest::named(name);
        // Whoever may not see who is before it does not get a place in the first place.
        let all = Range {
            keys: contest.keys(),
            ..Range::default()
        };
        self.core.gate.admit(&self.caller, &Request::Range(&all)).await?;
        // On a task of its own: if the contender goes away meanwhile, the place is still made, and given up.
        let entering = tokio::spawn(async move { contests.take_place(contest, lease, value).await });
        match entering.await {
            Ok(place) => place,
            Err(error) => Err(ServiceError::Internal(format!(
                "a contender was not entered: {error}"
            ))),
        }
    }

    async fn take_place(self, contest: Contest, lease: LeaseId, value: Bytes) -> Result<Place, ServiceError> {
        let is_granted = lease.is_none();
        let lease = if is_granted {
            self.leases.grant(lease, GRANTED_SECONDS).await?.answer.id
        } else {
            lease
        };
        let key = contest.key_of(lease);
        let mut place = Place {
            header: self.core.headers.at(Revision::default()),
            contests: self,
            contest,
            key: key.clone(),
            lease,
            is_granted,
            create_revision: None,
            replaced_value: None,
            leaves: is_granted,
        };
        let put = Put {
            namespace: Namespace::DEFAULT,
            key: key.clone(),
            value,
            lease,
            ..Put::default()
        };
        let own = Range {
            keys: single(&key),
            ..Range::default()
        };
        let txn = Txn {
            compare: vec![was_created(&key, Revision(0))],
            success: vec![Operation::Put(put)],
            failure: vec![Operation::Range(own)],
        };
        let answered = place.contests.kv.txn(txn, false).await?;
        place.header = answered.header;
        if answered.answer.succeeded {
            place.create_revision = Some(answered.answer.revision);
            place.leaves = true;
            return Ok(place);
        }
        match answered.answer.answers.into_iter().next() {
            Some(OperationAnswer::Range(RangeAnswer { mut key_values, .. })) if !key_values.is_empty() => {
                let there = key_values.swap_remove(0);
                place.create_revision = Some(there.create_revision);
                place.replaced_value = Some(there.value);
                Ok(place)
            }
            _ => Err(ServiceError::Internal(
                "a key was there and was not, in one revision".into(),
            )),
        }
    }

    /// The key of the contest that is oldest, and the revision at which it was.
    async fn holder(
        &self,
        contest: &Contest,
        serializable: bool,
    ) -> Result<(Header, Option<KeyValue>), ServiceError> {
        let request = Range {
            keys: contest.keys(),
            limit: 1,
            sort_order: SortOrder::Ascend,
            sort_target: SortTarget::Create,
            ..Range::default()
        };
        let answered = self.kv.range(request, serializable).await?;
        Ok((answered.header, answered.answer.key_values.into_iter().next()))
    }
}

/// A contest: what all keys of its contenders begin with.
#[derive(Debug, Clone)]
struct Contest {
    /// Ends with a slash.
    prefix: Bytes,
}

impl Contest {
    fn named(name: &Bytes) -> Self {
        let mut prefix = BytesMut::with_capacity(name.len().saturating_add(1));
        prefix.put_slice(name);
        prefix.put_u8(b'/');
        Self {
            prefix: prefix.freeze(),
        }
    }

    /// All keys of the contest.
    fn keys(&self) -> Keys {
        let mut end = BytesMut::from(&*self.prefix);
        if let Some(last) = end.last_mut() {
            // The one after the slash.
            *last = b'/' + 1;
        }
        Keys {
            namespace: Namespace::DEFAULT,
            key: self.prefix.clone(),
            end: end.freeze(),
        }
    }

    /// The key of the contender with this lease: hexadecimal without leading zeros, as etcd's clients write it.
    fn key_of(&self, lease: LeaseId) -> Bytes {
        let sign = if lease.0 < 0 { "-" } else { "" };
        let number = format!("{sign}{:x}", lease.0.unsigned_abs());
        let mut key = BytesMut::with_capacity(self.prefix.len().saturating_add(number.len()));
        key.put_slice(&self.prefix);
        key.put_slice(number.as_bytes());
        key.freeze()
    }
}

/// The place of a contender in a contest. Dropping it gives the place up, unless it was kept.
struct Place {
    contests: Contests,
    contest: Contest,
    key: Bytes,
    lease: LeaseId,
    /// Whether the lease was made for this contender, who does not know it yet.
    is_granted: bool,
    /// None until the key is known to be there.
    create_revision: Option<Revision>,
    /// The value of the key, if it was there before.
    replaced_value: Option<Bytes>,
    /// Of the transaction that put or found the key.
    header: Header,
    /// Whether the place is given up when this is dropped. A place that was there before, and held, is not.
    leaves: bool,
}

impl Place {
    /// The create revision of the key.
    fn revision(&self) -> Revision {
        self.create_revision.unwrap_or_default()
    }

    /// Waits until no older key is left; the header of the moment at which the contest was held. If the contender's own
    /// key goes, because its lease has ended or somebody removed it, that is the error `gone`, at once.
    async fn wait(&mut self, gone: ServiceError) -> Result<Header, ServiceError> {
        loop {
            let (header, predecessor) = self.predecessor().await?;
            match predecessor {
                // Nothing has changed since the key was put: it is there, and nothing is before it.
                None if header.revision == self.header.revision => return Ok(self.header),
                None => break,
                Some(predecessor) => {
                    self.leaves = true;
                    if self.first_to_go(predecessor.key, header.revision).await? == Gone::Own {
                        self.leaves = self.is_granted;
                        return Err(gone);
                    }
                }
            }
        }
        // This node may not have heard yet that the key is gone.
        let request = Range {
            keys: single(&self.key),
            keys_only: true,
            ..Range::default()
        };
        let answered = self.contests.kv.range(request, false).await?;
        let is_there = answered
            .answer
            .key_values
            .first()
            .is_some_and(|own| own.create_revision == self.revision());
        if is_there {
            return Ok(answered.header);
        }
        self.leaves = self.is_granted;
        Err(gone)
    }

    /// The youngest of the older keys, in the state of this node: it holds the contender's key, so it holds all older
    /// ones that are left.
    async fn predecessor(&self) -> Result<(Header, Option<KeyValue>), ServiceError> {
        let request = Range {
            keys: self.contest.keys(),
            limit: 1,
            sort_order: SortOrder::Descend,
            sort_target: SortTarget::Create,
            keys_only: true,
            maximum_create: Revision(self.revision().0.saturating_sub(1)),
            ..Range::default()
        };
        let answered = self.contests.kv.range(request, true).await?;
        Ok((answered.header, answered.answer.key_values.into_iter().next()))
    }

    /// Which of the two keys goes first after `seen`.
    async fn first_to_go(&self, predecessor: Bytes, seen: Revision) -> Result<Gone, ServiceError> {
        const PREDECESSOR: i64 = 1;
        const OWN: i64 = 2;
        let removals = |key: Bytes, watch_id| WatchCreate {
            keys: single(&key),
            start_revision: Revision(seen.0.saturating_add(1)),
            watch_id,
            without_puts: true,
            ..WatchCreate::default()
        };
        let watches = [
            removals(predecessor, PREDECESSOR),
            removals(self.key.clone(), OWN),
        ];
        let mut follower = self.contests.follow(watches).await;
        match follower.next().await? {
            Followed::Events { watch_id: OWN, .. } => Ok(Gone::Own),
            // After a compaction the state says what became of the keys.
            Followed::Events { .. } | Followed::Compacted => Ok(Gone::Predecessor),
        }
    }

    /// The place stays, held by its lease from now on.
    fn keep(mut self) {
        self.leaves = false;
    }
}

/// Which key of a waiting contender went first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Predecessor,
    Own,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.leaves {
            return;
        }
        let core = Arc::clone(&self.contests.core);
        let (is_granted, lease) = (self.is_granted, self.lease);
        // The contender was let in. That it may not do this any more must not leave its place taken.
        let command = if is_granted {
            Command::LeaseRevoke { id: lease }
        } else if let Some(created) = self.create_revision {
            Command::Txn(removal(&self.key, created))
        } else {
            return;
        };
        let leaving = async move {
            match core.propose(command.by_node(), Some).await {
                Ok(_) if is_granted => core.metrics.leases_revoked.inc(),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, %lease, "the place of a contender that went away stays until its lease ends");
                }
            }
        };
        // Without a runtime the node is gone, and the place dies with its lease.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(leaving);
        }
    }
}

/// The removal of a key, if it still is the one that `created` made.
fn removal(key: &Bytes, created: Revision) -> Txn {
    Txn {
        compare: vec![was_created(key, created)],
        success: vec![Operation::DeleteRange(DeleteRange {
            keys: single(key),
            previous: false,
        })],
        failure: Vec::new(),
    }
}

/// The condition that a key was created at a revision; 0: that it is not there.
fn was_created(key: &Bytes, created: Revision) -> Compare {
    Compare {
        keys: single(key),
        comparison: Comparison::Equal,
        target: CompareTarget::Create(created),
    }
}

fn single(key: &Bytes) -> Keys {
    Keys {
        namespace: Namespace::DEFAULT,
        key: key.clone(),
        end: Bytes::new(),
    }
}
