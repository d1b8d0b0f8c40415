//! What a token may do: its policies, merged.
//!
//! Rules for the same pattern are merged; of different patterns that match a path the most specific one alone decides, so
//! that a narrow rule that allows beats a wide one that denies. Never knows a token, nor whether a path leads anywhere.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde_json::{Map, Value};

use super::capability::{Capabilities, Capability};
use super::index::Index;
use super::pattern::Pattern;
use super::rule::Rule;
use super::template::Values;
use super::{Policy, PolicyError, sudo};

/// What is done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Written, where nothing is yet.
    Create,
    /// Written, where something is.
    Update,
    /// Read.
    Read,
    /// Deleted.
    Delete,
    /// What is below it is listed.
    List,
    /// A part of it is changed.
    Patch,
    /// A lease of it is renewed.
    Renew,
    /// A lease of it is revoked.
    Revoke,
    /// It is asked what it is. Open to every token.
    Help,
}

impl Operation {
    /// As audit writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Help => "help",
        }
    }

    /// What it needs.
    fn capability(self) -> Option<Capability> {
        match self {
            Self::Create => Some(Capability::Create),
            Self::Update | Self::Renew | Self::Revoke => Some(Capability::Update),
            Self::Read => Some(Capability::Read),
            Self::Delete => Some(Capability::Delete),
            Self::List => Some(Capability::List),
            Self::Patch => Some(Capability::Patch),
            Self::Help => None,
        }
    }

    /// Whether rules about parameters apply.
    fn has_parameters(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Read | Self::Patch)
    }
}

/// Whether a request may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed {
        /// Whether the token is root's, or has `sudo` on that path: what only some parameters need.
        is_privileged: bool,
    },
    /// It may not; the answer says no more than that.
    Denied,
}

impl Decision {
    /// Whether it may.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// What a token may do.
#[derive(Debug)]
pub struct Merged {
    is_root: bool,
    index: Index,
    /// What is not only denied.
    granted: Vec<Pattern>,
}

impl Merged {
    /// The policies of a token, for who has it. Rules that need something that is not known of them match nothing. This
    /// goes over all rules; what comes out is good for as long as the policies and the values are the same.
    ///
    /// # Errors
    /// The root policy is beside others.
    pub fn new<'a>(
        policies: impl IntoIterator<Item = &'a Policy>,
        values: &Values,
    ) -> Result<Self, PolicyError> {
        let mut rules: HashMap<_, Rule> = HashMap::new();
        let mut policy_count = 0_usize;
        let mut is_root = false;
        for policy in policies {
            policy_count += 1;
            is_root |= policy.is_root;
            for (template, rule) in &policy.rules {
                let Some(pattern) = template.fill(values) else {
                    continue;
                };
                match rules.entry(pattern) {
                    Entry::Occupied(mut known) => known.get_mut().merge(rule.clone()),
                    Entry::Vacant(new) => {
                        new.insert(rule.clone());
                    }
                }
            }
        }
        if is_root && policy_count > 1 {
            return Err(PolicyError::RootWithOthers);
        }
        let grants = |rule: &Rule| {
            Capability::ALL
                .into_iter()
                .any(|capability| capability != Capability::Deny && rule.capabilities.contains(capability))
        };
        let granted = rules.iter().filter(|(_, rule)| grants(rule));
        let granted = granted.map(|(pattern, _)| pattern.clone()).collect();
        Ok(Self {
            is_root,
            index: Index::new(rules),
            granted,
        })
    }

    /// Whether this is the root policy.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// Whether some rule allows something at or below a directory, which ends with a slash.
    #[must_use]
    pub fn has_rights_below(&self, directory: &str) -> bool {
        self.is_root || self.granted.iter().any(|pattern| pattern.reaches(directory))
    }

    /// Whether an operation on a path, with parameters at the top of its body, may be served. `wrap_ttl` is how long the
    /// answer is to be wrapped; none: not at all.
    #[must_use]
    pub fn decide(
        &self,
        operation: Operation,
        path: &str,
        parameters: &Map<String, Value>,
        wrap_ttl: Option<Duration>,
    ) -> Decision {
        if self.is_root {
            return Decision::Allowed { is_privileged: true };
        }
        let path = path.trim_start_matches('/');
        let rule = self
            .find(path, operation == Operation::List)
            .map(|(_, rule)| rule);
        let is_privileged = rule.is_some_and(|rule| rule.capabilities.contains(Capability::Sudo));
        let Some(capability) = operation.capability() else {
            return Decision::Allowed { is_privileged };
        };
        let Some(rule) = rule else {
            return Decision::Denied;
        };
        let is_allowed = rule.capabilities.contains(capability)
            && (is_privileged || !sudo::needs(path))
            && rule.allows_wrapping(wrap_ttl)
            && (!operation.has_parameters() || rule.allows_parameters(parameters));
        if is_allowed {
            Decision::Allowed { is_privileged }
        } else {
            Decision::Denied
        }
    }

    /// The same for a path that is written in another spelling than the `canonical` one, in which its names are stored; none:
    /// it is written in that one. What has to be allowed at both needs `sudo` at both to be privileged.
    #[must_use]
    pub fn decide_spelled(
        &self,
        operation: Operation,
        path: &str,
        canonical: Option<&str>,
        parameters: &Map<String, Value>,
        wrap_ttl: Option<Duration>,
    ) -> Decision {
        let written = self.decide(operation, path, parameters, wrap_ttl);
        let stored = self.counted(path, canonical, operation == Operation::List);
        let stored = stored.map(|stored| self.decide(operation, stored, parameters, wrap_ttl));
        match (written, stored) {
            (written, None) => written,
            (
                Decision::Allowed { is_privileged },
                Some(Decision::Allowed {
                    is_privileged: has_sudo,
                }),
            ) => Decision::Allowed {
                is_privileged: is_privileged && has_sudo,
            },
            _ => Decision::Denied,
        }
    }

    /// The answer to what a token may do with a path: sorted; `root` or `deny` alone.
    #[must_use]
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.is_root {
            return vec!["root"];
        }
        let rule = self.find(path.trim_start_matches('/'), true);
        rule.map_or(Capabilities::NONE, |(_, rule)| rule.capabilities)
            .names()
    }

    /// The same for a path that is written in another spelling than the `canonical` one; none: it is written in that one.
    #[must_use]
    pub fn capabilities_spelled(&self, path: &str, canonical: Option<&str>) -> Vec<&'static str> {
        let mut names = self.capabilities(path);
        if let Some(stored) = self.counted(path, canonical, true) {
            let at_stored = self.capabilities(stored);
            names.retain(|name| at_stored.contains(name));
        }
        if names.is_empty() {
            names.push(Capability::Deny.name());
        }
        names
    }

    /// The canonical path if it counts besides the written one: if a rule decides of it that is not about the written one. One
    /// that is about both decides of that too, or has lost there to a rule for that very spelling.
    fn counted<'path>(&self, path: &str, canonical: Option<&'path str>, is_list: bool) -> Option<&'path str> {
        let path = path.trim_start_matches('/');
        canonical.filter(|canonical| {
            let rule = self.find(canonical.trim_start_matches('/'), is_list);
            rule.is_some_and(|(pattern, _)| !pattern.matches(path))
        })
    }

    /// The one rule that decides, and its pattern: one for exactly that path, else the most specific with a wildcard. A rule
    /// for exactly a path without its final slash is for lists of it too.
    fn find(&self, path: &str, is_list: bool) -> Option<(&Pattern, &Rule)> {
        let listed = path.strip_suffix('/').filter(|_| is_list);
        self.index
            .exact(path)
            .or_else(|| listed.and_then(|path| self.index.exact(path)))
            .or_else(|| self.index.wildcard(path))
    }
}
