//! Who waits for the local apply of which proposal.
//!
//! A proposer registers before it proposes; apply answers every waiter of a batch in one go. A waiter that gave up takes
//! itself out. Never decides how long somebody waits.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::MemberId;
use crate::replication::interface::Committed;
use crate::state::applied::Applied;

/// The waiters of one member.
#[derive(Clone)]
pub struct Waiters {
    member: MemberId,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Committed>>>>,
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
    pub fn register(&self, sequence: u64) -> Waiter {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(sequence, sender);
        Waiter {
            waiters: self.clone(),
            sequence,
            answer,
        }
    }

    /// Whether somebody still waits for the proposal.
    #[must_use]
    pub fn is_waiting(&self, sequence: u64) -> bool {
        self.waiting.lock().contains_key(&sequence)
    }

    /// Answers whoever waits for one of these entries.
    pub fn answer(&self, applied: Vec<Applied>) {
        let mut answers = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            for entry in applied {
                let Some((origin, sequence)) = entry.proposal else {
                    continue;
                };
                if origin != self.member {
                    continue;
                }
                if let Some(sender) = waiting.remove(&sequence) {
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
        self.waiters.waiting.lock().remove(&self.sequence);
    }
}
