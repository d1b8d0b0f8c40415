//! Filter expressions, as Consul's `?filter=` has them: `Service.Tags contains "a" and not Node.Meta.zone is empty`.
//!
//! | form | about |
//! |---|---|
//! | `selector == value`, `!=` | text, numbers, booleans |
//! | `value in selector`, `not in`; `selector contains value`, `not contains` | text (a part of it), lists of text, keys of maps |
//! | `selector is empty`, `is not empty` | text, lists, maps |
//! | `selector matches value`, `not matches` | text; the value is a regular expression in RE2's syntax |
//! | `not`, `and`, `or`, `( )` | binding in this order |
//!
//! A selector is names with dots between them, `["any key"]` for keys of maps, or all of it as a JSON pointer in quotes.
//! Where it goes through a list of objects, one of them must satisfy the condition. Selectors and operators are checked
//! against the [`Shape`] of what is filtered, so that a wrong one is an error and not an empty answer. A field that is not
//! there is empty; for a key that is not in a map every condition is false, and its negation true.
//!
//! Never changes what it looks at. Expressions come from anybody: length, depth and regular expressions are bounded.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use regex::Regex;
use serde_json::Value;
use thiserror::Error;

use crate::base::limits::{MAXIMUM_FILTER_BYTES, MAXIMUM_FILTER_DEPTH, MAXIMUM_FILTER_PATTERNS};

/// What objects look like that are filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list of text.
    Texts,
    /// A list of objects.
    List(&'static Shape),
    /// Anything by key.
    Map(&'static Shape),
    /// Fields.
    Object(&'static [(&'static str, Shape)]),
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Texts => "a list of text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Object(_) => "an object",
        }
    }
}

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    /// It is too long.
    #[error("the filter has {bytes} bytes; the most is {MAXIMUM_FILTER_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Too deep.
    #[error("the filter is nested more than {MAXIMUM_FILTER_DEPTH} deep")]
    TooDeep,
    /// Too many regular expressions.
    #[error("the filter has more than {MAXIMUM_FILTER_PATTERNS} regular expressions")]
    TooManyPatterns,
    /// Something else stands where something must.
    #[error("at byte {at}: {found} where {wanted} should be")]
    Unexpected {
        /// Where.
        at: usize,
        /// What is there.
        found: String,
        /// What should be.
        wanted: &'static str,
    },
    /// Text that does not end, or a wrong escape.
    #[error("at byte {at}: {reason}")]
    Text {
        /// Where.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A selector of something that is not there.
    #[error("Selector {selector:?} is not valid: there is no {name:?} in it")]
    Selector {
        /// All of it.
        selector: String,
        /// The part.
        name: String,
    },
    /// An operator that does not fit.
    #[error("{operator:?} cannot be used with {selector:?}, which is {shape}")]
    Operator {
        /// The operator.
        operator: &'static str,
        /// The selector.
        selector: String,
        /// What it is.
        shape: &'static str,
    },
    /// A value that does not fit.
    #[error("{value:?} cannot be compared with {selector:?}, which is {shape}")]
    Value {
        /// The value.
        value: String,
        /// The selector.
        selector: String,
        /// What it is.
        shape: &'static str,
    },
    /// A regular expression that is none, or too large.
    #[error("the regular expression {pattern:?} cannot be used: {reason}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// Why not.
        reason: String,
    },
}

/// One step from an object to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A field, which may be left out when it is empty.
    Field(String),
    /// A key of a map.
    Key(String),
}

/// What is looked for in what a selector leads to.
#[derive(Debug, Clone)]
enum Test {
    Text(String),
    Number(f64),
    Boolean(bool),
    Holds(String),
    Empty,
    Matches(Regex),
}

impl Test {
    /// Whether it is so of a value; `Null` is the empty one.
    fn is_met(&self, value: &Value) -> bool {
        let text = value.as_str().unwrap_or_default();
        match self {
            Self::Text(wanted) => text == wanted,
            Self::Number(wanted) => value.as_f64().unwrap_or_default().total_cmp(wanted).is_eq(),
            Self::Boolean(wanted) => value.as_bool().unwrap_or_default() == *wanted,
            Self::Matches(pattern) => pattern.is_match(text),
            Self::Holds(wanted) => match value {
                Value::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
                Value::Object(fields) => fields.contains_key(wanted),
                Value::String(text) => text.contains(wanted.as_str()),
                Value::Null | Value::Bool(_) | Value::Number(_) => wanted.is_empty(),
            },
            Self::Empty => match value {
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                Value::String(text) => text.is_empty(),
                Value::Null => true,
                Value::Bool(_) | Value::Number(_) => false,
            },
        }
    }
}

#[derive(Debug, Clone)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Condition {
        path: Vec<Step>,
        test: Test,
        is_negated: bool,
    },
}

/// An expression that was checked.
#[derive(Debug, Clone)]
pub struct Filter(Expression);

impl Filter {
    /// Reads an expression about objects of a shape.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, shape: Shape) -> Result<Self, FilterError> {
        if text.len() > MAXIMUM_FILTER_BYTES {
            return Err(FilterError::TooLong { bytes: text.len() });
        }
        parser::parse(text, shape).map(Self)
    }

    /// Whether an object of that shape satisfies it.
    #[must_use]
    pub fn admits(&self, object: &Value) -> bool {
        admits(&self.0, object)
    }
}

fn admits(expression: &Expression, object: &Value) -> bool {
    match expression {
        Expression::Any(parts) => parts.iter().any(|part| admits(part, object)),
        Expression::All(parts) => parts.iter().all(|part| admits(part, object)),
        Expression::Not(part) => !admits(part, object),
        Expression::Condition {
            path,
            test,
            is_negated,
        } => reach(object, path, test, *is_negated),
    }
}

/// Follows a path; through a list, one of its items must do.
fn reach(value: &Value, path: &[Step], test: &Test, is_negated: bool) -> bool {
    let Some((step, rest)) = path.split_first() else {
        return test.is_met(value) != is_negated;
    };
    match (value, step) {
        (Value::Array(items), _) => items.iter().any(|item| reach(item, path, test, is_negated)),
        (Value::Object(fields), Step::Field(name)) => {
            reach(fields.get(name).unwrap_or(&Value::Null), rest, test, is_negated)
        }
        (Value::Object(fields), Step::Key(name)) => match fields.get(name) {
            Some(found) => reach(found, rest, test, is_negated),
            None => matches!(test, Test::Empty) != is_negated,
        },
        (Value::Null, Step::Field(_)) => reach(&Value::Null, rest, test, is_negated),
        _ => matches!(test, Test::Empty) != is_negated,
    }
}
