//! The catalog by itself: brought on change by change, it is the one that is read at once.

use bytes::Bytes;
use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::state::applied::EventKind;
use crate::state::applied::KeyValue;

/// A change of one record.
#[derive(Debug, Clone)]
enum Step {
    Node(u8, bool),
    NodeCheck(u8, u8, Option<u8>),
    Instance(u8, u8, Option<u8>, u8),
    Check(u8, u8, u8, Option<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        (0..3_u8, any::<bool>()).prop_map(|(node, is_put)| Step::Node(node, is_put)),
        (0..3_u8, 0..2_u8, prop::option::of(0..3_u8)).prop_map(|(a, b, c)| Step::NodeCheck(a, b, c)),
        (0..3_u8, 0..3_u8, prop::option::of(0..2_u8), 0..4_u8)
            .prop_map(|(a, b, c, d)| Step::Instance(a, b, c, d)),
        (0..3_u8, 0..3_u8, 0..2_u8, prop::option::of(0..3_u8))
            .prop_map(|(a, b, c, d)| Step::Check(a, b, c, d)),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..5), 1..40)
}

type Stored = BTreeMap<Bytes, KeyValue>;

/// Does a step in a store of its own; the events that it makes.
fn act(store: &mut Stored, revision: Revision, step: &Step) -> Vec<(EventKind, KeyValue)> {
    let status = |number: u8| match number {
        0 => Status::Passing,
        1 => Status::Warning,
        _ => Status::Critical,
    };
    let mut events = Vec::new();
    let mut write = |key: Bytes, value: Option<Bytes>, lease: LeaseId| {
        let before = store.get(&key);
        let created = before.map_or(revision, |before| before.create_revision);
        let key_value = KeyValue {
            key: key.clone(),
            value: value.clone().unwrap_or_default(),
            create_revision: created,
            modification_revision: revision,
            version: 1,
            lease,
        };
        match value {
            Some(_) => {
                store.insert(key, key_value.clone());
                events.push((EventKind::Put, key_value));
            }
            None if store.remove(&key).is_some() => events.push((EventKind::Delete, key_value)),
            None => {}
        }
    };
    fn record(record: &impl Serialize) -> Bytes {
        record::encode(record).unwrap()
    }
    let name = |node: &u8| format!("N{node}");
    match step {
        Step::Node(node, is_put) => {
            let value = is_put.then(|| record(&known_node(&name(node))));
            write(Owner::node(&name(node)).key(), value, LeaseId::NONE);
        }
        Step::NodeCheck(node, id, said) => {
            let (node, id) = (name(node), id.to_string());
            let owner = Owner::node(&node);
            let check = said.map(|said| check(&id, status(said)));
            let definition = check.as_ref().map(|check| record(&check.definition));
            write(owner.check(&id), definition, LeaseId::NONE);
            write(
                owner.state(&id),
                check.map(|check| record(&check.state)),
                LeaseId::NONE,
            );
        }
        Step::Instance(node, id, service, lease) => {
            let (node, id) = (name(node), id.to_string());
            let value = service.map(|service| {
                let registration = instance(&format!("S{service}"), &node, &id);
                record(&record::StoredInstance {
                    epoch: None,
                    registration,
                })
            });
            let lease = i64::from(*lease) * 100 + i64::from(id.as_bytes()[0]);
            let lease = LeaseId(if lease < 100 {
                0
            } else {
                lease * 1_000 + i64::from(node.as_bytes()[1])
            });
            write(Owner::instance(&node, &id).key(), value, lease);
        }
        Step::Check(node, id, check_id, said) => {
            let (node, id, check_id) = (name(node), id.to_string(), check_id.to_string());
            let owner = Owner::instance(&node, &id);
            let check = said.map(|said| check(&check_id, status(said)));
            let definition = check.as_ref().map(|check| record(&check.definition));
            write(owner.check(&check_id), definition, LeaseId::NONE);
            write(
                owner.state(&check_id),
                check.map(|check| record(&check.state)),
                LeaseId::NONE,
            );
        }
    }
    events
}

/// Everything that a catalog shows.
fn shown(catalog: &Catalog) -> Vec<String> {
    let mut lines = Vec::new();
    for node in catalog.nodes() {
        lines.push(format!("{} {:?}", node.name(), node.state));
        lines.extend(node.instances().map(|entry| format!("{entry:?}")));
    }
    for service in catalog.services() {
        lines.push(format!("{} {:?}", service.name(), service.summary()));
        lines.extend(service.entries().map(|entry| format!("{entry:?}")));
    }
    lines.push(format!("{}", catalog.instances()));
    lines
}

fn leases(store: &Stored) -> Vec<LeaseId> {
    let instances = store
        .values()
        .filter(|stored| matches!(keys::parse(&stored.key), Some(keys::Key::Instance(..))));
    let mut leases: Vec<LeaseId> = instances
        .map(|stored| stored.lease)
        .filter(|lease| !lease.is_none())
        .collect();
    leases.sort();
    leases
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changes_one_by_one_make_the_catalog_that_is_read_at_once(steps in steps()) {
        let mut store = Stored::new();
        let mut catalog = Catalog::empty(Revision(1));
        let mut known: BTreeMap<Place, Arc<Entry>> = BTreeMap::new();
        for (number, steps) in (2_i64..).zip(&steps) {
            let revision = Revision(number);
            // A revision changes each key once.
            let mut events: BTreeMap<Bytes, (EventKind, KeyValue)> = BTreeMap::new();
            for step in steps {
                for (kind, key_value) in act(&mut store, revision, step) {
                    events.insert(key_value.key.clone(), (kind, key_value));
                }
            }
            let events = events.values().map(|(kind, key_value)| (*kind, key_value));
            let change = catalog.apply(revision, events).unwrap();
            let place = |entry: &Entry| {
                let registration = &entry.instance.registration;
                Place::new(&registration.service, &registration.node, &registration.id)
            };
            for EntryChange { before, after } in change.entries {
                if let Some(before) = &before {
                    let removed = known.remove(&place(before));
                    prop_assert_eq!(removed.as_ref(), Some(before));
                }
                if let Some(after) = after {
                    prop_assert_eq!(known.insert(place(&after), after), None);
                }
            }
        }
        let at = catalog.revision();
        let mut fresh = Catalog::empty(at);
        fresh.apply(at, store.values().map(|stored| (EventKind::Put, stored))).unwrap();
        prop_assert_eq!(shown(&catalog), shown(&fresh));
        // The changes that were told make the same list, in the same order, as pages do.
        let mut paged = Vec::new();
        let mut after = None;
        loop {
            let (entries, next) = catalog.page(&Filter::default(), after.as_ref(), 2);
            paged.extend(entries);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(known.into_values().collect::<Vec<_>>(), paged);
        for lease in leases(&store) {
            prop_assert!(catalog.has_lease(lease));
        }
    }
}

#[test]
fn a_page_holds_what_a_filter_lets_through_in_the_order_of_places() {
    let mut store = Stored::new();
    let mut events = Vec::new();
    for (node, id, service) in [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 0), (2, 0, 1)] {
        events.extend(act(
            &mut store,
            Revision(2),
            &Step::Instance(node, id, Some(service), 0),
        ));
    }
    events.extend(act(&mut store, Revision(2), &Step::Check(1, 1, 0, Some(2))));
    let mut catalog = Catalog::empty(Revision(1));
    let events = events.iter().map(|(kind, key_value)| (*kind, key_value));
    catalog.apply(Revision(2), events).unwrap();
    let listed = |filter: &Filter| -> Vec<String> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (entries, next) = catalog.page(filter, after.as_ref(), 1);
            found.extend(entries.iter().map(|entry| {
                let registration = &entry.instance.registration;
                format!(
                    "{}/{}/{}",
                    registration.service, registration.node, registration.id
                )
            }));
            match next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    };
    let all = Filter::default();
    assert_eq!(
        listed(&all),
        ["S0/N0/0", "S0/N1/0", "S0/N1/1", "S1/N0/1", "S1/N2/0"]
    );
    let service = Filter {
        service: Some("s1".into()),
        ..Filter::default()
    };
    assert_eq!(listed(&service), ["S1/N0/1", "S1/N2/0"]);
    let node = Filter {
        node: Some("n0".into()),
        ..Filter::default()
    };
    assert_eq!(listed(&node), ["S0/N0/0", "S1/N0/1"]);
    let both = Filter {
        node: Some("n1".into()),
        ..Filter {
            service: Some("s0".into()),
            ..Filter::default()
        }
    };
    assert_eq!(listed(&both), ["S0/N1/0", "S0/N1/1"]);
    let healthy = Filter {
        worst_status: Some(Status::Warning),
        ..both
    };
    assert_eq!(listed(&healthy), ["S0/N1/0"]);
    let none = Filter {
        service: Some("s".into()),
        ..Filter::default()
    };
    assert_eq!(listed(&none), Vec::<String>::new());
    let tag = Filter {
        tags: vec!["t".into()],
        ..Filter::default()
    };
    assert_eq!(listed(&tag), Vec::<String>::new());
}

#[test]
fn the_revision_of_a_service_moves_with_its_instances_and_never_back() {
    let mut store = Stored::new();
    let mut catalog = Catalog::empty(Revision(1));
    let mut step = |catalog: &mut Catalog, number: i64, step: Step| {
        let events = act(&mut store, Revision(number), &step);
        let events = events.iter().map(|(kind, key_value)| (*kind, key_value));
        catalog.apply(Revision(number), events).unwrap();
        (catalog.service_changed("s0").0, catalog.service_changed("s1").0)
    };
    assert_eq!(step(&mut catalog, 2, Step::Instance(0, 0, Some(0), 0)), (2, 0));
    assert_eq!(step(&mut catalog, 3, Step::Instance(0, 1, Some(1), 0)), (2, 3));
    assert_eq!(step(&mut catalog, 4, Step::Check(0, 0, 0, Some(1))), (4, 3));
    assert_eq!(step(&mut catalog, 5, Step::NodeCheck(0, 0, Some(1))), (5, 5));
    // The last instance goes: whoever waits for it has to notice.
    assert_eq!(step(&mut catalog, 6, Step::Instance(0, 0, None, 0)), (6, 5));
    // It comes back under the other name.
    assert_eq!(step(&mut catalog, 7, Step::Instance(0, 0, Some(1), 0)), (6, 7));
    assert_eq!(catalog.service("s0").map(|service| service.size()), None);
}
