//! What may be told of the seal of a node, and of what people do to it together.
//!
//! Never holds a share, a key or a token that is not for the one who asked.

use std::time::Duration;

use uuid::Uuid;

use super::seal::{SealKind, Share};
use crate::base::secret::Secret;

/// Where the seal of this node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatus {
    /// Whether the store was initialised.
    pub is_initialized: bool,
    /// Whether this node is sealed; so it is where nothing was initialised.
    pub is_sealed: bool,
    /// Shares that are needed to unseal; 0 where nothing was initialised.
    pub threshold: u8,
    /// Shares that there are.
    pub shares: u8,
    /// Different shares that were given to this node so far.
    pub given: usize,
    /// The attempt that they were given to.
    pub nonce: Option<Uuid>,
    /// The seals that wrap the root key: ids and kinds.
    pub seals: Vec<(String, SealKind)>,
}

/// How a store is to be initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitSettings {
    /// Shares to be made, 1 to 255.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
}

/// What initialising gave. Told once, and kept nowhere.
#[derive(Debug)]
pub struct Initialized {
    /// The shares.
    pub shares: Vec<Share>,
    /// A token that may do everything.
    pub root_token: Secret<String>,
}

/// How the shares are to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeySettings {
    /// The new shares.
    pub new: InitSettings,
    /// Whether they are in use only once as many as will be needed were given back.
    pub requires_verification: bool,
}

/// How far it is that people change the shares, or make a root token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptStatus {
    /// Whether it was begun.
    pub is_started: bool,
    /// Which it is.
    pub nonce: Option<Uuid>,
    /// Shares given.
    pub given: usize,
    /// Shares needed.
    pub needed: u8,
    /// Of a change of shares: how many new ones, and how many of them will be needed.
    pub new_shares: Option<InitSettings>,
    /// Of a root token: the length of the one-time password, in characters.
    pub password_length: usize,
    /// Of a change of shares: whether the new ones are to be verified before they are in use.
    pub requires_verification: bool,
    /// The verification of the new ones, once they are made.
    pub verification: Option<Uuid>,
}

/// What a share led to, when people change the shares.
#[derive(Debug)]
pub enum Rekeyed {
    /// More are needed.
    Waiting(AttemptStatus),
    /// The new shares.
    Done {
        /// The attempt that led to them.
        nonce: Uuid,
        /// The shares, told once.
        shares: Vec<Share>,
        /// Their verification, after which they are needed; none: they are needed from now on.
        verification: Option<Uuid>,
    },
}

/// What a new share led to, when people verify that they have them.
#[derive(Debug)]
pub enum Verified {
    /// More are needed.
    Waiting(AttemptStatus),
    /// The new shares are needed from now on.
    Done {
        /// The verification that ended with this.
        nonce: Uuid,
    },
}

/// What a share led to, when people make a root token.
#[derive(Debug)]
pub enum RootMade {
    /// More are needed.
    Waiting(AttemptStatus),
    /// The token, each byte XORed with that of the one-time password, in base64 without padding.
    Done {
        /// The attempt that ended with this.
        nonce: Uuid,
        /// The token, for who knows the password.
        encoded: Secret<String>,
    },
}

/// What may be told of the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTerm {
    /// The term that encrypts now.
    pub term: u32,
    /// Since when, since 1970.
    pub installed: Duration,
    /// What it encrypted so far.
    pub encryptions: u64,
}
