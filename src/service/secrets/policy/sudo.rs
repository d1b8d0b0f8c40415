//! Paths that need `sudo` besides what is done there.
//!
//! Some parameters of a new token need it as well; that is decided where tokens are made.

/// These alone.
const EXACT: [&str; 14] = [
    "auth/token/revoke-orphan",
    "sys/audit",
    "sys/config/cors",
    "sys/leases",
    "sys/raw",
    "sys/remount",
    "sys/rotate",
    "sys/rotate/keyring",
    "sys/rotate/root",
    "sys/seal",
    "sys/seals",
    "sys/step-down",
    "sys/storage/raft/snapshot",
    "sys/storage/raft/snapshot-force",
];

/// All that begins so.
const BELOW: [&str; 14] = [
    "auth/token/accessors",
    "auth/token/revoke-orphan/",
    "sys/audit/",
    "sys/auth/",
    "sys/config/auditing/",
    "sys/config/ui/headers/",
    "sys/internal/inspect/",
    "sys/leases/lookup/",
    "sys/leases/revoke-force/",
    "sys/leases/revoke-prefix/",
    "sys/plugins/catalog/",
    "sys/raw/",
    "sys/revoke-force/",
    "sys/revoke-prefix/",
];

/// Whether that path, without a slash at its beginning, needs `sudo`. A slash at its end changes nothing for those that
/// are named alone.
pub(super) fn needs(path: &str) -> bool {
    EXACT.contains(&path.strip_suffix('/').unwrap_or(path))
        || BELOW.iter().any(|beginning| path.starts_with(beginning))
}
