//! What is stored of a token.
//!
//! Never holds the token.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::service::secrets::engine::TokenKind;

/// What a token is good for. Times are since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What answers name it by; empty for a batch token.
    pub accessor: String,
    /// The id of its parent; none: it has none.
    pub parent: Option<String>,
    /// Its policies, sorted.
    pub policies: Vec<String>,
    /// The path that it was made at.
    pub path: String,
    /// What is said of who has it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The name that audit shows.
    pub display_name: String,
    /// How often it may be used yet; none: as often as anybody likes.
    #[serde(default)]
    pub uses: Option<u64>,
    /// When it was made.
    pub created: Duration,
    /// How long it was given then; zero: for ever.
    pub creation_ttl: Duration,
    /// How long it was given last; zero: for ever.
    pub ttl: Duration,
    /// When it ends; none: never.
    pub ends: Option<Duration>,
    /// When it was renewed last.
    #[serde(default)]
    pub renewed: Option<Duration>,
    /// How long it may last with renewals; zero: as its mount says.
    #[serde(default)]
    pub max_ttl: Duration,
    /// How long it may last whatever else is said; zero: no such limit.
    #[serde(default)]
    pub explicit_max_ttl: Duration,
    /// How long it lasts after each renewal, for ever; zero: it is not periodic.
    #[serde(default)]
    pub period: Duration,
    /// Whether it can be renewed.
    pub is_renewable: bool,
    /// The role that it was made by; empty: none.
    #[serde(default)]
    pub role: String,
    /// From where it may be used; empty: from anywhere.
    #[serde(default)]
    pub bound_cidrs: Vec<IpNet>,
    /// Whether it is stored.
    pub kind: TokenKind,
    /// The path whose answer is wrapped in it; empty: none is.
    #[serde(default)]
    pub wraps: String,
}

/// What it takes to take away what a token leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Its accessor.
    pub accessor: String,
    /// Its parent; none: it has none.
    pub parent: Option<String>,
}

impl Entry {
    /// Seconds that are left; none: it never ends.
    #[must_use]
    pub fn seconds_left(&self, now: Duration) -> Option<u64> {
        Some(self.ends?.saturating_sub(now).as_secs())
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self, now: Duration) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.policies
            .iter()
            .any(|policy| policy == crate::service::secrets::policy::ROOT)
    }
}
