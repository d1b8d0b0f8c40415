//! Tokens, policies and roles, and how they are stored.
//!
//! A stored type only ever gets fields behind a new format version. Never checks anything: that is done in
//! [`super::change`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::secret::Secret;
use crate::base::{Namespace, Revision};
use crate::state::command::Keys;

/// The id of the policy that allows everything.
pub const GLOBAL_MANAGEMENT: &str = "00000000-0000-0000-0000-000000000001";
/// The public id of the token of whoever shows none.
pub const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";
/// The secret id of that token.
pub const ANONYMOUS_SECRET: &str = "anonymous";

/// A service that a token is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceIdentity {
    /// Its name.
    pub service: String,
    /// Where it holds; empty: everywhere.
    pub datacenters: Vec<String>,
}

/// A node that a token is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Its name.
    pub node: String,
    /// Where it is.
    pub datacenter: String,
}

/// What a token or a role may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Ids of policies.
    pub policies: Vec<String>,
    /// Services.
    pub services: Vec<ServiceIdentity>,
    /// Nodes.
    pub nodes: Vec<NodeIdentity>,
}

/// A token as it is stored. Its secret id is stored as it is, as Consul does: whoever may read tokens reads it back, and
/// so does whoever can read the disk or a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public id.
    pub accessor: String,
    /// What its holder shows.
    pub secret: Secret<String>,
    /// For people.
    pub description: String,
    /// What it may do.
    pub grants: Grants,
    /// Ids of roles.
    pub roles: Vec<String>,
    /// Whether it is only for this datacenter, which is the only one.
    pub is_local: bool,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_milliseconds: u64,
    /// When it ends; none: never.
    pub expires_milliseconds: Option<u64>,
}

/// A policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// Its name, unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// The rules as they were written.
    pub rules: String,
    /// Where it holds; empty: everywhere.
    pub datacenters: Vec<String>,
}

/// A role: policies under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Its name, unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it may do.
    pub grants: Grants,
}

/// What is stored, with when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known<T> {
    /// What is stored.
    pub record: T,
    /// The revision at which it came.
    pub create_revision: Revision,
    /// The revision at which it changed last.
    pub modification_revision: Revision,
}

/// A number that differs where what is stored differs (Consul's `Hash`).
#[must_use]
pub fn fingerprint(record: &impl Serialize) -> [u8; 32] {
    let text = serde_json::to_vec(record).unwrap_or_default();
    Sha256::digest(text).into()
}

/// Under what the secret of a token is found, so that no comparison of it takes a time that tells anything.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

const PREFIX: &str = "r/";
/// The byte after the last of [`PREFIX`].
const AFTER: &str = "r0";

/// What a key is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'key> {
    /// That there was a first token.
    Bootstrap,
    /// A token by its public id.
    Token(&'key str),
    /// Whose a secret id is, by its digest.
    Secret(&'key [u8; 32]),
    /// A policy by its id.
    Policy(&'key str),
    /// Whose the name of a policy is.
    PolicyName(&'key str),
    /// A role by its id.
    Role(&'key str),
    /// Whose the name of a role is.
    RoleName(&'key str),
}

impl Key<'_> {
    pub fn bytes(self) -> Bytes {
        Bytes::from(match self {
            Self::Bootstrap => format!("{PREFIX}bootstrap"),
            Self::Token(accessor) => format!("{PREFIX}token/{accessor}"),
            Self::Secret(digest) => {
                let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{PREFIX}secret/{digits}")
            }
            Self::Policy(id) => format!("{PREFIX}policy/{id}"),
            Self::PolicyName(name) => format!("{PREFIX}policy-name/{}", name.to_ascii_lowercase()),
            Self::Role(id) => format!("{PREFIX}role/{id}"),
            Self::RoleName(name) => format!("{PREFIX}role-name/{}", name.to_ascii_lowercase()),
        })
    }

    pub fn keys(self) -> Keys {
        Keys {
            namespace: Namespace::CONSUL,
            key: self.bytes(),
            end: Bytes::new(),
        }
    }
}

/// All of them.
pub(super) fn all() -> Keys {
    Keys {
        namespace: Namespace::CONSUL,
        key: PREFIX.into(),
        end: AFTER.into(),
    }
}

/// The folder of a key, and what it is in it.
pub(super) fn split(key: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    Some(text.split_once('/').unwrap_or((text, "")))
}
