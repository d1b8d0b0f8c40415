//! What goes to the other members and comes from them, by member. Never decides whom to call.

use std::time::Instant;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::MetricsError;
use super::register::Register;

/// The labels of a pair of members.
const PAIR: &[&str] = &["Local", "Remote"];

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
    /// 1 for each other member, 0 for those that were removed, by this member and the other.
    pub known: IntGaugeVec,
    /// Whether each member that was called answered the last call, by this member and the other.
    pub active: IntGaugeVec,
    /// How often a member that answered stopped to do so, by this member and the other.
    pub disconnections: IntCounterVec,
    sent_snapshots: TransferMetrics,
    received_snapshots: TransferMetrics,
}

/// Snapshots that go in one direction, by the other member.
#[derive(Clone)]
struct TransferMetrics {
    running: IntGaugeVec,
    succeeded: IntCounterVec,
    failed: IntCounterVec,
    seconds: HistogramVec,
}

impl TransferMetrics {
    fn new(register: &Register<'_>, direction: &str, label: &str) -> Result<Self, MetricsError> {
        let name = |what: &str| format!("etcd_network_snapshot_{direction}_{what}");
        let labels = &[label];
        Ok(Self {
            running: register.gauges(&name("inflights_total"), "Snapshots on their way.", labels)?,
            succeeded: register.counters(&name("success"), "Snapshots that arrived.", labels)?,
            failed: register.counters(&name("failures"), "Snapshots that did not arrive.", labels)?,
            seconds: register.histograms(
                &name("total_duration_seconds"),
                "Time of a snapshot that arrived.",
                labels,
                (0.1, 2.0, 10),
            )?,
        })
    }

    fn begin(&self, peer: &str) -> Transfer {
        let labels = &[peer];
        let running = self.running.with_label_values(labels);
        running.inc();
        Transfer {
            running,
            succeeded: self.succeeded.with_label_values(labels),
            failed: self.failed.with_label_values(labels),
            seconds: self.seconds.with_label_values(labels),
            began: Instant::now(),
            has_succeeded: false,
        }
    }
}

/// A snapshot on its way. It has failed if it is dropped before [`Transfer::succeed`].
pub struct Transfer {
    running: IntGauge,
    succeeded: IntCounter,
    failed: IntCounter,
    seconds: Histogram,
    began: Instant,
    has_succeeded: bool,
}

impl Transfer {
    /// It has arrived.
    pub fn succeed(mut self) {
        self.has_succeeded = true;
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.running.dec();
        if self.has_succeeded {
            self.succeeded.inc();
            self.seconds.observe(self.began.elapsed().as_secs_f64());
        } else {
            self.failed.inc();
        }
    }
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
            known: register.gauges("etcd_network_known_peers", "The other members.", PAIR)?,
            active: register.gauges(
                "etcd_network_active_peers",
                "Whether the other members answer.",
                PAIR,
            )?,
            disconnections: register.counters(
                "etcd_network_disconnected_peers_total",
                "How often the other members stopped to answer.",
                PAIR,
            )?,
            sent_snapshots: TransferMetrics::new(register, "send", "To")?,
            received_snapshots: TransferMetrics::new(register, "receive", "From")?,
        })
    }

    /// A snapshot begins its way to a peer.
    #[must_use]
    pub fn send_snapshot(&self, peer: &str) -> Transfer {
        self.sent_snapshots.begin(peer)
    }

    /// A snapshot begins to arrive from a peer.
    #[must_use]
    pub fn receive_snapshot(&self, peer: &str) -> Transfer {
        self.received_snapshots.begin(peer)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn a_snapshot_that_is_given_up_has_failed() {
        let registry = Registry::new();
        let peers = PeerMetrics::new(&Register(&registry)).expect("metrics register once");
        let sent = &peers.sent_snapshots;
        let counts = || {
            (
                sent.running.with_label_values(&["a"]).get(),
                sent.succeeded.with_label_values(&["a"]).get(),
                sent.failed.with_label_values(&["a"]).get(),
                sent.seconds.with_label_values(&["a"]).get_sample_count(),
            )
        };
        let first = peers.send_snapshot("a");
        assert_eq!(counts(), (1, 0, 0, 0));
        first.succeed();
        assert_eq!(counts(), (0, 1, 0, 1));
        drop(peers.send_snapshot("a"));
        assert_eq!(counts(), (0, 1, 1, 1));
        drop(peers.receive_snapshot("a"));
        let families = registry.gather();
        let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
        for (direction, label) in [("receive", "From"), ("send", "To")] {
            for what in ["failures", "inflights_total", "success", "total_duration_seconds"] {
                let name = format!("etcd_network_snapshot_{direction}_{what}");
                let place = names.iter().position(|known| *known == name);
                let family = place.map(|place| &families[place]).expect("it is registered");
                let labels = family.get_metric()[0].get_label();
                assert_eq!(labels[0].name(), label, "{name}");
            }
        }
    }
}
