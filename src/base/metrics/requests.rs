//! What requests do to the store on this node, and how long that takes. Never says what was in them.

use prometheus::{Histogram, HistogramVec, IntCounter};

use super::MetricsError;
use super::register::Register;

/// Changes applied and keys read.
#[derive(Clone)]
pub struct RequestMetrics {
    /// Seconds that a change took to apply, by version of the interface, operation and whether it succeeded. Changes are
    /// applied in batches: this is the share of each.
    pub apply_seconds: HistogramVec,
    /// Seconds that a range took to read which was read.
    pub range_seconds: Histogram,
    /// Seconds that a range took to read which could not be.
    pub failed_range_seconds: Histogram,
    /// Batches that took too long to apply, and ranges that took too long to read.
    pub slow: IntCounter,
}

impl RequestMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        let ranges = register.histograms(
            "etcd_server_range_duration_seconds",
            "Time to read a range.",
            &["success"],
            (0.0001, 2.0, 20),
        )?;
        Ok(Self {
            apply_seconds: register.histograms(
                "etcd_server_apply_duration_seconds",
                "Time to apply a change.",
                &["version", "op", "success"],
                (0.0001, 2.0, 20),
            )?,
            range_seconds: ranges.with_label_values(&["true"]),
            failed_range_seconds: ranges.with_label_values(&["false"]),
            slow: register.counter(
                "etcd_server_slow_apply_total",
                "Changes and reads that took too long (--warning-apply-duration).",
            )?,
        })
    }
}
