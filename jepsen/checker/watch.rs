//! Watches: each watcher sees every change exactly once and in order, over all its streams; all see the same; it is
//! what the writers were told; and it adds up to what a read finds in the end.
//!
//! Every revision of the store is made by a write of the workload, so that a missing revision is a gap.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Finding, seconds};
use crate::edn::Edn;
use crate::history::{History, Pair};
use crate::workload::FIRST_REVISION;

/// The checker.
pub struct WatchChecker;

/// A change of a key to a value; deleted if there is none. Values are kept as they came: a phantom may be anything.
type Change = (Edn, Edn);

impl Checker for WatchChecker {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn check(&self, _history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut logs: BTreeMap<i64, Log> = BTreeMap::new();
        for pair in pairs {
            let Some(watcher) = pair.invoke.value.integer_at("watcher") else {
                continue;
            };
            let log = logs.entry(watcher).or_default();
            if let Some(complete) = pair.succeeded() {
                log.complete |= complete.function == "watch-rest";
                log.extend(watcher, &complete.value, &mut findings);
            }
        }
        let all = merge(&logs, &mut findings);
        check_writes(&all, pairs, &mut findings);
        check_final_reads(&all, pairs, &mut findings);
        for (watcher, log) in &logs {
            if !log.complete {
                findings.push(Finding::Undecided(format!(
                    "watcher {watcher} did not come to the end: its last revision is {}",
                    log.last_revision
                )));
            }
        }
        findings
    }
}

/// What one watcher saw.
struct Log {
    changes: BTreeMap<i64, Vec<Change>>,
    last_revision: i64,
    complete: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            changes: BTreeMap::new(),
            last_revision: FIRST_REVISION - 1,
            complete: false,
        }
    }
}

impl Log {
    /// Adds what came on one stream, in the order in which it came.
    fn extend(&mut self, watcher: i64, segment: &Edn, findings: &mut Vec<Finding>) {
        let mut violation = |text: String| {
            findings.push(Finding::Violation(format!("watcher {watcher}: {text}")));
        };
        let from = segment.integer_at("from").unwrap_or(FIRST_REVISION);
        for event in segment.get("events").and_then(Edn::as_vector).unwrap_or_default() {
            match event.as_vector() {
                Some([Edn::Integer(revision), Edn::Keyword(_)]) => {
                    if *revision > self.last_revision {
                        violation(format!(
                            "progress was reported at revision {revision}, and the last event was {}",
                            self.last_revision
                        ));
                    }
                }
                Some([Edn::Integer(revision), key, value]) => {
                    let revision = *revision;
                    if revision < from {
                        violation(format!(
                            "repeat: an event of {revision} on a stream from {from} on"
                        ));
                    } else if revision < self.last_revision {
                        violation(format!(
                            "order: an event of {revision} after one of {}",
                            self.last_revision
                        ));
                    } else if revision > self.last_revision + 1 {
                        violation(format!(
                            "gap: an event of {revision} after one of {}",
                            self.last_revision
                        ));
                    }
                    let changes = self.changes.entry(revision).or_default();
                    if changes.iter().any(|(known, _)| known == key) {
                        violation(format!("repeat: key {key} twice at revision {revision}"));
                    } else {
                        changes.push((key.clone(), value.clone()));
                    }
                    self.last_revision = self.last_revision.max(revision);
                }
                _ => violation(format!("{event} is no event")),
            }
        }
    }
}

/// The one log that all watchers should have seen.
fn merge(logs: &BTreeMap<i64, Log>, findings: &mut Vec<Finding>) -> BTreeMap<i64, Vec<Change>> {
    let mut all: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    for (watcher, log) in logs {
        for (revision, changes) in &log.changes {
            let known = all.entry(*revision).or_insert_with(|| changes.clone());
            if known != changes {
                findings.push(Finding::Violation(format!(
                    "watcher {watcher} saw {} at revision {revision}, and another one {}",
                    shown(changes),
                    shown(known)
                )));
            }
        }
    }
    all
}

fn check_writes(all: &BTreeMap<i64, Vec<Change>>, pairs: &[Pair<'_>], findings: &mut Vec<Finding>) {
    let mut violation = |text: String| findings.push(Finding::Violation(text));
    let mut possible = BTreeSet::new();
    for pair in pairs.iter().filter(|pair| pair.invoke.function == "write") {
        let written = changes_of(&pair.invoke.value);
        if !pair.failed() {
            possible.extend(written.iter().filter_map(|(_, value)| value.as_integer()));
        }
        let Some(complete) = pair.succeeded().filter(|complete| complete.value != Edn::Nil) else {
            continue;
        };
        let Some(revision) = complete.revision else {
            continue;
        };
        let seen = all.get(&revision).map_or(&[][..], Vec::as_slice);
        // A key that was not there is not deleted: those events, and only those, may be missing.
        let mut rest = seen.iter().peekable();
        let missing: Vec<Change> = written
            .into_iter()
            .filter(|change| rest.next_if_eq(&change).is_none() && change.1 != Edn::Nil)
            .collect();
        if !missing.is_empty() || rest.peek().is_some() {
            violation(format!(
                "the write {} of {:?} was acknowledged at revision {revision} at {}, where watchers saw {}",
                complete.value,
                complete.process,
                seconds(complete.time),
                shown(seen)
            ));
        }
    }
    for (revision, changes) in all {
        for (key, value) in changes {
            let known = value.as_integer().is_some_and(|value| possible.contains(&value));
            if *value != Edn::Nil && !known {
                violation(format!(
                    "phantom: key {key} became {value} at revision {revision}, which nobody wrote or whose write had failed"
                ));
            }
        }
    }
}

/// The changes of a write, `[[key value] ...]`.
fn changes_of(value: &Edn) -> Vec<Change> {
    let changes = value.as_vector().unwrap_or_default().iter();
    changes
        .filter_map(|change| match change.as_vector()? {
            [key, value] => Some((key.clone(), value.clone())),
            _ => None,
        })
        .collect()
}

fn check_final_reads(all: &BTreeMap<i64, Vec<Change>>, pairs: &[Pair<'_>], findings: &mut Vec<Finding>) {
    for pair in pairs.iter().filter(|pair| pair.invoke.function == "read-all") {
        let Some(complete) = pair.succeeded() else {
            continue;
        };
        let Some(at) = complete.revision else { continue };
        let mut expected: BTreeMap<String, (Edn, i64)> = BTreeMap::new();
        for (revision, changes) in all.range(..=at) {
            for (key, value) in changes {
                if *value == Edn::Nil {
                    expected.remove(&key.to_string());
                } else {
                    expected.insert(key.to_string(), (value.clone(), *revision));
                }
            }
        }
        let found: BTreeMap<String, (Edn, i64)> = complete
            .value
            .as_vector()
            .unwrap_or_default()
            .iter()
            .filter_map(|pair| match pair.as_vector()? {
                [key, value, Edn::Integer(revision)] => Some((key.to_string(), (value.clone(), *revision))),
                _ => None,
            })
            .collect();
        if expected != found {
            findings.push(Finding::Violation(format!(
                "the events up to revision {at} add up to {expected:?}, and a read found {found:?}"
            )));
        }
    }
}

fn shown(changes: &[Change]) -> String {
    changes
        .iter()
        .map(|(key, value)| Edn::Vector(vec![key.clone(), value.clone()]))
        .collect::<Edn>()
        .to_string()
}
