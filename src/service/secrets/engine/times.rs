//! Times as Vault's clients read them.
//!
//! Never reads a clock.

use std::time::{Duration, UNIX_EPOCH};

/// A time since 1970, as RFC 3339 writes it, in UTC: `2026-01-02T03:04:05.678900000Z`.
#[must_use]
pub fn rfc3339(since_1970: Duration) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + since_1970).to_string()
}
