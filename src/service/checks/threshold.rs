//! How outcomes become a status: so many successes or failures in a row as a check asks for, as Consul counts them.
//!
//! Never remembers a status: where a count is not reached, the check stays as it is.

use crate::service::registry::{Probe, Status};

/// Counts the outcomes of one check.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    successes: u32,
    failures: u32,
}

impl Counts {
    /// Counts one outcome; the status that the check has with it, none if it stays as it is.
    pub fn count(&mut self, probe: &Probe, outcome: Status) -> Option<Status> {
        if outcome != Status::Critical {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
            return (self.successes >= probe.success_before_passing.max(1)).then_some(outcome);
        }
        self.failures = self.failures.saturating_add(1);
        self.successes = 0;
        let critical = probe.failures_before_critical.max(1);
        let warning = match probe.failures_before_warning {
            0 => critical,
            warning => warning,
        };
        if self.failures >= critical {
            Some(Status::Critical)
        } else {
            (self.failures >= warning).then_some(Status::Warning)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::registry::Target;

    fn statuses(thresholds: (u32, u32, u32), outcomes: &str) -> String {
        let address = "127.0.0.1:1".into();
        let probe = Probe {
            success_before_passing: thresholds.0,
            failures_before_warning: thresholds.1,
            failures_before_critical: thresholds.2,
            ..Probe::new(Target::Udp { address }, Duration::from_secs(1))
        };
        let mut counts = Counts::default();
        let letter = |outcome| match counts.count(
            &probe,
            match outcome {
                'p' => Status::Passing,
                'w' => Status::Warning,
                _ => Status::Critical,
            },
        ) {
            None => '-',
            Some(Status::Passing) => 'p',
            Some(Status::Warning) => 'w',
            Some(Status::Critical) => 'c',
        };
        outcomes.chars().map(letter).collect()
    }

    #[test]
    fn a_status_needs_so_many_in_a_row_and_another_outcome_begins_anew() {
        assert_eq!(statuses((0, 0, 0), "pcwcp"), "pcwcp");
        assert_eq!(statuses((3, 0, 0), "ppcppp"), "--c--p");
        assert_eq!(statuses((0, 0, 3), "ccpccc"), "--p--c");
        assert_eq!(statuses((0, 1, 3), "ccccp"), "wwccp");
        assert_eq!(statuses((2, 2, 2), "ccpwp"), "-c-wp");
    }
}
