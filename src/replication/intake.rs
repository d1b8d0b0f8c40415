//! Where bundles become entries of the log, on the node that leads.
//!
//! A round of raft costs every member an fsync and a turn of each of its tasks, whatever it carries. With few proposals on
//! their way, what arrives goes at once. With many, it waits until those have landed, and the bundles of all members that
//! arrive meanwhile become one entry (RFC 896 does this to small segments). Never holds anything back for longer than
//! [`MAXIMUM_WAIT_MILLISECONDS`], and never asks whether this node leads: raft rejects what came to the wrong one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Raft;
use super::bundle::{Bundle, was_never_appended};
use super::types::{ProposalBytes, Rejections, Submission};
use super::waiting::take_waiting;

/// Proposals on their way from which on the next ones wait.
const MANY_PROPOSALS: usize = 16;
/// Longest wait. What does not land, as when the others are out of reach, is no reason to hold back what could be appended.
const MAXIMUM_WAIT_MILLISECONDS: u64 = 10;
/// Bytes of proposals in one entry, unless a single bundle is larger. Small enough that one entry is written while the one
/// before it is applied.
const MAXIMUM_ENTRY_BYTES: usize = 512 * 1024;
/// Bundles that wait, before those who bring them wait too.
const MAXIMUM_WAITING_BUNDLES: usize = 64;

/// A bundle, and whom to tell if it was not appended.
struct Arrival {
    bundle: Bundle,
    rejections: Arc<dyn Rejections>,
}

/// Takes bundles. A handle: clones share one intake.
#[derive(Clone)]
pub struct Intake {
    arrivals: mpsc::Sender<Arrival>,
}

/// The node is stopping: nobody takes proposals any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Intake {
    /// Starts the task that makes entries.
    #[must_use]
    pub fn start(raft: Raft) -> Self {
        let (arrivals, waiting) = mpsc::channel(MAXIMUM_WAITING_BUNDLES);
        tokio::spawn(make_entries(raft, waiting));
        Self { arrivals }
    }

    /// Hands over a bundle. Waits while too many do.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub async fn take(&self, bundle: Bundle, rejections: Arc<dyn Rejections>) -> Result<(), Stopped> {
        let arrival = Arrival { bundle, rejections };
        self.arrivals.send(arrival).await.map_err(|_| Stopped)
    }
}

async fn make_entries(raft: Raft, mut waiting: mpsc::Receiver<Arrival>) {
    let flight = Arc::new(Flight::default());
    let mut arrivals = Vec::with_capacity(MAXIMUM_WAITING_BUNDLES);
    loop {
        flight.until_few().await;
        if !take_waiting(&mut waiting, &mut arrivals, MAXIMUM_WAITING_BUNDLES).await {
            return;
        }
        for (proposals, arrivals) in entries(arrivals.drain(..)) {
            let landing = flight.start(
                arrivals
                    .iter()
                    .map(|arrival| arrival.bundle.sequences.len())
                    .sum(),
            );
            let rejected = move || {
                for Arrival { bundle, rejections } in arrivals {
                    for sequence in bundle.sequences {
                        rejections.rejected(sequence);
                    }
                }
                drop(landing);
            };
            let submission = Submission {
                rejected: Box::new(rejected),
                never_appended: was_never_appended,
            };
            let submitted = raft
                .client_write_ff(ProposalBytes(proposals), Some(submission))
                .await;
            if submitted.is_err() {
                // Raft is dead, and the node with it.
                return;
            }
        }
    }
}

/// Puts bundles together into entries, in order.
fn entries(arrivals: impl Iterator<Item = Arrival>) -> Vec<(Bytes, Vec<Arrival>)> {
    let mut groups: Vec<(usize, Vec<Arrival>)> = Vec::new();
    for arrival in arrivals {
        let bytes = arrival.bundle.proposals.len();
        match groups.last_mut() {
            Some((total, group)) if *total + bytes <= MAXIMUM_ENTRY_BYTES => {
                *total += bytes;
                group.push(arrival);
            }
            _ => groups.push((bytes, vec![arrival])),
        }
    }
    let together = |(total, group): (usize, Vec<Arrival>)| {
        if let [only] = group.as_slice() {
            return (only.bundle.proposals.clone(), group);
        }
        let mut proposals = BytesMut::with_capacity(total);
        for arrival in &group {
            proposals.extend_from_slice(&arrival.bundle.proposals);
        }
        (proposals.freeze(), group)
    };
    groups.into_iter().map(together).collect()
}

/// How many proposals are on their way.
#[derive(Default)]
struct Flight {
    proposals: AtomicUsize,
    landed: Notify,
}

/// An entry on its way; dropped when raft is done with it, whatever became of it.
struct Landing {
    flight: Arc<Flight>,
    proposals: usize,
}

impl Flight {
    fn start(self: &Arc<Self>, proposals: usize) -> Landing {
        self.proposals.fetch_add(proposals, Ordering::AcqRel);
        Landing {
            flight: Arc::clone(self),
            proposals,
        }
    }

    /// Waits while many proposals are on their way, but not for long. One task waits.
    async fn until_few(&self) {
        let until = Instant::now() + Duration::from_millis(MAXIMUM_WAIT_MILLISECONDS);
        while self.proposals.load(Ordering::Acquire) >= MANY_PROPOSALS {
            if tokio::time::timeout_at(until, self.landed.notified())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flight.proposals.fetch_sub(self.proposals, Ordering::AcqRel);
        self.flight.landed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    struct Nobody;

    impl Rejections for Nobody {
        fn rejected(&self, _sequence: u64) {}
    }

    fn arrival(sequence: u64, bytes: usize) -> Arrival {
        Arrival {
            bundle: Bundle {
                sequences: vec![sequence],
                proposals: Bytes::from(vec![u8::try_from(sequence).unwrap(); bytes]),
            },
            rejections: Arc::new(Nobody),
        }
    }

    #[test]
    fn bundles_become_one_entry_in_order_until_it_is_full() {
        let third = MAXIMUM_ENTRY_BYTES / 3;
        let arrivals = [
            arrival(1, third),
            arrival(2, third),
            arrival(3, MAXIMUM_ENTRY_BYTES + 1),
            arrival(4, third),
            arrival(5, 2 * third),
        ];
        let made = entries(arrivals.into_iter());
        let numbers = |arrivals: &[Arrival]| -> Vec<u64> {
            arrivals
                .iter()
                .flat_map(|arrival| arrival.bundle.sequences.clone())
                .collect()
        };
        let expected: [&[u64]; 3] = [&[1, 2], &[3], &[4, 5]];
        assert_eq!(made.len(), expected.len());
        for ((proposals, arrivals), expected) in made.iter().zip(expected) {
            assert_eq!(numbers(arrivals), expected);
            let together: Vec<u8> = arrivals
                .iter()
                .flat_map(|arrival| arrival.bundle.proposals.clone())
                .collect();
            assert!(
                *proposals == together,
                "the entry of {expected:?} is not its bundles"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_only_while_many_are_on_their_way_and_never_for_long() {
        let flight = Arc::new(Flight::default());
        let few = flight.start(MANY_PROPOSALS - 1);
        assert!(flight.until_few().now_or_never().is_some(), "they are few");
        let one_more = flight.start(1);
        assert!(flight.until_few().now_or_never().is_none(), "they are many");
        drop(one_more);
        assert!(flight.until_few().now_or_never().is_some(), "one has landed");
        let lost = flight.start(MANY_PROPOSALS);
        flight.until_few().await;
        assert!(
            flight.until_few().now_or_never().is_none(),
            "the wait was over, not the flight"
        );
        drop((few, lost));
        assert!(flight.until_few().now_or_never().is_some());
    }
}
