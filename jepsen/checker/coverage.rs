//! Whether a run shows anything: every kind of operation succeeded at least once, and faults were really injected.

use super::{Checker, Finding};
use crate::history::{History, Pair, Process};
use crate::nemesis::{self, BEGIN_FAULT};

/// The checker of a workload with the given functions.
pub struct Coverage {
    /// The functions of which each must have succeeded.
    pub functions: &'static [&'static str],
}

impl Checker for Coverage {
    fn name(&self) -> &'static str {
        "coverage"
    }

    fn check(&self, history: &History, pairs: &[Pair<'_>]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for function in self.functions {
            let succeeded = pairs
                .iter()
                .any(|pair| pair.invoke.function == *function && pair.succeeded().is_some());
            if !succeeded {
                findings.push(Finding::Undecided(format!("no {function} ever succeeded")));
            }
        }
        let faults = history
            .operations
            .iter()
            .filter(|operation| operation.process == Process::Nemesis && operation.function == BEGIN_FAULT);
        if history.header.nemesis != nemesis::NONE && faults.count() == 0 {
            findings.push(Finding::Undecided(format!(
                "the nemesis {} never broke anything",
                history.header.nemesis
            )));
        }
        findings
    }
}
