//! When checks with a time to live were heard of last: reports that change nothing are kept in memory, and never written.
//!
//! The member that takes a report tells the leader before it answers, and remembers it as well; what the leader heard, and
//! the others did not, they are told when they call in. So the next leader knows nearly all, whoever dies.
//!
//! A check is known by a number here, made from its key. Never decides what is too late: [`super::expiry`] does.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::clock;
use crate::base::limits::MAXIMUM_OUTPUT_DELAY_SECONDS;
use crate::service::ServiceError;
use crate::service::core::Core;
use crate::service::leader::{LeaderAnswer, LeaderQuestion, decode, encode};
use crate::service::registry::{CheckPlace, CheckState};

/// Notes in one message: about 14 bytes each, below the most that a message may have.
const MAXIMUM_NOTES: usize = 50_000;
/// Pause before the leader is told again.
const TELL_AGAIN_MILLISECONDS: u64 = 50;

/// That a check was heard of: its number, and how many milliseconds ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct Note(pub u64, pub u64);

#[derive(Debug, Clone, Copy)]
struct Known {
    at: Instant,
    /// How many notes there were before it.
    turn: u64,
    /// Whether this member took the report itself.
    is_own: bool,
}

/// What was heard, and what is to be written later.
#[derive(Default)]
pub(in crate::service) struct Heard {
    notes: Mutex<Notes>,
    later: Mutex<BTreeMap<CheckPlace, (CheckState, Instant)>>,
}

#[derive(Default)]
struct Notes {
    known: HashMap<u64, Known>,
    turn: u64,
}

/// The number of a check.
pub(super) fn number(place: &CheckPlace) -> u64 {
    let digest = Sha256::digest(place.key());
    let mut bytes = [0; 8];
    for (target, source) in bytes.iter_mut().zip(digest) {
        *target = source;
    }
    u64::from_be_bytes(bytes)
}

impl Heard {
    /// Notes reports; a note that is older than what is known changes nothing.
    pub fn note(&self, notes: impl IntoIterator<Item = (u64, Instant)>, is_own: bool) {
        let mut guard = self.notes.lock();
        for (number, at) in notes {
            if guard.known.get(&number).is_some_and(|known| known.at >= at) {
                continue;
            }
            guard.turn += 1;
            let turn = guard.turn;
            guard.known.insert(number, Known { at, turn, is_own });
        }
    }

    /// Notes what another member said.
    pub fn learn(&self, notes: &[Note], now: Instant) {
        let at = |note: &Note| Some((note.0, now.checked_sub(Duration::from_millis(note.1))?));
        self.note(notes.iter().filter_map(at), false);
    }

    /// When a check was heard of last, if it was.
    pub fn last(&self, number: u64) -> Option<Instant> {
        self.notes.lock().known.get(&number).map(|known| known.at)
    }

    /// What was noted after `turn`, the oldest first and not more than fits into a message, and the turn of the last of it.
    /// With `own`, only what this member took itself: what it was told goes back to nobody, or every round would make it a
    /// little younger.
    pub fn after(&self, turn: u64, own: bool, now: Instant) -> (Vec<Note>, u64) {
        let guard = self.notes.lock();
        let mut found: Vec<(u64, Known)> = guard
            .known
            .iter()
            .filter(|(_, known)| known.turn > turn && (known.is_own || !own))
            .map(|(number, known)| (*number, *known))
            .collect();
        found.sort_unstable_by_key(|(_, known)| known.turn);
        let is_all = found.len() <= MAXIMUM_NOTES;
        found.truncate(MAXIMUM_NOTES);
        let until = match found.last() {
            Some((_, last)) if !is_all => last.turn,
            _ => guard.turn,
        };
        let note = |(number, known): &(u64, Known)| {
            let age = now.saturating_duration_since(known.at).as_millis();
            Note(*number, u64::try_from(age).unwrap_or(u64::MAX))
        };
        (found.iter().map(note).collect(), until)
    }

    /// Forgets all but these, if there are many more.
    pub fn keep(&self, number_of_known: usize, is_known: impl Fn(u64) -> bool) {
        /// Reports may come before their check is known here.
        const SLACK: usize = 1_000;
        let mut guard = self.notes.lock();
        if guard.known.len() > number_of_known.saturating_mul(2).saturating_add(SLACK) {
            guard.known.retain(|number, _| is_known(*number));
        }
    }

    /// Has an output written later, at a random time not too far off, with whatever it is then.
    pub fn later(&self, place: &CheckPlace, state: &CheckState) {
        let mut later = self.later.lock();
        match later.get_mut(place) {
            Some((known, _)) => *known = state.clone(),
            None => {
                let most = Duration::from_secs(MAXIMUM_OUTPUT_DELAY_SECONDS);
                let delay = most / 2 + clock::random_part_of(most / 2);
                later.insert(place.clone(), (state.clone(), clock::now() + delay));
            }
        }
    }

    /// Takes what is to be written now, at most so much.
    pub fn due(&self, now: Instant, maximum: usize) -> Vec<(CheckPlace, CheckState)> {
        let mut later = self.later.lock();
        let due: Vec<CheckPlace> = later
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(place, _)| place.clone())
            .take(maximum)
            .collect();
        due.into_iter()
            .filter_map(|place| later.remove(&place).map(|(state, _)| (place, state)))
            .collect()
    }
}

/// Notes that a check was reported to this member, and tells the leader.
///
/// # Errors
/// No leader in time: it may be critical although it was reported.
pub(in crate::service) async fn tell(
    core: &Core,
    heard: &Heard,
    place: &CheckPlace,
) -> Result<(), ServiceError> {
    let number = number(place);
    heard.note([(number, clock::now())], true);
    let message = encode(&LeaderQuestion::Heard(vec![number]));
    let until = tokio::time::Instant::now() + core.request_timeout();
    loop {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let error = match core.replication.ask_leader(message.clone(), left).await {
            Ok(answer) => match decode(&answer) {
                Some(LeaderAnswer::Noted) => return Ok(()),
                _ => ServiceError::NoLeader,
            },
            Err(error) => error.into(),
        };
        let pause = Duration::from_millis(TELL_AGAIN_MILLISECONDS);
        if error == ServiceError::Stopped || tokio::time::Instant::now() + pause >= until {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_goes_back_to_nobody_and_becomes_no_younger() {
        let heard = Heard::default();
        let now = Instant::now() + Duration::from_secs(100);
        heard.note([(1, now - Duration::from_secs(3))], true);
        heard.learn(&[Note(2, 5_000)], now);
        assert_eq!(heard.after(0, true, now).0, [Note(1, 3_000)]);
        let (all, turn) = heard.after(0, false, now);
        assert_eq!(all, [Note(1, 3_000), Note(2, 5_000)]);
        // An older note, or the same again, is none.
        heard.learn(&[Note(1, 4_000), Note(2, 5_000)], now);
        assert_eq!(heard.after(turn, false, now).0, []);
        heard.learn(&[Note(2, 1_000)], now);
        assert_eq!(heard.after(turn, false, now).0, [Note(2, 1_000)]);
        assert_eq!(heard.last(2), Some(now - Duration::from_secs(1)));
    }

    #[test]
    fn an_output_that_changes_often_is_written_once_with_what_it_is_then() {
        let heard = Heard::default();
        let place = CheckPlace {
            node: "n".into(),
            instance: None,
            check: "c".into(),
        };
        for output in ["one", "two"] {
            let state = CheckState {
                status: crate::service::registry::Status::Passing,
                output: output.into(),
            };
            heard.later(&place, &state);
        }
        let most = Duration::from_secs(MAXIMUM_OUTPUT_DELAY_SECONDS);
        assert!(heard.due(clock::now() + most / 3, 9).is_empty());
        let due = heard.due(clock::now() + most, 9);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].1.output, "two");
        assert!(heard.due(clock::now() + most, 9).is_empty());
    }
}
