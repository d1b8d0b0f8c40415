//! The counts of a node: how many requests each address sent in the interval that runs.
//!
//! An interval begins with the first request of an address, and the next one with the first after it. More addresses than are
//! counted each for itself are counted together, so that memory is bounded and no address escapes. Never waits.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Quota, Quotas};
use crate::base::limits::MAXIMUM_QUOTA_CLIENTS;

/// What is left of a quota for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in an interval.
    pub limit: u64,
    /// Requests that are left of it.
    pub remaining: u64,
    /// Seconds until there are as many again, or until requests are served again.
    pub reset_seconds: u64,
}

/// The counts, by the names of quotas. In the order of the names, so that those that are gone are found in passing.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<BTreeMap<String, Counts>>);

/// The counts of a quota.
#[derive(Debug)]
struct Counts {
    /// As it was when they began.
    quota: Quota,
    clients: HashMap<Option<IpAddr>, Count>,
    /// Of all addresses that are not among these.
    others: Count,
    /// When it was last looked for addresses whose interval is over.
    cleared: Duration,
}

/// The count of an address.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    begun: Duration,
    used: u64,
    blocked_until: Duration,
}

impl Limiter {
    /// Counts a request of an address; none: its path is under no quota. `now` is a time that only goes on.
    ///
    /// # Errors
    /// The quota is used up.
    pub fn take(
        &self,
        quotas: &Quotas,
        path: &str,
        client: Option<IpAddr>,
        now: Duration,
    ) -> Result<Option<Allowance>, Allowance> {
        let mut all = self.0.lock();
        if all.len() > quotas.by_name.len() {
            all.retain(|name, _| quotas.by_name.contains_key(name));
        }
        let Some((name, quota)) = quotas.of(path) else {
            return Ok(None);
        };
        let counts = match all.get_mut(name) {
            Some(counts) if counts.quota == *quota => counts,
            _ => {
                all.insert(name.clone(), Counts::new(quota.clone(), now));
                let Some(counts) = all.get_mut(name) else {
                    return Ok(None);
                };
                counts
            }
        };
        counts
            .take(client.map(|address| address.to_canonical()), now)
            .map(Some)
    }

    /// How many addresses are counted for a quota.
    #[cfg(test)]
    pub fn clients(&self, name: &str) -> usize {
        self.0.lock().get(name).map_or(0, |counts| counts.clients.len())
    }
}

impl Counts {
    fn new(quota: Quota, now: Duration) -> Self {
        Self {
            quota,
            clients: HashMap::new(),
            others: Count::default(),
            cleared: now,
        }
    }

    fn take(&mut self, client: Option<IpAddr>, now: Duration) -> Result<Allowance, Allowance> {
        let quota = &self.quota;
        let is_full = self.clients.len() >= MAXIMUM_QUOTA_CLIENTS;
        if is_full && !self.clients.contains_key(&client) && now >= self.cleared + quota.interval {
            self.clients.retain(|_, count| !count.is_over(quota, now));
            self.cleared = now;
        }
        let has_room = self.clients.len() < MAXIMUM_QUOTA_CLIENTS;
        let count = match has_room || self.clients.contains_key(&client) {
            true => self.clients.entry(client).or_default(),
            false => &mut self.others,
        };
        count.take(quota, now)
    }
}

impl Count {
    fn ends(&self, quota: &Quota) -> Duration {
        self.begun.saturating_add(quota.interval)
    }

    fn is_over(&self, quota: &Quota, now: Duration) -> bool {
        now >= self.ends(quota) && now >= self.blocked_until
    }

    fn take(&mut self, quota: &Quota, now: Duration) -> Result<Allowance, Allowance> {
        let limit = quota.limit();
        if self.used == 0 || self.is_over(quota, now) {
            self.begun = now;
            self.used = 0;
        }
        let is_allowed = self.used < limit && now >= self.blocked_until;
        if is_allowed {
            self.used += 1;
        } else if self.blocked_until <= now && !quota.block.is_zero() {
            self.blocked_until = now.saturating_add(quota.block);
        }
        let resets = self.ends(quota).max(self.blocked_until).saturating_sub(now);
        let allowance = Allowance {
            limit,
            remaining: if is_allowed { limit - self.used } else { 0 },
            reset_seconds: resets.as_secs() + u64::from(resets.subsec_nanos() > 0),
        };
        if is_allowed { Ok(allowance) } else { Err(allowance) }
    }
}
