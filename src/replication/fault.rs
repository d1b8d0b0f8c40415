//! Faults that a build for tests can be told to have, so that the fault harness proves that it would notice them.
//!
//! `STEAD_FAULT=ack-before-fsync` acknowledges log writes up to 200 ms before they reach the disk;
//! `STEAD_FAULT=read-without-barrier` serves linearizable reads from the local state;
//! `STEAD_FAULT=corrupt-apply` stores another value wherever the key `corrupt-apply` is put. A build without debug
//! assertions has none of this: there every function here is the constant "no".

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::state::applied::Fatal;
use crate::state::command::Command;
use crate::state::format::decode_proposals;
use crate::state::{LogEntry, Payload, encode_proposal};

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

/// The fault of [`corrupted`], and the key that it is about.
const CORRUPT_APPLY: &str = "corrupt-apply";

/// What is applied in place of `entries`.
///
/// # Errors
/// An entry cannot be decoded.
pub fn corrupted(entries: &[LogEntry]) -> Result<Cow<'_, [LogEntry]>, Fatal> {
    if asked_for() != Some(CORRUPT_APPLY) {
        return Ok(Cow::Borrowed(entries));
    }
    let mut entries = entries.to_vec();
    for entry in &mut entries {
        if let Payload::Proposals(encoded) = &entry.payload {
            let mut corrupted = Vec::new();
            for mut proposal in decode_proposals(encoded)? {
                if let Command::Put(put) = &mut proposal.command
                    && put.key == CORRUPT_APPLY
                {
                    put.value = Bytes::from_static(b"another value");
                }
                corrupted.extend_from_slice(&encode_proposal(&proposal)?);
            }
            entry.payload = Payload::Proposals(corrupted.into());
        }
    }
    Ok(Cow::Owned(entries))
}

fn asked_for() -> Option<&'static str> {
    static FAULT: OnceLock<Option<String>> = OnceLock::new();
    if cfg!(debug_assertions) {
        FAULT.get_or_init(|| std::env::var("STEAD_FAULT").ok()).as_deref()
    } else {
        None
    }
}
