//! The path of a rule as it is written: with wildcards, and with `{{...}}` where something of who asks is filled in.
//!
//! What is filled in stays inside of its segment and is never a wildcard: values with a slash and empty ones make the rule
//! match nothing, and `*` and `+` in a value stand for themselves. Never knows where values come from.

use std::collections::BTreeMap;

use super::pattern::{Pattern, Segment};
use crate::base::limits::MAXIMUM_SECRET_POLICY_SEGMENTS;

/// What is known of who asks, by the names that templates use: `identity.entity.id`, `identity.entity.metadata.team`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty() && !value.contains('/')).then_some(value.as_str())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Values {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Self {
        let values = values.into_iter();
        Self(values.map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Text(String),
    Value(String),
}

/// The path of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Template {
    /// What each segment is put together from.
    segments: Vec<Vec<Piece>>,
    is_prefix: bool,
}

impl Template {
    /// Reads the path of a rule. A slash at the beginning is cut.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str) -> Result<Self, String> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.contains("+*") {
            return Err("invalid use of wildcards ('+*' is forbidden)".into());
        }
        let (mut rest, is_prefix) = match path.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (path, false),
        };
        let mut segments = Vec::new();
        let mut segment = Vec::new();
        loop {
            let (text, after) = rest.split_once("{{").map_or((rest, None), |(a, b)| (a, Some(b)));
            if text.contains("}}") {
                return Err("a template that ends without having begun".into());
            }
            let mut parts = text.split('/').peekable();
            while let Some(part) = parts.next() {
                if !part.is_empty() {
                    segment.push(Piece::Text(part.to_owned()));
                }
                if parts.peek().is_some() {
                    segments.push(std::mem::take(&mut segment));
                }
            }
            let Some(after) = after else { break };
            let Some((name, after)) = after.split_once("}}") else {
                return Err("a template that does not end".into());
            };
            let name = name.trim();
            if !is_known(name) {
                return Err(format!("{{{{{name}}}}} is nothing that can be filled in"));
            }
            segment.push(Piece::Value(name.to_owned()));
            rest = after;
        }
        segments.push(segment);
        if segments.len() > MAXIMUM_SECRET_POLICY_SEGMENTS {
            return Err(format!(
                "it has {} segments; the most is {MAXIMUM_SECRET_POLICY_SEGMENTS}",
                segments.len()
            ));
        }
        Ok(Self { segments, is_prefix })
    }

    /// The pattern for who asks; none if something that it needs is not known, or cannot be part of a path.
    pub fn fill(&self, values: &Values) -> Option<Pattern> {
        let segments = self.segments.iter().map(|pieces| match pieces.as_slice() {
            [Piece::Text(text)] if text == "+" => Some(Segment::Any),
            pieces => {
                let texts = pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => Some(text.as_str()),
                    Piece::Value(name) => values.get(name),
                });
                texts.collect::<Option<String>>().map(Segment::Literal)
            }
        });
        Some(Pattern {
            segments: segments.collect::<Option<_>>()?,
            is_prefix: self.is_prefix,
        })
    }
}

/// Whether a template may name it, known of somebody or not.
fn is_known(name: &str) -> bool {
    let is_metadata = |field: &str, kinds: &[&str]| {
        kinds
            .iter()
            .any(|kind| field.strip_prefix(kind).is_some_and(|key| !key.is_empty()))
    };
    let Some(name) = name.strip_prefix("identity.") else {
        return false;
    };
    if let Some(field) = name.strip_prefix("entity.aliases.") {
        return field.split_once('.').is_some_and(|(accessor, field)| {
            !accessor.is_empty()
                && (matches!(field, "id" | "name") || is_metadata(field, &["metadata.", "custom_metadata."]))
        });
    }
    if let Some(field) = name.strip_prefix("entity.") {
        return matches!(field, "id" | "name") || is_metadata(field, &["metadata."]);
    }
    let group = |kind: &str, other: &str| {
        name.strip_prefix(kind)
            .and_then(|field| field.split_once('.'))
            .is_some_and(|(group, field)| {
                !group.is_empty() && (field == other || is_metadata(field, &["metadata."]))
            })
    };
    group("groups.ids.", "name") || group("groups.names.", "id")
}
