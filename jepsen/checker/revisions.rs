//! The revisions that answers name: no two writes share one, and they never go back in real time.
//!
//! This alone finds most stale reads and lost writes, over all keys at once and in time n log n.

use std::collections::BTreeMap;

use super::{Checker, Finding, seconds};
use crate::edn::Edn;
use crate::history::{History, Operation, Pair};

/// The checker.
pub struct Revisions;

impl Checker for Revisions {
    fn name(&self) -> &'static str {
        "revisions"
    }

    fn check(&self, _history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let answers: Vec<(&Pair<'_>, &Operation, i64)> = pairs
            .iter()
            .filter_map(|pair| {
                let complete = pair.succeeded()?;
                Some((pair, complete, complete.revision?))
            })
            .collect();
        let mut writers: BTreeMap<i64, &Operation> = BTreeMap::new();
        for (_, complete, revision) in answers.iter().filter(|(_, complete, _)| made_revision(complete)) {
            if let Some(other) = writers.insert(*revision, complete) {
                findings.push(Finding::Violation(format!(
                    "revision {revision} was given to two writes: {} and {}",
                    described(other),
                    described(complete)
                )));
            }
        }
        let mut by_end = answers.clone();
        by_end.sort_by_key(|(_, complete, _)| complete.time);
        let mut ended = by_end.into_iter().peekable();
        let mut highest: Option<(i64, &Operation)> = None;
        for (pair, complete, revision) in answers {
            while let Some((_, before, seen)) = ended.next_if(|(_, before, _)| before.time < pair.invoke.time)
            {
                if highest.is_none_or(|(highest, _)| seen > highest) {
                    highest = Some((seen, before));
                }
            }
            let Some((seen, before)) = highest else { continue };
            let least = if made_revision(complete) { seen + 1 } else { seen };
            if revision < least {
                findings.push(Finding::Violation(format!(
                    "{}, invoked at {}, was answered at revision {revision}, although {} had ended at revision {seen}",
                    described(complete),
                    seconds(pair.invoke.time),
                    described(before),
                )));
            }
        }
        findings
    }
}

/// Whether an operation that succeeded changed the store.
fn made_revision(complete: &Operation) -> bool {
    match complete.function.as_str() {
        "add" | "append" => true,
        "write" => complete.value != Edn::Nil,
        "cas" | "cas-revision" => {
            let applied = complete.value.as_vector().and_then(<[Edn]>::last);
            applied.and_then(Edn::as_boolean).unwrap_or(false)
        }
        _ => false,
    }
}

fn described(operation: &Operation) -> String {
    let mut value = operation.value.to_string();
    if let Some((end, _)) = value.char_indices().nth(80) {
        value.truncate(end);
        value.push('…');
    }
    format!(
        "{} {value} of {:?} at {}",
        operation.function,
        operation.process,
        seconds(operation.time)
    )
}
