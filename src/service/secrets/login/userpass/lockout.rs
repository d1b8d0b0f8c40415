//! Who is locked out: after some wrong passwords within a while nobody logs in by that name for a while.
//!
//! Never tells a name that is there from one that is not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::limits::{LOGIN_FAILURE_SECONDS, LOGIN_LOCK_SECONDS, MAXIMUM_LOGIN_FAILURES};
use crate::service::secrets::engine::storage::{read, write};
use crate::service::secrets::engine::{Fault, Storage};

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
}

fn path(name: &str) -> String {
    format!("failures/{name}")
}

impl Failures {
    /// Those of a name.
    pub fn of(name: &str, storage: &mut dyn Storage) -> Result<Self, Fault> {
        Ok(read(storage, &path(name))?.unwrap_or_default())
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

    /// Stores them for as long as they matter.
    pub fn keep(&self, name: &str, storage: &mut dyn Storage) -> Result<(), Fault> {
        write(storage, &path(name), self, Some(REMEMBERED.max(LOCKED)))
    }
}

/// Forgets those of a name.
pub(super) fn forget(name: &str, storage: &mut dyn Storage) -> Result<(), Fault> {
    if storage.get(&path(name))?.is_some() {
        storage.delete(&path(name))?;
    }
    Ok(())
}
