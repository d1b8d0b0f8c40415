//! A set of unique elements: what was acknowledged is in every later read, what failed is in none, nothing is there
//! that nobody added, and each element keeps the revision at which it was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Finding, seconds};
use crate::edn::Edn;
use crate::history::{History, Pair};

/// The checker.
pub struct SetChecker;

impl Checker for SetChecker {
    fn name(&self) -> &'static str {
        "set"
    }

    fn check(&self, _history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let mut shards: BTreeMap<i64, Shard<'_>> = BTreeMap::new();
        for pair in pairs {
            let Some([Edn::Integer(shard), rest]) = pair.invoke.value.as_vector() else {
                continue;
            };
            let shard = shards.entry(*shard).or_default();
            match rest {
                Edn::Integer(element) => {
                    shard.adds.insert(*element, pair);
                }
                _ => shard.reads.extend(pair.succeeded().map(|_| pair)),
            }
        }
        shards
            .into_iter()
            .flat_map(|(number, shard)| shard.findings(number))
            .collect()
    }
}

#[derive(Default)]
struct Shard<'a> {
    adds: BTreeMap<i64, &'a Pair<'a>>,
    reads: Vec<&'a Pair<'a>>,
}

impl Shard<'_> {
    fn findings(&self, number: i64) -> Vec<Finding> {
        let mut violations = BTreeSet::new();
        for read in &self.reads {
            let at = seconds(read.invoke.time);
            let Some(elements) = elements(read) else {
                violations.insert(format!(
                    "shard {number}: the read at {at} has no list of elements"
                ));
                continue;
            };
            for (element, revision) in &elements {
                let Some(add) = self.adds.get(element) else {
                    violations.insert(format!("phantom: element {element} was never added"));
                    continue;
                };
                if add.failed() {
                    violations.insert(format!(
                        "phantom: the add of element {element} was reported as failed"
                    ));
                }
                if add.invoke.time > read.known_at() {
                    violations.insert(format!(
                        "phantom: element {element} was read before its add began"
                    ));
                }
                let acknowledged = add.succeeded().and_then(|complete| complete.revision);
                if acknowledged.is_some_and(|acknowledged| acknowledged != *revision) {
                    violations.insert(format!(
                        "element {element} was acknowledged at revision {acknowledged:?} and is at {revision}"
                    ));
                }
            }
        }
        violations.extend(self.losses());
        let mut findings: Vec<Finding> = violations.into_iter().map(Finding::Violation).collect();
        let last_add = self
            .adds
            .values()
            .filter(|add| add.succeeded().is_some())
            .map(|add| add.known_at())
            .max();
        let last_read = self.reads.iter().map(|read| read.invoke.time).max();
        if last_add.is_some() && last_read < last_add {
            findings.push(Finding::Undecided(format!(
                "shard {number} was not read after its last acknowledged add"
            )));
        }
        findings
    }

    /// Each acknowledged element that is missing from reads that began later, with the first of them.
    fn losses(&self) -> Vec<String> {
        let reads: Vec<(i64, BTreeMap<i64, i64>)> = self
            .reads
            .iter()
            .filter_map(|read| Some((read.invoke.time, elements(read)?)))
            .collect();
        let acknowledged = self.adds.iter().filter(|(_, add)| add.succeeded().is_some());
        acknowledged
            .filter_map(|(element, add)| {
                let mut without = reads
                    .iter()
                    .filter(|(began, elements)| add.known_at() < *began && !elements.contains_key(element));
                let (first, _) = without.next()?;
                Some(format!(
                    "lost: element {element}, acknowledged at {}, is missing from {} reads, of which the first began at {}",
                    seconds(add.known_at()),
                    without.count() + 1,
                    seconds(*first)
                ))
            })
            .collect()
    }
}

/// The elements of a read, each with its revision.
fn elements(read: &Pair<'_>) -> Option<BTreeMap<i64, i64>> {
    let [_, Edn::Vector(elements)] = read.succeeded()?.value.as_vector()? else {
        return None;
    };
    elements
        .iter()
        .map(|element| match element.as_vector()? {
            [Edn::Integer(element), Edn::Integer(revision)] => Some((*element, *revision)),
            _ => None,
        })
        .collect()
}
