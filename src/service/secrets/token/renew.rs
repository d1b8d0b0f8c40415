//! How long tokens last, and which are renewed.
//!
//! A token of a login is renewed while its role or user is there, for as long as they say by then, and where Vault asks for
//! that with the same policies or the same certificate; one of a role of tokens while that role is there, with the period and
//! at most the explicit maximum that it says by then. The explicit maximum of a token itself stays as it was made.
//!
//! Never prolongs what whoever gave it would not give any more.

use std::collections::BTreeSet;
use std::time::Duration;

use super::entry::Entry;
use super::find::Identity;
use super::login::of_login;
use super::make::New;
use super::{TOKENS, roles};
use crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::engine::{Fault, Mount, Tuning};
use crate::service::secrets::path::below;
use crate::service::secrets::policy;
use crate::service::secrets::work::Work;

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

/// As much as a token may last that ends: it is stored on a lease, and when it ends is shown as a date.
///
/// # Errors
/// It would last longer.
pub fn bounded(lasts: Duration) -> Result<Duration, Fault> {
    if lasts > Duration::from_secs(MAXIMUM_LEASE_TTL_SECONDS.unsigned_abs()) {
        return Err(Fault::Invalid(format!(
            "the token would last {} seconds; the most is {MAXIMUM_LEASE_TTL_SECONDS}",
            lasts.as_secs()
        )));
    }
    Ok(lasts)
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

/// Renews a token that is stored, if whoever gave it still would.
///
/// # Errors
/// It cannot be renewed: by itself, or because of what it was given for. It stays as it is then.
pub fn renew(work: &mut Work, identity: &Identity, wanted: Duration) -> Result<(Entry, Vec<String>), Fault> {
    let given = &identity.entry;
    if !given.is_renewable || given.ends.is_none() {
        return Err(Fault::Invalid("lease is not renewable".to_owned()));
    }
    let mount = work.mounts().owner(&given.path).cloned();
    let mount = mount.ok_or_else(|| {
        let path = &given.path;
        Fault::Invalid(format!("nothing is mounted at {path:?} any more, not renewing"))
    })?;
    let mut entry = Entry::clone(given);
    let (mut wanted, mut maximum_of_role) = (wanted, Duration::ZERO);
    if mount.kind != "token" {
        let login = login_again(work, given, &mount)?;
        entry.period = login.period;
        entry.max_ttl = login.max_ttl;
        let spans = [wanted, login.ttl, mount.tuning.default_lease()];
        wanted = spans.into_iter().find(|span| !span.is_zero()).unwrap_or_default();
    } else if !given.role.is_empty() {
        let role = roles::read(work.draft(), &given.role)?.ok_or_else(|| {
            let role = &given.role;
            Fault::Invalid(format!(
                "original token role {role:?} could not be found, not renewing"
            ))
        })?;
        entry.period = role.period;
        maximum_of_role = role.explicit_max_ttl;
    }
    let now = work.draft().now();
    let mut warnings = Vec::new();
    let mut lasts = ends_after(&entry, wanted, now, &mount.tuning, &mut warnings);
    if !maximum_of_role.is_zero() {
        let most = maximum_of_role.saturating_sub(now.saturating_sub(entry.created));
        lasts = cut(lasts, most, "the explicit maximum of the role", &mut warnings);
    }
    if lasts.as_secs() == 0 {
        return Err(Fault::Invalid("past the max TTL, cannot renew".to_owned()));
    }
    let lasts = bounded(lasts)?;
    entry.ttl = lasts;
    entry.ends = Some(now + lasts);
    entry.renewed = Some(now);
    let draft = work.draft();
    let name = draft.name(&format!("{TOKENS}/{}", identity.id))?;
    draft.put(&name, encode(&entry)?, Some(lasts));
    Ok((entry, warnings))
}

/// The token that who has one of a login would be given for a login now.
fn login_again(work: &mut Work, given: &Entry, mount: &Mount) -> Result<New, Fault> {
    let path = below(&mount.path, &given.path);
    let (login, needs_same) = work.with_engine(mount, path, |engine, call, room| {
        let login = engine.renew_login(call, &given.metadata, room)?;
        Ok((login, engine.renews_same_policies()))
    })?;
    let new = of_login(login, mount, &given.path)?;
    let own = |policies: &[String]| -> BTreeSet<String> {
        let names = policies.iter().filter(|name| *name != policy::DEFAULT);
        names.cloned().collect()
    };
    if needs_same && own(&new.policies) != own(&given.policies) {
        return Err(Fault::Invalid("policies have changed, not renewing".to_owned()));
    }
    Ok(new)
}
