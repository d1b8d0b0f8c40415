//! Sessions: what locks belong to, and what makes them end.
//!
//! A session ends when its node or one of its checks is gone, when one of its checks is critical, when nobody renews it for
//! up to twice its time to live, or when it is told to. That it is alive is a key on a lease of twice the time to live;
//! to renew it is to renew the lease, and no write. What ends is found by the leader (see `keeper`) and ended in one
//! transaction: the session goes, its keys are released or removed, and may not be locked again during the lock-delay,
//! which is a key on a lease as well. So leases and delays last longer when the leader changes, and never less.
//!
//! A session that holds more than [`MAXIMUM_CONSUL_TXN_KEYS`] keys ends in several transactions: the session itself with
//! the last. A delay below a second is kept by ending the session that much later.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::keys::{self, Room};
use super::kv::{Snapshot, read_all};
use super::plan::{Plan, delete, session_key};
pub use super::record::Behavior;
use super::record::{StoredLock, StoredSession, decode, encode};
use super::{Consul, ConsulError, Watched};
use crate::base::limits::MAXIMUM_CONSUL_TXN_KEYS;
use crate::base::{LeaseId, Namespace, Revision};
use crate::service::registry::{Catalog, Check, MEMBER_CHECK, NodeEntry, Status};
use crate::state::applied::KeyValue;
use crate::state::command::{Compare, CompareTarget, Comparison, Keys, Operation, Put, Range, Txn};

/// Shortest time to live (Consul).
const MINIMUM_TTL: Duration = Duration::from_secs(10);
/// Longest time to live (Consul).
const MAXIMUM_TTL: Duration = Duration::from_secs(86_400);
/// Longest lock-delay (Consul).
const MAXIMUM_LOCK_DELAY: Duration = Duration::from_secs(60);
/// A shorter delay is kept by ending the session later: no lease is that short.
const SHORTEST_DELAY_LEASE: Duration = Duration::from_secs(1);
/// How many times to live a session may last (Consul).
const TTL_FACTOR: u32 = 2;

/// A session as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// For people.
    pub name: String,
    /// Its node; none: that of the member that is asked.
    pub node: Option<String>,
    /// How long its keys may not be locked after its end.
    pub lock_delay: Duration,
    /// What becomes of its keys.
    pub behavior: Behavior,
    /// How long it lives without being renewed, as it was written and as it is; none: for ever.
    pub ttl: Option<(String, Duration)>,
    /// The checks of its node it ends with; none: that of a server.
    pub node_checks: Option<Vec<String>>,
    /// The checks of services on its node it ends with.
    pub service_checks: Vec<String>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Nanoseconds in which its keys may not be locked after its end.
    pub lock_delay_nanoseconds: i64,
    /// What becomes of its keys.
    pub behavior: Behavior,
    /// How long it lives without being renewed, as it was written; empty: for ever.
    pub ttl: String,
    /// Checks of the node.
    pub node_checks: Vec<String>,
    /// Checks of services.
    pub service_checks: Vec<String>,
    /// The revision at which it came.
    pub create: Revision,
    /// The revision at which it changed last.
    pub modified: Revision,
}

impl Session {
    fn of(id: Uuid, stored: StoredSession, create: Revision, modified: Revision) -> Self {
        Self {
            id,
            name: stored.name,
            node: stored.node,
            lock_delay_nanoseconds: stored.lock_delay_nanoseconds,
            behavior: stored.behavior,
            ttl: stored.ttl,
            node_checks: stored.node_checks,
            service_checks: stored.service_checks,
            create,
            modified,
        }
    }

    fn read(found: &KeyValue) -> Result<Option<(Self, StoredSession)>, ConsulError> {
        let name = Room::Session.name(&found.key);
        let Some(id) = name.and_then(|name| Uuid::from_slice(&name).ok()) else {
            return Ok(None);
        };
        let stored: StoredSession = decode(&found.value)?;
        let session = Self::of(
            id,
            stored.clone(),
            found.create_revision,
            found.modification_revision,
        );
        Ok(Some((session, stored)))
    }
}

/// A session that is there, for whoever waits for it.
#[must_use]
pub fn watched_session(id: Uuid) -> Watched {
    Watched::Keys(vec![Room::Session.single(id.as_bytes())])
}

/// All sessions, for whoever waits for one.
#[must_use]
pub fn watched_sessions() -> Watched {
    Watched::Keys(vec![Room::Session.prefix(b"")])
}

/// A check of a node, or of an instance on it.
fn check<'node>(node: &'node NodeEntry, id: &str) -> Option<&'node Check> {
    let of_services = node.instances().flat_map(|entry| &entry.checks);
    let mut all = node.state.checks.iter().chain(of_services);
    all.find(|check| check.definition.id == id)
}

/// Why a session ends, by the catalog.
pub(super) fn reason_to_end(stored: &StoredSession, catalog: &Catalog) -> Option<String> {
    if !stored.watches_node && stored.watched_checks.is_empty() {
        return None;
    }
    let Some(node) = catalog.node(&stored.node) else {
        return Some(format!("the node {:?} is gone", stored.node));
    };
    stored.watched_checks.iter().find_map(|id| match check(node, id) {
        None => Some(format!("the check {id:?} is gone")),
        Some(check) if check.state.status == Status::Critical => {
            Some(format!("the check {id:?} is critical"))
        }
        Some(_) => None,
    })
}

impl Consul {
    /// Makes a session; its id.
    ///
    /// # Errors
    /// A time out of its bounds, an unknown node, a check that is unknown or critical, no space, or no answer in time.
    pub async fn create_session(&self, new: NewSession) -> Result<Uuid, ConsulError> {
        if let Some((text, ttl)) = &new.ttl
            && !(MINIMUM_TTL..=MAXIMUM_TTL).contains(ttl)
        {
            return Err(ConsulError::Failed(format!(
                "Invalid Session TTL '{text}', must be between [{}s={}s]",
                MINIMUM_TTL.as_secs(),
                MAXIMUM_TTL.as_secs()
            )));
        }
        if new.lock_delay > MAXIMUM_LOCK_DELAY {
            return Err(ConsulError::Invalid(format!(
                "Invalid LockDelay: {} s, must be at most {} s",
                new.lock_delay.as_secs(),
                MAXIMUM_LOCK_DELAY.as_secs()
            )));
        }
        let mut stored = self.watched_by(&new).await?;
        if let Some((_, ttl)) = &new.ttl {
            let seconds = (*ttl * TTL_FACTOR).as_secs_f64().ceil();
            #[expect(clippy::cast_possible_truncation, reason = "two days at most")]
            let granted = self.leases.grant(LeaseId::NONE, seconds as i64).await?;
            stored.lease = granted.answer.id;
        }
        let id = Uuid::new_v4();
        let made = self.change(|plan| {
            plan.put(session_key(id), encode(&stored)?, LeaseId::NONE)?;
            if !stored.lease.is_none() {
                plan.put(Room::Alive.key(id.as_bytes()), encode(&())?, stored.lease)?;
            }
            Ok(())
        });
        match made.await {
            Ok(_) => Ok(id),
            Err(error) => {
                self.leave(stored.lease);
                Err(error)
            }
        }
    }

    /// The record of a new session, without its lease: with what there is to end it by.
    async fn watched_by(&self, new: &NewSession) -> Result<StoredSession, ConsulError> {
        let own = &self.settings().node;
        let name = new.node.as_ref().unwrap_or(own);
        let catalog = self.catalog(false).await?;
        let node = catalog.node(name);
        // A member that has not announced itself is a node all the same: it answers.
        let is_own = name.eq_ignore_ascii_case(own);
        if node.is_none() && !is_own {
            return Err(ConsulError::Failed(format!(
                "Missing node registration: {name:?}"
            )));
        }
        let default = || vec![MEMBER_CHECK.to_owned()];
        let node_checks = new.node_checks.clone().unwrap_or_else(default);
        let mut watched_checks = Vec::new();
        for id in node_checks.iter().chain(&new.service_checks) {
            match node.and_then(|node| check(node, id)) {
                Some(found) if found.state.status == Status::Critical => {
                    return Err(ConsulError::Failed(format!("Check '{id}' is in critical state")));
                }
                Some(_) => watched_checks.push(id.clone()),
                None if is_own && id == MEMBER_CHECK => {}
                None => return Err(ConsulError::Failed(format!("Missing check '{id}' registration"))),
            }
        }
        Ok(StoredSession {
            name: new.name.clone(),
            node: name.clone(),
            lock_delay_nanoseconds: i64::try_from(new.lock_delay.as_nanos()).unwrap_or(i64::MAX),
            behavior: new.behavior,
            ttl: new.ttl.as_ref().map(|(text, _)| text.clone()).unwrap_or_default(),
            lease: LeaseId::NONE,
            node_checks,
            service_checks: new.service_checks.clone(),
            watches_node: node.is_some(),
            watched_checks,
        })
    }

    /// A session; none if there is none, or none any more.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn session(
        &self,
        id: Uuid,
        is_stale: bool,
        is_exact: bool,
    ) -> Result<Snapshot<Option<Session>>, ConsulError> {
        let read = self.read_sessions(Room::Session.single(id.as_bytes()), is_stale, is_exact);
        let Snapshot {
            content,
            index,
            revision,
        } = read.await?;
        Ok(Snapshot {
            content: content.into_iter().next(),
            index,
            revision,
        })
    }

    /// All sessions, by id.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn sessions(
        &self,
        is_stale: bool,
        is_exact: bool,
    ) -> Result<Snapshot<Vec<Session>>, ConsulError> {
        self.read_sessions(Room::Session.prefix(b""), is_stale, is_exact)
            .await
    }

    async fn read_sessions(
        &self,
        keys: Keys,
        is_stale: bool,
        is_exact: bool,
    ) -> Result<Snapshot<Vec<Session>>, ConsulError> {
        let view = self.view(is_stale).await?;
        let mut sessions = Vec::new();
        for found in read_all(&view, keys.clone(), false)? {
            sessions.extend(Session::read(&found)?.map(|(session, _)| session));
        }
        let newest = sessions.iter().map(|session| session.modified).max();
        let removed = self.removed(&keys, &view, is_exact).await?;
        Ok(Snapshot {
            content: sessions,
            index: newest.unwrap_or_default().max(removed),
            revision: view.revision(),
        })
    }

    /// Renews a session; none if there is none, or none any more.
    ///
    /// # Errors
    /// No leader that can prove it in time.
    pub async fn renew_session(&self, id: Uuid) -> Result<Option<Session>, ConsulError> {
        let view = self.view(false).await?;
        let Some((session, stored)) = stored(&view, id)? else {
            return Ok(None);
        };
        if stored.lease.is_none() {
            return Ok(Some(session));
        }
        let renewed = self.leases.renew(&[stored.lease]).await?.answer;
        let is_alive = renewed.first().is_some_and(|seconds| *seconds > 0);
        Ok(is_alive.then_some(session))
    }

    /// Ends a session, if it is there: see the module.
    ///
    /// # Errors
    /// No space, or no answer in time.
    pub async fn end_session(&self, id: Uuid) -> Result<(), ConsulError> {
        let mut delay_lease = LeaseId::NONE;
        let mut is_first = true;
        loop {
            let view = self.view(false).await?;
            let Some((session, stored)) = stored(&view, id)? else {
                return Ok(());
            };
            let delay = u64::try_from(stored.lock_delay_nanoseconds).unwrap_or_default();
            let delay = Duration::from_nanos(delay);
            let ending = Ending::read(&view, &session, &stored)?;
            if is_first && ending.is_holding() && !delay.is_zero() && delay < SHORTEST_DELAY_LEASE {
                is_first = false;
                tokio::time::sleep(delay).await;
                continue;
            }
            if ending.is_holding() && delay >= SHORTEST_DELAY_LEASE && delay_lease.is_none() {
                let seconds = i64::try_from(delay.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
                delay_lease = self.leases.grant(LeaseId::NONE, seconds).await?.answer.id;
            }
            let is_last = ending.is_last;
            let txn = ending.txn(delay_lease)?;
            if self.commit(txn).await?.is_some() && is_last {
                self.leave(stored.lease);
                return Ok(());
            }
        }
    }
}

/// A session's record.
fn stored(view: &crate::state::ReadView, id: Uuid) -> Result<Option<(Session, StoredSession)>, ConsulError> {
    let range = Range {
        keys: Room::Session.single(id.as_bytes()),
        ..Range::default()
    };
    match view.range(&range)??.key_values.first() {
        Some(found) => Session::read(found),
        None => Ok(None),
    }
}

/// One transaction by which a session ends, or begins to.
struct Ending {
    id: Uuid,
    behavior: Behavior,
    session_modified: Revision,
    revision: Revision,
    /// What the session still holds, with the lock as it was seen.
    held: Vec<(Bytes, StoredLock, Revision)>,
    /// All that it is said to have locked, of what this transaction takes.
    claims: Vec<Bytes>,
    is_last: bool,
}

impl Ending {
    fn read(
        view: &crate::state::ReadView,
        session: &Session,
        stored: &StoredSession,
    ) -> Result<Self, ConsulError> {
        let prefix = session.id.as_bytes();
        let range = Range {
            keys: Room::Held.prefix(prefix),
            ..Range::default()
        };
        let page = view.range_page(&range, MAXIMUM_CONSUL_TXN_KEYS, usize::MAX)??;
        let mut plan = Plan::new(view);
        let (mut held, mut claims) = (Vec::new(), Vec::new());
        for claim in page.key_values {
            let name = Room::Held.name(&claim.key);
            let key = name.and_then(|name| (name.len() >= prefix.len()).then(|| name.slice(prefix.len()..)));
            if let Some(key) = key
                && let Some(lock) = plan.get(&Room::Lock.key(&key))?
            {
                let record: StoredLock = decode(&lock.value)?;
                if record.session == Some(*prefix) {
                    held.push((key, record, lock.modified));
                }
            }
            claims.push(claim.key);
        }
        Ok(Self {
            id: session.id,
            behavior: stored.behavior,
            session_modified: session.modified,
            revision: view.revision(),
            held,
            claims,
            is_last: !page.more,
        })
    }

    fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    fn txn(self, delay_lease: LeaseId) -> Result<Txn, ConsulError> {
        let at = |keys: Keys, comparison, revision| Compare {
            keys,
            comparison,
            target: CompareTarget::Modification(revision),
        };
        let session = Room::Session.single(self.id.as_bytes());
        let all_held = Room::Held.prefix(self.id.as_bytes());
        let mut compare = vec![at(session.clone(), Comparison::Equal, self.session_modified)];
        let mut success = Vec::new();
        let put = |key: Bytes, value: Bytes, lease| {
            Operation::Put(Put {
                namespace: Namespace::CONSUL,
                key,
                value,
                lease,
                ..Put::default()
            })
        };
        for (key, lock, modified) in self.held {
            compare.push(at(Room::Lock.single(&key), Comparison::Equal, modified));
            match self.behavior {
                Behavior::Release => {
                    let released = StoredLock {
                        session: None,
                        ..lock
                    };
                    success.push(put(Room::Lock.key(&key), encode(&released)?, LeaseId::NONE));
                }
                Behavior::Delete => {
                    success.push(delete(Room::Value.single(&key)));
                    success.push(delete(Room::Lock.single(&key)));
                }
            }
            if !delay_lease.is_none() {
                success.push(put(Room::Delay.key(&key), encode(&())?, delay_lease));
            }
        }
        if self.is_last {
            // Nothing was locked meanwhile.
            let next = Revision(self.revision.0.saturating_add(1));
            compare.push(at(all_held.clone(), Comparison::Less, next));
            success.push(delete(all_held));
            success.push(delete(session));
            success.push(delete(Room::Alive.single(self.id.as_bytes())));
        } else {
            let claims = self.claims.into_iter();
            success.extend(claims.map(|claim| delete(keys::keys(claim, Bytes::new()))));
        }
        Ok(Txn {
            compare,
            success,
            failure: Vec::new(),
        })
    }
}
