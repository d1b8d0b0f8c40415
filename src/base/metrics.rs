//! What the node counts and measures, under etcd's metric names where the meaning is the same.
//!
//! One [`Metrics`] for each node, handed down by `node`; no global registry, so that several nodes can live in one
//! process. Never decides anything.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};
use thiserror::Error;

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
    /// Bytes written to the log.
    pub log_written_bytes: IntGauge,
    /// Seconds of one batch of the state database.
    pub state_commit_seconds: Histogram,
    /// Seconds between a message to a peer and its answer, by peer.
    pub peer_round_trip_seconds: HistogramVec,
    /// Bytes sent, by peer.
    pub peer_sent_bytes: IntCounterVec,
    /// Bytes received, by peer.
    pub peer_received_bytes: IntCounterVec,
    /// Messages that could not be sent, by peer.
    pub peer_sent_failures: IntCounterVec,
    /// 1 while a snapshot of another node is being installed.
    pub snapshot_installs: IntGauge,
    /// Versions and events removed by compaction.
    pub compaction_removed: IntCounter,
    /// Changes applied: puts.
    pub puts: IntCounter,
    /// Changes applied: removals.
    pub deletes: IntCounter,
    /// Active alarms, by member and kind.
    pub alarms: IntGaugeVec,
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
    /// Calls begun, by kind, service and method.
    pub calls_started: IntCounterVec,
    /// Calls ended, by kind, service, method and outcome.
    pub calls_handled: IntCounterVec,
    /// Bytes of calls received from clients.
    pub client_received_bytes: IntCounter,
    /// Bytes of calls sent to clients.
    pub client_sent_bytes: IntCounter,
    /// Health pages that said yes.
    pub health_successes: IntCounter,
    /// Health pages that said no.
    pub health_failures: IntCounter,
}

impl Metrics {
    /// Registers all metrics in a registry of their own.
    ///
    /// # Errors
    /// Two metrics share a name.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| -> Result<IntGauge, MetricsError> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, MetricsError> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, MetricsError> {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| -> Result<Histogram, MetricsError> {
            let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let round_trip = HistogramVec::new(
            HistogramOpts::new(
                "etcd_network_peer_round_trip_time_seconds",
                "Round-trip time to each peer.",
            )
            .buckets(exponential_buckets(0.0001, 2.0, 16)?),
            &["To"],
        )?;
        registry.register(Box::new(round_trip.clone()))?;
        let alarms = IntGaugeVec::new(
            Opts::new("etcd_debugging_server_alarms", "Active alarms."),
            &["server_id", "alarm_type"],
        )?;
        registry.register(Box::new(alarms.clone()))?;
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
            log_fsync_seconds: histogram(
                "etcd_disk_wal_fsync_duration_seconds",
                "Time of one fsync of the log.",
                exponential_buckets(0.001, 2.0, 14)?,
            )?,
            log_written_bytes: gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log.")?,
            state_commit_seconds: histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "Time of one batch of the state database.",
                exponential_buckets(0.001, 2.0, 14)?,
            )?,
            peer_round_trip_seconds: round_trip,
            peer_sent_bytes: counters(
                "etcd_network_peer_sent_bytes_total",
                "Bytes sent to each peer.",
                &["To"],
            )?,
            peer_received_bytes: counters(
                "etcd_network_peer_received_bytes_total",
                "Bytes received from each peer.",
                &["From"],
            )?,
            peer_sent_failures: counters(
                "etcd_network_peer_sent_failures_total",
                "Messages that could not be sent to each peer.",
                &["To"],
            )?,
            snapshot_installs: gauge(
                "etcd_server_snapshot_apply_in_progress_total",
                "1 while a snapshot is being installed.",
            )?,
            compaction_removed: counter(
                "etcd_debugging_mvcc_db_compaction_keys_total",
                "Versions removed by compaction.",
            )?,
            puts: counter("etcd_mvcc_put_total", "Puts applied.")?,
            deletes: counter("etcd_mvcc_delete_total", "Removals applied.")?,
            alarms,
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
            calls_started: counters(
                "grpc_server_started_total",
                "Calls begun.",
                &["grpc_type", "grpc_service", "grpc_method"],
            )?,
            calls_handled: counters(
                "grpc_server_handled_total",
                "Calls ended.",
                &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
            )?,
            client_received_bytes: counter(
                "etcd_network_client_grpc_received_bytes_total",
                "Bytes of calls received from clients.",
            )?,
            client_sent_bytes: counter(
                "etcd_network_client_grpc_sent_bytes_total",
                "Bytes of calls sent to clients.",
            )?,
            health_successes: counter("etcd_server_health_success", "Health pages that said yes.")?,
            health_failures: counter("etcd_server_health_failures", "Health pages that said no.")?,
            registry,
        })
    }

    /// Adds what does not change while the process runs: the interface version that is served, the member's id, and what
    /// the operating system knows of the process (the latter only where it knows it).
    ///
    /// # Errors
    /// It was called before for the same registry.
    pub fn describe(&self, version: &str, member: MemberId) -> Result<(), MetricsError> {
        let constant = |name: &str, help: &str, label: &str, value: &str| -> Result<(), MetricsError> {
            let metric = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            metric.with_label_values(&[value]).set(1);
            Ok(self.registry.register(Box::new(metric))?)
        };
        constant(
            "etcd_server_version",
            "The etcd interface version.",
            "server_version",
            version,
        )?;
        constant("etcd_server_id", "The member.", "server_id", &member.to_string())?;
        #[cfg(target_os = "linux")]
        self.registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(())
    }
}
