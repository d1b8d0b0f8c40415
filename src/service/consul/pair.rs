//! A key with its lock, and what a plan does with one.
//!
//! Locks are advisory: a plain write does not ask for them.

use bytes::Bytes;
use uuid::Uuid;

use super::ConsulError;
use super::keys::{self, Room};
use super::plan::{Found, Plan, session_key};
use super::record::{StoredLock, StoredValue, decode, encode};
use crate::base::limits::MAXIMUM_CONSUL_VALUE_BYTES;
use crate::base::{LeaseId, Revision};

/// A key with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key: any bytes.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Whatever the client wants to be kept beside it.
    pub flags: u64,
    /// How often it was locked.
    pub lock_index: u64,
    /// The session that has locked it.
    pub session: Option<Uuid>,
    /// The revision at which it came.
    pub create: Revision,
    /// The revision at which it, or its lock, changed last.
    pub modified: Revision,
}

impl Pair {
    /// Reads one.
    pub(super) fn of(key: &[u8], value: &Found, lock: Option<&Found>) -> Result<Self, ConsulError> {
        let stored: StoredValue = decode(&value.value)?;
        let held: Option<StoredLock> = lock.map(|lock| decode(&lock.value)).transpose()?;
        Ok(Self {
            key: Bytes::copy_from_slice(key),
            value: stored.value,
            flags: stored.flags,
            lock_index: held.map_or(0, |held| held.times),
            session: held.and_then(|held| held.session).map(Uuid::from_bytes),
            create: value.create,
            modified: lock.map_or(value.modified, |lock| lock.modified.max(value.modified)),
        })
    }
}

/// Refuses a value that is too large.
pub(super) fn check_value(key: &[u8], value: &[u8]) -> Result<(), ConsulError> {
    if value.len() <= MAXIMUM_CONSUL_VALUE_BYTES {
        return Ok(());
    }
    Err(ConsulError::TooLarge(format!(
        "Value for key {:?} is too large ({} > {MAXIMUM_CONSUL_VALUE_BYTES} bytes)",
        String::from_utf8_lossy(key),
        value.len()
    )))
}

impl Plan<'_> {
    /// A key, after all that the plan has done so far.
    pub fn pair(&mut self, key: &[u8]) -> Result<Option<Pair>, ConsulError> {
        let lock = self.get(&Room::Lock.key(key))?;
        match self.get(&Room::Value.key(key))? {
            Some(value) => Pair::of(key, &value, lock.as_ref()).map(Some),
            None => Ok(None),
        }
    }

    /// All keys that begin with `prefix`, after all that the plan has done so far.
    pub fn tree(&mut self, prefix: &[u8]) -> Result<Vec<Pair>, ConsulError> {
        let locks = self.list(Room::Lock.prefix(prefix))?;
        let values = self.list(Room::Value.prefix(prefix))?;
        let named = values
            .iter()
            .filter_map(|(key, value)| Some((Room::Value.name(key)?, value)));
        named
            .map(|(name, value)| Pair::of(&name, value, locks.get(&Room::Lock.key(&name))))
            .collect()
    }

    /// Writes flags and value, unless they are so.
    pub fn set(&mut self, key: &[u8], flags: u64, value: &Bytes) -> Result<(), ConsulError> {
        check_value(key, value)?;
        let is_so = self
            .pair(key)?
            .is_some_and(|pair| pair.flags == flags && pair.value == *value);
        if is_so {
            return Ok(());
        }
        let value = value.clone();
        let record = encode(&StoredValue { flags, value })?;
        self.put(Room::Value.key(key), record, LeaseId::NONE)
    }

    /// Whether a key is as new as a condition wants it; 0: not there.
    pub fn is_at(&mut self, key: &[u8], index: u64) -> Result<bool, ConsulError> {
        let pair = self.pair(key)?;
        Ok(match pair {
            None => index == 0,
            Some(pair) => index != 0 && i64::try_from(index) == Ok(pair.modified.0),
        })
    }

    /// Locks a key for a session, and writes it. Whether it could be: it is not in another session's hands, and not in its
    /// lock-delay.
    ///
    /// # Errors
    /// No such session.
    pub fn acquire(
        &mut self,
        key: &[u8],
        flags: u64,
        value: &Bytes,
        session: Uuid,
    ) -> Result<bool, ConsulError> {
        if self.get(&session_key(session))?.is_none() {
            return Err(ConsulError::Failed(format!(
                "invalid session {:?}",
                session.to_string()
            )));
        }
        let pair = self.pair(key)?;
        let holder = pair.as_ref().and_then(|pair| pair.session);
        if holder == Some(session) {
            self.set(key, flags, value)?;
            return Ok(true);
        }
        if holder.is_some() || self.get(&Room::Delay.key(key))?.is_some() {
            return Ok(false);
        }
        self.set(key, flags, value)?;
        let times = pair.map_or(0, |pair| pair.lock_index).saturating_add(1);
        self.put_lock(key, times, Some(session))?;
        self.put(keys::held(session, key), encode(&())?, LeaseId::NONE)?;
        Ok(true)
    }

    /// Unlocks a key that a session has locked, and writes it. Whether it has.
    pub fn release(
        &mut self,
        key: &[u8],
        flags: u64,
        value: &Bytes,
        session: Uuid,
    ) -> Result<bool, ConsulError> {
        let Some(pair) = self.pair(key)?.filter(|pair| pair.session == Some(session)) else {
            return Ok(false);
        };
        self.set(key, flags, value)?;
        self.put_lock(key, pair.lock_index, None)?;
        self.remove(keys::held(session, key));
        Ok(true)
    }

    /// Writes the lock of a key.
    pub fn put_lock(&mut self, key: &[u8], times: u64, session: Option<Uuid>) -> Result<(), ConsulError> {
        let session = session.map(Uuid::into_bytes);
        let record = encode(&StoredLock { times, session })?;
        self.put(Room::Lock.key(key), record, LeaseId::NONE)
    }

    /// Removes a key with its lock.
    pub fn remove_pair(&mut self, key: &[u8]) -> Result<(), ConsulError> {
        let Some(pair) = self.pair(key)? else {
            return Ok(());
        };
        self.remove(Room::Value.key(key));
        self.remove(Room::Lock.key(key));
        if let Some(session) = pair.session {
            self.remove(keys::held(session, key));
        }
        Ok(())
    }
}
