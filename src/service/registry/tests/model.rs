//! Registrations against a model, in any order, with watches that come, go and go on meanwhile.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// With a service and a port.
    New(u8, u8, u8),
    /// With the current epoch, or an older one.
    Holder(u8, u8, bool),
    Whichever(u8, u8),
    /// With the current epoch, an older one, or none.
    Deregister(u8, u8, u8),
    DeregisterNode(u8),
    Report(u8, u8, Status),
    Maintenance(u8, u8, bool),
    NodeMaintenance(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop_oneof![
        Just(Status::Passing),
        Just(Status::Warning),
        Just(Status::Critical)
    ];
    let step = prop_oneof![
        4 => (0..2_u8, 0..3_u8, 0..3_u8).prop_map(|(a, b, c)| Step::New(a, b, c)),
        3 => (0..2_u8, 0..3_u8, any::<bool>()).prop_map(|(a, b, c)| Step::Holder(a, b, c)),
        1 => (0..2_u8, 0..3_u8).prop_map(|(a, b)| Step::Whichever(a, b)),
        3 => (0..2_u8, 0..3_u8, 0..3_u8).prop_map(|(a, b, c)| Step::Deregister(a, b, c)),
        1 => (0..2_u8).prop_map(Step::DeregisterNode),
        2 => (0..2_u8, 0..3_u8, status).prop_map(|(a, b, c)| Step::Report(a, b, c)),
        1 => (0..2_u8, 0..3_u8, any::<bool>()).prop_map(|(a, b, c)| Step::Maintenance(a, b, c)),
        1 => (0..2_u8, any::<bool>()).prop_map(|(a, b)| Step::NodeMaintenance(a, b)),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the model knows of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    service: String,
    epochs: Vec<Revision>,
    status: Status,
    is_out: bool,
}

#[derive(Default)]
struct Model {
    instances: BTreeMap<(String, String), Expected>,
    nodes_out: std::collections::BTreeSet<String>,
    /// Epochs that were given to what is gone.
    old: BTreeMap<(String, String), Vec<Revision>>,
}

impl Model {
    fn shown(&self) -> Vec<(String, String, String, Revision, Status)> {
        let instances = self.instances.iter().map(|((node, id), expected)| {
            let is_out = expected.is_out || self.nodes_out.contains(node);
            let status = if is_out { Status::Critical } else { expected.status };
            let epoch = *expected.epochs.last().unwrap();
            (expected.service.clone(), node.clone(), id.clone(), epoch, status)
        });
        let mut shown: Vec<_> = instances.collect();
        shown.sort();
        shown
    }

    fn take(&mut self, key: &(String, String)) {
        if let Some(gone) = self.instances.remove(key) {
            self.old.entry(key.clone()).or_default().extend(gone.epochs);
        }
    }
}

async fn act(node: &TestNode, model: &mut Model, step: &Step) {
    let registry = node.registry();
    let key = |place: u8, id: u8| (format!("n{place}"), format!("i{id}"));
    let checks = [check("c", Status::Warning)];
    match *step {
        Step::New(place, id, service) => {
            let key = key(place, id);
            let service = format!("s{service}");
            let registration = instance(&service, &key.0, &key.1);
            let epoch = registry
                .register(registration, Claim::New, &checks)
                .await
                .unwrap()
                .answer
                .epoch;
            let before = model.instances.remove(&key);
            let (mut epochs, is_out) =
                before.map_or((Vec::new(), false), |before| (before.epochs, before.is_out));
            let older = epochs.iter().chain(model.old.get(&key).into_iter().flatten());
            assert!(
                older.max().is_none_or(|older| *older < epoch),
                "an epoch is larger than all before"
            );
            epochs.push(epoch);
            let expected = Expected {
                service,
                epochs,
                status: Status::Warning,
                is_out,
            };
            model.instances.insert(key, expected);
        }
        Step::Holder(place, id, is_current) => {
            let key = key(place, id);
            let mut given = model
                .instances
                .get(&key)
                .map_or_else(Vec::new, |there| there.epochs.clone());
            let current = given.last().copied();
            if !is_current {
                given.pop();
            }
            let given = given
                .last()
                .or_else(|| model.old.get(&key)?.last())
                .copied()
                .unwrap_or(Revision(1));
            let registration = instance("changed", &key.0, &key.1);
            let outcome = registry
                .register(registration, Claim::Holder(given), &checks)
                .await;
            match (outcome, current) {
                (Ok(answered), Some(current)) => {
                    assert_eq!((answered.answer.epoch, given), (current, current));
                    model.instances.get_mut(&key).unwrap().service = "changed".into();
                }
                (Err(ServiceError::Registry(RegistryError::OlderEpoch { .. })), Some(current)) => {
                    assert!(given < current);
                }
                (Err(ServiceError::Registry(RegistryError::Gone { .. })), None) => {}
                (outcome, current) => panic!("{outcome:?} for {given} where {current:?} is"),
            }
        }
        Step::Whichever(place, id) => {
            let key = key(place, id);
            let registration = instance("any", &key.0, &key.1);
            let epoch = registry
                .register(registration, Claim::Whichever, &checks)
                .await
                .unwrap()
                .answer
                .epoch;
            let fresh = || Expected {
                service: String::new(),
                epochs: vec![epoch],
                status: Status::Warning,
                is_out: false,
            };
            let there = model.instances.entry(key).or_insert_with(fresh);
            assert_eq!(there.epochs.last(), Some(&epoch));
            there.service = "any".into();
        }
        Step::Deregister(place, id, which) => {
            let key = key(place, id);
            let there = model.instances.get(&key);
            let epoch = there.and_then(|there| match which {
                0 => None,
                1 => there.epochs.last().copied(),
                _ => there.epochs.first().copied(),
            });
            let is_older =
                there.is_some_and(|there| epoch.is_some_and(|epoch| epoch != *there.epochs.last().unwrap()));
            match (registry.deregister(&key.0, &key.1, epoch).await, there) {
                (Ok(_), Some(_)) if !is_older => model.take(&key),
                (Err(ServiceError::Registry(RegistryError::OlderEpoch { .. })), Some(_)) if is_older => {}
                (Err(ServiceError::Registry(RegistryError::UnknownInstance { .. })), None) => {}
                (outcome, there) => panic!("{outcome:?} where {there:?} is"),
            }
        }
        Step::DeregisterNode(place) => {
            let name = format!("n{place}");
            let on_node: Vec<_> = model
                .instances
                .keys()
                .filter(|(node, _)| *node == name)
                .cloned()
                .collect();
            let is_known = !on_node.is_empty() || model.nodes_out.remove(&name);
            model.nodes_out.remove(&name);
            assert_eq!(registry.deregister_node(&name).await.is_ok(), is_known);
            on_node.iter().for_each(|key| model.take(key));
        }
        Step::Report(place, id, status) => {
            let key = key(place, id);
            let outcome = registry.report(&key.0, Some(&key.1), "c", &state(status)).await;
            let there = model.instances.get_mut(&key);
            assert_eq!(outcome.is_ok(), there.is_some());
            if let Some(there) = there {
                there.status = status;
            }
        }
        Step::Maintenance(place, id, is_out) => {
            let key = key(place, id);
            let reason = is_out.then_some("why");
            let outcome = registry.set_maintenance(&key.0, Some(&key.1), reason).await;
            let there = model.instances.get_mut(&key);
            assert_eq!(outcome.is_ok(), there.is_some());
            if let Some(there) = there {
                there.is_out = is_out;
            }
        }
        Step::NodeMaintenance(place, is_out) => {
            let name = format!("n{place}");
            let is_known =
                model.nodes_out.contains(&name) || model.instances.keys().any(|(node, _)| *node == name);
            let reason = is_out.then_some("why");
            assert_eq!(
                registry.set_maintenance(&name, None, reason).await.is_ok(),
                is_known
            );
            if is_known && is_out {
                model.nodes_out.insert(name);
            } else {
                model.nodes_out.remove(&name);
            }
        }
    }
}

async fn run(steps: Vec<Step>) {
    let node = TestNode::start().await;
    let mut model = Model::default();
    let healthy = || Filter {
        worst_status: Some(Status::Warning),
        ..Filter::default()
    };
    let mut all = Watcher::open(&node, Filter::default(), None).await;
    let mut passing = Watcher::open(&node, healthy(), None).await;
    for (number, step) in steps.iter().enumerate() {
        act(&node, &mut model, step).await;
        let catalog = node.catalog().await;
        let (entries, _) = catalog.page(&Filter::default(), None, 1_000);
        let mut shown: Vec<_> = entries
            .iter()
            .map(|entry| {
                let registration = entry.instance.registration.clone();
                let (service, node, id) = (registration.service, registration.node, registration.id);
                (service, node, id, entry.instance.epoch, entry.status())
            })
            .collect();
        shown.sort();
        assert_eq!(shown, model.shown(), "after {step:?}");
        if number % 7 == 3 {
            // One that goes away, and goes on where it was.
            passing = Watcher::resume(&node, healthy(), passing.known, passing.told).await;
        }
        if number % 5 == 0 {
            passing.until(catalog.changed()).await;
            passing.must_know(&catalog, &healthy());
        }
    }
    let catalog = node.catalog().await;
    for (watcher, filter) in [(&mut all, Filter::default()), (&mut passing, healthy())] {
        watcher.until(catalog.changed()).await;
        watcher.must_know(&catalog, &filter);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_does_what_its_model_does_and_watches_tell_it(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
