//! When each lease ends, as the leader counts it. In memory only: every leader builds it anew.
//!
//! A lease is either waiting (it has a place in the queue) or ending (its revocation is under way, and it can no longer be
//! renewed). Holds one entry for each lease of the cluster, nothing else. Never reads the clock.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::base::LeaseId;

/// What became of a wish to renew a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It has its full time to live again, in seconds.
    Renewed(i64),
    /// Its revocation is under way.
    Ending,
    /// There is no such lease here.
    Unknown,
}

/// What is left of a lease, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) struct Left {
    /// Until it ends.
    pub remaining_seconds: i64,
    /// Its time to live.
    pub granted_seconds: i64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ttl_seconds: i64,
    deadline: Instant,
    ending: bool,
}

/// The deadlines of all leases.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    entries: HashMap<LeaseId, Entry>,
    queue: BTreeSet<(Instant, LeaseId)>,
}

impl Deadlines {
    /// Starts the time of a lease at `from`; of one that is known, anew.
    pub fn grant(&mut self, id: LeaseId, ttl_seconds: i64, from: Instant) {
        self.insert(id, ttl_seconds, after(from, ttl_seconds));
    }

    /// Lets a lease end at `deadline`.
    pub fn insert(&mut self, id: LeaseId, ttl_seconds: i64, deadline: Instant) {
        self.remove(id);
        self.entries.insert(
            id,
            Entry {
                ttl_seconds,
                deadline,
                ending: false,
            },
        );
        self.queue.insert((deadline, id));
    }

    /// Gives a lease its full time again, unless its time is over.
    pub fn renew(&mut self, id: LeaseId, now: Instant) -> Renewal {
        let Some(entry) = self.entries.get_mut(&id) else {
            return Renewal::Unknown;
        };
        if entry.ending || entry.deadline <= now {
            return Renewal::Ending;
        }
        self.queue.remove(&(entry.deadline, id));
        entry.deadline = after(now, entry.ttl_seconds);
        self.queue.insert((entry.deadline, id));
        Renewal::Renewed(entry.ttl_seconds)
    }

    /// Forgets a lease; whether it was known.
    pub fn remove(&mut self, id: LeaseId) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        self.queue.remove(&(entry.deadline, id));
        true
    }

    /// Takes at most `maximum` leases whose time is over, the longest overdue first. They are ending from now on.
    pub fn take_expired(&mut self, now: Instant, maximum: usize) -> Vec<LeaseId> {
        let mut expired = Vec::new();
        while expired.len() < maximum
            && let Some((deadline, id)) = self.queue.first().copied()
            && deadline <= now
        {
            self.queue.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.ending = true;
            }
            expired.push(id);
        }
        expired
    }

    /// Puts a lease back whose revocation did not go through: it is due at `at`. It still cannot be renewed: its time is
    /// over.
    pub fn retry(&mut self, id: LeaseId, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.queue.remove(&(entry.deadline, id));
            entry.deadline = at;
            self.queue.insert((at, id));
        }
    }

    /// What is left of a lease; none if it is unknown or its time is over.
    pub fn left(&self, id: LeaseId, now: Instant) -> Option<Left> {
        let entry = self
            .entries
            .get(&id)
            .filter(|entry| !entry.ending && entry.deadline > now)?;
        let remaining = entry.deadline.saturating_duration_since(now).as_secs();
        Some(Left {
            remaining_seconds: i64::try_from(remaining).unwrap_or(i64::MAX),
            granted_seconds: entry.ttl_seconds,
        })
    }

    /// Whether the time of some lease is over.
    pub fn is_due(&self, now: Instant) -> bool {
        self.queue.first().is_some_and(|(deadline, _)| *deadline <= now)
    }

    /// The time to live of a lease, if it is known.
    pub fn ttl_seconds(&self, id: LeaseId) -> Option<i64> {
        self.entries.get(&id).map(|entry| entry.ttl_seconds)
    }

    /// When a lease ends, if it is known.
    pub fn deadline(&self, id: LeaseId) -> Option<Instant> {
        self.entries.get(&id).map(|entry| entry.deadline)
    }
}

/// `from` and so many seconds. A clock that cannot count that far makes the lease due at once nowhere: `from` plus a
/// century stands for never.
pub(super) fn after(from: Instant, seconds: i64) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    from.checked_add(ttl)
        .or_else(|| from.checked_add(CENTURY))
        .unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LeaseId = LeaseId(1);
    const B: LeaseId = LeaseId(2);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_expires_at_its_deadline_and_not_before() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.grant(A, 10, start);
        deadlines.grant(B, 5, start);
        assert!(deadlines.take_expired(at(start, 4), 9).is_empty());
        assert_eq!(deadlines.take_expired(at(start, 5), 9), [B]);
        assert_eq!(deadlines.take_expired(at(start, 60), 9), [A]);
        assert!(deadlines.take_expired(at(start, 60), 9).is_empty());
    }

    #[test]
    fn a_renewed_lease_has_its_full_time_again() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.grant(A, 10, start);
        assert_eq!(deadlines.renew(A, at(start, 9)), Renewal::Renewed(10));
        assert!(deadlines.take_expired(at(start, 18), 9).is_empty());
        let left = Left {
            remaining_seconds: 1,
            granted_seconds: 10,
        };
        assert_eq!(deadlines.left(A, at(start, 18)), Some(left));
        assert_eq!(deadlines.take_expired(at(start, 19), 9), [A]);
    }

    #[test]
    fn a_lease_whose_time_is_over_cannot_be_renewed() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.grant(A, 10, start);
        assert_eq!(deadlines.renew(A, at(start, 10)), Renewal::Ending);
        assert_eq!(deadlines.take_expired(at(start, 10), 9), [A]);
        assert_eq!(deadlines.renew(A, at(start, 10)), Renewal::Ending);
        deadlines.retry(A, at(start, 12));
        assert_eq!(deadlines.renew(A, at(start, 11)), Renewal::Ending);
        assert_eq!(deadlines.left(A, at(start, 11)), None);
        assert_eq!(deadlines.take_expired(at(start, 12), 9), [A]);
    }

    #[test]
    fn a_removed_lease_is_unknown_and_never_expires() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.grant(A, 10, start);
        assert!(deadlines.remove(A));
        assert!(!deadlines.remove(A));
        assert_eq!(deadlines.renew(A, start), Renewal::Unknown);
        assert!(deadlines.take_expired(at(start, 60), 9).is_empty());
    }

    #[test]
    fn expiry_takes_the_longest_overdue_first_and_no_more_than_asked() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        for id in 0..10 {
            deadlines.grant(LeaseId(id), 20 - id, start);
        }
        assert_eq!(deadlines.take_expired(at(start, 60), 2), [LeaseId(9), LeaseId(8)]);
        assert_eq!(deadlines.take_expired(at(start, 60), 100).len(), 8);
    }

    #[test]
    fn the_longest_time_to_live_does_not_overflow_the_clock() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.grant(A, crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS, start);
        deadlines.grant(B, i64::MAX, start);
        assert!(deadlines.take_expired(at(start, 3_600), 9).is_empty());
    }
}
