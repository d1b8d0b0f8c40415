//! What a token may do: the rules of all its policies, merged.
//!
//! For one resource, a rule about exactly its name beats rules about prefixes, of which the longest counts; where several
//! policies say something about the same name or prefix, deny beats write, that beats list, and that beats read. Where
//! nothing is said the default holds.
//!
//! Never knows where rules come from.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::error::AclError;
use super::rules::{Grant, Kind, Rule, Single};
use crate::service::registry::Entry;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A key.
    Key(&'a [u8]),
    /// All keys with a prefix.
    KeyPrefix(&'a [u8]),
    /// A node.
    Node(&'a str),
    /// A service.
    Service(&'a str),
    /// The sessions of a node.
    Session(&'a str),
    /// The agent of a node.
    Agent(&'a str),
    /// A prepared query.
    Query(&'a str),
    /// An event.
    Event(&'a str),
    /// The cluster itself.
    Operator,
    /// Tokens, policies and roles.
    Acl,
    /// Keys of gossip.
    Keyring,
    /// The mesh.
    Mesh,
    /// Peerings.
    Peering,
}

impl<'a> Resource<'a> {
    /// What must be readable for an instance to be seen.
    #[must_use]
    pub fn of_instance(entry: &'a Entry) -> [Self; 2] {
        let said = &entry.instance.registration;
        [Self::Node(&said.node), Self::Service(&said.service)]
    }
}

impl Resource<'_> {
    /// The kind in the text of a refusal.
    fn kind(self) -> &'static str {
        match self {
            Self::Key(_) | Self::KeyPrefix(_) => "key",
            Self::Node(_) => "node",
            Self::Service(_) => "service",
            Self::Session(_) => "session",
            Self::Agent(_) => "agent",
            Self::Query(_) => "query",
            Self::Event(_) => "event",
            Self::Operator => "operator",
            Self::Acl => "acl",
            Self::Keyring => "keyring",
            Self::Mesh => "mesh",
            Self::Peering => "peering",
        }
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Key(name) | Self::KeyPrefix(name) => Some(String::from_utf8_lossy(name).into_owned()),
            Self::Node(name)
            | Self::Service(name)
            | Self::Session(name)
            | Self::Agent(name)
            | Self::Query(name)
            | Self::Event(name) => Some(name.to_owned()),
            Self::Operator | Self::Acl | Self::Keyring | Self::Mesh | Self::Peering => None,
        }
    }
}

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look at it.
    Read,
    /// Look at all keys with the prefix at once.
    List,
    /// Change it. Of a prefix: of everything under it.
    Write,
}

impl Access {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
        }
    }
}

/// The rules about one kind of resource.
#[derive(Debug, Clone, Default)]
struct Names {
    exact: BTreeMap<Vec<u8>, Grant>,
    prefixes: BTreeMap<Vec<u8>, Grant>,
}

impl Names {
    fn covering(&self, name: &[u8]) -> Option<Grant> {
        self.exact
            .get(name)
            .copied()
            .or_else(|| self.longest_prefix(name))
    }

    fn longest_prefix(&self, name: &[u8]) -> Option<Grant> {
        let mut end = name;
        loop {
            let range = (Bound::Unbounded, Bound::Included(end));
            let (prefix, grant) = self.prefixes.range::<[u8], _>(range).next_back()?;
            let common = prefix
                .iter()
                .zip(end)
                .take_while(|(one, other)| one == other)
                .count();
            if common == prefix.len() {
                return Some(*grant);
            }
            // Every prefix of the name between the two would have sorted later.
            end = end.get(..common)?;
        }
    }

    /// The rules about names and prefixes that begin with `prefix`.
    fn under<'rules>(&'rules self, prefix: &'rules [u8]) -> impl Iterator<Item = Grant> + 'rules {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let lists = [&self.exact, &self.prefixes];
        lists.into_iter().flat_map(move |rules| {
            rules
                .range::<[u8], _>(range)
                .take_while(move |(name, _)| name.starts_with(prefix))
                .map(|(_, grant)| *grant)
        })
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Authorizer {
    /// Public id of the token.
    accessor: String,
    allows_by_default: bool,
    names: BTreeMap<Kind, Names>,
    singles: BTreeMap<Single, Grant>,
}

impl Default for Authorizer {
    fn default() -> Self {
        Self::open()
    }
}

impl Authorizer {
    /// One that allows everything: ACLs are off.
    #[must_use]
    pub fn open() -> Self {
        let mut open = Self::new(String::new(), true, &[]);
        open.singles.insert(Single::Acl, Grant::Write);
        open
    }

    /// The rules of a token with a public id.
    pub(super) fn new(accessor: String, allows_by_default: bool, rules: &[Rule]) -> Self {
        let mut merged = Self {
            accessor,
            allows_by_default,
            names: BTreeMap::new(),
            singles: BTreeMap::new(),
        };
        for rule in rules {
            match rule {
                Rule::Named {
                    kind,
                    name,
                    is_prefix,
                    grant,
                } => {
                    let names = merged.names.entry(*kind).or_default();
                    let rules = match is_prefix {
                        true => &mut names.prefixes,
                        false => &mut names.exact,
                    };
                    let there = rules.entry(name.clone().into_bytes()).or_insert(*grant);
                    *there = (*there).max(*grant);
                }
                Rule::Single { single, grant } => {
                    let there = merged.singles.entry(*single).or_insert(*grant);
                    *there = (*there).max(*grant);
                }
            }
        }
        merged
    }

    /// The public id of the token; empty while ACLs are off.
    #[must_use]
    pub fn accessor(&self) -> &str {
        &self.accessor
    }

    /// Whether it may be done.
    #[must_use]
    pub fn allows(&self, resource: Resource<'_>, access: Access) -> bool {
        let (kind, name) = match resource {
            Resource::Key(name) => (Kind::Key, name),
            Resource::KeyPrefix(prefix) => return self.allows_prefix(prefix, access),
            Resource::Node(name) => (Kind::Node, name.as_bytes()),
            Resource::Service(name) => (Kind::Service, name.as_bytes()),
            Resource::Session(name) => (Kind::Session, name.as_bytes()),
            Resource::Agent(name) => (Kind::Agent, name.as_bytes()),
            Resource::Query(name) => (Kind::Query, name.as_bytes()),
            Resource::Event(name) => (Kind::Event, name.as_bytes()),
            Resource::Operator => return self.allows_single(&[Single::Operator], access),
            Resource::Keyring => return self.allows_single(&[Single::Keyring], access),
            Resource::Mesh => return self.allows_single(&[Single::Mesh, Single::Operator], access),
            Resource::Peering => return self.allows_single(&[Single::Peering, Single::Operator], access),
            // Not even a default that allows everything lets anybody at the tokens.
            Resource::Acl => {
                let grant = self.singles.get(&Single::Acl);
                return grant.is_some_and(|grant| grant.covers(access));
            }
        };
        let grant = self.names.get(&kind).and_then(|names| names.covering(name));
        grant.map_or(self.allows_by_default, |grant| grant.covers(access))
    }

    /// Whether an instance may be seen.
    #[must_use]
    pub fn shows(&self, entry: &Entry) -> bool {
        let resources = Resource::of_instance(entry);
        resources
            .into_iter()
            .all(|resource| self.allows(resource, Access::Read))
    }

    /// The same as [`Authorizer::allows`], as an error that says what is missing.
    ///
    /// # Errors
    /// It may not be done.
    pub fn require(&self, resource: Resource<'_>, access: Access) -> Result<(), AclError> {
        match self.allows(resource, access) {
            true => Ok(()),
            false => Err(AclError::Denied {
                accessor: self.accessor.clone(),
                permission: format!("{}:{}", resource.kind(), access.name()),
                name: resource.name(),
            }),
        }
    }

    fn allows_prefix(&self, prefix: &[u8], access: Access) -> bool {
        let names = self.names.get(&Kind::Key);
        // Only a rule about a prefix says something about all of it.
        let covering = names.and_then(|names| names.longest_prefix(prefix));
        let covers = covering.map_or(self.allows_by_default, |grant| grant.covers(access));
        let mut under = names.into_iter().flat_map(|names| names.under(prefix));
        covers && (access != Access::Write || under.all(|grant| grant.covers(access)))
    }

    /// By the first of them about which something is said.
    fn allows_single(&self, singles: &[Single], access: Access) -> bool {
        let grant = singles.iter().find_map(|single| self.singles.get(single));
        grant.map_or(self.allows_by_default, |grant| grant.covers(access))
    }
}
