//! Requests to the secret store and its answers, before any wire format.
//!
//! Never shows a token or data in `Debug`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::{Answer, Data, Fault, Peer, Raw, TokenKind};
use super::parameters::Body;
use super::policy::Operation;
use super::quotas::Allowance;
use crate::base::secret::Secret;
use crate::service::snapshot::Pieces;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Read what is at a path.
    Read,
    /// Write there: creates or updates.
    Write,
    /// Change a part of it.
    Patch,
    /// Delete it.
    Delete,
    /// List what is below.
    List,
}

impl Verb {
    /// What it is before anybody has looked whether a write creates.
    #[must_use]
    pub fn operation(self) -> Operation {
        match self {
            Self::Read => Operation::Read,
            Self::Write => Operation::Update,
            Self::Patch => Operation::Patch,
            Self::Delete => Operation::Delete,
            Self::List => Operation::List,
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// An id that is only this request's: a UUID.
    pub id: String,
    /// What is asked for.
    pub verb: Verb,
    /// Of what: in the form of [`super::path::normalise`].
    pub path: String,
    /// With what.
    pub body: Body,
    /// The token; none: only what is open is served.
    pub token: Option<Secret<String>>,
    /// How long the answer is to be wrapped; none: not at all.
    pub wrap: Option<Duration>,
    /// Where it comes from.
    pub peer: Peer,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Response {
    /// What was asked for; none with nothing else: there is nothing to say (204).
    pub data: Option<Data>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// The lease; empty: none.
    pub lease_id: String,
    /// How long what was answered lasts, in seconds; 0: nothing is said.
    pub lease_seconds: u64,
    /// Whether the lease can be renewed.
    pub is_renewable: bool,
    /// A token that was made.
    pub auth: Option<Auth>,
    /// Where the answer is wrapped; all else is empty then.
    pub wrapped: Option<Wrapped>,
    /// Which engine answered: `kv`, `system`, ...
    pub mount_kind: String,
    /// Whether the data are those of something that is gone: 404 with a body.
    pub is_gone: bool,
    /// The status of HTTP, where it is another than that of a success: a batch of which a part failed.
    pub status: Option<u16>,
    /// Whether work goes on after the answer (202).
    pub goes_on: bool,
    /// Bytes instead of all else.
    pub raw: Option<Raw>,
    /// A snapshot, piece by piece, instead of all else.
    pub pieces: Option<Pieces>,
    /// What is told of the quota that the request was counted for.
    pub allowance: Option<Allowance>,
}

impl Response {
    /// An answer of data.
    #[must_use]
    pub fn data(data: Data) -> Self {
        Self {
            data: Some(data),
            ..Self::default()
        }
    }

    /// An answer to a list.
    ///
    /// # Errors
    /// There is nothing: that is told as such.
    pub fn list(keys: Vec<String>) -> Result<Self, Fault> {
        let answer = Answer::list(keys)?;
        Ok(Self {
            data: answer.data,
            ..Self::default()
        })
    }
}

/// A token that was made or renewed.
#[derive(Debug)]
pub struct Auth {
    /// The token itself.
    pub token: Secret<String>,
    /// Its accessor; empty for a batch token.
    pub accessor: String,
    /// All policies.
    pub policies: Vec<String>,
    /// What is said of who has it.
    pub metadata: BTreeMap<String, String>,
    /// How long it lasts, in seconds; 0: for ever.
    pub lease_seconds: u64,
    /// Whether it can be renewed.
    pub is_renewable: bool,
    /// Whether it has no parent.
    pub is_orphan: bool,
    /// Whether it is stored.
    pub kind: TokenKind,
    /// How often it may be used; 0: as often as anybody likes.
    pub uses: u64,
}

/// Where an answer is wrapped.
#[derive(Debug)]
pub struct Wrapped {
    /// The token that unwraps it, once.
    pub token: Secret<String>,
    /// Its accessor.
    pub accessor: String,
    /// For how many seconds.
    pub ttl_seconds: u64,
    /// When it was wrapped, since 1970.
    pub created: Duration,
    /// The path that was asked.
    pub creation_path: String,
    /// The accessor of the token inside, if one is.
    pub wrapped_accessor: Option<String>,
}
