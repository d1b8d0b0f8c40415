//! What a role asks of the claims of a token.
//!
//! Never takes what is not there for something that fits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::service::secrets::engine::Fault;
use crate::service::secrets::login::glob;

/// How the values that a role asks for are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Comparison {
    /// They are the same.
    #[default]
    String,
    /// `*` stands for any text.
    Glob,
}

/// Claims by name, with the values that are good for each.
pub(super) type Bounds = BTreeMap<String, Vec<Value>>;

/// The claims that a request asks for.
pub(super) fn of(value: &Value, comparison: Comparison) -> Result<Bounds, Fault> {
    let wrong = |reason: &str| Fault::Invalid(format!("bound_claims: {reason}"));
    let parsed;
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => return Ok(Bounds::new()),
        Value::String(text) if text.is_empty() => return Ok(Bounds::new()),
        Value::String(text) => {
            parsed = serde_json::from_str(text).map_err(|_| wrong("it is no object"))?;
            &parsed
        }
        _ => return Err(wrong("it is no object")),
    };
    let mut bounds = Bounds::new();
    for (name, value) in fields {
        let values = match value {
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        let is_plain = |value: &Value| match comparison {
            Comparison::Glob => value.is_string(),
            Comparison::String => value.is_string() || value.is_number() || value.is_boolean(),
        };
        if values.is_empty() || !values.iter().all(is_plain) {
            return Err(wrong(
                "each value is a text, a number or a truth value, or a list of them; with bound_claims_type glob, a text",
            ));
        }
        bounds.insert(name.clone(), values);
    }
    Ok(bounds)
}

/// The claim of that name: a name, or a JSON pointer (RFC 6901) into the claims.
pub(super) fn find<'claims>(claims: &'claims Map<String, Value>, name: &str) -> Option<&'claims Value> {
    let Some(pointer) = name.strip_prefix('/') else {
        return claims.get(name);
    };
    let (first, rest) = pointer
        .split_once('/')
        .map_or((pointer, None), |(first, rest)| (first, Some(rest)));
    let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    match rest {
        Some(rest) => value.pointer(&format!("/{rest}")),
        None => Some(value),
    }
}

/// Whether the claims have what is asked for.
pub(super) fn check(
    bounds: &Bounds,
    comparison: Comparison,
    claims: &Map<String, Value>,
) -> Result<(), String> {
    for (name, wanted) in bounds {
        let claim = find(claims, name).ok_or_else(|| format!("claim {name:?} is missing"))?;
        let values = match claim {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        let is_wanted = |value: &Value| {
            wanted.iter().any(|wanted| match comparison {
                Comparison::String => wanted == value,
                Comparison::Glob => match (wanted.as_str(), value.as_str()) {
                    (Some(pattern), Some(text)) => glob::is_match(pattern, text),
                    _ => false,
                },
            })
        };
        if !values.iter().any(is_wanted) {
            return Err(format!(
                "claim {name:?} does not match any associated bound claim values"
            ));
        }
    }
    Ok(())
}

/// Whether a token is for one of these.
pub(super) fn check_audience(bound: &[String], claims: &Map<String, Value>) -> Result<(), String> {
    let audiences = texts(claims.get("aud"));
    match (bound.is_empty(), audiences.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err("audience claim found in JWT but no audiences bound to the role".to_owned()),
        (false, _)
            if audiences
                .iter()
                .any(|audience| bound.iter().any(|bound| bound == audience)) =>
        {
            Ok(())
        }
        (false, _) => Err("aud claim does not match any bound audience".to_owned()),
    }
}

/// The texts of a claim that is one or a list of them.
pub(super) fn texts(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The text of a plain claim.
pub(super) fn plain(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(claim.to_string()),
        _ => None,
    }
}
