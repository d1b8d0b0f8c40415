use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::proto::registry::Place as WirePlace;
use crate::proto::registry::{Change as WireChange, WatchResponse};

/// What happens in a store, and to whoever watches it.
#[derive(Debug, Clone)]
enum Step {
    /// One revision with these changes: put (with a mark) or remove by number.
    Change(Vec<(u8, Option<u32>)>),
    /// The watch is told what is new, up to so many messages of at most so many changes.
    Tell { messages: usize, size: usize },
    /// The stream is lost, and goes on.
    Lose,
    /// The stream is lost, and what was to come is compacted.
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = prop::collection::vec((0..6_u8, prop::option::of(any::<u32>())), 1..5);
    let step = prop_oneof![
        4 => change.prop_map(Step::Change),
        4 => (0..6_usize, 1..4_usize).prop_map(|(messages, size)| Step::Tell { messages, size }),
        1 => Just(Step::Lose),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..60)
}

type Known = BTreeMap<String, u32>;

fn instance(number: u8, mark: u32) -> Instance {
    Instance {
        service: "web".into(),
        node: "n".into(),
        id: format!("i{number}"),
        port: mark,
        ..Instance::default()
    }
}

fn wire(revision: i64, number: u8, mark: Option<u32>) -> WireChange {
    let change = match mark {
        Some(mark) => Change::Put(instance(number, mark)),
        None => Change::Removed(WirePlace {
            service: "web".into(),
            node: "n".into(),
            id: format!("i{number}"),
        }),
    };
    WireChange {
        revision,
        change: Some(change),
    }
}

/// A store that keeps what it was at every revision, and tells as the cluster does.
struct Store {
    history: Vec<(Known, Vec<WireChange>)>,
    /// What is on its way to the watch.
    waiting: std::collections::VecDeque<WatchResponse>,
    /// The revision up to which is told, or on its way.
    sent: usize,
}

impl Store {
    fn change(&mut self, changes: &[(u8, Option<u32>)]) {
        let revision = i64::try_from(self.history.len()).unwrap();
        let mut known = self.history.last().unwrap().0.clone();
        let mut told = Vec::new();
        for (number, mark) in changes {
            let id = format!("i{number}");
            let is_told = match mark {
                Some(mark) => known.insert(id, *mark) != Some(*mark),
                None => known.remove(&id).is_some(),
            };
            if is_told {
                told.push(wire(revision, *number, *mark));
            }
        }
        self.history.push((known, told));
    }

    fn open(&mut self, after: i64, size: usize) {
        self.waiting.clear();
        self.sent = usize::try_from(after).unwrap();
        if after == 0 {
            self.sent = self.history.len() - 1;
            let revision = i64::try_from(self.sent).unwrap();
            let all: Vec<WireChange> = self.history[self.sent]
                .0
                .iter()
                .map(|(id, mark)| wire(revision, id[1..].parse().unwrap(), Some(*mark)))
                .collect();
            self.queue(&all, size, revision, true);
        }
    }

    fn queue(&mut self, changes: &[WireChange], size: usize, revision: i64, is_snapshot: bool) {
        let pieces: Vec<&[WireChange]> = match changes {
            [] => vec![&[]],
            changes => changes.chunks(size).collect(),
        };
        for (index, piece) in pieces.iter().enumerate() {
            self.waiting.push_back(WatchResponse {
                header: None,
                revision: if index + 1 == pieces.len() { revision } else { 0 },
                is_snapshot,
                changes: piece.to_vec(),
            });
        }
    }

    fn next(&mut self, size: usize) -> Option<WatchResponse> {
        if self.waiting.is_empty() && self.sent + 1 < self.history.len() {
            self.sent += 1;
            let changes = self.history[self.sent].1.clone();
            self.queue(&changes, size, i64::try_from(self.sent).unwrap(), false);
        }
        self.waiting.pop_front()
    }
}

fn known(instances: &Instances) -> Known {
    instances
        .iter()
        .map(|found| (found.id.clone(), found.port))
        .collect()
}

proptest! {
    #[test]
    fn the_set_is_that_of_one_revision_after_the_other_whatever_is_lost(steps in steps()) {
        let mut store = Store { history: vec![(Known::new(), Vec::new()); 2], waiting: Default::default(), sent: 1 };
        let mut progress = super::super::changes::Progress::default();
        let mut picture = Picture::default();
        let mut shown = 0;
        store.open(0, 2);
        progress.open();
        let end = [Step::Tell { messages: usize::MAX, size: 2 }];
        for step in steps.iter().chain(&end) {
            match step {
                Step::Change(changes) => store.change(changes),
                Step::Lose => {
                    store.open(progress.told, 3);
                    progress.open();
                }
                Step::Compact => {
                    progress = Default::default();
                    store.open(0, 2);
                    progress.open();
                }
                Step::Tell { messages, size } => {
                    for _ in 0..*messages {
                        let Some(response) = store.next(*size) else { break };
                        let Some(set) = picture.take(progress.take(response)) else { continue };
                        prop_assert!(set.revision() >= shown);
                        shown = set.revision();
                        let there = &store.history[usize::try_from(shown).unwrap()].0;
                        prop_assert_eq!(&known(&set), there);
                    }
                }
            }
        }
        prop_assert_eq!(&known(&picture.whole), &store.history.last().unwrap().0);
    }
}
