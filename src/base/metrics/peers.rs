//! What goes to the other members and comes from them, by member. Never decides whom to call.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::MetricsError;
use super::register::Register;

/// The traffic between the members. Labels are hexadecimal member ids.
#[derive(Clone)]
pub struct PeerMetrics {
    /// Seconds between a message to a peer and its answer.
    pub round_trip_seconds: HistogramVec,
    /// Bytes sent.
    pub sent_bytes: IntCounterVec,
    /// Bytes received.
    pub received_bytes: IntCounterVec,
    /// Messages that could not be sent.
    pub sent_failures: IntCounterVec,
    /// Messages that arrived broken.
    pub received_failures: IntCounterVec,
    /// Heartbeats that could not be sent, to whomever.
    pub heartbeat_send_failures: IntCounter,
    /// 1 while a snapshot of another node is being installed.
    pub snapshot_installs: IntGauge,
}

impl PeerMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            round_trip_seconds: register.histograms(
                "etcd_network_peer_round_trip_time_seconds",
                "Round-trip time to each peer.",
                &["To"],
                (0.0001, 2.0, 16),
            )?,
            sent_bytes: register.counters(
                "etcd_network_peer_sent_bytes_total",
                "Bytes sent to each peer.",
                &["To"],
            )?,
            received_bytes: register.counters(
                "etcd_network_peer_received_bytes_total",
                "Bytes received from each peer.",
                &["From"],
            )?,
            sent_failures: register.counters(
                "etcd_network_peer_sent_failures_total",
                "Messages that could not be sent to each peer.",
                &["To"],
            )?,
            received_failures: register.counters(
                "etcd_network_peer_received_failures_total",
                "Messages from each peer that arrived broken.",
                &["From"],
            )?,
            heartbeat_send_failures: register.counter(
                "etcd_server_heartbeat_send_failures_total",
                "Heartbeats that could not be sent.",
            )?,
            snapshot_installs: register.gauge(
                "etcd_server_snapshot_apply_in_progress_total",
                "1 while a snapshot is being installed.",
            )?,
        })
    }
}
