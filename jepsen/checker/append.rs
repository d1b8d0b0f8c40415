//! Lists and transactions: the revisions name one order of all transactions, and everything that was read must be
//! what the transactions before it in that order had left. Together with the check that revisions agree with real time
//! this is strict serializability.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Finding, seconds};
use crate::edn::Edn;
use crate::history::{History, Pair};

/// The checker.
pub struct AppendChecker;

/// A list as an operation saw it.
struct Seen<'a> {
    list: i64,
    /// The revision that last changed it.
    changed_at: i64,
    elements: Vec<i64>,
    /// Everything before this revision was seen.
    before: i64,
    pair: &'a Pair<'a>,
}

impl Checker for AppendChecker {
    fn name(&self) -> &'static str {
        "append"
    }

    fn check(&self, _history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let mut violations = BTreeSet::new();
        let mut attempts: BTreeMap<i64, &Pair<'_>> = BTreeMap::new();
        let mut seen = Vec::new();
        let mut committed: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
        for pair in pairs {
            let element = pair
                .invoke
                .value
                .as_vector()
                .and_then(|parts| parts.first()?.as_integer());
            let is_append = pair.invoke.function == "append";
            if let (true, Some(element)) = (is_append, element) {
                attempts.insert(element, pair);
            }
            let Some(complete) = pair.succeeded() else {
                continue;
            };
            let lists = match (is_append, complete.value.as_vector()) {
                (true, Some([_, Edn::Vector(lists)])) => lists.as_slice(),
                (false, Some(lists)) => lists,
                _ => &[],
            };
            let Some(revision) = complete.revision else {
                continue;
            };
            for list in lists.iter().filter_map(Edn::as_vector) {
                let [
                    Edn::Integer(list),
                    Edn::Integer(changed_at),
                    Edn::Vector(elements),
                ] = list
                else {
                    continue;
                };
                let elements: Vec<i64> = elements.iter().filter_map(Edn::as_integer).collect();
                if let (true, Some(element)) = (is_append, element) {
                    committed.entry(*list).or_default().insert(revision, element);
                }
                let before = if is_append { revision } else { revision + 1 };
                seen.push(Seen {
                    list: *list,
                    changed_at: *changed_at,
                    elements,
                    before,
                    pair,
                });
            }
        }
        for (list, longest) in longest_lists(&seen) {
            check_elements(list, longest, &attempts, &mut violations);
        }
        check_order(&mut seen, &committed, &mut violations);
        violations.into_iter().map(Finding::Violation).collect()
    }
}

fn longest_lists<'a>(seen: &'a [Seen<'_>]) -> BTreeMap<i64, &'a [i64]> {
    let mut longest: BTreeMap<i64, &[i64]> = BTreeMap::new();
    for seen in seen {
        let known = longest.entry(seen.list).or_default();
        if seen.elements.len() > known.len() {
            *known = &seen.elements;
        }
    }
    longest
}

/// Each element was appended by somebody, once, and not by an operation that failed.
fn check_elements(
    list: i64,
    elements: &[i64],
    attempts: &BTreeMap<i64, &Pair<'_>>,
    violations: &mut BTreeSet<String>,
) {
    let mut known = BTreeSet::new();
    for element in elements {
        if !known.insert(element) {
            violations.insert(format!("list {list} has element {element} twice"));
        }
        match attempts.get(element) {
            None => violations.insert(format!(
                "phantom: list {list} has element {element}, which nobody appended"
            )),
            Some(pair) if pair.failed() => violations.insert(format!(
                "phantom: list {list} has element {element}, whose append was reported as failed"
            )),
            Some(_) => false,
        };
    }
}

/// In the order of revisions, each view of a list extends the one before it and holds every append acknowledged
/// at a revision before its own.
fn check_order(
    seen: &mut [Seen<'_>],
    committed: &BTreeMap<i64, BTreeMap<i64, i64>>,
    violations: &mut BTreeSet<String>,
) {
    seen.sort_by_key(|seen| (seen.list, seen.before));
    let nothing = BTreeMap::new();
    for views in seen.chunk_by(|left, right| left.list == right.list) {
        let Some(list) = views.first().map(|view| view.list) else {
            continue;
        };
        let appends = committed.get(&list).unwrap_or(&nothing);
        let mut previous: &[i64] = &[];
        for view in views {
            let at = format!(
                "list {list}, seen before revision {} by {:?} at {},",
                view.before,
                view.pair.invoke.process,
                seconds(view.pair.invoke.time)
            );
            if !view.elements.starts_with(previous) {
                violations.insert(format!("{at} is {:?}, and was {previous:?}", view.elements));
            }
            previous = &view.elements;
            let expected = appends.range(..view.before).next_back();
            if let Some((revision, element)) = expected {
                if *revision > view.changed_at {
                    violations.insert(format!(
                        "{at} was last changed at {}, though element {element} was appended at {revision}",
                        view.changed_at
                    ));
                } else if *revision == view.changed_at && view.elements.last() != Some(element) {
                    violations.insert(format!(
                        "{at} does not end with element {element} of revision {revision}"
                    ));
                }
            }
            let held: BTreeSet<&i64> = view.elements.iter().collect();
            let missing = appends
                .range(..view.before)
                .find(|(_, element)| !held.contains(element));
            if let Some((revision, element)) = missing {
                violations.insert(format!("{at} lacks element {element} of revision {revision}"));
            }
        }
    }
}
