//! The questions of DNS that this node is asked. Never says what they are about.

use prometheus::{HistogramVec, IntCounterVec};

use super::MetricsError;
use super::register::Register;

/// Questions of DNS.
#[derive(Clone)]
pub struct DnsMetrics {
    /// Questions, by how they came and by the code of their answer; `none`: they got none.
    pub questions: IntCounterVec,
    /// Seconds from a question to its answer, by how it came.
    pub answer_seconds: HistogramVec,
}

impl DnsMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            questions: register.counters(
                "stead_dns_questions_total",
                "Questions of DNS.",
                &["transport", "code"],
            )?,
            answer_seconds: register.histograms(
                "stead_dns_answer_duration_seconds",
                "Time until a question of DNS is answered.",
                &["transport"],
                (0.00001, 4.0, 10),
            )?,
        })
    }
}
