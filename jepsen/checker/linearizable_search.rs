//! The search for a linearization of one register's history: the algorithm of Wing and Gong with Lowe's memory of
//! configurations that were already tried, each a set of linearized operations and the value they left.
//!
//! Operations of unknown outcome may be linearized anywhere after their invocation or not at all. The search is
//! bounded: beyond its budget it says that it does not know.

use std::collections::HashSet;

/// How many steps one search may take. Each remembers a configuration of some hundred bytes at most.
pub const MAXIMUM_STEPS: usize = 2_000_000;

/// What an operation does to the register. `None` is the value of a register that was never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the value.
    Write(i64),
    /// Returned the value.
    Read(Option<i64>),
    /// Sets the value to `new` if it is `old`.
    CompareAndSet {
        /// The value that is needed.
        old: i64,
        /// The value that is set.
        new: i64,
        /// Whether it was set; unknown for an operation of unknown outcome.
        applied: Option<bool>,
    },
}

impl Action {
    /// The value after the action, if the action is possible at `value`.
    fn step(self, value: Option<i64>) -> Option<Option<i64>> {
        match self {
            Action::Write(new) => Some(Some(new)),
            Action::Read(found) => (found == value).then_some(value),
            Action::CompareAndSet { old, new, applied } => {
                let matches = value == Some(old);
                if applied.is_some_and(|applied| applied != matches) {
                    return None;
                }
                Some(if matches { Some(new) } else { value })
            }
        }
    }
}

/// One operation on the register.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What it does.
    pub action: Action,
    /// When it was invoked.
    pub invoked: i64,
    /// When its outcome was known; `i64::MAX` if never.
    pub known: i64,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An order exists.
    Linearizable,
    /// No order exists. The call, by position, is the first that no order gets past.
    Impossible {
        /// The position of the call in the slice.
        stuck_at: usize,
    },
    /// The budget was used up.
    Unknown,
}

/// Searches for an order of `calls` that respects real time and in which each action is possible.
pub fn search(calls: &[Call], maximum_steps: usize) -> Answer {
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|position| calls[*position].invoked);
    let sorted: Vec<Call> = order.iter().map(|position| calls[*position]).collect();
    match Search::new(&sorted, maximum_steps).run() {
        Answer::Impossible { stuck_at } => Answer::Impossible {
            stuck_at: order[stuck_at],
        },
        answer => answer,
    }
}

struct Search<'a> {
    calls: &'a [Call],
    linearized: Vec<u64>,
    value: Option<i64>,
    /// The calls of known outcome that are not linearized.
    remaining: usize,
    /// The calls before this position are all linearized.
    first_open: usize,
    tried: HashSet<(Box<[u64]>, Option<i64>)>,
    /// What to undo: the call, the value before it, and `first_open` before it.
    path: Vec<(usize, Option<i64>, usize)>,
    maximum_steps: usize,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [Call], maximum_steps: usize) -> Self {
        Self {
            calls,
            linearized: vec![0; calls.len().div_ceil(64)],
            value: None,
            remaining: calls.iter().filter(|call| call.known != i64::MAX).count(),
            first_open: 0,
            tried: HashSet::new(),
            path: Vec::new(),
            maximum_steps,
        }
    }

    fn is_linearized(&self, call: usize) -> bool {
        self.linearized[call / 64] >> (call % 64) & 1 == 1
    }

    fn run(mut self) -> Answer {
        let mut furthest = 0;
        let mut stuck_at = 0;
        let mut candidate = 0;
        let mut steps = 0;
        while self.remaining > 0 {
            steps += 1;
            if steps > self.maximum_steps {
                return Answer::Unknown;
            }
            if let Some(call) = self.next_possible(candidate) {
                self.take(call);
                candidate = self.first_open;
                continue;
            }
            if self.path.len() >= furthest {
                furthest = self.path.len();
                stuck_at = self.earliest_to_end();
            }
            let Some((call, value, first_open)) = self.path.pop() else {
                return Answer::Impossible { stuck_at };
            };
            self.linearized[call / 64] &= !(1 << (call % 64));
            self.value = value;
            self.first_open = first_open;
            self.remaining += usize::from(self.calls[call].known != i64::MAX);
            candidate = call + 1;
        }
        Answer::Linearizable
    }

    /// The open call that ended first: nothing invoked after its end may come before it.
    fn earliest_to_end(&self) -> usize {
        (self.first_open..self.calls.len())
            .filter(|call| !self.is_linearized(*call))
            .min_by_key(|call| self.calls[*call].known)
            .unwrap_or(self.first_open)
    }

    /// The first call from `candidate` on that can be linearized next and leads to a configuration not tried before.
    fn next_possible(&mut self, candidate: usize) -> Option<usize> {
        let mut horizon = i64::MAX;
        for call in self.first_open..self.calls.len() {
            let Call {
                action,
                invoked,
                known,
            } = self.calls[call];
            if invoked > horizon {
                return None;
            }
            if self.is_linearized(call) {
                continue;
            }
            horizon = horizon.min(known);
            if call < candidate {
                continue;
            }
            let Some(value) = action.step(self.value) else {
                continue;
            };
            // To linearize what changes nothing and need not happen leads nowhere.
            if known == i64::MAX && value == self.value {
                continue;
            }
            let mut linearized: Box<[u64]> = self.linearized.clone().into();
            linearized[call / 64] |= 1 << (call % 64);
            if self.tried.insert((linearized, value)) {
                return Some(call);
            }
        }
        None
    }

    fn take(&mut self, call: usize) {
        self.path.push((call, self.value, self.first_open));
        self.linearized[call / 64] |= 1 << (call % 64);
        if let Some(value) = self.calls[call].action.step(self.value) {
            self.value = value;
        }
        self.remaining -= usize::from(self.calls[call].known != i64::MAX);
        while self.first_open < self.calls.len() && self.is_linearized(self.first_open) {
            self.first_open += 1;
        }
    }
}
