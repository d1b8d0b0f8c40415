//! Watches: snapshot and changes are the state, whatever the filter, and wherever one goes on.

use super::*;
use crate::state::command::Command;

fn passing() -> Filter {
    Filter {
        worst_status: Some(Status::Passing),
        ..Filter::default()
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_then_what_changes() {
    let node = TestNode::start().await;
    let registry = node.registry();
    node.register(instance("web", "n", "a"), Claim::New)
        .await
        .unwrap();
    let checks = [check("c", Status::Critical)];
    registry
        .register(instance("web", "n", "b"), Claim::New, &checks)
        .await
        .unwrap();
    let mut all = Watcher::open(&node, Filter::default(), None).await;
    let mut healthy = Watcher::open(&node, passing(), None).await;
    let first = all.next().await;
    assert!(first.is_snapshot && first.revision.is_some());
    assert_eq!((all.known.len(), first.changes.len()), (2, 2));
    healthy.next().await;
    assert_eq!(healthy.known.len(), 1);

    // It gets well: it comes through the filter; it falls ill again: it goes.
    registry
        .report("n", Some("b"), "c", &state(Status::Passing))
        .await
        .unwrap();
    let told = healthy.next().await;
    assert!(!told.is_snapshot);
    assert_eq!(healthy.known.len(), 2);
    registry
        .report("n", Some("b"), "c", &state(Status::Warning))
        .await
        .unwrap();
    healthy.next().await;
    assert_eq!(healthy.known.len(), 1);
    // What the filter never let through is not told.
    registry
        .report("n", Some("b"), "c", &state(Status::Critical))
        .await
        .unwrap();
    let last = registry.deregister("n", "a", None).await.unwrap().header.revision;
    healthy.next().await;
    assert_eq!((healthy.known.len(), healthy.told), (0, last));
    all.until(last).await;
    all.must_know(&*node.catalog().await, &Filter::default());
}

#[tokio::test]
async fn an_instance_that_moves_to_another_service_leaves_the_first() {
    let node = TestNode::start().await;
    let mut all = Watcher::open(&node, Filter::default(), None).await;
    let of = |service: &str| Filter {
        service: Some(service.into()),
        ..Filter::default()
    };
    let mut old = Watcher::open(&node, of("web"), None).await;
    let mut new = Watcher::open(&node, of("api"), None).await;
    node.register(instance("web", "n", "a"), Claim::New)
        .await
        .unwrap();
    let last = node
        .register(instance("api", "n", "a"), Claim::New)
        .await
        .unwrap()
        .epoch;
    all.until(last).await;
    all.must_know(&*node.catalog().await, &Filter::default());
    old.until(last).await;
    assert_eq!(old.known.len(), 0);
    new.until(last).await;
    assert_eq!(new.known.len(), 1);
}

#[tokio::test]
async fn a_watch_goes_on_after_any_revision_that_is_not_compacted() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let checks = [check("c", Status::Passing)];
    registry
        .register(instance("web", "n", "stays"), Claim::New, &checks)
        .await
        .unwrap();
    let mut known = Vec::new();
    let mut watcher = Watcher::open(&node, passing(), None).await;
    for number in 0..20 {
        let id = format!("i{}", number % 3);
        match number % 5 {
            4 => drop(registry.deregister("n", &id, None).await),
            2 => drop(
                registry
                    .report("n", Some("stays"), "c", &state(Status::Critical))
                    .await,
            ),
            _ => drop(
                node.register(instance("web", "n", &id), Claim::New)
                    .await
                    .unwrap(),
            ),
        }
        registry
            .report("n", Some("stays"), "c", &state(Status::Passing))
            .await
            .unwrap();
        let revision = node.catalog().await.revision();
        watcher.until(revision).await;
        known.push((watcher.known.clone(), revision));
    }
    let last = node.catalog().await.revision();
    for forgets in [false, true] {
        if forgets {
            // As after a restart: only what comes from now on is at hand.
            let view = node.services.core.reader.view();
            let catalog = follow::load(&view, view.revision()).unwrap();
            registry.board.begin(&catalog);
            assert!(registry.board.after(known[0].1, 1).is_none());
        }
        for (known, revision) in &known {
            let mut resumed = Watcher::resume(&node, passing(), known.clone(), *revision).await;
            resumed.until(last).await;
            resumed.must_know(&*node.catalog().await, &passing());
        }
    }
    let compacted = Command::Compact { revision: last };
    node.services.core.propose(compacted, Some).await.unwrap();
    let after = known[0].1;
    let gone = registry.watch(passing(), Some(after)).await;
    let compacted = last;
    assert_eq!(
        gone.err(),
        Some(RegistryError::Compacted { after, compacted }.into())
    );
    let current = last;
    let after = Revision(last.0 + 1);
    let future = registry.watch(passing(), Some(after)).await;
    assert_eq!(
        future.err(),
        Some(RegistryError::Future { after, current }.into())
    );
    for after in [0, -1] {
        let none = registry.watch(passing(), Some(Revision(after))).await;
        let none = none.map(|_| "a watch").map_err(|error| error.to_string());
        let text = format!("the revision to go on after \"{after}\" is invalid");
        assert!(none.is_err_and(|error| error.contains(&text)));
    }
}

#[tokio::test]
async fn a_read_sees_what_was_written_elsewhere_in_the_store_too() {
    let node = TestNode::start().await;
    for number in 0..20_i64 {
        let put = crate::state::command::Put {
            namespace: crate::base::Namespace::DEFAULT,
            key: "a".into(),
            ..Default::default()
        };
        let revision = node.services.kv.put(put).await.unwrap().header.revision;
        let catalog = timeout(PATIENCE, node.catalog())
            .await
            .expect("the catalog follows");
        assert!(catalog.revision() >= revision, "{number}");
        assert_eq!(catalog.changed(), Revision(0));
    }
}

#[tokio::test]
async fn a_large_snapshot_comes_in_pieces_and_is_of_one_revision() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let large: BTreeMap<String, String> = (0..60).map(|key| (key.to_string(), "v".repeat(500))).collect();
    for number in 0..80 {
        let registration = Registration {
            metadata: large.clone(),
            ..instance("web", "n", &number.to_string())
        };
        registry.register(registration, Claim::New, &[]).await.unwrap();
    }
    let mut watcher = Watcher::open(&node, Filter::default(), None).await;
    let first = watcher.next().await;
    assert!(first.is_snapshot && first.revision.is_none() && first.changes.len() < 80);
    let last = node
        .registry()
        .deregister("n", "0", None)
        .await
        .unwrap()
        .header
        .revision;
    watcher.until(last).await;
    assert_eq!(watcher.known.len(), 79);
    watcher.must_know(&*node.catalog().await, &Filter::default());
}
