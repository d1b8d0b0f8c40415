//! Who may register, replace and take away what, and what comes back: nothing.

use super::*;
use crate::base::Namespace;
use crate::state::command::Keys;

#[tokio::test]
async fn a_registration_is_shown_with_the_epoch_that_it_was_given() {
    let node = TestNode::start().await;
    let registered = node
        .register(instance("Web", "N1", "w"), Claim::New)
        .await
        .unwrap();
    let catalog = node.catalog().await;
    let entry = catalog.entry("n1", "w").expect("it is registered");
    assert_eq!(entry.instance.epoch, registered.epoch);
    assert_eq!(entry.instance.modification_revision, registered.epoch);
    assert_eq!((registered.lease, registered.ttl_seconds), (LeaseId::NONE, 0));
    assert_eq!(entry.instance.registration, instance("Web", "N1", "w"));
    assert_eq!(catalog.service("wEB").expect("there is no case").size(), 1);
    assert_eq!(catalog.service("web").unwrap().name(), "Web");
    assert_eq!(catalog.node("n1").unwrap().name(), "N1");
}

#[tokio::test]
async fn a_registration_that_was_replaced_can_change_nothing_any_more() {
    let node = TestNode::start().await;
    let web = || instance("web", "n", "w");
    let first = node.register(web(), Claim::New).await.unwrap();
    let second = node.register(web(), Claim::New).await.unwrap();
    assert!(second.epoch > first.epoch);
    let older = RegistryError::OlderEpoch {
        node: "n".into(),
        id: "w".into(),
        given: first.epoch,
        current: second.epoch,
    };
    assert_eq!(
        refused(node.register(web(), Claim::Holder(first.epoch)).await),
        older
    );
    let gone = node.registry().deregister("n", "w", Some(first.epoch)).await;
    assert_eq!(refused(gone), older);
    let future = node
        .register(web(), Claim::Holder(Revision(second.epoch.0 + 1)))
        .await;
    assert!(matches!(refused(future), RegistryError::UnknownEpoch { .. }));

    // Its holder changes it, and it keeps its epoch, also where only its port is another.
    let changed = Registration { port: 81, ..web() };
    let third = node.register(changed, Claim::Holder(second.epoch)).await.unwrap();
    assert_eq!(third.epoch, second.epoch);
    let catalog = node.catalog().await;
    let entry = catalog.entry("n", "w").unwrap();
    assert_eq!(
        (entry.instance.epoch, entry.instance.registration.port),
        (second.epoch, 81)
    );
    assert!(entry.instance.modification_revision > second.epoch);
}

#[tokio::test]
async fn what_is_so_already_is_not_written() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let web = || mortal("web", "n", "w");
    let checks = [check("c", Status::Warning)];
    let first = registry.register(web(), Claim::New, &checks).await.unwrap();
    registry.register_node(&known_node("n"), &checks).await.unwrap();
    let before = node.catalog().await.revision();
    for claim in [Claim::Holder(first.answer.epoch), Claim::Whichever] {
        let again = registry.register(web(), claim, &checks).await.unwrap();
        assert_eq!(again.answer, first.answer);
    }
    registry.register_node(&known_node("n"), &checks).await.unwrap();
    registry
        .report("n", Some("w"), "c", &state(Status::Warning))
        .await
        .unwrap();
    registry.set_maintenance("n", Some("w"), None).await.unwrap();
    assert_eq!(node.catalog().await.revision(), before);
}

#[tokio::test]
async fn what_is_deregistered_is_gone_and_its_registration_with_it() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let web = || mortal("web", "n", "w");
    let first = registry
        .register(web(), Claim::New, &[check("c", Status::Passing)])
        .await
        .unwrap();
    registry
        .deregister("n", "w", Some(first.answer.epoch))
        .await
        .unwrap();
    assert_eq!(node.ids().await, Vec::<String>::new());
    assert!(
        node.catalog().await.node("n").is_none(),
        "a node that nobody registered goes too"
    );
    let again = node.register(web(), Claim::Holder(first.answer.epoch)).await;
    assert!(matches!(refused(again), RegistryError::Gone { .. }));
    let unknown = registry.deregister("n", "w", None).await;
    assert!(matches!(refused(unknown), RegistryError::UnknownInstance { .. }));
    let reported = registry
        .report("n", Some("w"), "c", &state(Status::Passing))
        .await;
    assert!(matches!(refused(reported), RegistryError::UnknownCheck { .. }));
    let gone = registry.heartbeat(&[first.answer.lease]).await.unwrap();
    assert_eq!(gone.answer, [first.answer.lease]);
    let leases = || node.services.core.reader.view().leases().unwrap();
    node.until(|_| leases().is_empty()).await;
    // Nothing is left but the fence.
    let all = Range {
        keys: keys::all(),
        ..Range::default()
    };
    let left = node.services.core.reader.view().range(&all).unwrap().unwrap();
    assert_eq!(left.key_values.len(), 1);
}

/// A registration on its way to the log, while the instance is registered and deregistered by others.
#[tokio::test]
async fn a_registration_that_was_held_up_does_not_bring_back_what_was_deregistered() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let web = instance("web", "n", "w");
    let owner = Owner::instance("n", "w");
    for takes_node in [false, true] {
        let seen = registry.see(owner).await.unwrap();
        let verdict = plan::judge(&web, Claim::New, &seen).unwrap();
        let held_up = plan::register(&web, Claim::New, &[], &seen, verdict, LeaseId::NONE);
        let held_up = held_up.unwrap().expect("it writes");
        node.register(web.clone(), Claim::New).await.unwrap();
        if takes_node {
            registry.deregister_node("n").await.unwrap();
        } else {
            registry.deregister("n", "w", None).await.unwrap();
        }
        assert_eq!(registry.commit(held_up).await, Ok(None));
        assert_eq!(node.ids().await, Vec::<String>::new());
        // It is not tried again behind the back of whoever deregistered it.
        let now = registry.see(owner).await.unwrap();
        let retry = plan::may_retry(owner, Claim::New, &seen, &now);
        assert!(
            matches!(retry, Err(RegistryError::Deregistered { .. })),
            "{retry:?}"
        );
    }
}

/// Also where the instance was not there: whoever deregisters it wants it gone, whatever is under way.
#[tokio::test]
async fn to_deregister_what_is_not_there_ends_what_is_under_way() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let web = instance("web", "n", "w");
    let seen = registry.see(Owner::instance("n", "w")).await.unwrap();
    let verdict = plan::judge(&web, Claim::New, &seen).unwrap();
    let held_up = plan::register(&web, Claim::New, &[], &seen, verdict, LeaseId::NONE);
    refused(registry.deregister("n", "w", None).await);
    assert_eq!(registry.commit(held_up.unwrap().unwrap()).await, Ok(None));
}

#[tokio::test]
async fn a_fence_that_another_instance_changed_holds_nobody_up() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let owner = Owner::instance("n", "w");
    // Two instances with one fence.
    let shared = keys::fence(owner);
    let other = (0..)
        .map(|number| format!("i{number}"))
        .find(|id| keys::fence(Owner::instance("m", id)) == shared);
    let other = other.unwrap();
    let seen = registry.see(owner).await.unwrap();
    node.register(instance("web", "m", &other), Claim::New)
        .await
        .unwrap();
    registry.deregister("m", &other, None).await.unwrap();
    let now = registry.see(owner).await.unwrap();
    assert_ne!(seen.fences, now.fences);
    assert_eq!(plan::may_retry(owner, Claim::New, &seen, &now), Ok(()));
    // What came before the last one is not known: it may have been this one.
    refused(registry.deregister("m", &other, None).await);
    let now = registry.see(owner).await.unwrap();
    assert!(plan::may_retry(owner, Claim::New, &seen, &now).is_err());
}
#[tokio::test]
async fn an_instance_of_which_nothing_is_heard_is_gone_within_its_time_and_a_second() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let mut watcher = Watcher::open(&node, Filter::default(), None).await;
    let checks = [check("c", Status::Passing)];
    let dies = registry
        .register(mortal("web", "n", "dies"), Claim::New, &checks)
        .await
        .unwrap();
    let started = std::time::Instant::now();
    let lives = registry
        .register(mortal("web", "n", "lives"), Claim::New, &checks)
        .await
        .unwrap();
    node.register(instance("web", "n", "stays"), Claim::New)
        .await
        .unwrap();
    assert_eq!(dies.answer.ttl_seconds, 2);
    registry
        .set_maintenance("n", Some("dies"), Some("it is ill"))
        .await
        .unwrap();
    let heartbeats = async {
        loop {
            let gone = registry.heartbeat(&[lives.answer.lease]).await.unwrap();
            assert_eq!(gone.answer, []);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let dead = async {
        while watcher.known.len() != 2 || watcher.known.keys().any(|place| &*place.id == "dies") {
            watcher.next().await;
        }
    };
    tokio::select! {
        () = heartbeats => {}
        () = dead => {}
    }
    let lived = started.elapsed();
    assert!(lived >= Duration::from_secs(2), "{lived:?}");
    assert_eq!(node.ids().await, ["lives", "stays"]);
    let gone = registry
        .heartbeat(&[dies.answer.lease, lives.answer.lease])
        .await
        .unwrap();
    assert_eq!(gone.answer, [dies.answer.lease]);
}

#[tokio::test]
async fn heartbeats_of_a_replaced_registration_do_not_keep_its_successor_alive() {
    let node = TestNode::start().await;
    let first = node.register(mortal("web", "n", "w"), Claim::New).await.unwrap();
    let second = node.register(mortal("web", "n", "w"), Claim::New).await.unwrap();
    assert_ne!(first.lease, second.lease);
    let both = [first.lease, second.lease];
    // A member that has not heard of it yet would renew the one and the other.
    node.catalog().await;
    let gone = node.registry().heartbeat(&both).await.unwrap();
    assert_eq!(gone.answer, [first.lease]);
    // Nor are leases of anything else renewed.
    let foreign = node
        .services
        .leases
        .grant(LeaseId::NONE, 60)
        .await
        .unwrap()
        .answer
        .id;
    let gone = node.registry().heartbeat(&[foreign]).await.unwrap();
    assert_eq!(gone.answer, [foreign]);
    // One that is to stay from now on leaves its lease.
    let stays = node
        .register(instance("web", "n", "w"), Claim::Holder(second.epoch))
        .await
        .unwrap();
    assert_eq!((stays.lease, stays.epoch), (LeaseId::NONE, second.epoch));
    node.catalog().await;
    let gone = node.registry().heartbeat(&[second.lease]).await.unwrap();
    assert_eq!(gone.answer, [second.lease]);
    assert_eq!(node.ids().await, ["w"]);
}

#[tokio::test]
async fn the_default_namespace_shows_nothing_of_services() {
    let node = TestNode::start().await;
    let own = node
        .services
        .leases
        .grant(LeaseId::NONE, 60)
        .await
        .unwrap()
        .answer
        .id;
    let web = node.register(mortal("web", "n", "w"), Claim::New).await.unwrap();
    assert_eq!(node.services.leases.list().await.unwrap().answer, [own]);
    let left = node.services.leases.time_to_live(web.lease, true).await.unwrap();
    assert_eq!(left.answer.keys, Vec::<bytes::Bytes>::new());
    let everything = Range {
        keys: Keys {
            namespace: Namespace::DEFAULT,
            key: vec![0].into(),
            end: vec![0].into(),
        },
        ..Range::default()
    };
    let shown = node.services.kv.range(everything, false).await.unwrap();
    assert_eq!(shown.answer.count, 0);
}

#[tokio::test]
async fn bad_input_is_refused_with_the_value_and_what_it_may_be() {
    let node = TestNode::start().await;
    let web = || instance("web", "n", "w");
    let long = "x".repeat(256);
    let pairs = |number: usize| (0..number).map(|key| (key.to_string(), String::new())).collect();
    let of = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let table = [
        (
            Registration {
                service: String::new(),
                ..web()
            },
            "stead: the name of the service is missing",
        ),
        (
            Registration {
                id: long.clone(),
                ..web()
            },
            "stead: the id of the instance has 256 bytes; the most is 255",
        ),
        (
            Registration {
                node: "a\0b".into(),
                ..web()
            },
            "stead: the name of the node \"a\\0b\" is invalid: it has a control character",
        ),
        (
            Registration {
                service: " web".into(),
                ..web()
            },
            "stead: the name of the service \" web\" is invalid: it begins or ends with a blank",
        ),
        (
            Registration {
                address: "10.0.0".into(),
                ..web()
            },
            "stead: the address \"10.0.0\" is invalid: give an IP address or a host name, without a port",
        ),
        (
            Registration {
                address: "0.0.0.0".into(),
                ..web()
            },
            "stead: the address \"0.0.0.0\" is invalid: nobody can connect to it; give the address of one machine",
        ),
        (
            Registration {
                address: "host:80".into(),
                ..web()
            },
            "stead: the address \"host:80\" is invalid: give an IP address or a host name, without a port",
        ),
        (
            Registration {
                tags: vec!["t".into(); 65],
                ..web()
            },
            "stead: there are 65 tags; the most is 64",
        ),
        (
            Registration {
                tags: vec![String::new()],
                ..web()
            },
            "stead: a tag is missing",
        ),
        (
            Registration {
                metadata: pairs(65),
                ..web()
            },
            "stead: there are 65 pairs of metadata; the most is 64",
        ),
        (
            Registration {
                metadata: of("k", &"v".repeat(513)),
                ..web()
            },
            "stead: a value of the metadata has 513 bytes; the most is 512",
        ),
        (
            Registration {
                metadata: of(&long, ""),
                ..web()
            },
            "stead: a key of the metadata has 256 bytes; the most is 128",
        ),
        (
            Registration {
                ttl_seconds: -1,
                ..web()
            },
            "stead: the time to live \"-1\" is invalid: give seconds up to 9000000000, or 0 for an instance that stays",
        ),
    ];
    for (registration, text) in table {
        let error = refused(node.register(registration.clone(), Claim::New).await);
        assert_eq!(error.to_string(), text, "{registration:?}");
    }
    let registry = node.registry();
    let many: Vec<NewCheck> = (0..32)
        .map(|id| check(&id.to_string(), Status::Passing))
        .collect();
    for (checks, text) in [
        (many, "stead: there are 32 checks; the most is 31"),
        (
            vec![check("c", Status::Passing); 2],
            "stead: the id of a check \"c\" is invalid: it is given twice",
        ),
        (
            vec![check(NODE_MAINTENANCE, Status::Passing)],
            "stead: the id of a check \"_node_maintenance\" is invalid: a maintenance is made with SetMaintenance",
        ),
    ] {
        let error = refused(registry.register(web(), Claim::New, &checks).await);
        assert_eq!(error.to_string(), text);
    }
    for address in [
        "10.0.0.1",
        "::1",
        "web-1.example.com",
        "localhost",
        "my_host",
        "example.com.",
    ] {
        let registration = Registration {
            address: address.into(),
            ..web()
        };
        node.register(registration, Claim::New).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_of_changes_is_refused_and_leaves_nothing() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let number = u32::try_from(MAXIMUM_REGISTRY_CHANGES_AT_ONCE).unwrap();
    let all = registry.changes.acquire_many(number).await.unwrap();
    let flood = node.register(instance("web", "n", "w"), Claim::New).await;
    assert_eq!(refused(flood), RegistryError::TooManyChanges);
    drop(all);
    node.register(instance("web", "n", "w"), Claim::New)
        .await
        .unwrap();
    let leases = vec![LeaseId(1); MAXIMUM_HEARTBEAT_LEASES + 1];
    let flood = registry.heartbeat(&leases).await;
    assert!(matches!(refused(flood), RegistryError::TooMany { .. }));
}
