//! Proposals that travel together: what waits at one moment becomes one entry of the log.
//!
//! An entry costs much the same whatever it carries: a message to raft, a record on every disk, a place in every queue. A
//! bundle shares that cost among its proposals, which are applied one after the other, each with a revision and an answer
//! of its own. It is appended as a whole or not at all. Never waits for more proposals to come.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;

use super::types::TypeConfig;
use super::waiters::Waiters;

/// Bytes of proposals in one bundle, unless a single one is larger. Small enough that a follower answers while the next
/// one is on its way.
const MAXIMUM_BUNDLE_BYTES: usize = 256 * 1024;

/// Proposals of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Their numbers.
    pub sequences: Vec<u64>,
    /// Their encodings, one behind the other.
    pub proposals: Bytes,
}

impl Bundle {
    /// Takes proposals from the front of `backlog`, those aside that nobody waits for any more. None if no other is left.
    #[must_use]
    pub fn take(backlog: &mut VecDeque<u64>, waiters: &Waiters) -> Option<Self> {
        let mut sequences = Vec::new();
        let mut proposals = Vec::new();
        let mut bytes = 0;
        while let Some(sequence) = backlog.front().copied() {
            let proposal = waiters.proposal(sequence);
            bytes += proposal.as_ref().map_or(0, Bytes::len);
            if bytes > MAXIMUM_BUNDLE_BYTES && !proposals.is_empty() {
                break;
            }
            backlog.pop_front();
            if let Some(proposal) = proposal {
                sequences.push(sequence);
                proposals.push(proposal);
            }
        }
        let proposals = match <[Bytes; 1]>::try_from(proposals) {
            Ok([only]) => only,
            Err(proposals) => {
                let mut together = BytesMut::with_capacity(proposals.iter().map(Bytes::len).sum());
                for proposal in &proposals {
                    together.extend_from_slice(proposal);
                }
                together.freeze()
            }
        };
        (!sequences.is_empty()).then_some(Self { sequences, proposals })
    }
}

/// Whether openraft's result means that the proposals are in no log. `LogEntryDiscarded` does not: another leader may have
/// committed the entry.
#[must_use]
pub fn was_never_appended(result: &ClientWriteResult<TypeConfig>) -> bool {
    matches!(result, Err(ClientWriteError::ForwardToLeader(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MemberId;

    #[test]
    fn takes_who_still_waits_in_order_until_it_is_full() {
        let waiters = Waiters::new(MemberId(1));
        let half = Bytes::from(vec![b'h'; MAXIMUM_BUNDLE_BYTES / 2]);
        let large = Bytes::from(vec![b'l'; MAXIMUM_BUNDLE_BYTES + 1]);
        let mut held: Vec<_> = [
            half.clone(),
            Bytes::from_static(b"gone"),
            half.clone(),
            large.clone(),
        ]
        .into_iter()
        .zip(1..)
        .map(|(proposal, sequence)| waiters.register(sequence, proposal))
        .collect();
        drop(held.remove(1));
        let mut backlog = VecDeque::from([1, 2, 3, 4, 5]);
        let first = Bundle::take(&mut backlog, &waiters).unwrap();
        assert_eq!(first.sequences, [1, 3]);
        assert_eq!(first.proposals, [half.clone(), half].concat());
        let second = Bundle::take(&mut backlog, &waiters).unwrap();
        assert_eq!(second.sequences, [4], "larger than a bundle, so alone");
        assert_eq!(second.proposals, large);
        assert_eq!(Bundle::take(&mut backlog, &waiters), None);
        assert!(backlog.is_empty());
    }
}
