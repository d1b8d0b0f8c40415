//! The rules of a policy, as people write them: HCL or JSON.
//!
//! Both are brought into one form first: what the rules are about, and what is said of it.
//!
//! Never merges: that is [`super::authorizer`].

use hcl::{Expression, Structure};
use serde_json::{Map, Value};

use super::Access;
use super::error::AclError;
use crate::base::limits::{MAXIMUM_POLICY_BYTES, MAXIMUM_POLICY_DEPTH};
use crate::service::document;

/// What may be done, from the weakest to the strongest word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grant {
    /// Look.
    Read,
    /// Look, at many at once too.
    List,
    /// Everything.
    Write,
    /// Nothing.
    Deny,
}

impl Grant {
    /// Whether that is enough.
    pub fn covers(self, access: Access) -> bool {
        match access {
            Access::Read => self != Self::Deny,
            Access::List => matches!(self, Self::List | Self::Write),
            Access::Write => self == Self::Write,
        }
    }
}

/// Resources with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Key,
    Node,
    Service,
    Session,
    Agent,
    Query,
    Event,
}

/// Resources without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Single {
    Operator,
    Acl,
    Keyring,
    Mesh,
    Peering,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Named {
        kind: Kind,
        name: String,
        is_prefix: bool,
        grant: Grant,
    },
    Single {
        single: Single,
        grant: Grant,
    },
}

impl Rule {
    pub fn named(kind: Kind, name: &str, is_prefix: bool, grant: Grant) -> Self {
        Self::Named {
            kind,
            name: name.to_owned(),
            is_prefix,
            grant,
        }
    }
}

fn invalid(reason: impl Into<String>) -> AclError {
    AclError::Rules(reason.into())
}

/// Reads the rules of a policy.
///
/// # Errors
/// What is wrong with them.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>, AclError> {
    if text.len() > MAXIMUM_POLICY_BYTES {
        return Err(invalid(format!(
            "they have {} bytes; the most is {MAXIMUM_POLICY_BYTES}",
            text.len()
        )));
    }
    let trimmed = text.trim();
    let statements = if trimmed.starts_with('{') {
        match serde_json::from_str(trimmed) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            Ok(_) => return Err(invalid("the JSON is no object")),
            Err(error) => return Err(invalid(error.to_string())),
        }
    } else {
        from_hcl(trimmed)?
    };
    let mut rules = Vec::new();
    for (word, value) in &statements {
        statement(word, value, &mut rules)?;
    }
    Ok(rules)
}

fn from_hcl(text: &str) -> Result<Vec<(String, Value)>, AclError> {
    let body = document::hcl(text, MAXIMUM_POLICY_DEPTH).map_err(invalid)?;
    let statements = body.into_iter().map(|structure| match structure {
        Structure::Attribute(attribute) => Ok((attribute.key.to_string(), value(attribute.expr)?)),
        Structure::Block(block) => {
            let mut fields = Map::new();
            for attribute in block.body {
                let Structure::Attribute(attribute) = attribute else {
                    return Err(invalid(format!(
                        "a block inside of {:?}",
                        block.identifier.as_str()
                    )));
                };
                fields.insert(attribute.key.to_string(), value(attribute.expr)?);
            }
            let mut inner = Value::Object(fields);
            for label in block.labels.into_iter().rev() {
                let label = label.into_inner();
                inner = Value::Object(Map::from_iter([(label, inner)]));
            }
            Ok((block.identifier.to_string(), inner))
        }
    });
    statements.collect()
}

fn value(expression: Expression) -> Result<Value, AclError> {
    document::value(expression).map_err(invalid)
}

fn statement(word: &str, value: &Value, rules: &mut Vec<Rule>) -> Result<(), AclError> {
    let single = match word {
        "operator" => Some(Single::Operator),
        "acl" => Some(Single::Acl),
        "keyring" => Some(Single::Keyring),
        "mesh" => Some(Single::Mesh),
        "peering" => Some(Single::Peering),
        _ => None,
    };
    if let Some(single) = single {
        let grant = grant(word, "", value, false)?;
        rules.push(Rule::Single { single, grant });
        return Ok(());
    }
    let (kind, is_prefix) = match word.strip_suffix("_prefix") {
        Some(kind) => (kind, true),
        None => (word, false),
    };
    let kind = match kind {
        "key" => Kind::Key,
        "node" => Kind::Node,
        "service" => Kind::Service,
        "session" => Kind::Session,
        "agent" => Kind::Agent,
        "query" => Kind::Query,
        "event" => Kind::Event,
        _ => return Err(invalid(format!("{word:?} is nothing that rules can be about"))),
    };
    let objects = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    for object in objects {
        let Value::Object(fields) = object else {
            return Err(invalid(format!(
                "{word:?} needs a name and a block with a policy"
            )));
        };
        for (name, said) in fields {
            let said = match said {
                Value::Array(items) => items.as_slice(),
                other => std::slice::from_ref(other),
            };
            for said in said {
                rules.push(Rule::Named {
                    kind,
                    name: name.clone(),
                    is_prefix,
                    grant: named_grant(word, name, said, kind)?,
                });
            }
        }
    }
    Ok(())
}

/// What the block about a name says.
fn named_grant(word: &str, name: &str, said: &Value, kind: Kind) -> Result<Grant, AclError> {
    let Value::Object(fields) = said else {
        return Err(invalid(format!("{word} {name:?} needs a block with a policy")));
    };
    let mut found = None;
    for (field, value) in fields {
        match field.as_str() {
            "policy" => found = Some(grant(word, name, value, kind == Kind::Key)?),
            // About the mesh, which is not there; checked all the same.
            "intentions" if kind == Kind::Service => {
                grant(word, name, value, false)?;
            }
            other => return Err(invalid(format!("{word} {name:?} has an unknown field {other:?}"))),
        }
    }
    found.ok_or_else(|| invalid(format!("{word} {name:?} has no policy")))
}

fn grant(word: &str, name: &str, value: &Value, may_list: bool) -> Result<Grant, AclError> {
    match value.as_str() {
        Some("read") => Ok(Grant::Read),
        Some("write") => Ok(Grant::Write),
        Some("deny") => Ok(Grant::Deny),
        Some("list") if may_list => Ok(Grant::List),
        _ => {
            let words = if may_list {
                "read, list, write or deny"
            } else {
                "read, write or deny"
            };
            Err(invalid(format!(
                "the policy {value} of {word} {name:?} is none of {words}"
            )))
        }
    }
}
