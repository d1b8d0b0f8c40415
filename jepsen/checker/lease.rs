//! Leases: what is attached to a lease stays for the whole time to live after each acknowledged renewal, and is gone
//! within a bound after the last one, faults aside; gone is gone.
//!
//! Times are those of the clients. A renewal counts from its invocation, a loss at the completion of the operation
//! that saw it: a violation found here is one by every clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checker, Finding, seconds};
use crate::edn::Edn;
use crate::history::{History, Kind, NANOSECONDS_PER_SECOND, Pair, Process};
use crate::nemesis::BEGIN_FAULT;

/// How much later than its time to live a lease may end when no fault is at work: a server looks for expired leases
/// at intervals, and a new leader begins the time to live again.
pub const MAXIMUM_OVERDUE: Duration = Duration::from_secs(8);

/// How much later than its invocation an operation of unknown outcome may still renew a lease: as long as a server
/// keeps a request.
const MAXIMUM_UNKNOWN_EFFECT: Duration = Duration::from_secs(10);

/// How a server names a lease that it does not have.
const LEASE_NOT_FOUND: &str = "requested lease not found";

/// The checker.
pub struct LeaseChecker;

impl Checker for LeaseChecker {
    fn name(&self) -> &'static str {
        "lease"
    }

    fn check(&self, history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let faults = Faults::of(history);
        let mut leases: BTreeMap<i64, Vec<&Pair<'_>>> = BTreeMap::new();
        for pair in pairs {
            if let Some([Edn::Integer(lease), ..]) = pair.invoke.value.as_vector() {
                leases.entry(*lease).or_default().push(pair);
            }
        }
        leases
            .into_iter()
            .flat_map(|(lease, pairs)| {
                let mut violations = check_early(&pairs);
                violations.extend(check_late(&pairs, &faults));
                violations.extend(check_return(&pairs));
                violations
                    .into_iter()
                    .map(move |text| Finding::Violation(format!("lease {lease}: {text}")))
            })
            .collect()
    }
}

/// When faults were at work.
struct Faults {
    periods: Vec<(i64, i64)>,
}

impl Faults {
    fn of(history: &History) -> Self {
        let mut periods: Vec<(i64, i64)> = Vec::new();
        for operation in history
            .operations
            .iter()
            .filter(|operation| operation.process == Process::Nemesis)
        {
            if operation.function == BEGIN_FAULT {
                periods.push((operation.time, i64::MAX));
            } else if let Some(last) = periods.last_mut() {
                last.1 = operation.time;
            }
        }
        Self { periods }
    }

    /// The end of the last fault that began before `time`; none if there was none.
    fn last_end_before(&self, time: i64) -> Option<i64> {
        self.periods
            .iter()
            .filter(|(begin, _)| *begin < time)
            .map(|(_, end)| *end)
            .max()
    }
}

/// The number in the second place of an answer, in nanoseconds: the time to live.
fn time_to_live(pair: &Pair<'_>) -> Option<i64> {
    match pair.succeeded()?.value.as_vector()? {
        [_, Edn::Integer(seconds)] if *seconds > 0 => Some(seconds.saturating_mul(NANOSECONDS_PER_SECOND)),
        _ => None,
    }
}

/// Whether the answer shows that the lease is gone, or its key.
fn shows_loss(pair: &Pair<'_>) -> bool {
    let second = pair
        .succeeded()
        .and_then(|complete| complete.value.as_vector())
        .and_then(|parts| parts.get(1));
    match pair.invoke.function.as_str() {
        "renew" => second == Some(&Edn::Integer(0)),
        "read" => second == Some(&Edn::Boolean(false)),
        "attach" => pair.complete.is_some_and(|complete| {
            let error = complete.error.as_deref();
            complete.kind == Kind::Fail && error.is_some_and(|error| error.contains(LEASE_NOT_FOUND))
        }),
        _ => false,
    }
}

fn named<'a>(pairs: &'a [&'a Pair<'a>], function: &'a str) -> impl Iterator<Item = &'a Pair<'a>> {
    pairs
        .iter()
        .copied()
        .filter(move |pair| pair.invoke.function == function)
}

fn check_early(pairs: &[&Pair<'_>]) -> Vec<String> {
    let attached_at = named(pairs, "attach")
        .filter(|pair| pair.succeeded().is_some())
        .map(Pair::known_at)
        .min()
        .unwrap_or(i64::MAX);
    let granted_at = named(pairs, "grant")
        .filter(|pair| pair.succeeded().is_some())
        .map(Pair::known_at)
        .min()
        .unwrap_or(i64::MAX);
    let revoked_at = named(pairs, "revoke")
        .map(|pair| pair.invoke.time)
        .min()
        .unwrap_or(i64::MAX);
    let mut violations = Vec::new();
    for loss in pairs.iter().filter(|pair| shows_loss(pair)) {
        let present_at = if loss.invoke.function == "read" {
            attached_at
        } else {
            granted_at
        };
        let lost_at = loss.known_at();
        if loss.invoke.time < present_at || lost_at > revoked_at {
            continue;
        }
        let kept_until = pairs
            .iter()
            .filter_map(|pair| Some((pair.invoke.time.saturating_add(time_to_live(pair)?), pair)))
            .max_by_key(|(until, _)| *until);
        if let Some((until, renewal)) = kept_until.filter(|(until, _)| lost_at < *until) {
            violations.push(format!(
                "early: gone at {} by {}, although the {} of {} keeps it until {}",
                seconds(lost_at),
                loss.invoke.function,
                renewal.invoke.function,
                seconds(renewal.invoke.time),
                seconds(until),
            ));
        }
    }
    violations
}

fn check_late(pairs: &[&Pair<'_>], faults: &Faults) -> Vec<String> {
    let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let longest = pairs
        .iter()
        .filter_map(|pair| time_to_live(pair))
        .max()
        .unwrap_or(0);
    let mut violations = Vec::new();
    for read in named(pairs, "read") {
        let present = read
            .succeeded()
            .and_then(|complete| complete.value.as_vector())
            .is_some_and(|parts| parts.get(1) == Some(&Edn::Boolean(true)));
        if !present {
            continue;
        }
        let renewed = pairs
            .iter()
            .filter(|pair| matches!(pair.invoke.function.as_str(), "grant" | "renew") && !pair.failed())
            .filter(|pair| pair.invoke.time < read.known_at())
            .map(|pair| match pair.succeeded() {
                Some(complete) => complete.time,
                None => pair
                    .invoke
                    .time
                    .saturating_add(nanoseconds(MAXIMUM_UNKNOWN_EFFECT)),
            })
            .max();
        let last = renewed.max(faults.last_end_before(read.invoke.time));
        let Some(last) = last else { continue };
        let limit = last
            .saturating_add(longest)
            .saturating_add(nanoseconds(MAXIMUM_OVERDUE));
        if longest > 0 && read.invoke.time > limit {
            violations.push(format!(
                "late: still there for a read that began at {}, though it could be renewed last at {} for {}",
                seconds(read.invoke.time),
                seconds(last),
                seconds(longest),
            ));
        }
    }
    violations
}

fn check_return(pairs: &[&Pair<'_>]) -> Vec<String> {
    let attach_known = named(pairs, "attach")
        .map(Pair::known_at)
        .max()
        .unwrap_or(i64::MIN);
    let reads = || named(pairs, "read").filter(|read| read.succeeded().is_some());
    let gone_at = reads()
        .filter(|read| shows_loss(read) && read.invoke.time > attach_known)
        .map(Pair::known_at)
        .min()
        .unwrap_or(i64::MAX);
    reads()
        .filter(|read| !shows_loss(read) && read.invoke.time > gone_at)
        .map(|read| {
            format!(
                "return: gone at {} and there again for a read that began at {}",
                seconds(gone_at),
                seconds(read.invoke.time)
            )
        })
        .collect()
}
