//! Checks the checkers: on recorded histories of which it is known what is wrong with them (`histories/`), and the
//! search for a linearization against one that tries every order.
//!
//! The first value of a known history names under `:expect` the checkers that must find a broken promise. No other
//! checker may find one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::checker::Verdict;
use crate::checker::linearizable_search::{Action, Answer, Call, MAXIMUM_STEPS, search};
use crate::edn::{self, Edn};
use crate::history::History;
use crate::partition::Shape;
use crate::support::Result;
use crate::{Score, workload};

mod network;

const HISTORIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jepsen/histories");

/// How many random histories are searched in both ways.
const RANDOM_HISTORIES: u64 = 3_000;

/// Runs every check of the harness itself.
///
/// # Errors
/// When the known histories cannot be read.
pub async fn run() -> Result<Score> {
    let mut score = Score::default();
    let mut report = |name: &str, outcome: Result<()>| {
        match &outcome {
            Ok(()) => println!("ok      {name}"),
            Err(error) => println!("FAILED  {name}: {error}"),
        }
        score.count(outcome.is_ok());
    };
    let mut expected_by_some = BTreeSet::new();
    for path in known_histories()? {
        let name = path
            .strip_prefix(HISTORIES)
            .unwrap_or(&path)
            .display()
            .to_string();
        report(&name, check_known(&path, &mut expected_by_some));
    }
    report(
        "every checker of a workload has a history that it must fail",
        all_are_tested(&expected_by_some),
    );
    report(
        "the search agrees with the trial of every order",
        search_agrees_with_trial(),
    );
    report(
        "what is written as notation is read as the same",
        notation_is_read_back(),
    );
    report(
        "partitions have the shape of their name",
        partitions_have_their_shape(),
    );
    report(
        "bytes obey the link of their direction, and only nodes are connected",
        network::links_are_obeyed().await,
    );
    Ok(score)
}

fn known_histories() -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for directory in std::fs::read_dir(HISTORIES)? {
        for file in std::fs::read_dir(directory?.path())? {
            paths.push(file?.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn check_known(path: &Path, expected_by_some: &mut BTreeSet<String>) -> Result<()> {
    let header = edn::parse_all(&std::fs::read_to_string(path)?)?;
    let expected: BTreeSet<String> = header
        .first()
        .and_then(|header| header.get("expect")?.as_vector())
        .ok_or("the header has no :expect")?
        .iter()
        .filter_map(|checker| checker.as_keyword().map(str::to_owned))
        .collect();
    let history = History::read(path)?;
    let workload = workload::all()
        .into_iter()
        .find(|workload| workload.name() == history.header.workload)
        .ok_or("the workload of the header does not exist")?;
    let verdict = Verdict::of(&history, &workload.checkers())?;
    let violated: BTreeSet<String> = verdict.violated().into_iter().map(str::to_owned).collect();
    if violated != expected {
        return Err(format!("expected a violation of {expected:?}, found\n{verdict}").into());
    }
    if expected.is_empty() && !verdict.passed() {
        return Err(format!("expected a pass, found\n{verdict}").into());
    }
    expected_by_some.extend(expected);
    Ok(())
}

fn all_are_tested(expected_by_some: &BTreeSet<String>) -> Result<()> {
    for workload in workload::all() {
        for checker in workload.checkers() {
            if !expected_by_some.contains(checker.name()) {
                return Err(format!("no known history violates {}", checker.name()).into());
            }
        }
    }
    Ok(())
}

/// A random history of few operations over few values, so that about half of them are linearizable.
fn random_calls(random: &mut StdRng) -> Vec<Call> {
    let count = random.random_range(1..=6);
    (0..count)
        .map(|_| {
            let invoked = random.random_range(0..20);
            let is_known = random.random_ratio(4, 5);
            let known = if is_known {
                invoked + random.random_range(1..8)
            } else {
                i64::MAX
            };
            let value = random.random_range(0..3);
            let action = match random.random_range(0..3) {
                0 => Action::Write(value),
                1 => Action::Read((value > 0).then_some(value)),
                _ => Action::CompareAndSet {
                    old: value,
                    new: random.random_range(0..3),
                    applied: is_known.then(|| random.random()),
                },
            };
            Call {
                action,
                invoked,
                known,
            }
        })
        .collect()
}

/// Whether some order of some of the calls, all of known outcome among them, is possible: by trying every one.
fn some_order_is_possible(calls: &[Call], done: u32, value: Option<i64>) -> bool {
    let open = || (0..calls.len()).filter(|call| done >> call & 1 == 0);
    if open().all(|call| calls[call].known == i64::MAX) {
        return true;
    }
    open().any(|call| {
        let comes_first = open().all(|other| calls[other].known >= calls[call].invoked);
        comes_first
            && step(calls[call].action, value)
                .is_some_and(|value| some_order_is_possible(calls, done | 1 << call, value))
    })
}

/// The register once more, written from its definition: the search has its own.
fn step(action: Action, value: Option<i64>) -> Option<Option<i64>> {
    match action {
        Action::Write(new) => Some(Some(new)),
        Action::Read(found) if found == value => Some(value),
        Action::Read(_) => None,
        Action::CompareAndSet { old, new, applied } => match (value == Some(old), applied) {
            (true, None | Some(true)) => Some(Some(new)),
            (false, None | Some(false)) => Some(value),
            _ => None,
        },
    }
}

fn search_agrees_with_trial() -> Result<()> {
    let mut linearizable = 0;
    for seed in 0..RANDOM_HISTORIES {
        let calls = random_calls(&mut StdRng::seed_from_u64(seed));
        let possible = some_order_is_possible(&calls, 0, None);
        let found = search(&calls, MAXIMUM_STEPS);
        if possible != (found == Answer::Linearizable) {
            return Err(format!("seed {seed}: {found:?}, though possible is {possible}: {calls:?}").into());
        }
        linearizable += u64::from(possible);
    }
    if linearizable == 0 || linearizable == RANDOM_HISTORIES {
        return Err("the random histories are all of one kind".into());
    }
    Ok(())
}

fn notation_is_read_back() -> Result<()> {
    let value = Edn::map([
        ("text", Edn::text("a \"quoted\" \\ line\nand a tab\t")),
        ("numbers", [i64::MIN, -1, 0, i64::MAX].into_iter().collect()),
        (
            "nested",
            Edn::Vector(vec![Edn::Nil, Edn::Boolean(true), Edn::Map(Vec::new())]),
        ),
    ]);
    let read = edn::parse_all(&format!("{value} ; and a comment\n{value}"))?;
    if read != [value.clone(), value] {
        return Err(format!("read {read:?}").into());
    }
    for wrong in ["[1", "{:a}", "\"open", "#inst", "]"] {
        if edn::parse_all(wrong).is_ok() {
            return Err(format!("{wrong:?} was read").into());
        }
    }
    Ok(())
}

fn partitions_have_their_shape() -> Result<()> {
    let mut random = StdRng::seed_from_u64(0);
    for nodes in [3, 5] {
        for shape in Shape::ALL {
            let pairs: BTreeSet<_> = shape.pairs(nodes, 1, &mut random).into_iter().collect();
            let passes = |from: usize, to: usize| !pairs.contains(&(from, to));
            let others = || (0..nodes).filter(|node| *node != 1);
            let both_ways = |from, to| passes(from, to) && passes(to, from);
            let sees = |node: usize| {
                (0..nodes)
                    .filter(|other| *other != node && both_ways(node, *other))
                    .count()
            };
            let holds = match shape {
                Shape::IsolateOne => {
                    others().all(|other| !passes(1, other) && !passes(other, 1) && sees(other) == nodes - 2)
                }
                Shape::MajorityMinority => {
                    let majority = (0..nodes).filter(|node| sees(*node) + 1 > nodes / 2).count();
                    sees(1) + 1 == (nodes - 1) / 2 && majority == nodes.div_ceil(2)
                }
                Shape::Mute => others().all(|other| !passes(1, other) && passes(other, 1)),
                Shape::Deaf => others().all(|other| passes(1, other) && !passes(other, 1)),
                Shape::Bridge => sees(1) == nodes - 1 && others().all(|other| sees(other) == (nodes - 1) / 2),
                Shape::Ring => (0..nodes).all(|node| {
                    let heard = (0..nodes)
                        .filter(|other| *other != node && passes(node, *other))
                        .count();
                    heard == nodes - 2
                }),
                Shape::Shatter => (0..nodes).all(|node| sees(node) == 0),
            };
            if !holds || pairs.iter().any(|(from, to)| from == to) {
                return Err(format!("{shape:?} of {nodes} nodes blocks {pairs:?}").into());
            }
        }
    }
    Ok(())
}
