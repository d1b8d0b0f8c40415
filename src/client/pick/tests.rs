use std::collections::BTreeMap;

use super::*;
use crate::client::changes::Batch;
use crate::client::live::Picture;
use crate::proto::registry::change::Change as What;
use crate::proto::registry::{Change, Weights};

const RULES: [Rule; 3] = [Rule::RoundRobin, Rule::Random, Rule::LeastOfTwo];

fn set(instances: &[(&str, Status, u32)]) -> Instances {
    let changes = instances.iter().map(|(id, status, weight)| Change {
        revision: 1,
        change: Some(What::Put(Instance {
            service: "web".into(),
            id: (*id).into(),
            status: (*status).into(),
            weights: Some(Weights {
                passing: *weight,
                warning: 1,
            }),
            ..Instance::default()
        })),
    });
    let batch = Batch {
        begins: true,
        revision: 1,
        changes: changes.collect(),
    };
    Picture::default().take(batch).unwrap()
}

fn shares(rule: Rule, instances: &Instances, number: usize) -> BTreeMap<String, usize> {
    let picker = Picker::new(rule);
    let mut shares = BTreeMap::new();
    for _ in 0..number {
        let picked = picker.pick(instances).unwrap();
        *shares.entry(picked.instance().id.clone()).or_default() += 1;
    }
    shares
}

#[test]
fn what_is_critical_unknown_or_weighs_nothing_is_never_picked() {
    use Status::{Critical, Passing, Unspecified, Warning};
    let instances = set(&[
        ("a", Critical, 9),
        ("b", Passing, 0),
        ("c", Unspecified, 9),
        ("d", Warning, 0),
    ]);
    for rule in RULES {
        assert_eq!(
            shares(rule, &instances, 100),
            BTreeMap::from([("d".into(), 100)]),
            "{rule:?}"
        );
    }
    let none = set(&[("a", Critical, 9)]);
    for rule in RULES {
        assert!(Picker::new(rule).pick(&none).is_none());
        assert!(Picker::new(rule).pick(&Instances::default()).is_none());
    }
}

#[test]
fn each_has_its_share_by_weight() {
    let instances = set(&[
        ("a", Status::Passing, 3),
        ("b", Status::Passing, 1),
        ("c", Status::Warning, 9),
    ]);
    let exact = shares(Rule::RoundRobin, &instances, 500);
    assert_eq!(
        exact,
        BTreeMap::from([("a".into(), 300), ("b".into(), 100), ("c".into(), 100)])
    );
    let by_chance = shares(Rule::Random, &instances, 5_000);
    // Ten standard deviations.
    assert!((2_650..=3_350).contains(&by_chance["a"]), "{by_chance:?}");
}

#[test]
fn a_round_robin_does_not_pick_the_same_one_in_a_row_where_others_wait() {
    let instances = set(&[
        ("a", Status::Passing, 2),
        ("b", Status::Passing, 2),
        ("c", Status::Passing, 2),
    ]);
    let picker = Picker::new(Rule::RoundRobin);
    let mut last = String::new();
    for _ in 0..30 {
        let next = picker.pick(&instances).unwrap().instance().id.clone();
        assert_ne!(next, last);
        last = next;
    }
}

#[test]
fn of_two_the_one_that_is_less_in_use_is_picked_until_it_is_given_back() {
    let instances = set(&[("a", Status::Passing, 1), ("b", Status::Passing, 1)]);
    let picker = Picker::new(Rule::LeastOfTwo);
    let mut held = vec![picker.pick(&instances).unwrap()];
    let busy = held[0].instance().id.clone();
    held.push(picker.pick(&instances).unwrap());
    assert_ne!(held[1].instance().id, busy);
    let _third = picker.pick(&instances).unwrap();
    held.clear();
    let free = picker.pick(&instances).unwrap();
    assert_ne!(free.instance().id, _third.instance().id);
}

#[test]
fn only_those_that_are_wanted_are_picked() {
    let instances = set(&[("a", Status::Passing, 1), ("b", Status::Passing, 1)]);
    for rule in RULES {
        let picked = Picker::new(rule)
            .pick_if(&instances, |found| found.id == "b")
            .unwrap();
        assert_eq!(picked.instance().id, "b");
    }
}
