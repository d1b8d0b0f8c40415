//! What decides whether a history is right. A checker is one file here; a workload names the ones it needs.
//!
//! A checker reads a history and nothing else, so that a recorded history can be checked again at any time. What it
//! cannot decide it says so ([`Finding::Undecided`]): that is no pass.

pub mod append;
pub mod coverage;
pub mod lease;
pub mod linearizable;
pub mod linearizable_search;
pub mod logs;
pub mod revisions;
pub mod set;
pub mod watch;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{History, HistoryError, Pair};

/// How many findings of one checker are shown; the rest is counted.
const MAXIMUM_FINDINGS_SHOWN: usize = 8;

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The store broke a promise.
    Violation(String),
    /// The history does not show whether it did.
    Undecided(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(text) => write!(formatter, "violation: {text}"),
            Self::Undecided(text) => write!(formatter, "undecided: {text}"),
        }
    }
}

/// Decides about one promise of the store.
pub trait Checker: Send + Sync {
    /// The name that findings are reported under.
    fn name(&self) -> &'static str;

    /// All that is wrong. `pairs` are the clients' operations of `history` in the order of invocation.
    fn check(&self, history: &History, pairs: &[Pair<'_>]) -> Vec<Finding>;
}

/// The findings of several checkers.
#[derive(Debug, Default)]
pub struct Verdict {
    findings: BTreeMap<&'static str, Vec<Finding>>,
}

impl Verdict {
    /// Lets `checkers` decide about `history`.
    ///
    /// # Errors
    /// When the history makes no sense.
    pub fn of(history: &History, checkers: &[Box<dyn Checker>]) -> Result<Self, HistoryError> {
        let pairs = history.pairs()?;
        let mut verdict = Self::default();
        for checker in checkers {
            verdict.add(checker.name(), checker.check(history, &pairs));
        }
        Ok(verdict)
    }

    /// Adds findings under the name of a checker.
    pub fn add(&mut self, checker: &'static str, findings: Vec<Finding>) {
        self.findings.entry(checker).or_default().extend(findings);
    }

    /// Adds the findings of another verdict.
    pub fn merge(&mut self, other: Self) {
        for (checker, findings) in other.findings {
            self.add(checker, findings);
        }
    }

    /// The names of the checkers that found a broken promise.
    pub fn violated(&self) -> Vec<&'static str> {
        let is_violation = |finding: &Finding| matches!(finding, Finding::Violation(_));
        self.findings
            .iter()
            .filter(|(_, findings)| findings.iter().any(is_violation))
            .map(|(checker, _)| *checker)
            .collect()
    }

    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.findings.values().all(Vec::is_empty)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (checker, findings) in &self.findings {
            for finding in findings.iter().take(MAXIMUM_FINDINGS_SHOWN) {
                writeln!(formatter, "  {checker}: {finding}")?;
            }
            if findings.len() > MAXIMUM_FINDINGS_SHOWN {
                writeln!(
                    formatter,
                    "  {checker}: and {} more",
                    findings.len() - MAXIMUM_FINDINGS_SHOWN
                )?;
            }
        }
        Ok(())
    }
}

/// A time of a history in seconds, as findings show it.
fn seconds(nanoseconds: i64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    format!("{}.{:03} s", milliseconds / 1_000, milliseconds % 1_000)
}
