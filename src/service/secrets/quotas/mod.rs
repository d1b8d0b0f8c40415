//! Quotas: how many requests a client may send to this node in a time, by what they are for.
//!
//! ```text
//!  request -> the quota that is most specific for its path -> its count of the client's address -> served, or 429
//! ```
//!
//! Which quotas there are is stored, one record for all; the counts are of each node for itself, and in memory. A quota of a
//! path wins over one of paths that begin like it, the longest of these over shorter ones, those over that of a mount, and
//! that over the one for everything. What is asked without a token, as the status of the seal, is under none.
//!
//! Never reads a clock.

mod limiter;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::Fault;
use super::engine::storage::{decode, encode};
use super::store::Draft;
use crate::base::limits::{
    MAXIMUM_QUOTA_EXEMPTIONS, MAXIMUM_QUOTA_NAME_BYTES, MAXIMUM_QUOTA_RATE, MAXIMUM_SECRET_QUOTAS,
};
pub use limiter::{Allowance, Limiter};

/// Where they are.
const TABLE: &str = "core/quotas";

/// All quotas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quotas {
    /// What holds for all of them.
    pub config: Config,
    by_name: BTreeMap<String, Quota>,
}

/// What holds for all quotas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Paths under no quota; one that ends with `*` or a slash stands for all that begin so.
    pub exempt_paths: Vec<String>,
    /// Whether requests that are refused for a quota are audited.
    pub audits_refused: bool,
    /// Whether answers tell what is left of a quota.
    pub tells_clients: bool,
}

/// A quota.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// What it is for: nothing for all paths, a mount with a slash at its end, a path, or the beginning of paths and `*`.
    pub path: String,
    /// Requests of one address in each interval.
    pub rate: f64,
    /// The interval; at least a second.
    pub interval: Duration,
    /// How long an address that was refused is refused for; zero: until the interval ends.
    pub block: Duration,
}

/// How much of a path a quota is for: the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Everything,
    Mount,
    Beginning(usize),
    Path,
}

impl Quota {
    /// Requests that an address may send in an interval.
    #[must_use]
    pub fn limit(&self) -> u64 {
        // A rate is above 0 and not above its maximum, which is checked when it is written.
        (self.rate.round() as u64).max(1)
    }

    fn check(&self) -> Result<(), Fault> {
        let invalid = |text: String| Err(Fault::Invalid(text));
        if !(self.rate > 0.0 && self.rate <= MAXIMUM_QUOTA_RATE) {
            return invalid(format!(
                "'rate' is {}: it is above 0 and at most {MAXIMUM_QUOTA_RATE}",
                self.rate
            ));
        }
        if self.interval < Duration::from_secs(1) {
            return invalid("'interval' is less than a second".to_owned());
        }
        Ok(())
    }

    fn reaches(&self, path: &str) -> Option<Reach> {
        let own = self.path.as_str();
        if own.is_empty() {
            return Some(Reach::Everything);
        }
        if let Some(beginning) = own.strip_suffix('*') {
            return path
                .starts_with(beginning)
                .then_some(Reach::Beginning(beginning.len()));
        }
        match own.strip_suffix('/') {
            Some(mount) => {
                let below = path.strip_prefix(mount)?;
                (below.is_empty() || below.starts_with('/')).then_some(Reach::Mount)
            }
            None => (path.strip_suffix('/').unwrap_or(path) == own).then_some(Reach::Path),
        }
    }
}

impl Quotas {
    /// Those of a draft.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(draft: &mut Draft) -> Result<Arc<Self>, Fault> {
        Ok(draft.table(TABLE, decode)?.unwrap_or_default())
    }

    /// Writes them.
    ///
    /// # Errors
    /// They cannot be encoded.
    pub fn write(&self, draft: &mut Draft) -> Result<(), Fault> {
        draft.put_table(TABLE, encode(self)?)
    }

    /// A quota.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Quota> {
        self.by_name.get(name)
    }

    /// The names of all of them, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    /// Adds a quota, or puts another one in place of that name.
    ///
    /// # Errors
    /// It is none that can be, another is for the same path, or there are too many.
    pub fn put(&mut self, name: &str, quota: Quota) -> Result<(), Fault> {
        quota.check()?;
        if name.is_empty() || name.len() > MAXIMUM_QUOTA_NAME_BYTES || name.contains('/') {
            return Err(Fault::Invalid(format!(
                "the name of a quota has from 1 to {MAXIMUM_QUOTA_NAME_BYTES} bytes, and no slash"
            )));
        }
        let mut others = self.by_name.iter().filter(|(other, _)| *other != name);
        if let Some((other, _)) = others.find(|(_, other)| other.path == quota.path) {
            return Err(Fault::Invalid(format!(
                "quota rule with similar properties exists under the name {other:?}"
            )));
        }
        if !self.by_name.contains_key(name) && self.by_name.len() >= MAXIMUM_SECRET_QUOTAS {
            return Err(Fault::Invalid(format!(
                "there are {MAXIMUM_SECRET_QUOTAS} quotas, the most; remove one first"
            )));
        }
        self.by_name.insert(name.to_owned(), quota);
        Ok(())
    }

    /// Removes a quota; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// Changes what holds for all.
    ///
    /// # Errors
    /// It is too long.
    pub fn configure(&mut self, config: Config) -> Result<(), Fault> {
        if config.exempt_paths.len() > MAXIMUM_QUOTA_EXEMPTIONS {
            return Err(Fault::Invalid(format!(
                "'rate_limit_exempt_paths' has {} paths; the most is {MAXIMUM_QUOTA_EXEMPTIONS}",
                config.exempt_paths.len()
            )));
        }
        self.config = config;
        Ok(())
    }

    /// Takes the quotas of a mount along to where it was moved, or away with it.
    ///
    /// # Errors
    /// They cannot be read or encoded.
    pub fn follow(draft: &mut Draft, from: &str, to: Option<&str>) -> Result<(), Fault> {
        let mut quotas = Self::clone(&*Self::read(draft)?);
        let is_of_it = |quota: &Quota| quota.path.starts_with(from);
        if !quotas.by_name.values().any(is_of_it) {
            return Ok(());
        }
        match to {
            None => quotas.by_name.retain(|_, quota| !is_of_it(quota)),
            Some(to) => {
                for quota in quotas.by_name.values_mut() {
                    if let Some(below) = quota.path.strip_prefix(from) {
                        quota.path = format!("{to}{below}");
                    }
                }
            }
        }
        quotas.write(draft)
    }

    /// The quota that a path is under, and its name.
    fn of(&self, path: &str) -> Option<(&String, &Quota)> {
        let is_exempt = self.config.exempt_paths.iter().any(|exempt| {
            let beginning = exempt.strip_suffix('*');
            let beginning = beginning.or_else(|| exempt.ends_with('/').then_some(exempt));
            match beginning {
                Some(beginning) => path.starts_with(beginning),
                None => path.strip_suffix('/').unwrap_or(path) == exempt,
            }
        });
        if is_exempt {
            return None;
        }
        let reaching = self
            .by_name
            .iter()
            .filter_map(|(name, quota)| Some((quota.reaches(path)?, name, quota)));
        let most = reaching.max_by_key(|(reach, _, _)| *reach);
        most.map(|(_, name, quota)| (name, quota))
    }
}
