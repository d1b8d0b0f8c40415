//! The seals of an existing store: what wraps its root key, what of that this node could open it with now, and other seals in
//! place of them.
//!
//! The root key stays the same, so that nothing below it changes, and a seal that is lost is replaced by another as long as a
//! node is unsealed or enough shares are there. What the shares wrap is never touched. A backup from before is still opened by
//! the seals that were then.
//!
//! Never shows a key.

use super::{SealSource, Stored, read_seals};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::randomness::Randomness;
use crate::service::secrets::seal::{SealKey, SealKind, WrappedKeys};
use crate::service::secrets::store::{Draft, keys};

/// A seal, of the store or of this node's settings or of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealState {
    /// Its id.
    pub id: String,
    /// What keeps its key.
    pub kind: SealKind,
    /// Whether the root key is wrapped by it.
    pub is_in_use: bool,
    /// Whether this node's settings name it.
    pub is_configured: bool,
    /// Why this node does not open the root key with it; none: it does.
    pub refusal: Option<String>,
}

/// The seals of the store, then those that only the settings name.
///
/// # Errors
/// What is stored cannot be read.
pub fn list(draft: &Draft, sources: &[SealSource]) -> Result<Vec<SealState>, SecretsError> {
    Ok(states(&of(draft)?.wrapped, sources))
}

/// Wraps the root key by the seals that `sources` names, in place of all others but that of shares; with `keeps_others`
/// beside them. Gives the seals as they are then.
///
/// # Errors
/// A seal cannot be used, there are too many, or what is stored cannot be read.
pub fn replace(
    draft: &mut Draft,
    sources: &[SealSource],
    keeps_others: bool,
    randomness: &mut dyn Randomness,
) -> Result<Vec<SealState>, SecretsError> {
    let stored = of(draft)?;
    let opened = SealSource::open_all(sources)?;
    let seals: Vec<&dyn SealKey> = opened.iter().map(|seal| seal as &dyn SealKey).collect();
    let root = draft.unsealed().copy_of_root();
    let keeps = |kind| keeps_others || kind == SealKind::Shares;
    let wrapped = stored.wrapped.replaced(&root, &seals, keeps, randomness)?;
    draft.needs_unchanged(&stored.seals);
    draft.put_plain(keys::SEALS, wrapped.encode()?);
    Ok(states(&wrapped, sources))
}

fn of(draft: &Draft) -> Result<Stored, SecretsError> {
    read_seals(draft.view())?.ok_or(SecretsError::NotInitialized)
}

fn states(wrapped: &WrappedKeys, sources: &[SealSource]) -> Vec<SealState> {
    let named = |id: &str, kind| {
        let mut all = sources.iter();
        all.find(|source| source.id() == id && source.kind() == kind)
    };
    let in_use = wrapped.seals().map(|(id, kind)| {
        let source = named(id, kind);
        SealState {
            id: id.to_owned(),
            kind,
            is_in_use: true,
            is_configured: source.is_some(),
            refusal: match source {
                Some(source) => refusal(source, wrapped),
                None if kind == SealKind::Shares => Some("people open it with shares".to_owned()),
                None => Some("--secrets-seal of this node does not name it".to_owned()),
            },
        }
    });
    let mut states: Vec<SealState> = in_use.collect();
    for source in sources {
        let is_told = |state: &SealState| state.is_configured && state.id == source.id();
        if !states.iter().any(is_told) {
            states.push(SealState {
                id: source.id().to_owned(),
                kind: source.kind(),
                is_in_use: false,
                is_configured: true,
                refusal: refusal(source, wrapped),
            });
        }
    }
    states
}

fn refusal(source: &SealSource, wrapped: &WrappedKeys) -> Option<String> {
    let opened = source.open().and_then(|seal| wrapped.unwrap(&seal));
    opened.err().map(|error| error.to_string())
}
