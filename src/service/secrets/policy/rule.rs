//! What one rule says of its paths: capabilities, parameters and how long an answer may be wrapped.
//!
//! Names of parameters are in lower case. Never knows a path.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Number, Value};

use super::capability::{Capabilities, Capability};

/// Stands for every parameter as a name.
const EVERY: &str = "*";

/// Values of parameters by name. An empty list is every value.
pub(super) type Parameters = BTreeMap<String, Vec<Value>>;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rule {
    pub capabilities: Capabilities,
    /// Only these, if any are named.
    pub allowed: Parameters,
    /// Not these.
    pub denied: Parameters,
    /// These must be there.
    pub required: BTreeSet<String>,
    /// The answer must be wrapped, and for at least as long.
    pub minimum_wrapping: Option<Duration>,
    /// The answer must be wrapped, and for no longer.
    pub maximum_wrapping: Option<Duration>,
}

impl Rule {
    fn denies(&self) -> bool {
        self.capabilities.contains(Capability::Deny)
    }

    /// Takes in another rule for the same pattern: one that denies erases all that others say. Of two shortest times to
    /// wrap, and of two longest, the shorter holds. A rule that says nothing of parameters lifts no limit of the other.
    pub fn merge(&mut self, other: Self) {
        self.capabilities = self.capabilities.merge(other.capabilities);
        if self.denies() {
            *self = Self {
                capabilities: self.capabilities,
                ..Self::default()
            };
            return;
        }
        unite(&mut self.allowed, other.allowed);
        unite(&mut self.denied, other.denied);
        self.required.extend(other.required);
        self.minimum_wrapping = shorter(self.minimum_wrapping, other.minimum_wrapping);
        self.maximum_wrapping = shorter(self.maximum_wrapping, other.maximum_wrapping);
    }

    /// Whether an answer may be wrapped for so long; none: not wrapped.
    pub fn allows_wrapping(&self, ttl: Option<Duration>) -> bool {
        self.minimum_wrapping
            .is_none_or(|minimum| ttl.is_some_and(|ttl| ttl >= minimum))
            && self
                .maximum_wrapping
                .is_none_or(|maximum| ttl.is_some_and(|ttl| ttl <= maximum))
    }

    /// Whether a request may have these parameters.
    pub fn allows_parameters(&self, parameters: &Map<String, Value>) -> bool {
        if !self.required.iter().all(|name| parameters.contains_key(name)) {
            return false;
        }
        if self.denied.contains_key(EVERY) && !parameters.is_empty() {
            return false;
        }
        parameters.iter().all(|(name, value)| {
            let name = name.to_lowercase();
            if self
                .denied
                .get(&name)
                .is_some_and(|values| is_among(value, values))
            {
                return false;
            }
            match self.allowed.get(&name) {
                Some(values) => is_among(value, values),
                None => self.allowed.is_empty() || self.allowed.contains_key(EVERY),
            }
        })
    }
}

fn unite(parameters: &mut Parameters, others: Parameters) {
    for (name, values) in others {
        let Some(known) = parameters.get_mut(&name) else {
            parameters.insert(name, values);
            continue;
        };
        if known.is_empty() || values.is_empty() {
            known.clear();
            continue;
        }
        for value in values {
            if !known.contains(&value) {
                known.push(value);
            }
        }
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

fn is_among(value: &Value, listed: &[Value]) -> bool {
    listed.is_empty() || listed.iter().any(|listed| is_meant(listed, value))
}

/// Whether a value is the one that a rule names: text may begin and end with `*`, numbers are compared by what they are
/// worth.
fn is_meant(listed: &Value, value: &Value) -> bool {
    match (listed, value) {
        (Value::String(glob), Value::String(text)) => glob_matches(glob, text),
        (Value::Number(one), Value::Number(other)) => is_equal(one, other),
        _ => listed == value,
    }
}

fn glob_matches(glob: &str, text: &str) -> bool {
    if glob == EVERY {
        return true;
    }
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(end), Some(_)) => text.contains(end.strip_suffix('*').unwrap_or(end)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(beginning)) => text.starts_with(beginning),
        (None, None) => text == glob,
    }
}

fn is_equal(one: &Number, other: &Number) -> bool {
    one == other || (one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64())
}
