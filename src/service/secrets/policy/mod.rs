//! Policies: what a token may do with paths of the secret store, as Vault's policies say it.
//!
//! A policy is a document of rules, in HCL or JSON, each about the paths of a pattern. [`Policy::parse`] reads one,
//! [`Merged::new`] merges those of a token, [`Merged::decide`] answers. What no rule is about is denied. These are pure
//! functions: where policies are kept and whose they are is not known here.
//!
//! Two things are stricter than in Vault: what is said twice in one block is refused, and a value that a template fills in
//! stays inside of its segment of the path and is never a wildcard.

mod builtin;
mod capability;
#[cfg(fuzzing)]
pub mod fuzzing;
mod index;
mod merged;
mod parse;
mod pattern;
mod rule;
mod sudo;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use thiserror::Error;

pub use builtin::{DEFAULT, RESPONSE_WRAPPING, ROOT, check_deletable, check_writable, name, text};
pub use capability::{Capabilities, Capability};
pub use merged::{Decision, Merged, Operation};
use rule::Rule;
use template::Template;
pub use template::Values;

/// The rules of a policy. Rules for the same path are one.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    name: String,
    /// Of the policy that allows everything, and has no rules.
    is_root: bool,
    rules: BTreeMap<Template, Rule>,
}

impl Policy {
    /// The policy that allows everything. No document says that.
    #[must_use]
    pub fn root() -> Self {
        Self {
            name: ROOT.to_owned(),
            is_root: true,
            rules: BTreeMap::new(),
        }
    }

    /// Reads a document, HCL or, if it begins with `{`, JSON. `name` is as [`name()`] returns it.
    ///
    /// # Errors
    /// What is wrong with the document, and where.
    pub fn parse(name: &str, document: &str) -> Result<Self, PolicyError> {
        Ok(Self {
            name: name.to_owned(),
            is_root: false,
            rules: parse::rules(document)?,
        })
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a policy cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A document cannot be read.
    #[error("failed to parse policy: {0}")]
    Document(String),
    /// One rule of it cannot be.
    #[error("failed to parse policy: path {path:?}: {reason}")]
    Rule {
        /// The path, as it is written.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A name that no policy can have.
    #[error("invalid policy name {name:?}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is part of the store.
    #[error("cannot {action} {name:?} policy: it is part of the store")]
    BuiltIn {
        /// The name.
        name: String,
        /// What was asked for.
        action: &'static str,
    },
    /// A token with the root policy has others too.
    #[error("the root policy cannot be beside others")]
    RootWithOthers,
}
