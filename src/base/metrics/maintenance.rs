//! What keeps the database in order, and how long that takes. Never starts any of it.

use prometheus::{Histogram, IntGauge};

use super::MetricsError;
use super::register::Register;

/// Defragmentation, snapshots, hashes and compaction.
#[derive(Clone)]
pub struct MaintenanceMetrics {
    /// Seconds of one defragmentation.
    pub defragmentation_seconds: Histogram,
    /// 1 while the database is being defragmented.
    pub defragmentations: IntGauge,
    /// Seconds of making and sending one snapshot for a client.
    pub snapshot_seconds: Histogram,
    /// Seconds of hashing the whole store as it is.
    pub hash_seconds: Histogram,
    /// Seconds of hashing the store up to a revision.
    pub hash_revision_seconds: Histogram,
    /// Milliseconds of removing what a compaction left, pauses included.
    pub compaction_milliseconds: Histogram,
    /// Milliseconds of one step of it.
    pub compaction_step_milliseconds: Histogram,
    /// When the last one ended, in seconds since the Unix epoch; 0: none did.
    pub last_compaction: IntGauge,
}

impl MaintenanceMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            defragmentation_seconds: register.histogram(
                "etcd_disk_backend_defrag_duration_seconds",
                "Time of a defragmentation.",
                (0.1, 2.0, 13),
            )?,
            defragmentations: register.gauge(
                "etcd_disk_defrag_inflight",
                "1 while the database is being defragmented.",
            )?,
            snapshot_seconds: register.histogram(
                "etcd_disk_backend_snapshot_duration_seconds",
                "Time of a snapshot for a client.",
                (0.01, 2.0, 17),
            )?,
            hash_seconds: register.histogram(
                "etcd_mvcc_hash_duration_seconds",
                "Time of hashing the whole store.",
                (0.01, 2.0, 15),
            )?,
            hash_revision_seconds: register.histogram(
                "etcd_mvcc_hash_rev_duration_seconds",
                "Time of hashing the store up to a revision.",
                (0.01, 2.0, 15),
            )?,
            compaction_milliseconds: register.histogram(
                "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "Time of removing what a compaction left.",
                (100.0, 2.0, 14),
            )?,
            compaction_step_milliseconds: register.histogram(
                "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                "Time of one step of a compaction, which pauses nothing.",
                (1.0, 2.0, 13),
            )?,
            last_compaction: register.gauge(
                "etcd_debugging_mvcc_db_compaction_last",
                "When the last compaction ended, in seconds since the Unix epoch.",
            )?,
        })
    }
}
