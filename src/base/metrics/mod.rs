//! What the node counts and measures, under etcd's metric names where the meaning is the same.
//!
//! One [`Metrics`] for each node, handed down by `node`; no global registry, so that several nodes can live in one
//! process. Never decides anything.

mod calls;
mod checks;
mod dns;
mod maintenance;
mod peers;
mod process;
mod register;
mod requests;
mod secrets;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use thiserror::Error;

pub use self::calls::CallMetrics;
pub use self::checks::CheckMetrics;
pub use self::dns::DnsMetrics;
pub use self::maintenance::MaintenanceMetrics;
pub use self::peers::{PeerMetrics, Transfer};
pub use self::process::{ProcessMetrics, maximum_files};
use self::register::Register;
pub use self::requests::RequestMetrics;
pub use self::secrets::SecretMetrics;
use super::ids::MemberId;

/// A metric could not be registered: two share a name.
#[derive(Debug, Error)]
#[error("cannot register a metric: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Everything a node measures.
#[derive(Clone)]
pub struct Metrics {
    /// Where they are registered, for the `/metrics` page.
    pub registry: Registry,
    /// 1 if the node knows a leader.
    pub has_leader: IntGauge,
    /// 1 if the node leads.
    pub is_leader: IntGauge,
    /// Leader changes seen.
    pub leader_changes: IntCounter,
    /// Commands waiting for an answer.
    pub proposals_pending: IntGauge,
    /// Committed log index.
    pub proposals_committed: IntGauge,
    /// Applied log index.
    pub proposals_applied: IntGauge,
    /// Commands that got no answer.
    pub proposals_failed: IntCounter,
    /// Read rounds that failed.
    pub read_indexes_failed: IntCounter,
    /// Read rounds that took longer than they should.
    pub slow_read_indexes: IntCounter,
    /// Seconds of one fsync of the log.
    pub log_fsync_seconds: Histogram,
    /// Seconds of one write to the log, its fsync included if it has one.
    pub log_write_seconds: Histogram,
    /// Bytes written to the log.
    pub log_written_bytes: IntGauge,
    /// Seconds of one batch of the state database.
    pub state_commit_seconds: Histogram,
    /// The traffic between the members.
    pub peers: PeerMetrics,
    /// Versions and events removed by compaction.
    pub compaction_removed: IntCounter,
    /// Changes applied: puts.
    pub puts: IntCounter,
    /// Changes applied: removals.
    pub deletes: IntCounter,
    /// Bytes of keys and values in these puts.
    pub put_bytes: IntGauge,
    /// Active alarms, by member and kind: see [`Metrics::set_alarms`].
    alarms: IntGaugeVec,
    /// The alarms that were ever shown: one that is cleared is shown as 0, as etcd's.
    shown_alarms: Arc<Mutex<BTreeSet<(MemberId, &'static str)>>>,
    /// Open watches.
    pub watchers: IntGauge,
    /// Open watch streams.
    pub watch_streams: IntGauge,
    /// Watches that are being served from history.
    pub slow_watchers: IntGauge,
    /// Events queued for watches.
    pub watch_events: IntCounter,
    /// Events queued for watches and not yet taken by their streams.
    pub watch_pending_events: IntGauge,
    /// Ranges asked for.
    pub ranges: IntCounter,
    /// Transactions asked for.
    pub txns: IntCounter,
    /// Leases granted through this node.
    pub leases_granted: IntCounter,
    /// Leases revoked through this node by a client.
    pub leases_revoked: IntCounter,
    /// Leases renewed through this node.
    pub leases_renewed: IntCounter,
    /// Leases that this node, as the leader, ended when their time was over.
    pub leases_expired: IntCounter,
    /// Bytes of the database on disk.
    pub database_bytes: IntGauge,
    /// Bytes of the database that live data takes.
    pub database_bytes_in_use: IntGauge,
    /// Bytes of the database above which writes are refused; 0: no limit.
    pub quota_bytes: IntGauge,
    /// The store's revision.
    pub revision: IntGauge,
    /// The compacted revision, -1 if never compacted.
    pub compacted_revision: IntGauge,
    /// 1 if the node is a learner.
    pub is_learner: IntGauge,
    /// The calls of clients.
    pub calls: CallMetrics,
    /// The checks of services.
    pub checks: CheckMetrics,
    /// The secret store.
    pub secrets: SecretMetrics,
    /// The questions of DNS.
    pub dns: DnsMetrics,
    /// What they do to the store.
    pub requests: RequestMetrics,
    /// What keeps the database in order.
    pub maintenance: MaintenanceMetrics,
    /// What the operating system knows of the process.
    pub process: ProcessMetrics,
    /// Whether each health check passed when it was last made, by page and name.
    pub health_checks: IntGaugeVec,
    /// Health checks made, by page, name and outcome.
    pub health_checks_made: IntCounterVec,
    /// Learners that this node made voters while it led.
    pub promotions: IntCounter,
    /// Learners that this node, as the leader, did not make voters, by reason.
    pub failed_promotions: IntCounterVec,
    /// Times to live of the leases granted through this node, in seconds.
    pub lease_ttl_seconds: Histogram,
    /// The revision of users and roles.
    pub auth_revision: IntGauge,
    /// Health pages that said yes.
    pub health_successes: IntCounter,
    /// Health pages that said no.
    pub health_failures: IntCounter,
}

impl Metrics {
    /// What kind of text a page is.
    pub const PAGE_KIND: &str = prometheus::TEXT_FORMAT;

    /// All of them, as Prometheus reads them.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn page(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Registers all metrics in a registry of their own.
    ///
    /// # Errors
    /// Two metrics share a name.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let register = Register(&registry);
        let gauge = |name: &str, help: &str| register.gauge(name, help);
        let counter = |name: &str, help: &str| register.counter(name, help);
        Ok(Self {
            has_leader: gauge("etcd_server_has_leader", "Whether the node knows a leader.")?,
            is_leader: gauge("etcd_server_is_leader", "Whether the node leads.")?,
            leader_changes: counter("etcd_server_leader_changes_seen_total", "Leader changes seen.")?,
            proposals_pending: gauge(
                "etcd_server_proposals_pending",
                "Commands that wait for an answer.",
            )?,
            proposals_committed: gauge("etcd_server_proposals_committed_total", "Committed log index.")?,
            proposals_applied: gauge("etcd_server_proposals_applied_total", "Applied log index.")?,
            proposals_failed: counter(
                "etcd_server_proposals_failed_total",
                "Commands that got no answer.",
            )?,
            read_indexes_failed: counter(
                "etcd_server_read_indexes_failed_total",
                "Read rounds that failed.",
            )?,
            slow_read_indexes: counter(
                "etcd_server_slow_read_indexes_total",
                "Read rounds that took too long.",
            )?,
            log_fsync_seconds: register.histogram(
                "etcd_disk_wal_fsync_duration_seconds",
                "Time of one fsync of the log.",
                (0.001, 2.0, 14),
            )?,
            log_write_seconds: register.histogram(
                "etcd_disk_wal_write_duration_seconds",
                "Time of one write to the log.",
                (0.001, 2.0, 14),
            )?,
            log_written_bytes: gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log.")?,
            state_commit_seconds: register.histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "Time of one batch of the state database.",
                (0.001, 2.0, 14),
            )?,
            peers: PeerMetrics::new(&register)?,
            compaction_removed: counter(
                "etcd_debugging_mvcc_db_compaction_keys_total",
                "Versions removed by compaction.",
            )?,
            puts: counter("etcd_mvcc_put_total", "Puts applied.")?,
            deletes: counter("etcd_mvcc_delete_total", "Removals applied.")?,
            put_bytes: gauge(
                "etcd_debugging_mvcc_total_put_size_in_bytes",
                "Bytes of keys and values in the puts applied.",
            )?,
            alarms: register.gauges(
                "etcd_debugging_server_alarms",
                "Active alarms.",
                &["server_id", "alarm_type"],
            )?,
            shown_alarms: Arc::default(),
            watchers: gauge("etcd_debugging_mvcc_watcher_total", "Open watches.")?,
            watch_streams: gauge("etcd_debugging_mvcc_watch_stream_total", "Open watch streams.")?,
            slow_watchers: gauge(
                "etcd_debugging_mvcc_slow_watcher_total",
                "Watches that are being served from history.",
            )?,
            watch_events: counter("etcd_debugging_mvcc_events_total", "Events sent to watches.")?,
            watch_pending_events: gauge(
                "etcd_debugging_mvcc_pending_events_total",
                "Events waiting to be sent to watches.",
            )?,
            ranges: counter("etcd_mvcc_range_total", "Ranges asked for.")?,
            txns: counter("etcd_mvcc_txn_total", "Transactions asked for.")?,
            leases_granted: counter("etcd_debugging_lease_granted_total", "Leases granted.")?,
            leases_revoked: counter("etcd_debugging_lease_revoked_total", "Leases revoked.")?,
            leases_renewed: counter("etcd_debugging_lease_renewed_total", "Leases renewed.")?,
            leases_expired: counter(
                "etcd_debugging_server_lease_expired_total",
                "Leases whose time ended.",
            )?,
            database_bytes: gauge(
                "etcd_mvcc_db_total_size_in_bytes",
                "Bytes of the database on disk.",
            )?,
            database_bytes_in_use: gauge(
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Bytes of the database that live data takes.",
            )?,
            quota_bytes: gauge(
                "etcd_server_quota_backend_bytes",
                "Bytes of the database above which writes are refused.",
            )?,
            revision: gauge("etcd_debugging_mvcc_current_revision", "The store's revision.")?,
            compacted_revision: gauge("etcd_debugging_mvcc_compact_revision", "The compacted revision.")?,
            is_learner: gauge("etcd_server_is_learner", "Whether the node is a learner.")?,
            calls: CallMetrics::new(&register)?,
            checks: CheckMetrics::new(&register)?,
            secrets: SecretMetrics::new(&register)?,
            dns: DnsMetrics::new(&register)?,
            requests: RequestMetrics::new(&register)?,
            maintenance: MaintenanceMetrics::new(&register)?,
            process: ProcessMetrics::new(&register)?,
            health_checks: register.gauges(
                "etcd_server_healthcheck",
                "Whether each health check passed when it was last made.",
                &["type", "name"],
            )?,
            health_checks_made: register.counters(
                "etcd_server_healthchecks_total",
                "Health checks made.",
                &["type", "name", "status"],
            )?,
            promotions: counter(
                "etcd_server_learner_promote_successes",
                "Learners made voters by this node as the leader.",
            )?,
            failed_promotions: register.counters(
                "etcd_server_learner_promote_failures",
                "Learners that this node, as the leader, did not make voters.",
                &["Reason"],
            )?,
            lease_ttl_seconds: register.histogram(
                "etcd_debugging_lease_ttl_total",
                "Times to live of granted leases, in seconds.",
                (1.0, 2.0, 24),
            )?,
            auth_revision: gauge("etcd_debugging_auth_revision", "The revision of users and roles.")?,
            health_successes: counter("etcd_server_health_success", "Health pages that said yes.")?,
            health_failures: counter("etcd_server_health_failures", "Health pages that said no.")?,
            registry,
        })
    }

    /// These alarms are active, and no others: the member that each is about, and its name on the wire.
    pub fn set_alarms(&self, active: &[(MemberId, &'static str)]) {
        let mut shown = self.shown_alarms.lock();
        shown.extend(active);
        for alarm in shown.iter() {
            self.alarms
                .with_label_values(&[&*alarm.0.to_string(), alarm.1])
                .set(i64::from(active.contains(alarm)));
        }
    }

    /// Adds what does not change while the process runs: the interface version that is served, its first two numbers, which
    /// are the cluster's, and the member's id.
    ///
    /// # Errors
    /// It was called before for the same registry.
    pub fn describe(&self, version: &str, short_version: &str, member: MemberId) -> Result<(), MetricsError> {
        let constant = |name: &str, help: &str, label: &str, value: &str| -> Result<(), MetricsError> {
            let metric = Register(&self.registry).gauges(name, help, &[label])?;
            metric.with_label_values(&[value]).set(1);
            Ok(())
        };
        constant(
            "etcd_server_version",
            "The etcd interface version.",
            "server_version",
            version,
        )?;
        constant("etcd_server_id", "The member.", "server_id", &member.to_string())?;
        constant(
            "etcd_cluster_version",
            "The interface version of the cluster.",
            "cluster_version",
            short_version,
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_that_is_cleared_is_shown_as_cleared() {
        let metrics = Metrics::new().expect("metrics register once");
        let shown = |member: &str| metrics.alarms.with_label_values(&[member, "NOSPACE"]).get();
        metrics.set_alarms(&[(MemberId(10), "NOSPACE"), (MemberId(11), "NOSPACE")]);
        assert_eq!((shown("a"), shown("b")), (1, 1));
        metrics.set_alarms(&[(MemberId(11), "NOSPACE")]);
        assert_eq!((shown("a"), shown("b")), (0, 1));
    }
}
