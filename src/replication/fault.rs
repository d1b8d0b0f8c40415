//! Faults that a build for tests can be told to have, so that the fault harness proves that it would notice them.
//!
//! `STEAD_FAULT=ack-before-fsync` acknowledges log writes up to 200 ms before they reach the disk;
//! `STEAD_FAULT=read-without-barrier` serves linearizable reads from the local state. A build without debug assertions
//! has none of this: there every function here is the constant "no".

/// How long an acknowledged write is held in memory under `ack-before-fsync`.
pub const HELD_WRITE_MILLISECONDS: u64 = 200;

/// Whether log writes are acknowledged before they are durable.
#[must_use]
pub fn acknowledges_before_fsync() -> bool {
    is_asked_for("ack-before-fsync")
}

/// Whether linearizable reads skip their barrier.
#[must_use]
pub fn reads_without_barrier() -> bool {
    is_asked_for("read-without-barrier")
}

fn is_asked_for(fault: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("STEAD_FAULT").is_ok_and(|asked| asked == fault)
}
