//! When a node hands its next proposals on.
//!
//! With few proposals on their way, at once. With many, when those before are answered: proposals that came one by one
//! would each take a round of their own through the disks and the network of all members, and what comes meanwhile goes
//! with them as one bundle (RFC 896 does this to small segments). Never holds anything back for longer than
//! [`MAXIMUM_WAIT_MILLISECONDS`], answered or not.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::waiters::Waiters;

/// Proposals on their way from which on the next ones wait.
const MANY_PROPOSALS: usize = 16;
/// Longest wait. Answers that do not come, as when the leader is lost, are no reason to hold back what could be appended.
const MAXIMUM_WAIT_MILLISECONDS: u64 = 5;

/// What a node has handed on and hears of no more until it is answered.
#[derive(Default)]
pub struct Pace {
    /// The last proposal of each turn, and how many there were.
    turns: VecDeque<(u64, usize)>,
    proposals: usize,
}

impl Pace {
    /// Counts proposals that are handed on in one turn.
    pub fn hand_on(&mut self, sequences: impl Iterator<Item = u64>) {
        let (count, last) = sequences.fold((0, None), |(count, _), sequence| (count + 1, Some(sequence)));
        if let Some(last) = last {
            self.turns.push_back((last, count));
            self.proposals += count;
        }
    }

    /// Waits while many proposals are on their way.
    pub async fn wait(&mut self, waiters: &Waiters) {
        let until = Instant::now() + Duration::from_millis(MAXIMUM_WAIT_MILLISECONDS);
        while self.are_many(waiters) {
            if tokio::time::timeout_at(until, waiters.answered()).await.is_err() {
                // Whatever became of them: the next ones are counted anew.
                *self = Self::default();
            }
        }
    }

    fn are_many(&mut self, waiters: &Waiters) -> bool {
        while let Some((last, count)) = self.turns.front().copied()
            && !waiters.is_waiting(last)
        {
            self.turns.pop_front();
            self.proposals -= count;
        }
        self.proposals >= MANY_PROPOSALS
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::MemberId;

    #[tokio::test]
    async fn waits_only_while_many_are_unanswered_and_never_for_long() {
        let waiters = Waiters::new(MemberId(1));
        let mut pace = Pace::default();
        let held: Vec<_> = (0..20)
            .map(|sequence| waiters.register(sequence, Bytes::new()))
            .collect();
        pace.hand_on(0..10);
        assert!(!pace.are_many(&waiters), "ten are few");
        pace.hand_on(10..20);
        assert!(pace.are_many(&waiters));
        pace.wait(&waiters).await;
        assert!(!pace.are_many(&waiters), "nobody answers, and the wait is over");
        pace.hand_on(0..10);
        pace.hand_on(10..20);
        assert!(pace.are_many(&waiters));
        drop(held);
        assert!(!pace.are_many(&waiters), "nobody waits for them any more");
    }
}
