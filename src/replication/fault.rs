//! Faults that a build for tests can be told to have, so that the fault harness proves that it would notice them.
//!
//! `STEAD_FAULT=ack-before-fsync` acknowledges log writes up to 200 ms before they reach the disk;
//! `STEAD_FAULT=read-without-barrier` serves linearizable reads from the local state. A build without debug assertions
//! has none of this: there every function here is the constant "no".

use std::sync::OnceLock;

/// How long an acknowledged write is held in memory under `ack-before-fsync`.
pub const HELD_WRITE_MILLISECONDS: u64 = 200;

/// Whether log writes are acknowledged before they are durable.
#[must_use]
pub fn acknowledges_before_fsync() -> bool {
    asked_for() == Some("ack-before-fsync")
}

/// Whether linearizable reads skip their barrier.
#[must_use]
pub fn reads_without_barrier() -> bool {
    asked_for() == Some("read-without-barrier")
}

fn asked_for() -> Option<&'static str> {
    static FAULT: OnceLock<Option<String>> = OnceLock::new();
    if cfg!(debug_assertions) {
        FAULT.get_or_init(|| std::env::var("STEAD_FAULT").ok()).as_deref()
    } else {
        None
    }
}
