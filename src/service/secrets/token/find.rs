//! Whose token it is.
//!
//! Never tells a token that never was from one that has ended.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::entry::Entry;
use super::{ACCESSORS, TOKENS, text};
use crate::base::limits::MAXIMUM_TOKEN_GENERATIONS;
use crate::service::secrets::barrier::cipher::Place;
use crate::service::secrets::engine::storage::decode;
use crate::service::secrets::engine::{Caller, Fault, TokenKind};
use crate::service::secrets::store::Draft;

/// The place that batch tokens are encrypted for: no record can have it.
pub(super) const BATCH_PLACE: Place<'static> = Place {
    storage_key: b"\x02batch token",
    version: 1,
};

/// Who has a token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The id of the token; for a batch token one that is its own nonetheless.
    pub id: String,
    /// The token.
    pub entry: Arc<Entry>,
}

impl Identity {
    /// As engines see it.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            id: self.id.clone(),
            accessor: self.entry.accessor.clone(),
            display_name: self.entry.display_name.clone(),
            policies: self.entry.policies.clone(),
            metadata: self.entry.metadata.clone(),
            is_batch: self.entry.kind == TokenKind::Batch,
        }
    }
}

/// Whose token it is; none: nobody's.
///
/// # Errors
/// It cannot be read.
pub fn find(draft: &mut Draft, token: &str) -> Result<Option<Identity>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    let id = draft.unsealed().token_id(token);
    if let Some(sealed) = token.strip_prefix(text::BATCH) {
        return find_batch(draft, id, sealed);
    }
    of_id(draft, &id)
}

/// The token of an id; none: there is none, it has ended, or one that it descends from has.
///
/// # Errors
/// It cannot be read.
pub fn of_id(draft: &mut Draft, id: &str) -> Result<Option<Identity>, Fault> {
    let Some(entry) = read(draft, id)? else {
        return Ok(None);
    };
    let id = id.to_owned();
    let identity = Identity { id, entry };
    Ok(descends_from_the_living(draft, &identity.entry)?.then_some(identity))
}

/// Whether there is a token of that id, and all that it descends from.
///
/// # Errors
/// It cannot be read.
pub fn is_alive(draft: &mut Draft, id: &str) -> Result<bool, Fault> {
    Ok(of_id(draft, id)?.is_some())
}

/// The token that an accessor names; none: no living one.
///
/// # Errors
/// It cannot be read.
pub fn by_accessor(draft: &mut Draft, accessor: &str) -> Result<Option<Identity>, Fault> {
    if accessor.is_empty() || accessor.contains('/') {
        return Ok(None);
    }
    let name = draft.name(&format!("{ACCESSORS}/{accessor}"))?;
    let Some(record) = draft.get(&name)? else {
        return Ok(None);
    };
    let id: String = decode(record.expose())?;
    of_id(draft, &id)
}

fn read(draft: &mut Draft, id: &str) -> Result<Option<Arc<Entry>>, Fault> {
    let name = draft.name_below(&draft.directory(TOKENS)?, id)?;
    let entry: Option<Arc<Entry>> = draft.made(&name, decode)?;
    let now = draft.now();
    Ok(entry.filter(|entry| !entry.has_ended(now)))
}

fn find_batch(draft: &mut Draft, id: String, sealed: &str) -> Result<Option<Identity>, Fault> {
    let Ok(sealed) = URL_SAFE_NO_PAD.decode(sealed) else {
        return Ok(None);
    };
    let Ok(record) = draft.unsealed().decrypt_at(BATCH_PLACE, &sealed) else {
        return Ok(None);
    };
    let entry: Entry = decode(record.expose())?;
    if entry.has_ended(draft.now()) || !descends_from_the_living(draft, &entry)? {
        return Ok(None);
    }
    let entry = Arc::new(entry);
    Ok(Some(Identity { id, entry }))
}

fn descends_from_the_living(draft: &mut Draft, entry: &Entry) -> Result<bool, Fault> {
    let mut parent = entry.parent.clone();
    for _ in 0..=MAXIMUM_TOKEN_GENERATIONS {
        let Some(id) = parent else { return Ok(true) };
        let Some(entry) = read(draft, &id)? else {
            return Ok(false);
        };
        parent = entry.parent.clone();
    }
    Ok(false)
}
