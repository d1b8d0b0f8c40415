//! What a rule lets its paths be used for.
//!
//! Never holds `root`: that is no capability of a rule, but the answer for a token that may do everything.

use std::fmt;

/// One capability. The order is that of answers, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Write where nothing is.
    Create,
    /// Delete.
    Delete,
    /// Nothing at all, whatever else is said.
    Deny,
    /// List what is below.
    List,
    /// Change a part of what is there.
    Patch,
    /// Read.
    Read,
    /// Use paths that are guarded besides.
    Sudo,
    /// Write where something is.
    Update,
}

impl Capability {
    /// All, in the order of answers.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::Deny,
        Self::List,
        Self::Patch,
        Self::Read,
        Self::Sudo,
        Self::Update,
    ];

    /// As policies and answers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Deny => "deny",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Read => "read",
            Self::Sudo => "sudo",
            Self::Update => "update",
        }
    }

    /// The capability of that name, in lower case; none: there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of capabilities. With `deny` in it, nothing else is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// None: what no rule is about.
    pub const NONE: Self = Self(0);

    /// Whether it is among them.
    #[must_use]
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// What two rules for the same pattern give together: `deny` in one erases all others, otherwise those of both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.contains(Capability::Deny) {
            Self(Capability::Deny.bit())
        } else {
            both
        }
    }

    /// The names for an answer, sorted; `deny` alone if there are none.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        if self == Self::NONE {
            return vec![Capability::Deny.name()];
        }
        Capability::ALL
            .into_iter()
            .filter(|capability| self.contains(*capability))
            .map(Capability::name)
            .collect()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities
            .into_iter()
            .fold(Self::NONE, |set, capability| set.merge(Self(capability.bit())))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().join(", "))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{self}]")
    }
}
