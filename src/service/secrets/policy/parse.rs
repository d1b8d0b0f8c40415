//! The documents of policies: HCL and JSON, brought into one form.
//!
//! Never decides anything: that is [`super::merged`].

use std::collections::BTreeMap;
use std::time::Duration;

use hcl::{Block, Body, Structure};
use serde_json::{Map, Value};

use super::PolicyError;
use super::capability::{Capabilities, Capability};
use super::rule::{Parameters, Rule};
use super::template::Template;
use crate::base::limits::{
    MAXIMUM_SECRET_POLICY_BYTES, MAXIMUM_SECRET_POLICY_DEPTH, MAXIMUM_SECRET_POLICY_RULES,
};
use crate::service::document;
use crate::service::secrets::parameters;

/// A path as it is written, and what is said of it.
type Statement = (String, Value);

fn invalid(reason: impl Into<String>) -> PolicyError {
    PolicyError::Document(reason.into())
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn rules(text: &str) -> Result<BTreeMap<Template, Rule>, PolicyError> {
    if text.len() > MAXIMUM_SECRET_POLICY_BYTES {
        return Err(invalid(format!(
            "it has {} bytes; the most is {MAXIMUM_SECRET_POLICY_BYTES}",
            text.len()
        )));
    }
    let statements = if text.trim_start().starts_with('{') {
        from_json(text)?
    } else {
        from_hcl(text)?
    };
    if statements.len() > MAXIMUM_SECRET_POLICY_RULES {
        return Err(invalid(format!(
            "it has {} rules; the most is {MAXIMUM_SECRET_POLICY_RULES}",
            statements.len()
        )));
    }
    let mut rules: BTreeMap<Template, Rule> = BTreeMap::new();
    for (path, said) in statements {
        let wrong = |reason| PolicyError::Rule {
            path: path.clone(),
            reason,
        };
        let template = Template::parse(&path).map_err(wrong)?;
        let rule = rule(said).map_err(wrong)?;
        rules.entry(template).or_default().merge(rule);
    }
    Ok(rules)
}

/// `{"path": {"secret/*": {...}}}`; each of the two inner objects may be a list of objects instead.
fn from_json(text: &str) -> Result<Vec<Statement>, PolicyError> {
    let document = document::json(text, MAXIMUM_SECRET_POLICY_DEPTH).map_err(invalid)?;
    let Value::Object(fields) = document else {
        return Err(invalid("the JSON is no object"));
    };
    let mut statements = Vec::new();
    for (key, value) in fields {
        if key != "path" {
            check_name(&key, &value)?;
            continue;
        }
        for paths in several(value) {
            let Value::Object(paths) = paths else {
                return Err(invalid(format!("\"path\" is no object of paths: {paths}")));
            };
            for (path, said) in paths {
                statements.extend(several(said).into_iter().map(|said| (path.clone(), said)));
            }
        }
    }
    Ok(statements)
}

fn several(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => vec![other],
    }
}

/// A document may say its name; what counts is the one that it is kept under.
fn check_name(key: &str, value: &Value) -> Result<(), PolicyError> {
    if key != "name" {
        return Err(invalid(format!(
            "{key:?} is unknown; rules are blocks of \"path\""
        )));
    }
    if !value.is_string() {
        return Err(invalid(format!("\"name\" is no text: {value}")));
    }
    Ok(())
}

fn from_hcl(text: &str) -> Result<Vec<Statement>, PolicyError> {
    let body = document::hcl(text, MAXIMUM_SECRET_POLICY_DEPTH).map_err(invalid)?;
    let mut statements = Vec::new();
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                let value = document::value(attribute.expr).map_err(invalid)?;
                check_name(&attribute.key, &value)?;
            }
            Structure::Block(block) => statements.push(statement(block)?),
        }
    }
    Ok(statements)
}

/// `path "secret/*" { ... }`.
fn statement(block: Block) -> Result<Statement, PolicyError> {
    let key = block.identifier.as_str();
    if key != "path" {
        return Err(invalid(format!(
            "{key:?} is unknown; rules are blocks of \"path\""
        )));
    }
    let [label] = block.labels.as_slice() else {
        return Err(invalid("a block of \"path\" has one path, in quotes"));
    };
    let path = label.as_str().to_owned();
    match fields(block.body) {
        Ok(fields) => Ok((path, Value::Object(fields))),
        Err(reason) => Err(PolicyError::Rule { path, reason }),
    }
}

/// What is in a block; a block inside is an object.
fn fields(body: Body) -> Result<Map<String, Value>, String> {
    let mut said = Map::new();
    for structure in body {
        let (key, value) = match structure {
            Structure::Attribute(attribute) => (attribute.key.to_string(), document::value(attribute.expr)?),
            Structure::Block(block) if block.labels.is_empty() => {
                (block.identifier.to_string(), Value::Object(fields(block.body)?))
            }
            Structure::Block(block) => {
                return Err(format!("{:?} has a label", block.identifier.as_str()));
            }
        };
        if said.contains_key(&key) {
            return Err(format!("{key:?} is said twice"));
        }
        said.insert(key, value);
    }
    Ok(said)
}

fn rule(said: Value) -> Result<Rule, String> {
    let Value::Object(fields) = said else {
        return Err(format!("{said} is no block of rules"));
    };
    let mut rule = Rule::default();
    for (key, value) in fields {
        match key.as_str() {
            "comment" if value.is_string() => {}
            "comment" => return Err(format!("\"comment\" is no text: {value}")),
            "capabilities" => {
                rule.capabilities = rule.capabilities.merge(capabilities(&texts(&key, value)?)?)
            }
            "policy" => rule.capabilities = rule.capabilities.merge(legacy(&value)?),
            "allowed_parameters" => rule.allowed = parameters_of(&key, value)?,
            "denied_parameters" => rule.denied = parameters_of(&key, value)?,
            "required_parameters" => {
                let names = texts(&key, value)?;
                rule.required = names.iter().map(|name| name.to_lowercase()).collect();
            }
            "min_wrapping_ttl" => rule.minimum_wrapping = time(&key, &value)?,
            "max_wrapping_ttl" => rule.maximum_wrapping = time(&key, &value)?,
            _ => return Err(format!("{key:?} is unknown")),
        }
    }
    if let (Some(minimum), Some(maximum)) = (rule.minimum_wrapping, rule.maximum_wrapping)
        && maximum < minimum
    {
        return Err("max_wrapping_ttl cannot be less than min_wrapping_ttl".into());
    }
    Ok(rule)
}

fn texts(key: &str, value: Value) -> Result<Vec<String>, String> {
    let Value::Array(items) = value else {
        return Err(format!("{key:?} is no list: {value}"));
    };
    let texts = items.into_iter().map(|item| match item {
        Value::String(text) => Ok(text),
        other => Err(format!("{other} in {key:?} is no text")),
    });
    texts.collect()
}

fn capabilities(names: &[String]) -> Result<Capabilities, String> {
    names
        .iter()
        .map(|name| {
            Capability::from_name(name).ok_or_else(|| {
                format!(
                    "invalid capability {name:?}; there are {}",
                    Capability::ALL.map(Capability::name).join(", ")
                )
            })
        })
        .collect()
}

/// What was written before there were capabilities.
fn legacy(value: &Value) -> Result<Capabilities, String> {
    use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
    let capabilities: &[Capability] = match value.as_str() {
        Some("deny") => &[Deny],
        Some("read") => &[Read, List],
        Some("write") => &[Create, Read, Update, Delete, List],
        Some("sudo") => &[Create, Read, Update, Delete, List, Sudo],
        _ => {
            return Err(format!(
                "invalid policy {value}; there are \"deny\", \"read\", \"write\", \"sudo\""
            ));
        }
    };
    Ok(capabilities.iter().copied().collect())
}

fn parameters_of(key: &str, value: Value) -> Result<Parameters, String> {
    let Value::Object(fields) = value else {
        return Err(format!("{key:?} is no object of lists: {value}"));
    };
    let mut parameters = Parameters::new();
    for (name, values) in fields {
        let Value::Array(values) = values else {
            return Err(format!("{name:?} in {key:?} has no list: {values}"));
        };
        let name = name.to_lowercase();
        if parameters.contains_key(&name) {
            return Err(format!("{name:?} in {key:?} is said twice"));
        }
        parameters.insert(name, values);
    }
    Ok(parameters)
}

/// Zero is none.
fn time(key: &str, value: &Value) -> Result<Option<Duration>, String> {
    let time = parameters::span(value).map_err(|error| format!("{key:?}: {error}"))?;
    Ok((!time.is_zero()).then_some(time))
}
