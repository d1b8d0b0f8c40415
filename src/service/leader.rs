//! What members ask of the leader: about leases and checks, since only the leader counts their time, and for changes of the
//! members, since only the leader knows how they all are. And what the leader asks of members: to remember what it renewed.
//!
//! The messages are bincode behind a version byte and never stored. A member of another version that cannot read one
//! answers, or is taken to answer, `LeaderAnswer::NotPrimary`: the question is asked again.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::checks::desk::Desk;
use super::checks::heard::Note;
use super::cluster::{Change, Cluster, Wish};
use super::core::Core;
use super::lease::{Lessor, MemberAnswer, NotPrimary, WeakLessor};
use crate::base::{LeaseId, MemberId};
use crate::replication::MemberRequests;

/// Bytes that a message may take when decoded.
const MAXIMUM_MESSAGE_BYTES: usize = 1024 * 1024;
/// The first byte of every message.
const VERSION: u8 = 1;

/// A question to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LeaderQuestion {
    /// Renew these leases, in this order.
    Renew(Vec<LeaseId>),
    /// How much is left of this lease.
    Left(LeaseId),
    /// Change the members. Never asked twice for one change.
    ChangeMembers(Wish),
    /// These checks were reported (by their numbers).
    Heard(Vec<u64>),
    /// This member lives, and heard this of checks; who else lives, and what else was heard?
    CallIn(MemberId, Vec<Note>),
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LeaderAnswer {
    /// Whoever was asked does not lead, or cannot prove it, or has not counted the leases yet.
    NotPrimary,
    /// The time to live of each lease in seconds, 0 for those that are gone.
    Renewed(Vec<i64>),
    /// The seconds left and granted, none if the lease is gone.
    Left(Option<(i64, i64)>),
    /// What became of the change.
    ChangedMembers(Change),
    /// The reports are known to the leader.
    Noted,
    /// These members live, and this was heard of checks.
    Present(Vec<MemberId>, Vec<Note>),
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAXIMUM_MESSAGE_BYTES>()
}

/// Encodes a message.
pub(super) fn encode(message: &impl Serialize) -> Bytes {
    let mut bytes = vec![VERSION];
    match bincode::serde::encode_into_std_write(message, &mut bytes, configuration()) {
        Ok(_) => Bytes::from(bytes),
        // Larger than a message may be: an empty message is one that nobody can read.
        Err(_) => Bytes::new(),
    }
}

/// Decodes a message; none if it is not one of this version.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Option<T> {
    let (version, body) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (message, read) = bincode::serde::decode_from_slice(body, configuration()).ok()?;
    (read == body.len()).then_some(message)
}

/// Answers what other members ask of this node while it leads. Exists before replication does, since replication is
/// started with it; until [`super::Services::new`] has run it says that this node cannot answer yet. Never keeps the
/// services alive: replication holds the desk, and they hold replication.
#[derive(Clone, Default)]
pub struct LeaderDesk {
    clerks: Arc<OnceLock<Clerks>>,
}

/// Who answers.
struct Clerks {
    core: Weak<Core>,
    lessor: WeakLessor,
    checks: Weak<Desk>,
}

impl LeaderDesk {
    /// From now on these answer. A desk is opened once; a second time changes nothing.
    pub(super) fn open(&self, core: &Arc<Core>, lessor: &Lessor, checks: &Arc<Desk>) {
        self.clerks.get_or_init(|| Clerks {
            core: Arc::downgrade(core),
            lessor: lessor.downgrade(),
            checks: Arc::downgrade(checks),
        });
    }
}

impl MemberRequests for LeaderDesk {
    fn answer_as_member(&self, request: Bytes) -> Bytes {
        let lessor = self.clerks.get().and_then(|clerks| clerks.lessor.upgrade());
        let answer = match (lessor, decode(&request)) {
            (Some(lessor), Some(question)) => lessor.answer(question),
            _ => MemberAnswer::Refused,
        };
        encode(&answer)
    }

    fn answer_as_leader(&self, request: Bytes) -> BoxFuture<'static, Bytes> {
        let clerks = self.clerks.get();
        let clerks = clerks.and_then(|clerks| {
            let Clerks { core, lessor, checks } = clerks;
            Some((core.upgrade()?, lessor.upgrade()?, checks.upgrade()?))
        });
        async move {
            let answer = match (clerks, decode(&request)) {
                (Some((core, lessor, checks)), Some(question)) => {
                    answer(core, &lessor, &checks, question).await
                }
                _ => Err(NotPrimary),
            };
            encode(&answer.unwrap_or(LeaderAnswer::NotPrimary))
        }
        .boxed()
    }
}

async fn answer(
    core: Arc<Core>,
    lessor: &Lessor,
    checks: &Desk,
    question: LeaderQuestion,
) -> Result<LeaderAnswer, NotPrimary> {
    Ok(match question {
        LeaderQuestion::Renew(ids) => LeaderAnswer::Renewed(lessor.renew(&ids).await?),
        LeaderQuestion::Left(id) => {
            let left = lessor.left(id).await?;
            LeaderAnswer::Left(left.map(|left| (left.remaining_seconds, left.granted_seconds)))
        }
        LeaderQuestion::Heard(numbers) => {
            core.replication
                .confirm_leadership()
                .await
                .map_err(|_| NotPrimary)?;
            checks.hear(&numbers);
            LeaderAnswer::Noted
        }
        LeaderQuestion::CallIn(member, notes) => {
            let (members, notes) = checks.call(&core, member, &notes).ok_or(NotPrimary)?;
            LeaderAnswer::Present(members, notes)
        }
        LeaderQuestion::ChangeMembers(wish) => {
            // In a task of its own: a caller that goes away does not end a change in its middle.
            let deciding = tokio::spawn(async move { Cluster::new(core).decide(&wish).await });
            match deciding.await {
                Ok(change) => LeaderAnswer::ChangedMembers(change.ok_or(NotPrimary)?),
                Err(_) => LeaderAnswer::ChangedMembers(Change::Unknown),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bytes() {
        let question = LeaderQuestion::Renew(vec![LeaseId(1), LeaseId(300)]);
        assert_eq!(encode(&question)[..], [1, 0, 2, 2, 251, 88, 2]);
        assert_eq!(decode(&encode(&question)), Some(question));
        let answer = LeaderAnswer::Left(Some((7, 10)));
        assert_eq!(encode(&answer)[..], [1, 2, 1, 14, 20]);
        assert_eq!(decode(&encode(&answer)), Some(answer));
    }

    #[test]
    fn what_is_not_a_message_of_this_version_is_no_message() {
        let question = encode(&LeaderQuestion::Left(LeaseId(5)));
        let mut other = question.to_vec();
        other[0] = 2;
        assert_eq!(decode::<LeaderQuestion>(&Bytes::from(other)), None);
        assert_eq!(
            decode::<LeaderQuestion>(&question.slice(..question.len() - 1)),
            None
        );
        assert_eq!(decode::<LeaderQuestion>(&Bytes::new()), None);
        let endless = Bytes::from_static(&[1, 0, 253, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(decode::<LeaderQuestion>(&endless), None);
    }
}
