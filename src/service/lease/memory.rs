//! What a member remembers of the time of leases, so that the next leader goes on with it.
//!
//! ```text
//!  renewal --> leader --tell--> members      acknowledged when a quorum remembers it
//!              new leader <--recall-- quorum  the latest that any of them remembers
//! ```
//!
//! Two quorums share a member, so a new leader learns of every renewal that was acknowledged. Between the two stands the
//! term: once a member was asked by the leader of a term, it hears nothing of earlier ones. Grants need no telling: each
//! member sees them in the log.
//!
//! A member may have forgotten what it was told: it has just started, or the state was replaced by a snapshot. Or the
//! members have become others, and an earlier quorum shares nobody with a later one. So it says since when it remembers
//! everything, and until a whole time to live has gone by since then, its leases have that time. Too late is possible, too
//! early is not.
//!
//! Invariant: no deadline is before the end that any client was told. Never reads the clock, and never ends a lease.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::deadlines::after;
use crate::base::LeaseId;

/// Deadlines in one page of what is recalled.
pub(super) const PAGE_LEASES: usize = 32_768;

/// One page of what a member remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// How long it has remembered everything.
    pub complete_for: Duration,
    /// How much of the time of leases is left, by id.
    pub left: Vec<(LeaseId, Duration)>,
    /// Whether there are leases behind these.
    pub more: bool,
}

/// See the module. Holds one entry for each lease of the cluster.
#[derive(Debug)]
pub(super) struct Memory {
    /// The latest term whose leader told or asked something.
    term: u64,
    /// From here on everything is remembered.
    since: Instant,
    deadlines: BTreeMap<LeaseId, Instant>,
}

impl Memory {
    /// One that remembers from `now` on.
    pub fn new(now: Instant) -> Self {
        Self {
            term: 0,
            since: now,
            deadlines: BTreeMap::new(),
        }
    }

    /// A lease was granted, or has its full time again.
    pub fn note(&mut self, id: LeaseId, ttl_seconds: i64, now: Instant) {
        let deadline = after(now, ttl_seconds);
        let known = self.deadlines.entry(id).or_insert(deadline);
        *known = deadline.max(*known);
    }

    /// A lease is gone.
    pub fn forget(&mut self, id: LeaseId) {
        self.deadlines.remove(&id);
    }

    /// All leases were replaced.
    pub fn restart(&mut self, now: Instant) {
        self.deadlines.clear();
        self.since = now;
    }

    /// The leader of `term` has renewed these. False if a later one was heard: then it does not count.
    pub fn hear(&mut self, term: u64, renewed: &[(LeaseId, i64)], now: Instant) -> bool {
        if !self.heed(term) {
            return false;
        }
        for (id, ttl_seconds) in renewed {
            self.note(*id, *ttl_seconds, now);
        }
        true
    }

    /// What is remembered of the leases after `from`, for the leader of `term`, where the members are who they are since
    /// `members_since`; none if a later leader was heard.
    pub fn recall(
        &mut self,
        term: u64,
        members_since: Instant,
        from: Option<LeaseId>,
        now: Instant,
    ) -> Option<Page> {
        if !self.heed(term) {
            return None;
        }
        let start = from.map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = self.deadlines.range((start, Bound::Unbounded));
        let page = behind.by_ref().take(PAGE_LEASES);
        let left = page.map(|(id, deadline)| (*id, deadline.saturating_duration_since(now)));
        Some(Page {
            complete_for: now.saturating_duration_since(self.since.max(members_since)),
            left: left.collect(),
            more: behind.next().is_some(),
        })
    }

    fn heed(&mut self, term: u64) -> bool {
        let is_heard = term >= self.term;
        self.term = self.term.max(term);
        is_heard
    }
}

/// What a quorum remembers, put together by a new leader.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recollection {
    /// The shortest time for which any of the members remembers everything.
    complete_from: Option<Instant>,
    deadlines: BTreeMap<LeaseId, Instant>,
}

impl Recollection {
    /// Adds a page that a member gave; it is `now`, which is after it was made.
    pub fn add(&mut self, page: &Page, now: Instant) {
        let complete_from = now.checked_sub(page.complete_for).unwrap_or(now);
        self.complete_from = self.complete_from.max(Some(complete_from));
        for (id, left) in &page.left {
            let deadline = now.checked_add(*left).unwrap_or(now);
            let known = self.deadlines.entry(*id).or_insert(deadline);
            *known = deadline.max(*known);
        }
    }

    /// When a lease ends: as remembered, and later by the time in which nobody could renew it; at the latest after its
    /// full time and `grace` from `now`, which is what it has if nothing is known.
    pub fn deadline(
        &self,
        id: LeaseId,
        ttl_seconds: i64,
        leaderless: Duration,
        grace: Duration,
        now: Instant,
    ) -> Instant {
        let latest = after(now + grace, ttl_seconds);
        let Some(complete_from) = self.complete_from else {
            return latest;
        };
        let earliest = after(complete_from, ttl_seconds);
        let remembered = self.deadlines.get(&id).copied();
        let remembered = remembered.map_or(earliest, |deadline| deadline.max(earliest));
        let extended = remembered.checked_add(leaderless);
        extended.map_or(latest, |deadline| deadline.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: LeaseId = LeaseId(7);
    const TTL: i64 = 10;
    const NONE: Duration = Duration::ZERO;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// What members say that are the same ones since `start`.
    fn recollect(memories: &mut [&mut Memory], start: Instant, now: Instant) -> Recollection {
        let mut recollection = Recollection::default();
        for memory in memories {
            let page = memory.recall(2, start, None, now).unwrap();
            recollection.add(&page, now);
        }
        recollection
    }

    #[test]
    fn the_latest_that_any_member_of_a_quorum_remembers_is_the_deadline() {
        let start = Instant::now();
        let (mut one, mut other) = (Memory::new(start), Memory::new(start));
        for memory in [&mut one, &mut other] {
            memory.note(LEASE, TTL, at(start, 60));
        }
        other.hear(1, &[(LEASE, TTL)], at(start, 65));
        let now = at(start, 68);
        let recollection = recollect(&mut [&mut one, &mut other], start, now);
        assert_eq!(recollection.deadline(LEASE, TTL, NONE, NONE, now), at(start, 75));
    }

    #[test]
    fn time_without_a_leader_does_not_count_and_a_lease_never_gets_more_than_its_full_time() {
        let start = Instant::now();
        let mut memory = Memory::new(start);
        memory.note(LEASE, TTL, at(start, 60));
        let now = at(start, 64);
        let recollection = recollect(&mut [&mut memory], start, now);
        let grace = Duration::from_secs(1);
        let leaderless = Duration::from_secs(3);
        assert_eq!(
            recollection.deadline(LEASE, TTL, leaderless, grace, now),
            at(start, 73)
        );
        let long = Duration::from_secs(500);
        assert_eq!(recollection.deadline(LEASE, TTL, long, grace, now), at(start, 75));
        assert_eq!(
            Recollection::default().deadline(LEASE, TTL, NONE, grace, now),
            at(start, 75)
        );
    }

    #[test]
    fn what_a_member_has_forgotten_cannot_end_a_lease_early() {
        let start = Instant::now();
        let mut complete = Memory::new(start);
        complete.note(LEASE, TTL, at(start, 50));
        // It was told of a renewal at 59, and started again at 60.
        let mut restarted = Memory::new(at(start, 60));
        let now = at(start, 62);
        assert!(restarted.hear(1, &[], at(start, 60)));
        let recollection = recollect(&mut [&mut complete, &mut restarted], start, now);
        assert_eq!(recollection.deadline(LEASE, TTL, NONE, NONE, now), at(start, 70));
        complete.restart(at(start, 61));
        let recollection = recollect(&mut [&mut complete], start, now);
        assert_eq!(recollection.deadline(LEASE, TTL, NONE, NONE, now), at(start, 71));
    }

    #[test]
    fn other_members_are_a_new_beginning_and_the_same_ones_are_none() {
        let start = Instant::now();
        let mut memory = Memory::new(start);
        let now = at(start, 60);
        for (members_since, complete_for) in [(start, 60), (at(start, 20), 40), (now, 0)] {
            let page = memory.recall(2, members_since, None, now).unwrap();
            assert_eq!(page.complete_for, Duration::from_secs(complete_for));
        }
    }

    #[test]
    fn a_leader_of_an_earlier_term_is_not_heard_once_a_later_one_has_asked() {
        let start = Instant::now();
        let mut memory = Memory::new(start);
        assert!(memory.recall(2, start, None, start).is_some());
        assert!(!memory.hear(1, &[(LEASE, TTL)], start));
        assert!(memory.recall(1, start, None, start).is_none());
        assert!(memory.hear(2, &[(LEASE, TTL)], start));
    }

    #[test]
    fn pages_hold_every_lease_once_and_none_that_is_gone() {
        let start = Instant::now();
        let mut memory = Memory::new(start);
        let number = PAGE_LEASES + 10;
        for id in 0..number {
            memory.note(LeaseId(i64::try_from(id).unwrap()), TTL, start);
        }
        memory.forget(LeaseId(5));
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let page = memory.recall(2, start, from, start).unwrap();
            found.extend(page.left.iter().map(|(id, _)| *id));
            from = found.last().copied();
            if !page.more {
                break;
            }
        }
        assert_eq!(found.len(), number - 1);
        assert!(found.is_sorted() && !found.contains(&LeaseId(5)));
    }
}
