//! Finds the rule of a path among those of a token.
//!
//! A look-up costs as much as the path is long, and a step for each pattern with `+` that begins like it; never more for
//! other rules.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::pattern::{Pattern, Rank, Segment};
use super::rule::Rule;

/// Rules by their patterns.
#[derive(Debug, Default)]
pub(super) struct Index {
    rules: Vec<(Pattern, Rank, Rule)>,
    exact: HashMap<String, usize>,
    prefixes: Prefixes,
    /// Patterns with `+`.
    any: Node,
}

impl Index {
    pub fn new(rules: HashMap<Pattern, Rule>) -> Self {
        let mut index = Self::default();
        for (pattern, rule) in rules {
            let place = index.rules.len();
            if pattern.has_any() {
                index.any.insert(&pattern, place);
            } else if pattern.is_prefix {
                index.prefixes.0.insert(pattern.text(), place);
            } else {
                index.exact.insert(pattern.text(), place);
            }
            let rank = pattern.rank();
            index.rules.push((pattern, rank, rule));
        }
        index
    }

    /// The rule for exactly this path, and its pattern.
    pub fn exact(&self, path: &str) -> Option<(&Pattern, &Rule)> {
        let place = self.exact.get(path)?;
        self.rules.get(*place).map(|(pattern, _, rule)| (pattern, rule))
    }

    /// The most specific rule with a wildcard for this path, and its pattern.
    pub fn wildcard(&self, path: &str) -> Option<(&Pattern, &Rule)> {
        let mut places = Vec::new();
        places.extend(self.prefixes.longest(path));
        self.any.collect(path, &mut places);
        let found = places.into_iter().filter_map(|place| self.rules.get(place));
        let best = found.max_by_key(|(_, rank, _)| rank);
        best.map(|(pattern, _, rule)| (pattern, rule))
    }
}

/// Beginnings of texts.
#[derive(Debug, Default)]
struct Prefixes(BTreeMap<String, usize>);

impl Prefixes {
    /// Of the longest that `text` begins with.
    fn longest(&self, text: &str) -> Option<usize> {
        let mut beginning = text;
        loop {
            let up_to = (Bound::Unbounded, Bound::Included(beginning));
            let (prefix, place) = self.0.range::<str, _>(up_to).next_back()?;
            if beginning.starts_with(prefix.as_str()) {
                return Some(*place);
            }
            // Every beginning of the text among those before begins the one that was found as well.
            beginning = shared(beginning, prefix);
        }
    }
}

/// What both begin with, in whole characters.
fn shared<'a>(text: &'a str, other: &str) -> &'a str {
    let mut others = other.chars();
    let end = text
        .char_indices()
        .find(|(_, character)| others.next() != Some(*character))
        .map_or(text.len(), |(position, _)| position);
    text.get(..end).unwrap_or_default()
}

/// What patterns go on with after some segments.
#[derive(Debug, Default)]
struct Node {
    literal: HashMap<String, Node>,
    any: Option<Box<Node>>,
    /// The pattern that ends here.
    here: Option<usize>,
    /// Patterns that end with the beginning of a segment and `*`.
    prefixes: Prefixes,
}

impl Node {
    fn insert(&mut self, pattern: &Pattern, place: usize) {
        let mut node = self;
        let count = pattern.segments.len();
        for (number, segment) in (1..).zip(&pattern.segments) {
            match segment {
                Segment::Literal(text) if pattern.is_prefix && number == count => {
                    node.prefixes.0.insert(text.clone(), place);
                    return;
                }
                Segment::Literal(text) => node = node.literal.entry(text.clone()).or_default(),
                Segment::Any => node = node.any.get_or_insert_default(),
            }
        }
        node.here = Some(place);
    }

    /// Adds the patterns that match what is left of a path, but for those that end in `*` like a longer one does.
    fn collect(&self, rest: &str, places: &mut Vec<usize>) {
        places.extend(self.prefixes.longest(rest));
        let (segment, after) = rest
            .split_once('/')
            .map_or((rest, None), |(segment, after)| (segment, Some(after)));
        for node in self.literal.get(segment).into_iter().chain(self.any.as_deref()) {
            match after {
                Some(after) => node.collect(after, places),
                None => places.extend(node.here),
            }
        }
    }
}
