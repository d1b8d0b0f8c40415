//! Checks, maintenance and nodes: what they do to the instances.

use std::slice;

use super::*;

#[tokio::test]
async fn maintenance_takes_an_instance_or_a_node_out_of_service_until_it_is_ended() {
    let node = TestNode::start().await;
    let registry = node.registry();
    for (place, id) in [("n", "a"), ("n", "b"), ("m", "c")] {
        node.register(mortal("web", place, id), Claim::New).await.unwrap();
    }
    let critical = |shown: Vec<(String, Status)>| -> Vec<String> {
        let critical = shown
            .into_iter()
            .filter(|(_, status)| *status == Status::Critical);
        critical.map(|(id, _)| id).collect()
    };
    registry
        .set_maintenance("n", Some("a"), Some("why"))
        .await
        .unwrap();
    assert_eq!(critical(node.shown().await), ["a"]);
    let catalog = node.catalog().await;
    let out = catalog.entry("n", "a").unwrap();
    assert!(out.is_in_maintenance());
    assert_eq!(out.checks[0].definition.id, "_service_maintenance:a");
    assert_eq!(out.checks[0].definition.notes, "why");
    // Nobody but an operator ends it: not a new process, not a report.
    node.register(mortal("web", "n", "a"), Claim::New).await.unwrap();
    assert_eq!(critical(node.shown().await), ["a"]);
    let reported = registry
        .report("n", Some("a"), "_service_maintenance:a", &state(Status::Passing))
        .await;
    assert!(matches!(refused(reported), RegistryError::Maintenance { .. }));

    registry
        .set_maintenance("n", None, Some("the disk"))
        .await
        .unwrap();
    assert_eq!(critical(node.shown().await), ["a", "b"]);
    registry.set_maintenance("n", Some("a"), None).await.unwrap();
    assert_eq!(critical(node.shown().await), ["a", "b"]);
    registry.set_maintenance("n", None, None).await.unwrap();
    assert_eq!(critical(node.shown().await), Vec::<String>::new());

    let unknown = registry.set_maintenance("x", None, Some("why")).await;
    assert!(matches!(refused(unknown), RegistryError::UnknownNode { .. }));
    let unknown = registry.set_maintenance("n", Some("x"), Some("why")).await;
    assert!(matches!(refused(unknown), RegistryError::UnknownInstance { .. }));
}

#[tokio::test]
async fn checks_come_and_go_with_their_instance_and_a_change_of_status_leaves_its_epoch() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let checks = [check("a", Status::Passing), check("b", Status::Warning)];
    let web = || mortal("web", "n", "w");
    let first = registry
        .register(web(), Claim::New, &checks)
        .await
        .unwrap()
        .answer;
    assert_eq!(node.shown().await, [("w".to_owned(), Status::Warning)]);
    registry
        .report("n", Some("w"), "b", &state(Status::Critical))
        .await
        .unwrap();
    let entry = |catalog: Arc<Catalog>| Arc::clone(catalog.entry("n", "w").expect("it is there"));
    let reported = entry(node.catalog().await);
    assert_eq!(reported.status(), Status::Critical);
    assert_eq!(reported.instance.modification_revision, first.epoch);
    assert!(reported.checks[1].modification_revision() > first.epoch);
    assert_eq!(reported.checks[1].create_revision, first.epoch);

    // Its holder leaves one out and keeps what was said of the other; whoever claims nothing leaves all.
    let only = [check("b", Status::Passing)];
    registry
        .register(web(), Claim::Holder(first.epoch), &only)
        .await
        .unwrap();
    let ids = |entry: Arc<Entry>| -> Vec<(String, Status)> {
        let checks = entry.checks.iter();
        checks
            .map(|check| (check.definition.id.clone(), check.state.status))
            .collect()
    };
    let critical = ("b".to_owned(), Status::Critical);
    assert_eq!(ids(entry(node.catalog().await)), slice::from_ref(&critical));
    registry.register(web(), Claim::Whichever, &[]).await.unwrap();
    assert_eq!(ids(entry(node.catalog().await)), slice::from_ref(&critical));
    let one_more = check("c", Status::Passing);
    registry
        .register_check("n", Some("w"), &one_more, false)
        .await
        .unwrap();
    assert_eq!(
        ids(entry(node.catalog().await)),
        [critical, ("c".to_owned(), Status::Passing)]
    );
    registry.deregister_check("n", Some("w"), "b").await.unwrap();
    assert_eq!(
        ids(entry(node.catalog().await)),
        [("c".to_owned(), Status::Passing)]
    );
    let again = registry.deregister_check("n", Some("w"), "b").await;
    assert!(matches!(refused(again), RegistryError::UnknownCheck { .. }));
    // All of it hangs on the lease of the instance.
    let keys = node.services.core.reader.view().lease_keys(first.lease).unwrap();
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn a_node_takes_all_that_is_on_it_along_and_lends_its_address_meanwhile() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let nameless = || Registration {
        address: String::new(),
        ..instance("web", "n", "w")
    };
    let missing = node.register(nameless(), Claim::New).await;
    assert!(matches!(refused(missing), RegistryError::Missing { .. }));
    registry
        .register_node(&known_node("n"), &[check("c", Status::Warning)])
        .await
        .unwrap();
    node.register(nameless(), Claim::New).await.unwrap();
    node.register(mortal("web", "n", "v"), Claim::New).await.unwrap();
    node.register(instance("web", "n2", "other"), Claim::New)
        .await
        .unwrap();
    let catalog = node.catalog().await;
    let entry = catalog.entry("n", "w").unwrap();
    assert_eq!((entry.address(), entry.status()), ("10.9.9.9", Status::Warning));
    registry
        .report("n", None, "c", &state(Status::Critical))
        .await
        .unwrap();
    assert_eq!(
        node.catalog().await.entry("n", "v").unwrap().status(),
        Status::Critical
    );
    registry.deregister_node("N").await.unwrap();
    assert_eq!(node.ids().await, ["other"]);
    assert!(node.catalog().await.node("n").is_none());
    let again = registry.deregister_node("n").await;
    assert!(matches!(refused(again), RegistryError::UnknownNode { .. }));
}
