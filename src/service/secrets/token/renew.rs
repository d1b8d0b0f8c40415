//! How long tokens last.
//!
//! Never prolongs what may not be prolonged: whoever asks has looked.

use std::time::Duration;

use super::TOKENS;
use super::entry::Entry;
use super::find::Identity;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::engine::{Fault, Tuning};
use crate::service::secrets::store::Draft;

/// How long a token lasts from `now` on, if `wanted` is asked for (zero: nothing is), with a warning where that is less.
#[must_use]
pub fn ends_after(
    entry: &Entry,
    wanted: Duration,
    now: Duration,
    tuning: &Tuning,
    warnings: &mut Vec<String>,
) -> Duration {
    let age = now.saturating_sub(entry.created);
    let mut lasts = match (entry.period.is_zero(), wanted.is_zero()) {
        (false, _) => entry.period,
        (true, false) => wanted,
        (true, true) if !entry.creation_ttl.is_zero() => entry.creation_ttl,
        (true, true) => tuning.default_lease(),
    };
    if entry.period.is_zero() {
        let mount = tuning.maximum_lease();
        let most = match entry.max_ttl.is_zero() {
            true => mount,
            false => entry.max_ttl.min(mount),
        };
        lasts = cut(lasts, most.saturating_sub(age), "the maximum", warnings);
    }
    if !entry.explicit_max_ttl.is_zero() {
        let most = entry.explicit_max_ttl.saturating_sub(age);
        lasts = cut(lasts, most, "the explicit maximum", warnings);
    }
    lasts
}

fn cut(lasts: Duration, most: Duration, what: &str, warnings: &mut Vec<String>) -> Duration {
    if lasts > most {
        warnings.push(format!(
            "TTL of {:?} exceeded {what}: the effective value is {:?}",
            lasts, most
        ));
    }
    lasts.min(most)
}

/// Renews a token that is stored.
///
/// # Errors
/// It cannot be renewed.
pub fn renew(
    draft: &mut Draft,
    identity: &Identity,
    wanted: Duration,
    tuning: &Tuning,
) -> Result<(Entry, Vec<String>), Fault> {
    let mut entry = Entry::clone(&identity.entry);
    if !entry.is_renewable || entry.ends.is_none() {
        return Err(Fault::Invalid("lease is not renewable".to_owned()));
    }
    let now = draft.now();
    let mut warnings = Vec::new();
    let lasts = ends_after(&entry, wanted, now, tuning, &mut warnings);
    entry.ttl = lasts;
    entry.ends = Some(now + lasts);
    entry.renewed = Some(now);
    let name = draft.name(&format!("{TOKENS}/{}", identity.id))?;
    draft.put(&name, encode(&entry)?, Some(lasts));
    Ok((entry, warnings))
}
