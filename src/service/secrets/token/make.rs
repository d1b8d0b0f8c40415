//! Making tokens.
//!
//! Never decides who may: whoever asks for a token has been judged before.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;

use super::entry::{Entry, Lineage};
use super::find::{BATCH_PLACE, find};
use super::renew::{bounded, ends_after};
use super::{ACCESSORS, CHILDREN, LINEAGE, TOKENS, text};
use crate::base::limits::MAXIMUM_TOKEN_GENERATIONS;
use crate::base::secret::Secret;
use crate::service::secrets::engine::storage::{decode, encode};
use crate::service::secrets::engine::{Fault, TokenKind, Tuning};
use crate::service::secrets::randomness::Randomness;
use crate::service::secrets::request::Auth;
use crate::service::secrets::store::Draft;

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct New {
    /// The token itself, where the client chose it.
    pub id: Option<Secret<String>>,
    /// The id of its parent; none: it has none.
    pub parent: Option<String>,
    /// All its policies, sorted.
    pub policies: Vec<String>,
    /// The path that it is made at.
    pub path: String,
    /// What is said of who has it.
    pub metadata: BTreeMap<String, String>,
    /// The name that audit shows.
    pub display_name: String,
    /// How often it may be used; 0: as often as anybody likes.
    pub uses: u64,
    /// How long it lasts; zero: as its mount says, and for ever if it is root's.
    pub ttl: Duration,
    /// How long it may last with renewals; zero: as its mount says.
    pub max_ttl: Duration,
    /// How long it may last whatever else is said; zero: no such limit.
    pub explicit_max_ttl: Duration,
    /// How long it lasts after each renewal; zero: it is not periodic.
    pub period: Duration,
    /// Whether it can be renewed.
    pub is_renewable: bool,
    /// The role that it is made by; empty: none.
    pub role: String,
    /// From where it may be used.
    pub bound_cidrs: Vec<IpNet>,
    /// Whether it is stored.
    pub kind: TokenKind,
    /// The path whose answer is wrapped in it; empty: none is.
    pub wraps: String,
}

/// A token that was made.
pub struct Made {
    /// What the client is told.
    pub auth: Auth,
    /// Its id.
    pub id: String,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Makes a token in a draft. `tuning` is that of the mount it is made at.
///
/// # Errors
/// There is one like it, it would last longer than a lease may, or there are too many generations or no randomness.
pub fn make(
    draft: &mut Draft,
    new: New,
    tuning: &Tuning,
    randomness: &mut dyn Randomness,
) -> Result<Made, Fault> {
    let now = draft.now();
    let generations = check_generations(draft, new.parent.as_deref())?;
    if generations > MAXIMUM_TOKEN_GENERATIONS {
        return Err(Fault::Invalid(format!(
            "the token would be of generation {generations}; the most is {MAXIMUM_TOKEN_GENERATIONS}"
        )));
    }
    let mut entry = Entry {
        accessor: String::new(),
        parent: new.parent,
        policies: new.policies,
        path: new.path,
        metadata: new.metadata,
        display_name: new.display_name,
        uses: (new.uses > 0).then_some(new.uses),
        created: now,
        creation_ttl: Duration::ZERO,
        ttl: Duration::ZERO,
        ends: None,
        renewed: None,
        max_ttl: new.max_ttl,
        explicit_max_ttl: new.explicit_max_ttl,
        period: new.period,
        is_renewable: new.is_renewable,
        role: new.role,
        bound_cidrs: new.bound_cidrs,
        kind: new.kind,
        wraps: new.wraps,
    };
    let mut warnings = Vec::new();
    let is_for_ever = entry.is_root()
        && new.ttl.is_zero()
        && entry.period.is_zero()
        && entry.explicit_max_ttl.is_zero()
        && entry.max_ttl.is_zero();
    if is_for_ever {
        entry.is_renewable = false;
    } else {
        let lasts = bounded(ends_after(&entry, new.ttl, now, tuning, &mut warnings))?;
        entry.ttl = lasts;
        entry.creation_ttl = lasts;
        entry.ends = Some(now + lasts);
    }
    let (token, id) = match entry.kind {
        TokenKind::Batch => {
            entry.is_renewable = false;
            let token = seal_batch(draft, &entry)?;
            let id = draft.unsealed().token_id(token.expose());
            (token, id)
        }
        TokenKind::Service => store(draft, new.id, &mut entry, randomness)?,
    };
    let auth = auth(token, &entry, now);
    Ok(Made { auth, id, warnings })
}

/// What is told of a token that was made or renewed.
#[must_use]
pub fn auth(token: Secret<String>, entry: &Entry, now: Duration) -> Auth {
    Auth {
        token,
        accessor: entry.accessor.clone(),
        policies: entry.policies.clone(),
        metadata: entry.metadata.clone(),
        lease_seconds: entry.seconds_left(now).unwrap_or(0),
        is_renewable: entry.is_renewable,
        is_orphan: entry.parent.is_none(),
        kind: entry.kind,
        uses: entry.uses.unwrap_or(0),
    }
}

fn store(
    draft: &mut Draft,
    chosen: Option<Secret<String>>,
    entry: &mut Entry,
    randomness: &mut dyn Randomness,
) -> Result<(Secret<String>, String), Fault> {
    let token = match chosen {
        Some(chosen) => {
            check_unused(draft, chosen.expose())?;
            chosen
        }
        None => text::token(randomness)?,
    };
    entry.accessor = text::random(text::RANDOM_CHARACTERS, randomness)?;
    let id = draft.unsealed().token_id(token.expose());
    let ttl = (!entry.ttl.is_zero()).then_some(entry.ttl);
    let name = draft.name(&format!("{TOKENS}/{id}"))?;
    draft.put(&name, encode(entry)?, ttl);
    let name = draft.name(&format!("{ACCESSORS}/{}", entry.accessor))?;
    draft.put(&name, encode(&id)?, None);
    let lineage = Lineage {
        accessor: entry.accessor.clone(),
        parent: entry.parent.clone(),
    };
    let name = draft.name(&format!("{LINEAGE}/{id}"))?;
    draft.put(&name, encode(&lineage)?, None);
    if let Some(parent) = &entry.parent {
        let name = draft.name(&format!("{CHILDREN}/{parent}/{id}"))?;
        draft.put(&name, Secret::new(Vec::new()), None);
    }
    Ok((token, id))
}

/// Whether there can be a token that a client chose: what an earlier one left behind would be its own.
fn check_unused(draft: &mut Draft, token: &str) -> Result<(), Fault> {
    if find(draft, token)?.is_some() {
        return Err(Fault::Invalid(
            "cannot create a token with a duplicate ID".to_owned(),
        ));
    }
    let id = draft.unsealed().token_id(token);
    for directory in [TOKENS, LINEAGE] {
        let name = draft.name(&format!("{directory}/{id}"))?;
        if draft.has(&name)? {
            return Err(Fault::Invalid(
                "what a token of that id left behind is still being taken away; try again".to_owned(),
            ));
        }
    }
    Ok(())
}

fn seal_batch(draft: &Draft, entry: &Entry) -> Result<Secret<String>, Fault> {
    let sealed = draft.unsealed().encrypt(BATCH_PLACE, encode(entry)?.expose());
    let sealed = sealed.map_err(|error| Fault::Internal(error.to_string()))?;
    Ok(Secret::new(format!(
        "{}{}",
        text::BATCH,
        URL_SAFE_NO_PAD.encode(sealed)
    )))
}

/// Which generation a child of that token is.
fn check_generations(draft: &mut Draft, parent: Option<&str>) -> Result<usize, Fault> {
    let mut parent = parent.map(str::to_owned);
    let mut generations = 1;
    while let Some(id) = parent {
        generations += 1;
        if generations > MAXIMUM_TOKEN_GENERATIONS {
            break;
        }
        let name = draft.name(&format!("{TOKENS}/{id}"))?;
        let Some(entry) = draft.made::<Entry>(&name, decode)? else {
            return Err(Fault::Denied);
        };
        parent = entry.parent.clone();
    }
    Ok(generations)
}
