//! The checks of services that this node does. Never says whose they are.

use prometheus::{IntCounter, IntGauge};

use super::MetricsError;
use super::register::Register;

/// Checks.
#[derive(Clone)]
pub struct CheckMetrics {
    /// Checks that this node does at intervals.
    pub owned: IntGauge,
    /// Probes that are under way.
    pub under_way: IntGauge,
    /// Probes done.
    pub done: IntCounter,
    /// Probes that found something critical.
    pub failed: IntCounter,
    /// States that were written because something was found out.
    pub written: IntCounter,
    /// Checks that this node, as the leader, made critical because no report came in time.
    pub expired: IntCounter,
    /// Instances that this node, as the leader, deregistered because a check was critical for too long.
    pub deregistered: IntCounter,
}

impl CheckMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            owned: register.gauge("stead_checks_owned", "Checks that this node does at intervals.")?,
            under_way: register.gauge("stead_check_probes_inflight", "Probes that are under way.")?,
            done: register.counter("stead_check_probes_total", "Probes done.")?,
            failed: register.counter(
                "stead_check_probes_failed_total",
                "Probes that found something critical.",
            )?,
            written: register.counter(
                "stead_check_states_written_total",
                "States of checks written because something was found out.",
            )?,
            expired: register.counter(
                "stead_checks_expired_total",
                "Checks made critical because no report came in time.",
            )?,
            deregistered: register.counter(
                "stead_check_deregistrations_total",
                "Instances deregistered because a check was critical for too long.",
            )?,
        })
    }
}
