//! Linearizability of registers, each by itself: since the operations on one register do not depend on those on
//! another, the whole is linearizable exactly if each part is.

use std::collections::{BTreeMap, BTreeSet};

use super::linearizable_search::{Action, Answer, Call, MAXIMUM_STEPS, search};
use super::{Checker, Finding, seconds};
use crate::edn::Edn;
use crate::history::{History, Pair};

/// The checker.
pub struct Linearizable;

impl Checker for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn check(&self, _history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let mut registers: BTreeMap<i64, Vec<(Call, &Pair<'_>)>> = BTreeMap::new();
        let mut findings = Vec::new();
        for pair in pairs {
            match call(pair) {
                Some((key, Some(call))) => registers.entry(key).or_default().push((call, pair)),
                Some((_, None)) => {}
                None => findings.push(Finding::Violation(format!(
                    "process {:?} was answered {} for {} at {}",
                    pair.invoke.process,
                    pair.complete.map_or(&Edn::Nil, |complete| &complete.value),
                    pair.invoke.value,
                    seconds(pair.invoke.time),
                ))),
            }
        }
        for (key, calls) in registers {
            let relevant = without_unseen_writes(calls);
            let bare: Vec<Call> = relevant.iter().map(|(call, _)| *call).collect();
            match search(&bare, MAXIMUM_STEPS) {
                Answer::Linearizable => {}
                Answer::Unknown => findings.push(Finding::Undecided(format!(
                    "register {key}: no order found in {MAXIMUM_STEPS} steps among {} operations",
                    bare.len()
                ))),
                Answer::Impossible { stuck_at } => {
                    let (call, pair) = &relevant[stuck_at];
                    findings.push(Finding::Violation(format!(
                        "register {key}: no order of its {} operations explains {:?} of process {:?} between {} and {}",
                        bare.len(),
                        call.action,
                        pair.invoke.process,
                        seconds(call.invoked),
                        seconds(call.known),
                    )));
                }
            }
        }
        findings
    }
}

/// The register and what was done to it; no call if it is of no consequence, nothing at all if the answer does not
/// belong to the question.
fn call(pair: &Pair<'_>) -> Option<(i64, Option<Call>)> {
    let (key, argument) = match pair.invoke.value.as_vector()? {
        [Edn::Integer(key), argument] => (*key, argument),
        _ => return None,
    };
    let read_only = pair.invoke.function == "read";
    let result = match pair.succeeded() {
        None if pair.failed() || read_only => return Some((key, None)),
        None => None,
        Some(complete) => {
            let [Edn::Integer(answered), result @ ..] = complete.value.as_vector()? else {
                return None;
            };
            if *answered != key {
                return None;
            }
            Some(result)
        }
    };
    let action = match (argument, result) {
        (Edn::Nil, Some([found])) if read_only => Action::Read(match found {
            Edn::Nil => None,
            found => Some(found.as_integer()?),
        }),
        (Edn::Integer(value), _) => Action::Write(*value),
        (Edn::Vector(values), result) => {
            let [Edn::Integer(old), Edn::Integer(new)] = values.as_slice() else {
                return None;
            };
            let applied = match result {
                None => None,
                Some([_, applied]) => Some(applied.as_boolean()?),
                Some(_) => return None,
            };
            Action::CompareAndSet {
                old: *old,
                new: *new,
                applied,
            }
        }
        _ => return None,
    };
    Some((
        key,
        Some(Call {
            action,
            invoked: pair.invoke.time,
            known: pair.known_at(),
        }),
    ))
}

/// Leaves out the writes of unknown outcome whose value nobody ever saw: each of them doubles the search.
///
/// If there is an order with such a write, there is one without it, as long as values are written once: between it and
/// the next write no read succeeded, nor did any compare-and-set that needs its value. Only a compare-and-set
/// that found another value than it needed can depend on it, so that nothing is left out beside one of those.
fn without_unseen_writes<'a, 'b>(calls: Vec<(Call, &'a Pair<'b>)>) -> Vec<(Call, &'a Pair<'b>)> {
    let seen: BTreeSet<i64> = calls
        .iter()
        .filter_map(|(call, _)| match call.action {
            Action::Read(value) => value,
            Action::CompareAndSet { old, applied, .. } if applied != Some(false) => Some(old),
            _ => None,
        })
        .collect();
    let last_mismatch = calls
        .iter()
        .filter(|(call, _)| {
            matches!(
                call.action,
                Action::CompareAndSet {
                    applied: Some(false),
                    ..
                }
            )
        })
        .map(|(call, _)| call.known)
        .max()
        .unwrap_or(i64::MIN);
    calls
        .into_iter()
        .filter(|(call, _)| {
            let new = match call.action {
                Action::Write(new) | Action::CompareAndSet { new, .. } => new,
                Action::Read(_) => return true,
            };
            call.known != i64::MAX || seen.contains(&new) || call.invoked < last_mismatch
        })
        .collect()
}
