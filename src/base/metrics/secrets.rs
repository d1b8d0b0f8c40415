//! The secret store of this node. Never says what is in it.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::MetricsError;
use super::register::Register;

/// The secret store.
#[derive(Clone)]
pub struct SecretMetrics {
    /// Whether this node is sealed: 1, or 0.
    pub sealed: IntGauge,
    /// Pieces of key material that the system does not keep out of swap.
    pub unlocked_pages: IntGauge,
    /// Requests, by how they ended.
    pub requests: IntCounterVec,
    /// Whether each audit device works: 1, or 0.
    pub audit_working: IntGaugeVec,
    /// Records in the buffer of each audit device.
    pub audit_buffered: IntGaugeVec,
}

impl SecretMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        let sealed = register.gauge(
            "stead_secrets_sealed",
            "Whether the secret store of this node is sealed.",
        )?;
        sealed.set(1);
        Ok(Self {
            sealed,
            unlocked_pages: register.gauge(
                "stead_secrets_unlocked_pages",
                "Pieces of key material that the system does not keep out of swap.",
            )?,
            requests: register.counters(
                "stead_secrets_requests_total",
                "Requests to the secret store, by outcome.",
                &["outcome"],
            )?,
            audit_working: register.gauges(
                "stead_secrets_audit_device_working",
                "Whether an audit device works.",
                &["device"],
            )?,
            audit_buffered: register.gauges(
                "stead_secrets_audit_buffered_records",
                "Records that an audit device has not written yet.",
                &["device"],
            )?,
        })
    }
}
