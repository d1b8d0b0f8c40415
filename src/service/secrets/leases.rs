//! Leases of secrets: what an engine gave for a time, and takes back at the end of it or when it is told to.
//!
//! ```text
//! lease/<id>             what was leased, to whom, until when
//! timer/<id>             nothing, on a lease of the store: when it goes, the time is up
//! leased/<token>/<hash>  the id, so that what a token was given ends with it
//! ```
//!
//! The id is the path of the request and 24 characters at random. Taking back is done by [`super::reaper`] where time is up,
//! and again until it succeeds; of all below a path, by [`revoking`]. What a batch token was given belongs to the token that
//! it descends from, as nothing tells when the batch token itself ends. Never lets a lease outlast its token.

mod revoking;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::storage::{decode, encode};
use super::engine::times::rfc3339;
use super::engine::{Data, Fault, Leased, Mount, TokenKind};
use super::error::SecretsError;
use super::parameters::span;
use super::path::below;
use super::randomness::Randomness;
use super::request::Response;
use super::store::Draft;
use super::token::{self, Identity};
use super::work::Work;
use crate::base::secret::Secret;
pub use revoking::{REVOKING, go_on, revoke_below};

/// Where leases are.
pub const LEASES: &str = "lease";
/// Where their time runs.
pub const TIMERS: &str = "timer";
/// Where those of a token are.
pub const LEASED: &str = "leased";

/// What is stored of a lease. Times are since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// The token that it ends with: that which it was given to, or which that one descends from.
    pub token: String,
    /// Where the mount was that gave it.
    pub mount: String,
    /// The id of that mount, by which it is found wherever it is moved; empty: only the path tells.
    #[serde(default)]
    pub mount_id: String,
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
/// The path is too long, or there is no randomness.
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
    let (token, max_ttl) = bounds(leased.max_ttl, owner, now);
    let ttl = wanted.min(most(max_ttl, mount));
    let id = format!(
        "{}/{}",
        path.trim_end_matches('/'),
        token::text::random(token::text::RANDOM_CHARACTERS, randomness)?
    );
    let lease = Lease {
        token,
        mount: mount.path.clone(),
        mount_id: mount.uuid.clone(),
        issued: now,
        ends: now + ttl,
        renewed: None,
        max_ttl,
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

/// The token that a lease ends with, and how long it may last; zero: as the mount says.
fn bounds(max_ttl: Duration, owner: &Identity, now: Duration) -> (String, Duration) {
    if owner.entry.kind == TokenKind::Service {
        return (owner.id.clone(), max_ttl);
    }
    let token = owner.entry.parent.as_ref().unwrap_or(&owner.id).clone();
    let left = owner.entry.ends.map(|ends| ends.saturating_sub(now));
    let max_ttl = match left {
        Some(left) if max_ttl.is_zero() => left,
        Some(left) => max_ttl.min(left),
        None => max_ttl,
    };
    (token, max_ttl)
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
    if let Some(mount) = mount_of(work, &lease) {
        work.with_engine(&mount, below(&lease.mount, id), |engine, call, room| {
            engine.revoke(call, &lease.details, room)
        })?;
    }
    forget(work.draft(), id, &lease)
}

/// The mount that gave a lease, wherever it is by now; none: it was taken away.
fn mount_of(work: &Work, lease: &Lease) -> Option<Mount> {
    let mounts = work.mounts();
    let mount = match lease.mount_id.as_str() {
        "" => mounts.get(&lease.mount),
        id => mounts.iter().find(|mount| mount.uuid == id),
    };
    mount.cloned()
}

/// Has the time of a lease be up: what it was for is taken back soon, and again until that succeeds.
///
/// # Errors
/// It cannot be read.
pub fn expire(draft: &mut Draft, id: &str) -> Result<(), Fault> {
    let timer = draft.name(&format!("{TIMERS}/{id}"))?;
    draft.delete(&timer)
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
    let timer = work.draft().name(&format!("{TIMERS}/{id}"))?;
    let is_running = work.draft().has(&timer)? && token::is_alive(work.draft(), &lease.token)?;
    if !lease.is_renewable || !is_running {
        return Err(Fault::Invalid("lease is not renewable".to_owned()).into());
    }
    let mount = mount_of(work, &lease).ok_or_else(invalid)?;
    let wanted = Some(wanted.unwrap_or(lease.ttl));
    let lasts = work.with_engine(&mount, below(&lease.mount, &id), |engine, call, room| {
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
