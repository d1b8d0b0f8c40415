//! Who watches a key: exact keys in a hash map, ranges in an interval tree.
//!
//! Finding the watchers of a key costs one hash lookup and a walk down the tree, in proportion to the watchers that match
//! and to the logarithm of the number of distinct ranges; never a scan over all watchers. Equal ranges share a node.
//!
//! The tree is a treap ordered by (start, end) in which each node knows the furthest end below it. Never reads storage,
//! never knows what a watcher is.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::base::{Namespace, clock};

/// Where a range ends. Ordered: no end is past every end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::service) enum End {
    /// Before this key.
    Before(Bytes),
    /// Nowhere.
    Never,
}

impl End {
    fn is_past(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < end.as_ref(),
            Self::Never => true,
        }
    }
}

/// Which keys of a namespace are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) enum Span {
    /// One key.
    Key(Bytes),
    /// The keys from `start` up to `end`; never empty.
    Range {
        /// The first key.
        start: Bytes,
        /// Where it ends.
        end: End,
    },
}

/// Finds the values (watchers) whose span holds a key.
#[derive(Debug)]
pub(in crate::service) struct KeyIndex<T> {
    namespaces: BTreeMap<Namespace, NamespaceIndex<T>>,
    priorities: Priorities,
}

#[derive(Debug)]
struct NamespaceIndex<T> {
    keys: HashMap<Bytes, Vec<T>>,
    ranges: Link<T>,
}

type Link<T> = Option<Box<Node<T>>>;

#[derive(Debug)]
struct Node<T> {
    start: Bytes,
    end: End,
    furthest_end: End,
    priority: u64,
    values: Vec<T>,
    left: Link<T>,
    right: Link<T>,
}

/// A sequence of well-mixed numbers (splitmix64), from a random start so that nobody can aim at a degenerate tree.
#[derive(Debug)]
struct Priorities(u64);

impl Priorities {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl<T: Copy + Ord> KeyIndex<T> {
    pub(in crate::service) fn new() -> Self {
        Self {
            namespaces: BTreeMap::new(),
            priorities: Priorities(clock::random_u64()),
        }
    }

    /// Adds a value.
    pub(in crate::service) fn insert(&mut self, namespace: Namespace, span: &Span, value: T) {
        let index = self
            .namespaces
            .entry(namespace)
            .or_insert_with(|| NamespaceIndex {
                keys: HashMap::new(),
                ranges: None,
            });
        match span {
            Span::Key(key) => insert_sorted(index.keys.entry(key.clone()).or_default(), value),
            Span::Range { start, end } => {
                let priority = self.priorities.next();
                index.ranges = Some(insert_range(index.ranges.take(), start, end, value, priority));
            }
        }
    }

    /// Takes a value out; nothing happens if it is not there.
    pub(in crate::service) fn remove(&mut self, namespace: Namespace, span: &Span, value: T) {
        let Some(index) = self.namespaces.get_mut(&namespace) else {
            return;
        };
        match span {
            Span::Key(key) => {
                if let Some(values) = index.keys.get_mut(key) {
                    remove_sorted(values, &value);
                    if values.is_empty() {
                        index.keys.remove(key);
                    }
                }
            }
            Span::Range { start, end } => {
                index.ranges = remove_range(index.ranges.take(), start, end, value);
            }
        }
        if index.keys.is_empty() && index.ranges.is_none() {
            self.namespaces.remove(&namespace);
        }
    }

    /// Shows `visit` every value whose span holds `key`, each once.
    pub(in crate::service) fn visit(&self, namespace: Namespace, key: &[u8], visit: &mut dyn FnMut(T)) {
        let Some(index) = self.namespaces.get(&namespace) else {
            return;
        };
        if let Some(values) = index.keys.get(key) {
            values.iter().copied().for_each(&mut *visit);
        }
        visit_ranges(&index.ranges, key, visit);
    }
}

fn insert_sorted<T: Ord>(values: &mut Vec<T>, value: T) {
    if let Err(position) = values.binary_search(&value) {
        values.insert(position, value);
    }
}

fn remove_sorted<T: Ord>(values: &mut Vec<T>, value: &T) {
    if let Ok(position) = values.binary_search(value) {
        values.remove(position);
    }
}

impl<T> Node<T> {
    fn compare(&self, start: &Bytes, end: &End) -> Ordering {
        start.cmp(&self.start).then_with(|| end.cmp(&self.end))
    }

    fn refresh(&mut self) {
        let below = self.left.iter().chain(&self.right).map(|node| &node.furthest_end);
        self.furthest_end = below.fold(&self.end, |furthest, end| furthest.max(end)).clone();
    }

    /// Makes the left child the parent; the tree stays ordered.
    fn rotate_right(mut self: Box<Self>) -> Box<Self> {
        match self.left.take() {
            None => self,
            Some(mut parent) => {
                self.left = parent.right.take();
                self.refresh();
                parent.right = Some(self);
                parent.refresh();
                parent
            }
        }
    }

    /// Makes the right child the parent; the tree stays ordered.
    fn rotate_left(mut self: Box<Self>) -> Box<Self> {
        match self.right.take() {
            None => self,
            Some(mut parent) => {
                self.right = parent.left.take();
                self.refresh();
                parent.left = Some(self);
                parent.refresh();
                parent
            }
        }
    }
}

fn insert_range<T: Copy + Ord>(
    link: Link<T>,
    start: &Bytes,
    end: &End,
    value: T,
    priority: u64,
) -> Box<Node<T>> {
    let Some(mut node) = link else {
        return Box::new(Node {
            start: start.clone(),
            end: end.clone(),
            furthest_end: end.clone(),
            priority,
            values: vec![value],
            left: None,
            right: None,
        });
    };
    match node.compare(start, end) {
        Ordering::Equal => {
            insert_sorted(&mut node.values, value);
            node
        }
        Ordering::Less => {
            let child = insert_range(node.left.take(), start, end, value, priority);
            let rises = child.priority > node.priority;
            node.left = Some(child);
            node.refresh();
            if rises { node.rotate_right() } else { node }
        }
        Ordering::Greater => {
            let child = insert_range(node.right.take(), start, end, value, priority);
            let rises = child.priority > node.priority;
            node.right = Some(child);
            node.refresh();
            if rises { node.rotate_left() } else { node }
        }
    }
}

fn remove_range<T: Copy + Ord>(link: Link<T>, start: &Bytes, end: &End, value: T) -> Link<T> {
    let mut node = link?;
    match node.compare(start, end) {
        Ordering::Equal => {
            remove_sorted(&mut node.values, &value);
            if node.values.is_empty() {
                return merge(node.left, node.right);
            }
        }
        Ordering::Less => node.left = remove_range(node.left.take(), start, end, value),
        Ordering::Greater => node.right = remove_range(node.right.take(), start, end, value),
    }
    node.refresh();
    Some(node)
}

/// Joins two trees; every range of `left` orders before every range of `right`.
fn merge<T>(left: Link<T>, right: Link<T>) -> Link<T> {
    match (left, right) {
        (None, only) | (only, None) => only,
        (Some(mut left), Some(mut right)) => {
            if left.priority > right.priority {
                left.right = merge(left.right.take(), Some(right));
                left.refresh();
                Some(left)
            } else {
                right.left = merge(Some(left), right.left.take());
                right.refresh();
                Some(right)
            }
        }
    }
}

fn visit_ranges<T: Copy>(link: &Link<T>, key: &[u8], visit: &mut dyn FnMut(T)) {
    let Some(node) = link else { return };
    if !node.furthest_end.is_past(key) {
        return;
    }
    visit_ranges(&node.left, key, visit);
    if node.start.as_ref() <= key {
        if node.end.is_past(key) {
            node.values.iter().copied().for_each(&mut *visit);
        }
        visit_ranges(&node.right, key, visit);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(0u8..4, 0..4).prop_map(Bytes::from)
    }

    fn span() -> impl Strategy<Value = Span> {
        prop_oneof![
            key().prop_map(Span::Key),
            (key(), key()).prop_map(|(start, end)| Span::Range {
                start,
                end: End::Before(end)
            }),
            key().prop_map(|start| Span::Range {
                start,
                end: End::Never
            }),
        ]
    }

    fn holds(span: &Span, key: &[u8]) -> bool {
        match span {
            Span::Key(only) => only.as_ref() == key,
            Span::Range { start, end } => start.as_ref() <= key && end.is_past(key),
        }
    }

    proptest! {
        #[test]
        fn a_key_finds_exactly_the_spans_that_hold_it(
            spans in proptest::collection::vec((0u8..2, span(), any::<bool>()), 0..60),
            keys in proptest::collection::vec((0u8..2, key()), 1..20),
        ) {
            let mut index = KeyIndex::new();
            for (number, (namespace, span, _)) in spans.iter().enumerate() {
                index.insert(Namespace(*namespace), span, number);
            }
            for (number, (namespace, span, stays)) in spans.iter().enumerate() {
                if !stays {
                    index.remove(Namespace(*namespace), span, number);
                }
            }
            for (namespace, key) in &keys {
                let mut found = Vec::new();
                index.visit(Namespace(*namespace), key, &mut |number| found.push(number));
                found.sort_unstable();
                let expected: Vec<usize> = spans
                    .iter()
                    .enumerate()
                    .filter(|(_, (home, span, stays))| *stays && home == namespace && holds(span, key))
                    .map(|(number, _)| number)
                    .collect();
                prop_assert_eq!(found, expected);
            }
            for (number, (namespace, span, _)) in spans.iter().enumerate() {
                index.remove(Namespace(*namespace), span, number);
            }
            prop_assert!(index.namespaces.is_empty());
        }
    }

    #[test]
    fn a_key_under_ten_thousand_disjoint_ranges_visits_few_nodes() {
        fn depth<T>(link: &Link<T>) -> usize {
            link.as_ref()
                .map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        let mut index = KeyIndex::new();
        for number in 0u32..10_000 {
            let start = Bytes::from(format!("/registry/{number:06}/"));
            let end = End::Before(Bytes::from(format!("/registry/{number:06}0")));
            index.insert(Namespace::DEFAULT, &Span::Range { start, end }, number);
        }
        let mut found = Vec::new();
        index.visit(Namespace::DEFAULT, b"/registry/004711/pod", &mut |number| {
            found.push(number);
        });
        assert_eq!(found, [4711]);
        let deepest = depth(&index.namespaces[&Namespace::DEFAULT].ranges);
        assert!(deepest < 80, "the tree of 10,000 ranges is {deepest} deep");
    }
}
