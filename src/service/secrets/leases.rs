//! Leases of secrets: what an engine gave for a time, and takes back at the end of it or when it is told to.
//!
//! ```text
//! lease/<id>             what was leased, to whom, until when
//! timer/<id>             nothing, on a lease of the store: when it goes, the time is up
//! leased/<token>/<hash>  the id, so that what a token was given ends with it
//! ```
//!
//! The id is the path of the request and 24 characters at random. Taking back is done by [`super::reaper`] where time is up,
//! and again until it succeeds. Never lets a lease outlast its token.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::storage::{decode, encode};
use super::engine::times::rfc3339;
use super::engine::{Data, Fault, Leased, Mount};
use super::error::SecretsError;
use super::parameters::span;
use super::path::below;
use super::randomness::Randomness;
use super::request::Response;
use super::store::Draft;
use super::token::{self, Identity};
use super::work::Work;
use crate::base::secret::Secret;

/// Where leases are.
pub const LEASES: &str = "lease";
/// Where their time runs.
pub const TIMERS: &str = "timer";
/// Where those of a token are.
pub const LEASED: &str = "leased";

/// What is stored of a lease. Times are since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// The token that it was given to.
    pub token: String,
    /// The mount that gave it.
    pub mount: String,
    /// When.
    pub issued: Duration,
    /// When it ends.
    pub ends: Duration,
    /// When it was renewed last.
    pub renewed: Option<Duration>,
    /// How long it may last; zero: as the mount says.
    pub max_ttl: Duration,
    /// How long it was given at first.
    pub ttl: Duration,
    /// Whether it can be renewed.
    pub is_renewable: bool,
    /// What the engine needs to take it back.
    pub details: Vec<u8>,
}

/// A lease that was made.
pub struct MadeLease {
    /// Its id.
    pub id: String,
    /// For how long.
    pub seconds: u64,
    /// Whether it can be renewed.
    pub is_renewable: bool,
}

/// Makes a lease.
///
/// # Errors
/// The token is one that is not stored and ends sooner, or there is no randomness.
pub fn make(
    draft: &mut Draft,
    leased: Leased,
    owner: &Identity,
    mount: &Mount,
    path: &str,
    randomness: &mut dyn Randomness,
) -> Result<MadeLease, Fault> {
    let now = draft.now();
    let wanted = if leased.ttl.is_zero() {
        mount.tuning.default_lease()
    } else {
        leased.ttl
    };
    let most = most(leased.max_ttl, mount);
    let ttl = wanted.min(most);
    let id = format!(
        "{}/{}",
        path.trim_end_matches('/'),
        token::text::random(token::text::RANDOM_CHARACTERS, randomness)?
    );
    let lease = Lease {
        token: owner.id.clone(),
        mount: mount.path.clone(),
        issued: now,
        ends: now + ttl,
        renewed: None,
        max_ttl: leased.max_ttl,
        ttl,
        is_renewable: leased.is_renewable,
        details: leased.details,
    };
    write(draft, &id, &lease)?;
    let link = draft.name(&link(draft, &lease.token, &id))?;
    draft.put(&link, encode(&id)?, None);
    Ok(MadeLease {
        id,
        seconds: ttl.as_secs(),
        is_renewable: lease.is_renewable,
    })
}

fn most(max_ttl: Duration, mount: &Mount) -> Duration {
    match max_ttl.is_zero() {
        true => mount.tuning.maximum_lease(),
        false => max_ttl.min(mount.tuning.maximum_lease()),
    }
}

fn write(draft: &mut Draft, id: &str, lease: &Lease) -> Result<(), Fault> {
    let left = lease.ends.saturating_sub(draft.now());
    let name = draft.name(&format!("{LEASES}/{id}"))?;
    draft.put(&name, encode(lease)?, None);
    let name = draft.name(&format!("{TIMERS}/{id}"))?;
    draft.put(&name, Secret::new(Vec::new()), Some(left));
    Ok(())
}

fn link(draft: &Draft, token: &str, id: &str) -> String {
    // A hash of its own kind is not needed: ids of leases are no secrets, only too long for a segment.
    format!("{LEASED}/{token}/{}", draft.unsealed().token_id(id))
}

/// The lease of an id; none: there is none.
///
/// # Errors
/// It cannot be read.
pub fn find(draft: &mut Draft, id: &str) -> Result<Option<Lease>, Fault> {
    if id.is_empty() || id.split('/').any(str::is_empty) {
        return Ok(None);
    }
    let name = draft.name(&format!("{LEASES}/{id}"))?;
    let record = draft.get(&name)?;
    record.map(|record| decode(record.expose())).transpose()
}

/// Takes back what a lease was for, and forgets it.
///
/// # Errors
/// The engine has to be asked again.
pub fn end(work: &mut Work, id: &str) -> Result<(), Fault> {
    let Some(lease) = find(work.draft(), id)? else {
        return Ok(());
    };
    let mount = work.mounts().get(&lease.mount).cloned();
    if let Some(mount) = mount {
        let path = below(&mount.path, id).to_owned();
        work.with_engine(&mount, &path, |engine, call, room| {
            engine.revoke(call, &lease.details, room)
        })?;
    }
    forget(work.draft(), id, &lease)
}

/// Forgets a lease, whatever became of what it was for.
///
/// # Errors
/// It cannot be read.
pub fn forget(draft: &mut Draft, id: &str, lease: &Lease) -> Result<(), Fault> {
    let link = link(draft, &lease.token, id);
    for path in [format!("{LEASES}/{id}"), format!("{TIMERS}/{id}"), link] {
        let name = draft.name(&path)?;
        draft.delete(&name)?;
    }
    Ok(())
}

fn invalid() -> Fault {
    Fault::Invalid("invalid lease".to_owned())
}

fn given(work: &Work, rest: &str) -> Result<String, Fault> {
    let id = match rest {
        "" => match work.text("lease_id")? {
            Some(id) => id,
            None => work.text("url_lease_id")?.unwrap_or_default(),
        },
        id => id.to_owned(),
    };
    let id = id.trim_matches('/').to_owned();
    if id.is_empty() {
        return Err(Fault::Invalid("lease_id must be specified".to_owned()));
    }
    Ok(id)
}

/// What is told of a lease.
///
/// # Errors
/// There is none.
pub fn lookup(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    let id = given(work, rest)?;
    let now = work.draft().now();
    let lease = find(work.draft(), &id)?
        .filter(|lease| lease.ends > now)
        .ok_or_else(invalid)?;
    let data = Data::new()
        .with("id", &id)?
        .with("issue_time", &rfc3339(lease.issued))?
        .with("expire_time", &rfc3339(lease.ends))?
        .with("last_renewal", &lease.renewed.map(rfc3339))?
        .with("renewable", &lease.is_renewable)?
        .with("ttl", &lease.ends.saturating_sub(now).as_secs())?;
    Ok(Response::data(data))
}

/// The ids below a path.
///
/// # Errors
/// There is none.
pub fn list(work: &mut Work, prefix: &str) -> Result<Response, SecretsError> {
    let path = match prefix.trim_end_matches('/') {
        "" => LEASES.to_owned(),
        prefix => format!("{LEASES}/{prefix}"),
    };
    let directory = work.draft().name(&path)?;
    Ok(Response::list(work.draft().list(&directory)?)?)
}

/// Renews a lease.
///
/// # Errors
/// There is none, or it cannot be renewed.
pub fn renew(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    let id = given(work, rest)?;
    let wanted = work.field("increment", span)?.filter(|wanted| !wanted.is_zero());
    let now = work.draft().now();
    let mut lease = find(work.draft(), &id)?
        .filter(|lease| lease.ends > now)
        .ok_or_else(invalid)?;
    if !lease.is_renewable || !token::is_alive(work.draft(), &lease.token)? {
        return Err(Fault::Invalid("lease is not renewable".to_owned()).into());
    }
    let mount = work.mounts().get(&lease.mount).cloned().ok_or_else(invalid)?;
    let path = below(&mount.path, &id).to_owned();
    let wanted = Some(wanted.unwrap_or(lease.ttl));
    let lasts = work.with_engine(&mount, &path, |engine, call, room| {
        engine.renew(call, &lease.details, wanted, room)
    })?;
    let age = now.saturating_sub(lease.issued);
    let lasts = lasts.min(most(lease.max_ttl, &mount).saturating_sub(age));
    lease.ends = now + lasts;
    lease.renewed = Some(now);
    write(work.draft(), &id, &lease)?;
    Ok(Response {
        lease_id: id,
        lease_seconds: lasts.as_secs(),
        is_renewable: true,
        ..Response::default()
    })
}

/// Takes a lease back.
///
/// # Errors
/// There is none, or the engine has to be asked again.
pub fn revoke(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    let id = given(work, rest)?;
    end(work, &id)?;
    Ok(Response::default())
}

/// Takes back all leases below a path; with `force` they are forgotten even where that fails.
///
/// # Errors
/// The engine has to be asked again.
pub fn revoke_below(work: &mut Work, prefix: &str, force: bool) -> Result<Response, SecretsError> {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Err(Fault::Invalid("a prefix is needed".to_owned()).into());
    }
    let directory = work.draft().name(&format!("{LEASES}/{prefix}"))?;
    let (names, more) = work.draft().all_below(&directory)?;
    for name in names {
        let path = work
            .draft()
            .unsealed()
            .names()
            .decode(&name)
            .map_err(SecretsError::from)?;
        let id = below("lease/", &path).to_owned();
        match end(work, &id) {
            Err(_) if force => {
                if let Some(lease) = find(work.draft(), &id)? {
                    forget(work.draft(), &id, &lease)?;
                }
            }
            ended => ended?,
        }
    }
    let mut response = Response::default();
    if more {
        response
            .warnings
            .push("there are more leases below that path: ask again".to_owned());
    }
    revoke_tokens(work, prefix)?;
    Ok(response)
}

/// Tokens that were given at a path are leases of it too.
fn revoke_tokens(work: &mut Work, prefix: &str) -> Result<(), SecretsError> {
    if !prefix.starts_with("auth/") {
        return Ok(());
    }
    let directory = work.draft().name(token::TOKENS)?;
    for id in work.draft().list(&directory)? {
        let of_prefix =
            token::of_id(work.draft(), &id)?.is_some_and(|identity| identity.entry.path.starts_with(prefix));
        if of_prefix {
            token::revoke(work.draft(), &id)?;
        }
    }
    Ok(())
}
