//! Snapshot files.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::snapshot,
    stead::service::fuzzing::snapshot_seeds
);
