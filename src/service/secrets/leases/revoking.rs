//! Taking back all that was given at a path and below it: leases, and tokens, which are leases of the path that they were
//! made at.
//!
//! ```text
//! revoking/<path>   what is left there, if that is more than one transaction takes
//! ```
//!
//! [`crate::service::secrets::reaper`] goes on with what is left, on any node and after a restart too, until nothing is. Never
//! takes back what is only called alike, what was given later, or the tokens of root that a new store or a quorum of shares
//! was given: those have no lease.

use serde::{Deserialize, Serialize};

use super::{LEASES, end, expire, find, forget};
use crate::base::Revision;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::engine::storage::{decode, encode};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::mounts::AUTH;
use crate::service::secrets::path::below;
use crate::service::secrets::request::Response;
use crate::service::secrets::store::Draft;
use crate::service::secrets::token;
use crate::service::secrets::work::Work;

/// Where it is written down what is left to be taken back.
pub const REVOKING: &str = "revoking";

/// What is left to be taken back at a path and below it.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    /// What is there since this revision or longer.
    since: Revision,
    /// Whether leases are forgotten where their engine does not take them back.
    is_forced: bool,
    /// Whether only tokens are left.
    are_leases_done: bool,
    /// The sealed name of the lease or the token that was looked at last; none: the first is the next.
    after: Option<Vec<u8>>,
}

/// How a lease is taken back.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// At once, or nothing is done at all.
    Now,
    /// At once, and forgotten where its engine does not take it back.
    Forced,
    /// By itself, and again until it succeeds: one that cannot be taken back stands in no other's way.
    Alone,
}

/// Takes back all at a path and below it, as it is written and as its names are stored; with `force` leases are forgotten even
/// where that fails. What is more than one transaction takes is taken back soon afterwards.
///
/// # Errors
/// The engine has to be asked again.
pub fn revoke_below(work: &mut Work, prefix: &str, force: bool) -> Result<Response, SecretsError> {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Err(Fault::Invalid("a prefix is needed".to_owned()).into());
    }
    let manner = if force { Manner::Forced } else { Manner::Now };
    let canonical = work.canonical(prefix);
    for prefix in [Some(prefix), canonical.as_deref()].into_iter().flatten() {
        // The path may be that of one lease.
        take_back(work, prefix, manner)?;
        let mut left = Left {
            since: work.draft().view().revision(),
            is_forced: force,
            are_leases_done: false,
            after: None,
        };
        if !take_portion(work, prefix, &mut left, manner)? {
            let mark = work.draft().name(&format!("{REVOKING}/{prefix}"))?;
            work.draft().put(&mark, encode(&left)?, None);
        }
    }
    Ok(Response::default())
}

/// Goes on at a path where something is left to be taken back; false: there is still more.
///
/// # Errors
/// It cannot be read.
pub fn go_on(work: &mut Work, prefix: &str) -> Result<bool, SecretsError> {
    let mark = work.draft().name(&format!("{REVOKING}/{prefix}"))?;
    let Some(record) = work.draft().get(&mark)? else {
        return Ok(true);
    };
    let mut left: Left = decode(record.expose())?;
    let manner = if left.is_forced {
        Manner::Forced
    } else {
        Manner::Alone
    };
    let is_done = take_portion(work, prefix, &mut left, manner)?;
    if is_done {
        work.draft().delete(&mark)?;
    } else {
        work.draft().put(&mark, encode(&left)?, None);
    }
    Ok(is_done)
}

/// Takes back as much as one transaction takes; false: there is more.
fn take_portion(
    work: &mut Work,
    prefix: &str,
    left: &mut Left,
    manner: Manner,
) -> Result<bool, SecretsError> {
    if !left.are_leases_done {
        if !take_leases(work, prefix, left, manner)? {
            return Ok(false);
        }
        left.are_leases_done = true;
        left.after = None;
    }
    take_tokens(work, prefix, left)
}

fn take_leases(work: &mut Work, prefix: &str, left: &mut Left, manner: Manner) -> Result<bool, SecretsError> {
    let directory = work.draft().name(&format!("{LEASES}/{prefix}"))?;
    loop {
        let (names, more) = work
            .draft()
            .old_below(&directory, left.after.as_deref(), left.since)?;
        for name in names {
            if !work.draft().has_room() {
                return Ok(false);
            }
            let path = work.draft().unsealed().names().decode(&name)?;
            take_back(work, below("lease/", &path), manner)?;
            left.after = Some(name);
        }
        if !more {
            return Ok(true);
        }
    }
}

fn take_back(work: &mut Work, id: &str, manner: Manner) -> Result<(), Fault> {
    match manner {
        Manner::Now => end(work, id),
        Manner::Forced => {
            if end(work, id).is_err()
                && let Some(lease) = find(work.draft(), id)?
            {
                forget(work.draft(), id, &lease)?;
            }
            Ok(())
        }
        Manner::Alone => expire(work.draft(), id),
    }
}

/// Tokens that were given at a path are leases of it too.
fn take_tokens(work: &mut Work, prefix: &str, left: &mut Left) -> Result<bool, SecretsError> {
    let is_of_logins = prefix == AUTH.trim_end_matches('/') || prefix.starts_with(AUTH);
    if !is_of_logins {
        return Ok(true);
    }
    let directory = work.draft().name(token::TOKENS)?;
    loop {
        let (names, more) = work
            .draft()
            .old_below(&directory, left.after.as_deref(), left.since)?;
        for name in names {
            if is_made_below(work.draft(), &name, prefix)? {
                if !work.draft().has_room() {
                    return Ok(false);
                }
                let id = work.draft().unsealed().names().child(&directory, &name)?.name;
                token::revoke(work.draft(), &id)?;
            }
            left.after = Some(name);
        }
        if !more {
            return Ok(true);
        }
    }
}

/// Whether a token was made at a path or below it, and not for root by nobody's token. The path of a token never changes, and
/// most are of others: what was read is not remembered.
fn is_made_below(draft: &Draft, name: &[u8], prefix: &str) -> Result<bool, Fault> {
    let Some(record) = draft.peek(name)? else {
        return Ok(false);
    };
    let entry: token::Entry = decode(record.expose())?;
    if entry.path == token::ROOT_PATH {
        return Ok(false);
    }
    let rest = entry.path.strip_prefix(prefix);
    Ok(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
