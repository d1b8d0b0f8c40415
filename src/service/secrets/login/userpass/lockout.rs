//! Who is locked out: after some wrong passwords within a while nobody logs in by that name for a while.
//!
//! Failures of a user are in a record of their own. Names of nobody, which whoever asks makes up, share a fixed number of
//! records: which of them a name has is told by its hash under a key of the mount, and the last name takes it. So neither do
//! made-up names fill the store, nor do they end the lock of a user; and that a made-up name is not locked any more shows only
//! after about as many failed logins as there are records.
//!
//! Never tells a name that is there from one that is not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::limits::{
    LOGIN_FAILURE_SECONDS, LOGIN_LOCK_SECONDS, MAXIMUM_LOGIN_FAILURES, MAXIMUM_UNKNOWN_LOGIN_NAMES,
};
use crate::service::secrets::engine::storage::{read, write};
use crate::service::secrets::engine::{Fault, Storage};
use crate::service::secrets::login::salt::Salt;
use crate::service::secrets::randomness::Randomness;

const REMEMBERED: Duration = Duration::from_secs(LOGIN_FAILURE_SECONDS);
const LOCKED: Duration = Duration::from_secs(LOGIN_LOCK_SECONDS);

/// The wrong passwords that came for a name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Failures {
    /// When each came, since 1970.
    times: Vec<Duration>,
    /// Until when nobody logs in; none: it is not locked.
    locked_until: Option<Duration>,
    /// The name, of nobody; empty: it is that of a user, which is where the record is.
    name: String,
}

fn of_user(name: &str) -> String {
    format!("failures/{name}")
}

fn of_nobody(salt: &Salt, name: &str) -> String {
    format!(
        "unknown/{}",
        salt.number(&["unknown", name], MAXIMUM_UNKNOWN_LOGIN_NAMES)
    )
}

impl Failures {
    /// Those of a user.
    pub fn of_user(name: &str, storage: &mut dyn Storage) -> Result<Self, Fault> {
        Ok(read(storage, &of_user(name))?.unwrap_or_default())
    }

    /// Those of a name that no user has.
    pub fn of_nobody(name: &str, storage: &mut dyn Storage) -> Result<Self, Fault> {
        let own = |failures: &Self| failures.name == name;
        let found = match Salt::existing(storage)? {
            Some(salt) => read(storage, &of_nobody(&salt, name))?.filter(own),
            None => None,
        };
        Ok(found.unwrap_or_else(|| Self {
            name: name.to_owned(),
            ..Self::default()
        }))
    }

    /// Whether nobody logs in now.
    pub fn is_locked(&self, now: Duration) -> bool {
        self.locked_until.is_some_and(|until| now < until)
    }

    /// One more.
    pub fn add(&mut self, now: Duration) {
        self.times.retain(|time| now < time.saturating_add(REMEMBERED));
        self.times.push(now);
        self.locked_until = None;
        if self.times.len() >= MAXIMUM_LOGIN_FAILURES {
            self.times.clear();
            self.locked_until = Some(now.saturating_add(LOCKED));
        }
    }

    /// Stores those of `name` for as long as they matter.
    pub fn keep(
        &self,
        name: &str,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<(), Fault> {
        let path = match self.name.as_str() {
            "" => of_user(name),
            nobody => of_nobody(&Salt::of(storage, randomness)?, nobody),
        };
        write(storage, &path, self, Some(REMEMBERED.max(LOCKED)))
    }
}

/// Forgets those of a user.
pub(super) fn forget(name: &str, storage: &mut dyn Storage) -> Result<(), Fault> {
    if storage.get(&of_user(name))?.is_some() {
        storage.delete(&of_user(name))?;
    }
    Ok(())
}
