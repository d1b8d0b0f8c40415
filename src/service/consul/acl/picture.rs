//! All tokens, policies and roles in memory, and what a token may do by them.
//!
//! Immutable but for what was resolved from it, which is kept with it: a change of anything makes a new picture, and
//! nothing that was resolved before is used again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::authorizer::Authorizer;
use super::model::{
    self, ANONYMOUS, ANONYMOUS_SECRET, GLOBAL_MANAGEMENT, Grants, Known, Policy, Role, Token,
};
use super::rules::{self, Grant, Kind, Rule, Single};
use crate::base::Revision;
use crate::base::secret::Secret;
use crate::service::consul::mirror::{Picture, Records};
use crate::state::applied::KeyValue;
use crate::state::command::Keys;
use crate::state::format;

/// See the module.
pub struct AclPicture {
    /// Tokens by public id.
    pub tokens: BTreeMap<String, Arc<Known<Token>>>,
    /// Policies by id.
    pub policies: BTreeMap<String, Arc<Known<Policy>>>,
    /// Roles by id.
    pub roles: BTreeMap<String, Arc<Known<Role>>>,
    /// The revision at which the first token was made.
    pub bootstrapped: Option<Revision>,
    /// The revision at which something changed last.
    pub changed: Revision,
    secrets: HashMap<[u8; 32], Arc<Known<Token>>>,
    resolved: Mutex<HashMap<String, Arc<Authorizer>>>,
}

impl Default for AclPicture {
    fn default() -> Self {
        let mut empty = Self {
            tokens: BTreeMap::new(),
            policies: BTreeMap::new(),
            roles: BTreeMap::new(),
            bootstrapped: None,
            changed: Revision(0),
            secrets: HashMap::new(),
            resolved: Mutex::default(),
        };
        empty.add_built_in();
        empty
    }
}

fn known<T: serde::de::DeserializeOwned>(stored: &KeyValue) -> Result<Known<T>, String> {
    Ok(Known {
        record: format::decode("ACL record", &stored.value).map_err(|error| error.to_string())?,
        create_revision: stored.create_revision,
        modification_revision: stored.modification_revision,
    })
}

impl Picture for AclPicture {
    fn keys() -> Keys {
        model::all()
    }

    fn draw(records: &Records, changed: Revision) -> Result<Self, String> {
        let mut picture = Self {
            changed,
            ..Self::default()
        };
        for (key, stored) in records {
            match model::split(key) {
                Some(("token", _)) => picture.add_token(known(stored)?),
                Some(("policy", id)) => {
                    picture.policies.insert(id.to_owned(), Arc::new(known(stored)?));
                }
                Some(("role", id)) => {
                    picture.roles.insert(id.to_owned(), Arc::new(known(stored)?));
                }
                Some(("bootstrap", _)) => picture.bootstrapped = Some(stored.modification_revision),
                // Who a name or a secret belongs to is in the record as well.
                Some(("secret" | "policy-name" | "role-name", _)) => {}
                _ => return Err(format!("unknown key {:?}", String::from_utf8_lossy(key))),
            }
        }
        Ok(picture)
    }
}

impl AclPicture {
    fn add_token(&mut self, token: Known<Token>) {
        let token = Arc::new(token);
        self.secrets
            .insert(model::digest(token.record.secret.expose()), Arc::clone(&token));
        // Ids are UUIDs: whatever the case, and shown as they were given.
        self.tokens
            .insert(token.record.accessor.to_ascii_lowercase(), token);
    }

    /// What is there from the start: nobody's token, and the policy of the first one.
    fn add_built_in(&mut self) {
        let since_ever = |record| Known {
            record,
            create_revision: Revision(1),
            modification_revision: Revision(1),
        };
        self.add_token(since_ever(Token {
            accessor: ANONYMOUS.to_owned(),
            secret: Secret::new(ANONYMOUS_SECRET.to_owned()),
            description: "Anonymous Token".to_owned(),
            ..Token::default()
        }));
        let management = Policy {
            id: GLOBAL_MANAGEMENT.to_owned(),
            name: "global-management".to_owned(),
            description: "Builtin Policy that grants unlimited access".to_owned(),
            rules: MANAGEMENT_RULES.to_owned(),
            datacenters: Vec::new(),
        };
        let management = Known {
            record: management,
            create_revision: Revision(1),
            modification_revision: Revision(1),
        };
        self.policies
            .insert(GLOBAL_MANAGEMENT.to_owned(), Arc::new(management));
    }

    /// The token with a public id, whatever its case.
    #[must_use]
    pub fn token(&self, accessor: &str) -> Option<&Arc<Known<Token>>> {
        self.tokens.get(&accessor.to_ascii_lowercase())
    }

    /// The token with a secret id, if its time is not over.
    #[must_use]
    pub fn by_secret(&self, secret: &str, now_milliseconds: u64) -> Option<&Arc<Known<Token>>> {
        let token = self.secrets.get(&model::digest(secret))?;
        let is_over = |end: u64| end <= now_milliseconds;
        (!token.record.expires_milliseconds.is_some_and(is_over)).then_some(token)
    }

    /// The policy with an id or a name.
    #[must_use]
    pub fn policy(&self, id_or_name: &str) -> Option<&Arc<Known<Policy>>> {
        let named = || {
            let mut policies = self.policies.values();
            policies.find(|policy| policy.record.name.eq_ignore_ascii_case(id_or_name))
        };
        self.policies.get(id_or_name).or_else(named)
    }

    /// The role with an id or a name.
    #[must_use]
    pub fn role(&self, id_or_name: &str) -> Option<&Arc<Known<Role>>> {
        let named = || {
            let mut roles = self.roles.values();
            roles.find(|role| role.record.name.eq_ignore_ascii_case(id_or_name))
        };
        self.roles.get(id_or_name).or_else(named)
    }

    /// What a token may do.
    pub(super) fn authorizer(&self, token: &Token, place: &Place<'_>) -> Arc<Authorizer> {
        if let Some(resolved) = self.resolved.lock().get(&token.accessor) {
            return Arc::clone(resolved);
        }
        let mut rules = Vec::new();
        self.collect(&token.grants, place.datacenter, &mut rules);
        for role in token.roles.iter().filter_map(|role| self.roles.get(role)) {
            self.collect(&role.record.grants, place.datacenter, &mut rules);
        }
        let authorizer = Authorizer::new(token.accessor.clone(), place.allows_by_default, &rules);
        let authorizer = Arc::new(authorizer);
        self.resolved
            .lock()
            .insert(token.accessor.clone(), Arc::clone(&authorizer));
        authorizer
    }

    fn collect(&self, grants: &Grants, datacenter: &str, rules: &mut Vec<Rule>) {
        let holds = |datacenters: &[String]| {
            datacenters.is_empty()
                || datacenters
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(datacenter))
        };
        let policies = grants.policies.iter().filter_map(|id| self.policies.get(id));
        for policy in policies.filter(|policy| holds(&policy.record.datacenters)) {
            match policy.record.id == GLOBAL_MANAGEMENT {
                true => rules.extend(everything()),
                false => match rules::parse(&policy.record.rules) {
                    Ok(parsed) => rules.extend(parsed),
                    // They were read when they were stored.
                    Err(error) => {
                        tracing::error!(%error, policy = policy.record.name, "a policy allows nothing");
                    }
                },
            }
        }
        for service in grants
            .services
            .iter()
            .filter(|service| holds(&service.datacenters))
        {
            let name = &service.service;
            rules.extend([
                Rule::named(Kind::Service, name, false, Grant::Write),
                Rule::named(
                    Kind::Service,
                    &format!("{name}-sidecar-proxy"),
                    false,
                    Grant::Write,
                ),
                Rule::named(Kind::Service, "", true, Grant::Read),
                Rule::named(Kind::Node, "", true, Grant::Read),
            ]);
        }
        let here = |node: &&model::NodeIdentity| node.datacenter.eq_ignore_ascii_case(datacenter);
        for node in grants.nodes.iter().filter(here) {
            rules.extend([
                Rule::named(Kind::Node, &node.node, false, Grant::Write),
                Rule::named(Kind::Service, "", true, Grant::Read),
            ]);
        }
    }
}

/// Where tokens are resolved.
pub(super) struct Place<'settings> {
    pub datacenter: &'settings str,
    pub allows_by_default: bool,
}

/// The rules of the first token's policy, as they are shown.
const MANAGEMENT_RULES: &str = r#"
acl = "write"
agent_prefix "" {
	policy = "write"
}
event_prefix "" {
	policy = "write"
}
key_prefix "" {
	policy = "write"
}
keyring = "write"
node_prefix "" {
	policy = "write"
}
operator = "write"
mesh = "write"
peering = "write"
query_prefix "" {
	policy = "write"
}
service_prefix "" {
	policy = "write"
	intentions = "write"
}
session_prefix "" {
	policy = "write"
}"#;

fn everything() -> impl Iterator<Item = Rule> {
    let kinds = [
        Kind::Key,
        Kind::Node,
        Kind::Service,
        Kind::Session,
        Kind::Agent,
        Kind::Query,
        Kind::Event,
    ];
    let singles = [
        Single::Operator,
        Single::Acl,
        Single::Keyring,
        Single::Mesh,
        Single::Peering,
    ];
    let named = kinds
        .into_iter()
        .map(|kind| Rule::named(kind, "", true, Grant::Write));
    let single = |single| Rule::Single {
        single,
        grant: Grant::Write,
    };
    named.chain(singles.into_iter().map(single))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_that_are_shown_of_the_first_policy_are_those_that_hold() {
        let mut shown = rules::parse(MANAGEMENT_RULES).unwrap();
        let mut held: Vec<Rule> = everything().collect();
        let by_text = |rule: &Rule| format!("{rule:?}");
        shown.sort_by_key(by_text);
        held.sort_by_key(by_text);
        assert_eq!(shown, held);
    }
}
