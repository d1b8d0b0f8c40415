//! Who lives, as the leader sees it and tells everybody.
//!
//! Every member calls the leader every second. Who called lately lives; the answer names all who do. A new leader takes
//! over what it was told last, as if they had all just called, so that a change of leader moves no check.
//!
//! Never writes anything. A member that gets no answer goes on with what it knew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::heard::{Heard, Note};
use crate::base::{MemberId, clock};
use crate::service::core::Core;
use crate::service::leader::{LeaderAnswer, LeaderQuestion, decode, encode};

/// Time between two calls of a member.
pub(super) const CALL_MILLISECONDS: u64 = 1_000;
/// Time without a call after which a member does not live.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who lives.
pub(super) type Living = Arc<BTreeSet<MemberId>>;

/// Where members call in. Shared.
pub(in crate::service) struct Desk {
    member: MemberId,
    heard: Arc<Heard>,
    living: watch::Sender<Living>,
    book: Mutex<Book>,
}

/// What the leader knows of the calls.
#[derive(Default)]
struct Book {
    /// The term in which it is kept, and since when.
    led: Option<(u64, Instant)>,
    calls: BTreeMap<MemberId, Call>,
}

#[derive(Clone, Copy)]
struct Call {
    at: Instant,
    /// What it was told of what was heard.
    told: u64,
}

/// What a member has told the leader of a term.
#[derive(Default)]
pub(super) struct Told {
    term: u64,
    turn: u64,
}

impl Told {
    /// The term of that leader.
    pub fn term(&self) -> u64 {
        self.term
    }
}

impl Desk {
    /// Nobody is known to live.
    pub fn new(member: MemberId, heard: Arc<Heard>) -> Self {
        Self {
            member,
            heard,
            living: watch::Sender::default(),
            book: Mutex::default(),
        }
    }

    /// Who lives; changes wake the receiver.
    pub(super) fn living(&self) -> watch::Receiver<Living> {
        self.living.subscribe()
    }

    /// The term in which this member leads, as the desk knows it, and since when.
    pub(super) fn led(&self) -> Option<(u64, Instant)> {
        self.book.lock().led
    }

    /// Notes reports that another member took, or this one. Called on the leader.
    pub fn hear(&self, numbers: &[u64]) {
        let now = clock::now();
        self.heard
            .note(numbers.iter().map(|number| (*number, now)), false);
    }

    /// Takes the call of a member: who lives, and what was heard since its last call. None if this member does not lead.
    pub fn call(&self, core: &Core, member: MemberId, notes: &[Note]) -> Option<(Vec<MemberId>, Vec<Note>)> {
        let term = leading_term(core)?;
        let now = clock::now();
        self.heard.learn(notes, now);
        let mut book = self.book.lock();
        book.lead(term, now, &self.living.borrow());
        let told = book.calls.get(&member).map_or(0, |call| call.told);
        let (notes, told) = self.heard.after(told, false, now);
        book.calls.insert(member, Call { at: now, told });
        let living = book.living(now);
        drop(book);
        self.show(&living);
        Some((living.into_iter().collect(), notes))
    }

    /// One second of a member: it calls in, or answers itself if it leads.
    pub(super) async fn round(&self, core: &Core, told: &mut Told) {
        if let Some(term) = leading_term(core) {
            // What this member heard, it knows.
            *told = Told { term, turn: 0 };
            let answered = self.call(core, self.member, &[]);
            if let Some((members, _)) = answered {
                self.retain_members(core, &members);
            }
            return;
        }
        self.book.lock().led = None;
        let term = core.replication.status().borrow().term;
        if told.term != term {
            *told = Told { term, turn: 0 };
        }
        // Another leader is told everything once, what others took included: it may be new to it.
        let now = clock::now();
        let (notes, turn) = self.heard.after(told.turn, told.turn > 0, now);
        let message = encode(&LeaderQuestion::CallIn(self.member, notes));
        let limit = Duration::from_millis(CALL_MILLISECONDS);
        let Ok(answer) = core.replication.ask_leader(message, limit).await else {
            return;
        };
        if let Some(LeaderAnswer::Present(members, notes)) = decode(&answer) {
            told.turn = turn;
            self.heard.learn(&notes, clock::now());
            self.show(&members.into_iter().collect());
        }
    }

    /// Forgets the calls of those who are members no more.
    fn retain_members(&self, core: &Core, called: &[MemberId]) {
        let Ok(members) = core.replication.members(&core.reader.view()) else {
            return;
        };
        for gone in called
            .iter()
            .filter(|called| members.iter().all(|member| member.id != **called))
        {
            self.book.lock().calls.remove(gone);
        }
    }

    fn show(&self, members: &BTreeSet<MemberId>) {
        self.living.send_if_modified(|known| {
            let is_new = **known != *members;
            if is_new {
                *known = Arc::new(members.clone());
            }
            is_new
        });
    }
}

impl Book {
    fn lead(&mut self, term: u64, now: Instant, living: &BTreeSet<MemberId>) {
        if self.led.is_some_and(|(led, _)| led == term) {
            return;
        }
        self.led = Some((term, now));
        let call = Call { at: now, told: 0 };
        self.calls = living.iter().map(|member| (*member, call)).collect();
    }

    fn living(&mut self, now: Instant) -> BTreeSet<MemberId> {
        self.calls
            .retain(|_, call| now.saturating_duration_since(call.at) < PATIENCE);
        self.calls.keys().copied().collect()
    }
}

/// The term in which this node leads, if it does.
pub(super) fn leading_term(core: &Core) -> Option<u64> {
    let status = core.replication.status();
    let status = status.borrow();
    (status.is_leader && status.leader == Some(core.settings.member)).then_some(status.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_too_long_lives_no_more_and_a_new_leader_gives_everybody_time() {
        let (one, two) = (MemberId(1), MemberId(2));
        let start = Instant::now();
        let mut book = Book::default();
        book.lead(5, start, &BTreeSet::from([one, two]));
        assert_eq!(book.living(start), BTreeSet::from([one, two]));
        let later = start + PATIENCE / 2;
        book.calls.insert(one, Call { at: later, told: 0 });
        // The same term again changes nothing.
        book.lead(5, later, &BTreeSet::from([one, two]));
        assert_eq!(book.living(start + PATIENCE), BTreeSet::from([one]));
        book.lead(6, start + PATIENCE, &BTreeSet::from([one, two]));
        assert_eq!(book.living(start + PATIENCE), BTreeSet::from([one, two]));
    }
}
