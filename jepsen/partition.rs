//! The shapes of a broken network. Each is a set of directed pairs of nodes between which nothing passes.

use rand::Rng;
use rand::seq::SliceRandom as _;

/// Directed pairs (from, to).
pub type Pairs = Vec<(usize, usize)>;

/// How the network is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One node is alone, all others see each other.
    IsolateOne,
    /// Two sides, the larger of which is a majority.
    MajorityMinority,
    /// One node hears the others, none hears it.
    Mute,
    /// One node is heard by the others and hears none.
    Deaf,
    /// Two halves that see each other only through one node.
    Bridge,
    /// Each node sees its two neighbours on a ring in one direction only.
    Ring,
    /// No node sees any other.
    Shatter,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 7] = [
        Shape::IsolateOne,
        Shape::MajorityMinority,
        Shape::Mute,
        Shape::Deaf,
        Shape::Bridge,
        Shape::Ring,
        Shape::Shatter,
    ];

    /// The name in histories.
    pub fn name(self) -> &'static str {
        match self {
            Shape::IsolateOne => "isolate-one",
            Shape::MajorityMinority => "majority-minority",
            Shape::Mute => "mute",
            Shape::Deaf => "deaf",
            Shape::Bridge => "bridge",
            Shape::Ring => "ring",
            Shape::Shatter => "shatter",
        }
    }

    /// Whether bytes still pass in one direction between some nodes, so that connections have to stay.
    pub fn is_one_way(self) -> bool {
        matches!(self, Shape::Mute | Shape::Deaf | Shape::Ring)
    }

    /// The pairs of a cluster of `nodes` between which nothing passes. `first` plays the special part, if the shape
    /// has one; the other parts are given at random.
    pub fn pairs(self, nodes: usize, first: usize, random: &mut impl Rng) -> Pairs {
        let mut order: Vec<usize> = (0..nodes).filter(|node| *node != first).collect();
        order.shuffle(random);
        order.insert(0, first);
        let between = |left: &[usize], right: &[usize]| -> Pairs {
            left.iter()
                .flat_map(|a| right.iter().flat_map(move |b| [(*a, *b), (*b, *a)]))
                .collect()
        };
        match self {
            Shape::IsolateOne => between(&order[..1], &order[1..]),
            Shape::MajorityMinority => {
                let (minority, majority) = order.split_at((nodes - 1) / 2);
                between(minority, majority)
            }
            Shape::Mute => order[1..].iter().map(|other| (first, *other)).collect(),
            Shape::Deaf => order[1..].iter().map(|other| (*other, first)).collect(),
            Shape::Bridge => {
                let (left, right) = order[1..].split_at((nodes - 1) / 2);
                between(left, right)
            }
            Shape::Ring => (0..nodes)
                .map(|position| (order[(position + 1) % nodes], order[position]))
                .collect(),
            Shape::Shatter => (0..nodes)
                .flat_map(|from| (0..nodes).map(move |to| (from, to)))
                .filter(|(from, to)| from != to)
                .collect(),
        }
    }
}
