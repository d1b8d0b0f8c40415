//! Who waits for the local apply of which proposal.
//!
//! A proposer registers before it proposes; apply answers every waiter of a batch in one go. A waiter that gave up takes
//! itself out, and with it the right of its proposal to be sent again. Never decides how long somebody waits.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::MemberId;
use crate::replication::interface::Committed;
use crate::state::applied::Applied;

/// The waiters of one member. A handle: clones share them.
#[derive(Clone)]
pub struct Waiters {
    member: MemberId,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    by_sequence: HashMap<u64, (Bytes, oneshot::Sender<Committed>)>,
    is_closed: bool,
}

/// A place among the waiters; leaves it when dropped.
pub struct Waiter {
    waiters: Waiters,
    sequence: u64,
    answer: oneshot::Receiver<Committed>,
}

impl Waiters {
    /// No waiters, of proposals of `member`.
    #[must_use]
    pub fn new(member: MemberId) -> Self {
        Self {
            member,
            waiting: Arc::default(),
        }
    }

    /// Waits for the proposal with this number.
    #[must_use]
    pub fn register(&self, sequence: u64, proposal: Bytes) -> Waiter {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if !waiting.is_closed {
            waiting.by_sequence.insert(sequence, (proposal, sender));
        }
        Waiter {
            waiters: self.clone(),
            sequence,
            answer,
        }
    }

    /// The proposal, if somebody still waits for it.
    #[must_use]
    pub fn proposal(&self, sequence: u64) -> Option<Bytes> {
        let waiting = self.waiting.lock();
        waiting
            .by_sequence
            .get(&sequence)
            .map(|(proposal, _)| proposal.clone())
    }

    /// Whether somebody still waits for the proposal.
    #[must_use]
    pub fn is_waiting(&self, sequence: u64) -> bool {
        self.waiting.lock().by_sequence.contains_key(&sequence)
    }

    /// Lets nobody wait for this proposal any more: whoever does, learns that there is no answer.
    pub fn withdraw(&self, sequence: u64) {
        self.waiting.lock().by_sequence.remove(&sequence);
    }

    /// Lets nobody wait any more: who does, learns that there is no answer.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        waiting.by_sequence.clear();
    }

    /// Answers whoever waits for one of these commands.
    pub fn answer(&self, applied: Vec<Applied>) {
        let mut answers = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            for entry in applied {
                if entry.origin != self.member {
                    continue;
                }
                if let Some((_, sender)) = waiting.by_sequence.remove(&entry.sequence) {
                    let committed = Committed {
                        outcome: entry.outcome,
                        revision: entry.revision,
                        index: entry.index,
                    };
                    answers.push((sender, committed));
                }
            }
        }
        for (sender, committed) in answers {
            // A waiter that gave up in this moment does not hear of it: its outcome stays unknown to it.
            let _ = sender.send(committed);
        }
    }
}

impl Waiter {
    /// The answer. None if the node stops before there is one.
    pub async fn wait(&mut self) -> Option<Committed> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.waiting.lock().by_sequence.remove(&self.sequence);
    }
}
