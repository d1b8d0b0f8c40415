//! How long each kind of change takes to apply, measured at the cost of an atomic addition or two: the histogram of a kind is
//! found by its labels only once. Never holds apply up.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec};

use crate::base::metrics::RequestMetrics;
use crate::state::applied::Applied;

/// The version of etcd's interface whose changes these are, as etcd's metrics name it.
const INTERFACE: &str = "v3";

/// The histograms that were needed so far. There are as many as kinds of commands, twice.
pub struct ApplySeconds {
    all: HistogramVec,
    known: Vec<Known>,
}

struct Known {
    operation: &'static str,
    succeeded: bool,
    seconds: Histogram,
}

impl ApplySeconds {
    /// Measures into `metrics`.
    #[must_use]
    pub fn new(metrics: &RequestMetrics) -> Self {
        Self {
            all: metrics.apply_seconds.clone(),
            known: Vec::new(),
        }
    }

    /// Measures a batch that took so long: each change its share.
    pub fn observe(&mut self, batch: &[Applied], took: Duration) {
        let changes = u32::try_from(batch.len()).unwrap_or(u32::MAX).max(1);
        let share = took.as_secs_f64() / f64::from(changes);
        for applied in batch {
            self.of(applied.operation, applied.outcome.is_ok()).observe(share);
        }
    }

    fn of(&mut self, operation: &'static str, succeeded: bool) -> &Histogram {
        let is_it = |known: &Known| known.succeeded == succeeded && known.operation == operation;
        let place = self.known.iter().position(is_it).unwrap_or_else(|| {
            let success = if succeeded { "true" } else { "false" };
            self.known.push(Known {
                operation,
                succeeded,
                seconds: self.all.with_label_values(&[INTERFACE, operation, success]),
            });
            self.known.len() - 1
        });
        &self.known[place].seconds
    }
}
