//! The documents of password policies: HCL and JSON, brought into one form.
//!
//! Never draws anything.

use hcl::{Body, Structure};
use serde_json::{Map, Value};

use super::{Charset, PasswordPolicy, PasswordPolicyError};
use crate::base::limits::{
    MAXIMUM_PASSWORD_CHARACTERS, MAXIMUM_PASSWORD_CHARSET, MAXIMUM_PASSWORD_POLICY_BYTES,
    MAXIMUM_PASSWORD_POLICY_DEPTH, MAXIMUM_PASSWORD_RULES, MINIMUM_PASSWORD_CHARACTERS,
};
use crate::service::document;

/// The only kind of rules.
const CHARSET: &str = "charset";

fn invalid(reason: impl Into<String>) -> PasswordPolicyError {
    PasswordPolicyError::new(reason)
}

impl PasswordPolicy {
    /// Reads a document, HCL or, if it begins with `{`, JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PasswordPolicyError> {
        if text.len() > MAXIMUM_PASSWORD_POLICY_BYTES {
            return Err(invalid(format!(
                "it has {} bytes; the most is {MAXIMUM_PASSWORD_POLICY_BYTES}",
                text.len()
            )));
        }
        let (length, rules) = match text.trim_start().starts_with('{') {
            true => from_json(text)?,
            false => from_hcl(text)?,
        };
        let length = length.ok_or_else(|| invalid("it has no \"length\""))?;
        let length = number("length", &length)?;
        if !(MINIMUM_PASSWORD_CHARACTERS..=MAXIMUM_PASSWORD_CHARACTERS).contains(&length) {
            return Err(invalid(format!(
                "\"length\" is {length}; a password has from {MINIMUM_PASSWORD_CHARACTERS} to \
                 {MAXIMUM_PASSWORD_CHARACTERS} characters"
            )));
        }
        if rules.is_empty() || rules.len() > MAXIMUM_PASSWORD_RULES {
            return Err(invalid(format!(
                "it has {} rules; write from 1 to {MAXIMUM_PASSWORD_RULES}",
                rules.len()
            )));
        }
        let rules = rules.into_iter().map(charset).collect::<Result<Vec<_>, _>>()?;
        let wanted: usize = rules.iter().map(|rule| rule.minimum).max().unwrap_or_default();
        if wanted > length {
            return Err(invalid(format!(
                "a rule wants {wanted} characters, and a password has {length}"
            )));
        }
        let characters = set(rules.iter().flat_map(|rule| rule.characters.iter().copied()))?;
        Ok(Self {
            length,
            rules,
            characters,
        })
    }
}

/// The length, as it is written, and what each rule says.
type Said = (Option<Value>, Vec<Value>);

/// `{"length": 20, "rule": [{"charset": {"charset": "abc", "min-chars": 1}}]}`; each list may be what is in it, and the object
/// of a rule may be a list of them.
fn from_json(text: &str) -> Result<Said, PasswordPolicyError> {
    let document = document::json(text, MAXIMUM_PASSWORD_POLICY_DEPTH).map_err(invalid)?;
    let Value::Object(mut fields) = document else {
        return Err(invalid("the JSON is no object"));
    };
    let length = fields.remove("length");
    let mut rules = Vec::new();
    for rule in fields.remove("rule").map(several).unwrap_or_default() {
        let Value::Object(kinds) = rule else {
            return Err(invalid("\"rule\" is no object of rules"));
        };
        for (kind, said) in kinds {
            check_kind(&kind)?;
            rules.extend(several(said));
        }
    }
    match fields.keys().next() {
        Some(key) => Err(unknown(key)),
        None => Ok((length, rules)),
    }
}

fn several(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => vec![other],
    }
}

fn from_hcl(text: &str) -> Result<Said, PasswordPolicyError> {
    let body = document::hcl(text, MAXIMUM_PASSWORD_POLICY_DEPTH).map_err(invalid)?;
    let (mut length, mut rules) = (None, Vec::new());
    for structure in body {
        match structure {
            Structure::Attribute(attribute) if attribute.key.as_str() == "length" => {
                length = Some(document::value(attribute.expr).map_err(invalid)?);
            }
            Structure::Attribute(attribute) => return Err(unknown(&attribute.key)),
            Structure::Block(block) if block.identifier.as_str() == "rule" => {
                let [kind] = block.labels.as_slice() else {
                    return Err(invalid("a rule has one kind, in quotes: rule \"charset\""));
                };
                check_kind(kind.as_str())?;
                rules.push(Value::Object(fields(block.body)?));
            }
            Structure::Block(block) => return Err(unknown(&block.identifier)),
        }
    }
    Ok((length, rules))
}

fn fields(body: Body) -> Result<Map<String, Value>, PasswordPolicyError> {
    let fields = body.into_iter().map(|structure| match structure {
        Structure::Attribute(attribute) => {
            let value = document::value(attribute.expr).map_err(invalid)?;
            Ok((attribute.key.to_string(), value))
        }
        Structure::Block(block) => Err(unknown(&block.identifier)),
    });
    fields.collect()
}

fn unknown(key: &str) -> PasswordPolicyError {
    invalid(format!(
        "{key:?} is unknown; there are \"length\" and rules with \"charset\" and \"min-chars\""
    ))
}

fn check_kind(kind: &str) -> Result<(), PasswordPolicyError> {
    match kind {
        CHARSET => Ok(()),
        _ => Err(invalid(format!(
            "there are no rules of the kind {kind:?}; there is {CHARSET:?}"
        ))),
    }
}

fn charset(said: Value) -> Result<Charset, PasswordPolicyError> {
    let Value::Object(fields) = said else {
        return Err(invalid("a rule is no object"));
    };
    let (mut characters, mut minimum) = (None, 0);
    for (key, value) in &fields {
        match (key.as_str(), value) {
            (CHARSET, Value::String(text)) => characters = Some(text.as_str()),
            (CHARSET, _) => return Err(invalid("\"charset\" is no text")),
            ("min-chars", value) => minimum = number(key, value)?,
            _ => return Err(unknown(key)),
        }
    }
    let characters = characters.filter(|text| !text.is_empty());
    let characters = characters.ok_or_else(|| invalid("a rule has no characters in \"charset\""))?;
    if characters.contains(char::is_control) {
        return Err(invalid("a rule has a character that cannot be seen"));
    }
    Ok(Charset {
        characters: set(characters.chars())?,
        minimum,
    })
}

/// Characters, each once.
fn set(characters: impl Iterator<Item = char>) -> Result<Vec<char>, PasswordPolicyError> {
    let mut characters: Vec<char> = characters.collect();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() > MAXIMUM_PASSWORD_CHARSET {
        return Err(invalid(format!(
            "it has {} different characters; the most is {MAXIMUM_PASSWORD_CHARSET}",
            characters.len()
        )));
    }
    Ok(characters)
}

fn number(key: &str, value: &Value) -> Result<usize, PasswordPolicyError> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| invalid(format!("{key:?} is no number from 0 on: {value}")))
}
