//! Entries of the catalog in transactions, and registering them together.

use super::*;
use crate::service::ServiceError;
use crate::service::consul::acl::Authorizer;
use crate::service::consul::catalog::{CatalogRegistration, EntryOperation, EntryVerb, ShownEntry};
use crate::service::consul::plan::Plan;
use crate::service::consul::txn::{KeyOperation, Outcome, Shown, TxnOperation, Verb};
use crate::service::registry::{
    Begun, CheckDefinition, CheckKind, CheckState, Claim, NewCheck, Node as KnownNode, Registration,
    RegistryError, Status,
};
use crate::state::command::Txn;

fn host(address: &str) -> KnownNode {
    KnownNode {
        name: "h".into(),
        address: address.into(),
        ..KnownNode::default()
    }
}

fn web(port: u16) -> Registration {
    Registration {
        service: "web".into(),
        id: "w".into(),
        node: "h".into(),
        port,
        ..Registration::default()
    }
}

fn check(status: Status) -> NewCheck {
    NewCheck {
        definition: CheckDefinition {
            id: "c".into(),
            name: "n".into(),
            notes: String::new(),
            kind: CheckKind::Reported,
        },
        state: CheckState {
            status,
            output: String::new(),
        },
    }
}

fn node(verb: EntryVerb<KnownNode>) -> TxnOperation {
    let name = "h".to_owned();
    TxnOperation::Entry(EntryOperation::Node { name, verb })
}

fn instance(verb: EntryVerb<Registration>) -> TxnOperation {
    let (node, id) = ("h".to_owned(), "w".to_owned());
    TxnOperation::Entry(EntryOperation::Instance { node, id, verb })
}

fn of_check(instance: Option<&str>, verb: EntryVerb<NewCheck>) -> TxnOperation {
    TxnOperation::Entry(EntryOperation::Check {
        node: "h".into(),
        instance: instance.map(str::to_owned),
        id: "c".into(),
        verb,
    })
}

fn key(verb: Verb) -> TxnOperation {
    TxnOperation::Key(KeyOperation {
        verb,
        key: Bytes::from("k"),
        value: Bytes::from("v"),
        flags: 0,
    })
}

async fn transact(consul: &Consul, operations: &[TxnOperation]) -> Outcome {
    let open = Authorizer::open();
    consul.transact(operations, false, &open).await.unwrap()
}

/// The revisions at which what is shown came, and changed last.
fn revisions(shown: &Shown) -> (Revision, Revision) {
    match shown {
        Shown::Whole(pair) | Shown::Written(pair) => (pair.create, pair.modified),
        Shown::Entry(entry) => match entry.as_ref() {
            ShownEntry::Node(known) => (known.create_revision, known.modification_revision),
            ShownEntry::Instance(entry) => {
                let instance = &entry.instance;
                (instance.create_revision, instance.modification_revision)
            }
            ShownEntry::Check { check, .. } => (check.create_revision, check.modification_revision()),
        },
    }
}

#[tokio::test]
async fn keys_and_entries_are_changed_at_one_revision_or_not_at_all() {
    let (_node, consul) = start().await;
    let all = [
        key(Verb::SetAt(0)),
        node(EntryVerb::SetAt(host("10.0.0.1"), 0)),
        instance(EntryVerb::SetAt(web(80), 0)),
        of_check(Some("w"), EntryVerb::SetAt(check(Status::Warning), 0)),
        of_check(None, EntryVerb::Get),
    ];
    let done = transact(&consul, &all).await;
    assert_eq!(done.failed, []);
    assert_eq!(done.shown.len(), all.len());
    for shown in &done.shown {
        assert_eq!(revisions(shown), (done.revision, done.revision), "{shown:?}");
    }
    let catalog = consul.catalog(false).await.unwrap();
    let entry = catalog.entry("h", "w").unwrap();
    assert_eq!(
        (entry.instance.epoch, entry.status()),
        (done.revision, Status::Warning)
    );

    // The same again: each fails, each is told, and the key that could be written is not.
    let failing = [
        node(EntryVerb::SetAt(host("10.0.0.2"), 0)),
        instance(EntryVerb::SetAt(web(81), 9_999)),
        of_check(Some("w"), EntryVerb::DeleteAt(9_999)),
        of_check(Some("none"), EntryVerb::Set(check(Status::Passing))),
        of_check(Some("none"), EntryVerb::Get),
        key(Verb::Delete),
    ];
    let failed = transact(&consul, &failing).await.failed;
    let texts: Vec<(usize, &str)> = failed
        .iter()
        .map(|(number, text)| (*number, text.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            (0, "failed to set node \"h\", index is stale"),
            (1, "failed to set service \"w\" on node \"h\", index is stale"),
            (2, "failed to delete check \"c\" on node \"h\", index is stale"),
            (3, "Missing service registration for service \"none\""),
            (4, "check \"c\" on node \"h\" doesn't exist"),
        ]
    );
    assert!(get(&consul, "k").await.is_some());
    let after = consul.catalog(false).await.unwrap();
    assert_eq!(after.changed(), catalog.changed());
}

#[tokio::test]
async fn an_operation_sees_what_those_before_it_did_to_the_catalog() {
    let (_node, consul) = start().await;
    let without_node = transact(&consul, &[instance(EntryVerb::Set(web(80)))]).await;
    assert_eq!(
        without_node.failed,
        [(0, "Missing node registration for node \"h\"".to_owned())]
    );
    let done = transact(
        &consul,
        &[
            node(EntryVerb::Set(host("10.0.0.1"))),
            instance(EntryVerb::Set(web(80))),
            // Twice: its epoch is the revision at which all of it is done.
            instance(EntryVerb::Set(web(81))),
            of_check(Some("w"), EntryVerb::Set(check(Status::Critical))),
            instance(EntryVerb::Delete),
            of_check(Some("w"), EntryVerb::Delete),
            instance(EntryVerb::SetAt(web(82), 0)),
            instance(EntryVerb::Set(web(83))),
        ],
    )
    .await;
    assert_eq!(done.failed, []);
    let catalog = consul.catalog(false).await.unwrap();
    let entry = catalog.entry("h", "w").unwrap();
    assert_eq!(
        (entry.instance.registration.port, entry.instance.epoch),
        (83, done.revision)
    );
    assert_eq!(entry.checks, [], "the checks went with what was deregistered");

    let gone = transact(
        &consul,
        &[
            node(EntryVerb::Delete),
            of_check(None, EntryVerb::Get),
            instance(EntryVerb::Get),
        ],
    )
    .await;
    let numbers: Vec<usize> = gone.failed.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2]);
    let index = u64::try_from(revisions(&done.shown[0]).1.0).unwrap();
    transact(&consul, &[node(EntryVerb::DeleteAt(index))]).await;
    assert_eq!(consul.catalog(false).await.unwrap().nodes().count(), 0);
}

#[tokio::test]
async fn what_is_so_already_moves_no_revision() {
    let (node_of_test, consul) = start().await;
    let all = [
        node(EntryVerb::Set(host("10.0.0.1"))),
        instance(EntryVerb::Set(web(80))),
        of_check(Some("w"), EntryVerb::Set(check(Status::Passing))),
        of_check(None, EntryVerb::Set(check(Status::Passing))),
    ];
    let first = transact(&consul, &all).await;
    let again = transact(&consul, &all).await;
    assert_eq!(again.shown, first.shown);
    assert_eq!(
        node_of_test.services.core.reader.view().revision(),
        first.revision
    );
}

/// A transaction on its way to the log, while the instance is registered and deregistered by others.
#[tokio::test]
async fn a_transaction_that_was_held_up_does_not_bring_back_what_was_deregistered() {
    let (_node, consul) = start().await;
    let registry = consul.registry();
    registry.register_node(&host("10.0.0.1"), &[]).await.unwrap();
    for takes_node in [false, true] {
        registry.register_node(&host("10.0.0.1"), &[]).await.unwrap();
        registry.register(web(80), Claim::New, &[]).await.unwrap();
        let mut begun = Begun::default();
        let view = consul.view(false).await.unwrap();
        let txn = {
            let mut plan = Plan::new(&view);
            plan.entries.register(&web(81)).unwrap();
            plan.entries
                .register_check("h", Some("w"), &check(Status::Passing))
                .unwrap();
            plan.entries.must_not_have_ended(&mut begun).unwrap();
            let (compare, success, _) = plan.entries.into_parts();
            Txn {
                compare,
                success,
                failure: Vec::new(),
            }
        };
        match takes_node {
            true => registry.deregister_node("h").await.unwrap(),
            false => registry.deregister("h", "w", None).await.unwrap(),
        };
        assert_eq!(consul.commit(txn).await, Ok(None));
        // It is not tried again behind the back of whoever deregistered it.
        let view = consul.view(false).await.unwrap();
        let mut again = Plan::new(&view);
        if takes_node {
            again.entries.register_node(&host("10.0.0.1")).unwrap();
        }
        again.entries.register(&web(81)).unwrap();
        let ended = again.entries.must_not_have_ended(&mut begun);
        assert!(
            matches!(ended, Err(RegistryError::Deregistered { .. })),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn changes_of_others_at_the_same_time_are_not_lost() {
    let (_node, consul) = start().await;
    transact(&consul, &[node(EntryVerb::Set(host("10.0.0.1")))]).await;
    let adding = (0..8_u16).map(|number| {
        let consul = consul.clone();
        async move {
            let id = format!("w{number}");
            let registration = Registration {
                id: id.clone(),
                ..web(number)
            };
            let mut checked = check(Status::Passing);
            checked.definition.id = format!("c{number}");
            let check = TxnOperation::Entry(EntryOperation::Check {
                node: "h".into(),
                instance: None,
                id: checked.definition.id.clone(),
                verb: EntryVerb::Set(checked),
            });
            let node = "h".to_owned();
            let verb = EntryVerb::Set(registration);
            let added = TxnOperation::Entry(EntryOperation::Instance { node, id, verb });
            assert_eq!(transact(&consul, &[added, check]).await.failed, []);
        }
    });
    futures::future::join_all(adding).await;
    let catalog = consul.catalog(false).await.unwrap();
    let node = catalog.node("h").unwrap();
    assert_eq!((node.instances().count(), node.state.checks.len()), (8, 8));
}

#[tokio::test]
async fn the_lease_of_what_is_replaced_ends() {
    let (node_of_test, consul) = start().await;
    let registry = consul.registry();
    registry.register_node(&host("10.0.0.1"), &[]).await.unwrap();
    let mortal = Registration {
        ttl_seconds: 60,
        ..web(80)
    };
    let checks = [check(Status::Passing)];
    registry.register(mortal, Claim::New, &checks).await.unwrap();
    let leases = || node_of_test.services.core.reader.view().leases().unwrap().len();
    assert_eq!(leases(), 1);
    transact(&consul, &[instance(EntryVerb::Set(web(80)))]).await;
    node_of_test.until(|_| leases() == 0).await;
    let catalog = consul.catalog(false).await.unwrap();
    let entry = catalog.entry("h", "w").expect("it does not end with its lease");
    assert_eq!(entry.checks.len(), 1);
}

#[tokio::test]
async fn what_is_registered_together_is_registered_at_one_revision_or_not_at_all() {
    let (_node, consul) = start().await;
    let open = Authorizer::open();
    let wanted = |instance: &str| CatalogRegistration {
        node: host("10.0.0.1"),
        skips_node: false,
        service: Some(web(80)),
        checks: vec![
            (check(Status::Passing), None),
            (check(Status::Warning), Some(instance.to_owned())),
        ],
    };
    let refused = consul.register(&wanted("none"), &open).await.unwrap_err();
    assert!(refused.to_string().starts_with("Missing service registration"));
    assert_eq!(consul.catalog(false).await.unwrap().nodes().count(), 0);

    consul.register(&wanted("w"), &open).await.unwrap();
    let catalog = consul.catalog(false).await.unwrap();
    let entry = catalog.entry("h", "w").unwrap();
    let known = entry.node.known.as_ref().unwrap();
    let revision = known.modification_revision;
    assert_eq!(entry.instance.modification_revision, revision);
    let checks = entry.checks.iter().chain(&entry.node.checks);
    let checked: Vec<Revision> = checks.map(|check| check.modification_revision()).collect();
    assert_eq!(checked, [revision, revision]);

    // Where the node is to stay, it does, address or not.
    let skipping = CatalogRegistration {
        node: host(""),
        skips_node: true,
        ..wanted("w")
    };
    consul.register(&skipping, &open).await.unwrap();
    assert_eq!(consul.catalog(false).await.unwrap().changed(), revision);
    let nowhere = CatalogRegistration {
        service: Some(Registration {
            address: "0.0.0.0".into(),
            ..web(81)
        }),
        ..wanted("w")
    };
    let invalid = consul.register(&nowhere, &open).await.unwrap_err();
    assert!(
        matches!(
            invalid,
            ConsulError::Service(ServiceError::Registry(RegistryError::Invalid { .. }))
        ),
        "{invalid:?}"
    );
}
