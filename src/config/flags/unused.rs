//! The flags of etcd's that do nothing here: those whose absence would be dangerous are refused, the others are ignored.

use super::{Flag, Kind, Treatment};

const fn ignored(name: &'static str, kind: Kind, reason: &'static str) -> Flag {
    Flag {
        name,
        default: "",
        kind,
        treatment: Treatment::Ignored(reason),
        help: "",
    }
}

const fn refused(name: &'static str, kind: Kind, default: &'static str, reason: &'static str) -> Flag {
    Flag {
        name,
        default,
        kind,
        treatment: Treatment::Refused(reason),
        help: "",
    }
}

const DISCOVERY: &str = "the node would form a cluster of its own; list the members with --initial-cluster";
const DISCOVERY_UNUSED: &str = "there is no discovery service";
const DATABASE: &str = "it tunes a database that Stead does not have";
const TRACING: &str = "traces are not exported yet; the log has the spans";
const COMPACTION: &str = "compaction works in small steps that pause nothing";
const ROTATION: &str = "rotate the log with logrotate (copytruncate) or journald";
const PROXY_UNUSED: &str = "there is no proxy mode";

/// All of them.
pub(super) const UNUSED: &[Flag] = &[
    // Discovery.
    refused("discovery", Kind::Text, "", DISCOVERY),
    refused("discovery-endpoints", Kind::Text, "", DISCOVERY),
    refused("discovery-token", Kind::Text, "", DISCOVERY),
    refused("discovery-srv", Kind::Text, "", DISCOVERY),
    refused("discovery-srv-name", Kind::Text, "", DISCOVERY),
    refused("discovery-proxy", Kind::Text, "", DISCOVERY),
    ignored("discovery-dial-timeout", Kind::Duration, DISCOVERY_UNUSED),
    ignored("discovery-request-timeout", Kind::Duration, DISCOVERY_UNUSED),
    ignored("discovery-keepalive-time", Kind::Duration, DISCOVERY_UNUSED),
    ignored("discovery-keepalive-timeout", Kind::Duration, DISCOVERY_UNUSED),
    ignored("discovery-insecure-transport", Kind::Switch, DISCOVERY_UNUSED),
    ignored(
        "discovery-insecure-skip-tls-verify",
        Kind::Switch,
        DISCOVERY_UNUSED,
    ),
    ignored("discovery-cert", Kind::Text, DISCOVERY_UNUSED),
    ignored("discovery-key", Kind::Text, DISCOVERY_UNUSED),
    ignored("discovery-cacert", Kind::Text, DISCOVERY_UNUSED),
    ignored("discovery-user", Kind::Text, DISCOVERY_UNUSED),
    ignored("discovery-password", Kind::Text, DISCOVERY_UNUSED),
    ignored("discovery-fallback", Kind::Text, DISCOVERY_UNUSED),
    // What else would be missed.
    refused(
        "force-new-cluster",
        Kind::Switch,
        "false",
        "a lost quorum cannot be given up by a flag; `stead snapshot save` from the member that is left, and restore that into a new cluster",
    ),
    refused(
        "wal-dir",
        Kind::Text,
        "",
        "the log lives in --data-dir; make that folder's disk the fast one",
    ),
    refused(
        "enable-v2",
        Kind::Switch,
        "false",
        "etcd's v2 API is gone from etcd too",
    ),
    refused("proxy", Kind::Text, "off", PROXY_UNUSED),
    // What nothing depends on.
    ignored("bcrypt-cost", Kind::Text, "passwords are hashed with argon2id"),
    ignored("backend-bbolt-freelist-type", Kind::Text, DATABASE),
    ignored("backend-batch-interval", Kind::Duration, DATABASE),
    ignored("backend-batch-limit", Kind::Text, DATABASE),
    ignored("bootstrap-defrag-threshold-megabytes", Kind::Text, DATABASE),
    ignored("compaction-batch-limit", Kind::Text, COMPACTION),
    ignored("compaction-sleep-interval", Kind::Duration, COMPACTION),
    ignored(
        "downgrade-check-time",
        Kind::Duration,
        "there are no downgrades yet",
    ),
    ignored("enable-distributed-tracing", Kind::Switch, TRACING),
    ignored("distributed-tracing-address", Kind::Text, TRACING),
    ignored("distributed-tracing-service-name", Kind::Text, TRACING),
    ignored("distributed-tracing-instance-id", Kind::Text, TRACING),
    ignored("distributed-tracing-sampling-rate", Kind::Text, TRACING),
    ignored(
        "enable-lease-checkpoint",
        Kind::Switch,
        "a new leader starts each lease's time afresh",
    ),
    ignored(
        "enable-lease-checkpoint-persist",
        Kind::Switch,
        "a new leader starts each lease's time afresh",
    ),
    ignored("enable-log-rotation", Kind::Switch, ROTATION),
    ignored("log-rotation-config-json", Kind::Text, ROTATION),
    ignored("enable-pprof", Kind::Switch, "profile with `perf` instead"),
    ignored(
        "grpc-keepalive-min-time",
        Kind::Duration,
        "clients may ping as often as they like; the HTTP/2 library has no hook to send them away",
    ),
    ignored(
        "initial-election-tick-advance",
        Kind::Switch,
        "elections are not delayed at the start",
    ),
    ignored(
        "logger",
        Kind::Text,
        "there is one logger; choose its form with --log-format",
    ),
    ignored(
        "max-snapshots",
        Kind::Text,
        "old snapshots are removed as soon as they are not needed",
    ),
    ignored(
        "max-wals",
        Kind::Text,
        "the log is removed as soon as it is not needed",
    ),
    ignored(
        "memory-mlock",
        Kind::Switch,
        "the data are not held in memory; turn swap off instead",
    ),
    ignored(
        "pre-vote",
        Kind::Switch,
        "a member that lost contact disturbs no leader that has a quorum",
    ),
    ignored("proxy-failure-wait", Kind::Text, PROXY_UNUSED),
    ignored("proxy-refresh-interval", Kind::Text, PROXY_UNUSED),
    ignored("proxy-dial-timeout", Kind::Text, PROXY_UNUSED),
    ignored("proxy-write-timeout", Kind::Text, PROXY_UNUSED),
    ignored("proxy-read-timeout", Kind::Text, PROXY_UNUSED),
    ignored(
        "raft-read-timeout",
        Kind::Duration,
        "it follows from --election-timeout",
    ),
    ignored(
        "raft-write-timeout",
        Kind::Duration,
        "it follows from --election-timeout",
    ),
    ignored(
        "snapshot-catchup-entries",
        Kind::Text,
        "the log kept for slow members follows from --snapshot-count",
    ),
    ignored("socket-reuse-address", Kind::Switch, "it is always on"),
    ignored(
        "socket-reuse-port",
        Kind::Switch,
        "two processes never share a port",
    ),
    ignored("txn-mode-write-with-shared-buffer", Kind::Switch, DATABASE),
    ignored(
        "unsafe-no-fsync",
        Kind::Switch,
        "every write is synced before it is acknowledged",
    ),
    ignored("v2-deprecation", Kind::Text, "there never was a v2 store"),
];
