//! What paths a rule is about, and which of several patterns that match a path is the most specific.
//!
//! Which of all patterns of a token match a path is found in [`super::index`]. Never reads the text of a rule:
//! that is [`super::template`]; so a value that was filled in is never a wildcard, whatever it holds.

use std::cmp::Reverse;

/// A part of a path, between slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// Exactly this.
    Literal(String),
    /// `+`: whatever it is, nothing too.
    Any,
}

/// The paths of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    /// At least one.
    pub segments: Vec<Segment>,
    /// Whether anything may follow the last segment, which is then the beginning of one: a trailing `*`.
    pub is_prefix: bool,
}

/// How specific a pattern is: the greatest of those that match a path decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Bytes before the first wildcard.
    first_wildcard: usize,
    ends_exactly: bool,
    any_segments: Reverse<usize>,
    length: usize,
    text: String,
}

impl Pattern {
    /// As a path, with `+` for any segment and without the trailing `*`.
    pub fn text(&self) -> String {
        let segments: Vec<&str> = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.as_str(),
                Segment::Any => "+",
            })
            .collect();
        segments.join("/")
    }

    /// Whether it matches a path.
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = self.segments.iter().peekable();
        let mut names = path.split('/');
        while let Some(segment) = segments.next() {
            match (segment, names.next()) {
                (_, None) => return false,
                (Segment::Literal(text), Some(name)) if segments.peek().is_none() && self.is_prefix => {
                    return name.starts_with(text.as_str());
                }
                (Segment::Literal(text), Some(name)) if text != name => return false,
                _ => {}
            }
        }
        names.next().is_none()
    }

    /// Whether it matches something at or below a directory, which ends with a slash.
    pub fn reaches(&self, directory: &str) -> bool {
        let mut segments = self.segments.iter().peekable();
        for name in directory.trim_end_matches('/').split('/') {
            match segments.next() {
                None => return false,
                Some(Segment::Literal(text)) if segments.peek().is_none() && self.is_prefix => {
                    return name.starts_with(text.as_str());
                }
                Some(Segment::Literal(text)) if text != name => return false,
                Some(_) => {}
            }
        }
        true
    }

    /// Whether there is a `+` among the segments.
    pub fn has_any(&self) -> bool {
        self.segments.contains(&Segment::Any)
    }

    pub fn rank(&self) -> Rank {
        let text = self.text();
        let mut before_wildcard = 0;
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => before_wildcard += literal.len() + 1,
                Segment::Any => break,
            }
        }
        Rank {
            first_wildcard: before_wildcard.min(text.len()),
            ends_exactly: !self.is_prefix,
            any_segments: Reverse(
                self.segments
                    .iter()
                    .filter(|segment| **segment == Segment::Any)
                    .count(),
            ),
            length: text.len(),
            text,
        }
    }
}
