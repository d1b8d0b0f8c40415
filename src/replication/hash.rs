//! What the members hold at a revision: this one's answer to another, and the others' answers to this one.
//!
//! One hash is computed for other members at a time, from a snapshot of the state and on a thread that may block, so that
//! they never hold up a write. Only carries answers: the layer above compares them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex, watch};

use super::interface::PeerHash;
use super::machine::decode_applied;
use super::network::{Lane, Peers};
use super::types::{Node, NodeId};
use super::was_not_heard;
use crate::base::{MemberId, Revision};
use crate::proto::peer;
use crate::proto::peer::hash_response::Outcome;
use crate::state::applied::{Fatal, Refusal};
use crate::state::{ReadView, Reader};

/// How long an answer waits until this node has applied what the caller has.
const CATCH_UP_MILLISECONDS: u64 = 2_000;

/// Answers other members.
pub struct Hasher {
    /// The state.
    pub reader: Reader,
    /// How much is applied.
    pub applied_end: watch::Receiver<u64>,
    /// Held while a hash is computed.
    pub running: Arc<Mutex<()>>,
}

impl Hasher {
    /// The answer to another member.
    ///
    /// # Errors
    /// The disk failed, or the node is stopping.
    pub async fn answer(&self, request: peer::HashRequest) -> Result<peer::HashResponse, String> {
        let mut applied_end = self.applied_end.clone();
        let applied = applied_end.wait_for(|end| *end > request.applied_index);
        // Whoever is behind after that says so below.
        let _ = tokio::time::timeout(Duration::from_millis(CATCH_UP_MILLISECONDS), applied).await;
        let running = Arc::clone(&self.running).lock_owned().await;
        let view = self.reader.view();
        let hashing = tokio::task::spawn_blocking(move || {
            let answer = answer(&view, &request);
            // Held for as long as it takes, also when nobody waits for the answer any more.
            drop(running);
            answer
        });
        let stopping = |_| "this member is stopping".to_owned();
        hashing
            .await
            .map_err(stopping)?
            .map_err(|error| error.to_string())
    }
}

fn answer(view: &ReadView, request: &peer::HashRequest) -> Result<peer::HashResponse, Fatal> {
    let mut response = peer::HashResponse {
        compacted: view.compacted().unwrap_or(Revision(-1)).0,
        ..peer::HashResponse::default()
    };
    let outcome = if view.applied_index() < request.applied_index {
        Outcome::Behind
    } else {
        match view.hash_kv(Revision(request.revision))? {
            Ok(hashed) => {
                response.hash = hashed.hash;
                Outcome::Hashed
            }
            Err(Refusal::Compacted) => Outcome::Compacted,
            Err(_) => Outcome::Lacking,
        }
    };
    response.set_outcome(outcome);
    Ok(response)
}

/// Asks all other members of the state that `reader` shows. Every answer is in within `limit`, or a reason why not.
///
/// # Errors
/// The disk failed.
pub async fn ask_all(
    peers: &Peers,
    reader: &Reader,
    member: MemberId,
    request: peer::HashRequest,
    limit: Duration,
) -> Result<Vec<(MemberId, Result<PeerHash, String>)>, Fatal> {
    let (_, membership) = decode_applied(&reader.view().position()?)?;
    let others = membership.membership().nodes();
    let others: Vec<_> = others
        .filter(|(id, _)| **id != member.0)
        .map(|(id, node)| (*id, node.clone()))
        .collect();
    let asking = others.iter().map(|(id, node)| async {
        let asked = tokio::time::timeout(limit, ask(peers, *id, node, request)).await;
        let late = || Err(format!("no answer within {} s", limit.as_secs()));
        (MemberId(*id), asked.unwrap_or_else(|_| late()))
    });
    Ok(join_all(asking).await)
}

/// Asks one member, at each of its URLs until one is heard.
async fn ask(
    peers: &Peers,
    target: NodeId,
    node: &Node,
    request: peer::HashRequest,
) -> Result<PeerHash, String> {
    let mut reason = "it has no peer URL".to_owned();
    for _ in &node.peer_urls {
        let mut client = peers.client(target, node, Lane::Control)?;
        match client.hash(request).await {
            Ok(response) => return Ok(from_wire(response.into_inner())),
            Err(status) => {
                reason = status.to_string();
                if !was_not_heard(&status) {
                    break;
                }
                peers.failed(target, Lane::Control);
            }
        }
    }
    Err(reason)
}

fn from_wire(response: peer::HashResponse) -> PeerHash {
    match response.outcome() {
        Outcome::Hashed => PeerHash::Hashed {
            hash: response.hash,
            compacted: Revision(response.compacted),
        },
        Outcome::Compacted => PeerHash::Compacted(Revision(response.compacted)),
        Outcome::Behind => PeerHash::Behind,
        Outcome::Lacking => PeerHash::Lacking,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::state::command::{Command, Proposal, Put};
    use crate::state::{LogEntry, Machine, Payload, encode_proposal};
    use crate::storage::memory::MemoryEngine;

    /// A state that has applied entries 1 to 3: two puts, which make revisions 2 and 3, and a compaction at 2.
    fn state() -> Machine {
        let put = |value: &'static [u8]| {
            Command::Put(Put {
                key: Bytes::from_static(b"key"),
                value: Bytes::from_static(value),
                ..Put::default()
            })
        };
        let compact = Command::Compact {
            revision: Revision(2),
        };
        let mut machine = Machine::open(Arc::new(MemoryEngine::new())).unwrap();
        for (index, command) in (1..).zip([put(b"1"), put(b"2"), compact]) {
            let proposal = Proposal {
                origin: MemberId(1),
                sequence: index,
                command,
            };
            let entry = LogEntry {
                index,
                position: Bytes::new(),
                payload: Payload::Proposals(encode_proposal(&proposal).unwrap()),
            };
            machine.apply(&[entry]).unwrap();
        }
        machine
    }

    #[test]
    fn a_revision_that_is_not_there_is_forgotten_or_to_come_or_lacking() {
        let machine = state();
        let view = machine.reader().view();
        let answer_to = |revision, applied_index| {
            let request = peer::HashRequest {
                revision,
                applied_index,
            };
            from_wire(answer(&view, &request).unwrap())
        };
        let hash = view.hash_kv(Revision(3)).unwrap().unwrap().hash;
        let compacted = Revision(2);
        assert_eq!(answer_to(3, 3), PeerHash::Hashed { hash, compacted });
        assert_eq!(answer_to(3, 2), PeerHash::Hashed { hash, compacted });
        assert_eq!(answer_to(1, 3), PeerHash::Compacted(compacted));
        assert_eq!(answer_to(4, 4), PeerHash::Behind);
        assert_eq!(answer_to(3, 4), PeerHash::Behind, "not yet as the caller sees it");
        assert_eq!(answer_to(4, 3), PeerHash::Lacking);
    }
}
