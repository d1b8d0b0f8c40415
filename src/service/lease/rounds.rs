//! How the leader tells the members what it renewed, and asks them for it when it begins: see [`super::memory`].
//!
//! At most one round of telling is under way; what comes meanwhile goes into the next. A member that does not answer is
//! left out of rounds while its earlier ones are unanswered, so that it costs no memory. Never decides what is renewed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc, oneshot};

use super::memory::{Memory, Page, Recollection};
use crate::base::{LeaseId, MemberId, clock};
use crate::replication::Replication;
use crate::service::leader::{decode, encode};

/// Rounds that one member may be behind with its answers.
const MAXIMUM_UNANSWERED: usize = 4;
/// Renewals that wait for the next round; whoever comes after that waits for a place.
const MAXIMUM_WAITING: usize = 8_192;
/// Leases in one round: about 15 bytes for each, far below the most that a message may have.
const MAXIMUM_LEASES: usize = 32_768;

/// A question to any member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) enum MemberQuestion {
    /// The leader of `term` has renewed these, each for so many seconds.
    Renewed { term: u64, leases: Vec<(LeaseId, i64)> },
    /// The leader of `term` wants to know what is remembered of the leases after `after`.
    Recall { term: u64, after: Option<LeaseId> },
}

/// A member's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) enum MemberAnswer {
    /// It heard a leader of a later term, or does not know what was asked.
    Refused,
    /// It remembers that.
    Remembered,
    /// What it remembers.
    Recalled {
        /// Milliseconds for which it has remembered everything, rounded down.
        complete_milliseconds: u64,
        /// Milliseconds that are left of each lease, rounded up.
        left_milliseconds: Vec<(LeaseId, u64)>,
        more: bool,
    },
}

/// Renewals that wait to be told.
struct Waiting {
    term: u64,
    leases: Vec<(LeaseId, i64)>,
    answer: oneshot::Sender<bool>,
}

/// Tells and recalls. Shared.
pub(super) struct Rounds {
    replication: Replication,
    election: Duration,
    memory: Mutex<Memory>,
    /// Who may be sent how many more rounds.
    lanes: Mutex<HashMap<MemberId, Arc<Semaphore>>>,
    sender: mpsc::Sender<Waiting>,
    receiver: AsyncMutex<mpsc::Receiver<Waiting>>,
}

impl Rounds {
    /// Remembers from now on.
    pub fn new(replication: Replication, election: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(MAXIMUM_WAITING);
        Self {
            replication,
            election,
            memory: Mutex::new(Memory::new(clock::now())),
            lanes: Mutex::default(),
            sender,
            receiver: AsyncMutex::new(receiver),
        }
    }

    /// Changes what this member remembers itself.
    pub fn remember(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory.lock());
    }

    /// Answers the leader.
    pub fn answer(&self, question: MemberQuestion) -> MemberAnswer {
        let now = clock::now();
        let mut memory = self.memory.lock();
        match question {
            MemberQuestion::Renewed { term, leases } => match memory.hear(term, &leases, now) {
                true => MemberAnswer::Remembered,
                false => MemberAnswer::Refused,
            },
            MemberQuestion::Recall { term, after } => {
                let members_since = self.replication.members_since();
                let page = memory.recall(term, members_since, after, now);
                page.map_or(MemberAnswer::Refused, |page| to_wire(&page))
            }
        }
    }

    /// Tells a quorum, as the leader of `term`, that these have their full time again; whether it remembers that.
    pub async fn tell(&self, term: u64, leases: Vec<(LeaseId, i64)>) -> bool {
        let (answer, told) = oneshot::channel();
        let waiting = Waiting { term, leases, answer };
        self.sender.send(waiting).await.is_ok() && told.await.unwrap_or(false)
    }

    /// Runs the rounds until the node stops.
    pub async fn run(&self) {
        let mut receiver = self.receiver.lock().await;
        let mut next: Option<Waiting> = None;
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match receiver.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let term = first.term;
            let mut leases = first.leases;
            let mut answers = vec![first.answer];
            while let Ok(waiting) = receiver.try_recv() {
                if waiting.term != term || leases.len().saturating_add(waiting.leases.len()) > MAXIMUM_LEASES
                {
                    next = Some(waiting);
                    break;
                }
                leases.extend(waiting.leases);
                answers.push(waiting.answer);
            }
            let told = self.round(term, leases).await;
            for answer in answers {
                // Whoever has gone away needs no answer.
                let _ = answer.send(told);
            }
        }
    }

    async fn round(&self, term: u64, leases: Vec<(LeaseId, i64)>) -> bool {
        let voters = self.replication.voters();
        if !self.memory.lock().hear(term, &leases, clock::now()) {
            return false;
        }
        let message = encode(&MemberQuestion::Renewed { term, leases });
        let calls: FuturesUnordered<_> = self
            .others(&voters)
            .filter_map(|member| self.send(member, message.clone()))
            .collect();
        let mut quorum = Quorum::of(&voters, self.replication.member());
        let mut answers = calls;
        while !quorum.is_reached() {
            match answers.next().await {
                Some(Ok(Some(MemberAnswer::Remembered))) => quorum.add(),
                Some(Ok(_)) | Some(Err(_)) => {}
                None => return false,
            }
        }
        true
    }

    /// Sends a round to a member, in a task of its own: one that is slow hears of it although nobody waits. None if it
    /// has not answered too many before.
    fn send(
        &self,
        member: MemberId,
        message: Bytes,
    ) -> Option<tokio::task::JoinHandle<Option<MemberAnswer>>> {
        let lane = Arc::clone(
            self.lanes
                .lock()
                .entry(member)
                .or_insert_with(|| Arc::new(Semaphore::new(MAXIMUM_UNANSWERED))),
        );
        let place = lane.try_acquire_owned().ok()?;
        let (replication, limit) = (self.replication.clone(), self.election);
        Some(tokio::spawn(async move {
            let answer = replication.ask_member(member, message, limit).await;
            drop(place);
            answer.ok().and_then(|answer| decode(&answer))
        }))
    }

    /// What a quorum remembers, for this node, which has just become the leader of `term`. None if no quorum says it in
    /// time, or there is a later leader.
    pub async fn recall(&self, term: u64) -> Option<Recollection> {
        let voters = self.replication.voters();
        let mut recollection = Recollection::default();
        let own = self.answer(MemberQuestion::Recall { term, after: None });
        let mut pages = vec![own];
        while let Some(MemberAnswer::Recalled {
            more: true,
            left_milliseconds,
            ..
        }) = pages.last()
        {
            let after = left_milliseconds.last().map(|(id, _)| *id);
            pages.push(self.answer(MemberQuestion::Recall { term, after }));
        }
        take_in(&mut recollection, pages)?;
        let mut quorum = Quorum::of(&voters, self.replication.member());
        let mut answers: FuturesUnordered<_> = self
            .others(&voters)
            .map(|member| self.recall_from(member, term))
            .collect();
        while !quorum.is_reached() {
            let pages = answers.next().await?;
            if let Some(pages) = pages
                && take_in(&mut recollection, pages).is_some()
            {
                quorum.add();
            }
        }
        Some(recollection)
    }

    async fn recall_from(&self, member: MemberId, term: u64) -> Option<Vec<MemberAnswer>> {
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let question = encode(&MemberQuestion::Recall { term, after });
            let answer = self.replication.ask_member(member, question, self.election).await;
            let answer = decode(&answer.ok()?)?;
            if let MemberAnswer::Recalled {
                more: true,
                left_milliseconds,
                ..
            } = &answer
            {
                after = left_milliseconds.last().map(|(id, _)| *id);
                pages.push(answer);
                continue;
            }
            pages.push(answer);
            return Some(pages);
        }
    }

    fn others<'voters>(&self, voters: &'voters [MemberId]) -> impl Iterator<Item = MemberId> + use<'voters> {
        let own = self.replication.member();
        voters.iter().copied().filter(move |member| *member != own)
    }
}

/// How many of the voters are still missing.
struct Quorum {
    missing: usize,
}

impl Quorum {
    fn of(voters: &[MemberId], own: MemberId) -> Self {
        let needed = voters.len() / 2 + 1;
        let has_own = usize::from(voters.contains(&own));
        Self {
            missing: needed.saturating_sub(has_own),
        }
    }

    fn add(&mut self) {
        self.missing = self.missing.saturating_sub(1);
    }

    fn is_reached(&self) -> bool {
        self.missing == 0
    }
}

/// Adds what a member said; none if it refused.
fn take_in(recollection: &mut Recollection, answers: Vec<MemberAnswer>) -> Option<()> {
    let pages: Option<Vec<Page>> = answers.into_iter().map(from_wire).collect();
    let now = clock::now();
    for page in pages? {
        recollection.add(&page, now);
    }
    Some(())
}

fn to_wire(page: &Page) -> MemberAnswer {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // One more than whole: less than was left must never be said.
    let left = page.left.iter();
    MemberAnswer::Recalled {
        complete_milliseconds: milliseconds(page.complete_for),
        left_milliseconds: left
            .map(|(id, left)| (*id, milliseconds(*left).saturating_add(1)))
            .collect(),
        more: page.more,
    }
}

fn from_wire(answer: MemberAnswer) -> Option<Page> {
    let MemberAnswer::Recalled {
        complete_milliseconds,
        left_milliseconds,
        more,
    } = answer
    else {
        return None;
    };
    let left = left_milliseconds.into_iter();
    Some(Page {
        complete_for: Duration::from_millis(complete_milliseconds),
        left: left.map(|(id, left)| (id, Duration::from_millis(left))).collect(),
        more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bytes() {
        let question = MemberQuestion::Renewed {
            term: 3,
            leases: vec![(LeaseId(1), 10)],
        };
        assert_eq!(encode(&question)[..], [1, 0, 3, 1, 2, 20]);
        let question = MemberQuestion::Recall { term: 3, after: None };
        assert_eq!(encode(&question)[..], [1, 1, 3, 0]);
        let answer = MemberAnswer::Recalled {
            complete_milliseconds: 5,
            left_milliseconds: vec![(LeaseId(1), 9)],
            more: false,
        };
        assert_eq!(encode(&answer)[..], [1, 2, 5, 1, 2, 9, 0]);
    }

    #[test]
    fn a_page_on_the_wire_never_says_less_time_than_is_left() {
        let page = Page {
            complete_for: Duration::from_micros(1_999),
            left: vec![(LeaseId(1), Duration::from_micros(2_500))],
            more: true,
        };
        let read = from_wire(to_wire(&page)).unwrap();
        assert!(read.complete_for <= page.complete_for);
        assert!(read.left[0].1 >= page.left[0].1 && read.more);
        assert_eq!(from_wire(MemberAnswer::Refused), None);
    }

    #[test]
    fn a_quorum_is_more_than_half_of_the_voters() {
        for (voters, others) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let ids: Vec<MemberId> = (1..=voters).map(MemberId).collect();
            let mut quorum = Quorum::of(&ids, MemberId(1));
            for _ in 0..others {
                assert!(!quorum.is_reached());
                quorum.add();
            }
            assert!(quorum.is_reached());
            assert_eq!(Quorum::of(&ids, MemberId(9)).missing, others + 1);
        }
    }
}
