//! Every stated limit: as much is taken, one more is refused with what is too much, and leaves nothing.

use super::*;
use crate::base::limits::*;

/// A request with so much of one thing.
type Sized = Box<dyn Fn(usize) -> (Registration, Vec<NewCheck>)>;

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// So many names, each of which is another.
fn names(number: usize) -> impl Iterator<Item = String> {
    (0..number).map(|name| name.to_string())
}

fn of_instance(change: impl Fn(&mut Registration, usize) + 'static) -> Sized {
    Box::new(move |number| {
        let mut registration = instance("web", "n", "w");
        change(&mut registration, number);
        (registration, Vec::new())
    })
}

fn of_check(change: impl Fn(&mut NewCheck, usize) + 'static) -> Sized {
    Box::new(move |number| {
        let mut check = check("c", Status::Passing);
        change(&mut check, number);
        (instance("web", "n", "w"), vec![check])
    })
}

fn of_probe(change: impl Fn(&mut Probe, usize) + 'static) -> Sized {
    of_check(move |check, number| {
        let target = Target::Tcp {
            address: "127.0.0.1:1".into(),
            tls: None,
        };
        let mut probe = Probe::new(target, Duration::from_secs(60));
        change(&mut probe, number);
        check.definition.kind = CheckKind::Probe(Box::new(probe));
    })
}

fn of_http(change: impl Fn(&mut HttpTarget, usize) + 'static) -> Sized {
    of_probe(move |probe, number| {
        let mut http = HttpTarget {
            url: "http://127.0.0.1:1/".into(),
            method: String::new(),
            headers: BTreeMap::new(),
            body: String::new(),
            disable_redirects: false,
            tls: TargetTls::default(),
        };
        change(&mut http, number);
        probe.target = Target::Http(http);
    })
}

/// Milliseconds of whole seconds.
fn milliseconds(seconds: u64) -> usize {
    usize::try_from(seconds * 1_000).unwrap()
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

/// What is limited of a registration, how much of it may be, and a part of the refusal of more.
fn of_a_registration() -> Vec<(&'static str, usize, Sized)> {
    let tagged = || TaggedAddress {
        address: "10.0.0.2".into(),
        port: 1,
    };
    vec![
        (
            "the name of the service has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_instance(|instance, number| instance.service = text(number)),
        ),
        (
            "the id of the instance has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_instance(|instance, number| instance.id = text(number)),
        ),
        (
            "the name of the node has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_instance(|instance, number| instance.node = text(number)),
        ),
        (
            "a tag has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_instance(|instance, number| instance.tags = vec![text(number)]),
        ),
        (
            "tags; the most",
            MAXIMUM_INSTANCE_TAGS,
            of_instance(|instance, number| instance.tags = names(number).collect()),
        ),
        (
            "pairs of metadata; the most",
            MAXIMUM_METADATA_PAIRS,
            of_instance(|instance, number| {
                instance.metadata = names(number).map(|name| (name, String::new())).collect();
            }),
        ),
        (
            "a key of the metadata has",
            MAXIMUM_METADATA_KEY_BYTES,
            of_instance(|instance, number| instance.metadata = [(text(number), String::new())].into()),
        ),
        (
            "a value of the metadata has",
            MAXIMUM_METADATA_VALUE_BYTES,
            of_instance(|instance, number| instance.metadata = [("k".to_owned(), text(number))].into()),
        ),
        (
            "tagged addresses; the most",
            MAXIMUM_TAGGED_ADDRESSES,
            of_instance(move |instance, number| {
                instance.tagged_addresses = names(number).map(|name| (name, tagged())).collect();
            }),
        ),
        (
            "the name of a tagged address has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_instance(move |instance, number| {
                instance.tagged_addresses = [(text(number), tagged())].into()
            }),
        ),
        (
            "give an IP address or a host name",
            63,
            of_instance(|instance, number| instance.address = format!("{}.example", text(number))),
        ),
        (
            "the address has",
            253,
            of_instance(|instance, number| instance.address = "x.".repeat(number)[..number].to_owned()),
        ),
        (
            "give seconds up to 9000000000",
            usize::try_from(MAXIMUM_LEASE_TTL_SECONDS).unwrap(),
            of_instance(|instance, number| instance.ttl_seconds = i64::try_from(number).unwrap()),
        ),
    ]
}

/// The same of checks.
fn of_checks() -> Vec<(&'static str, usize, Sized)> {
    vec![
        (
            "checks; the most",
            MAXIMUM_CHECKS - 1,
            Box::new(|number| {
                let checks = names(number).map(|id| check(&id, Status::Passing));
                (instance("web", "n", "w"), checks.collect())
            }),
        ),
        (
            "the id of a check has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_check(|check, number| check.definition.id = text(number)),
        ),
        (
            "the name of a check has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_check(|check, number| check.definition.name = text(number)),
        ),
        (
            "the notes of a check has",
            MAXIMUM_CHECK_OUTPUT_BYTES,
            of_check(|check, number| check.definition.notes = text(number)),
        ),
        (
            "the output of a check has",
            MAXIMUM_CHECK_OUTPUT_BYTES,
            of_check(|check, number| check.state.output = text(number)),
        ),
        (
            "give 1 ms to 366 days",
            milliseconds(MAXIMUM_CHECK_TTL_SECONDS),
            of_check(|check, number| {
                check.definition.kind = CheckKind::TimeToLive(TimeToLive {
                    milliseconds: wide(number),
                    deregister_after_milliseconds: 0,
                });
            }),
        ),
        (
            "give up to 366 days",
            milliseconds(MAXIMUM_DEREGISTER_AFTER_SECONDS),
            of_check(|check, number| {
                check.definition.kind = CheckKind::TimeToLive(TimeToLive {
                    milliseconds: 1_000,
                    deregister_after_milliseconds: wide(number),
                });
            }),
        ),
        (
            "the node that a check is an alias of has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_check(|check, number| {
                check.definition.kind = CheckKind::Alias(Alias {
                    node: text(number),
                    instance: String::new(),
                });
            }),
        ),
    ]
}

/// The same of checks that the cluster does.
fn of_probes() -> Vec<(&'static str, usize, Sized)> {
    let thresholds = usize::try_from(MAXIMUM_CHECK_THRESHOLD).unwrap();
    let narrow = |number: usize| u32::try_from(number).unwrap();
    vec![
        (
            "give up to 24 h",
            milliseconds(MAXIMUM_CHECK_INTERVAL_SECONDS),
            of_probe(|probe, number| probe.interval_milliseconds = wide(number)),
        ),
        (
            "give up to 10 min",
            milliseconds(MAXIMUM_CHECK_TIMEOUT_SECONDS),
            of_probe(|probe, number| probe.timeout_milliseconds = wide(number)),
        ),
        (
            "give up to 366 days",
            milliseconds(MAXIMUM_DEREGISTER_AFTER_SECONDS),
            of_probe(|probe, number| probe.deregister_after_milliseconds = wide(number)),
        ),
        (
            "the successes before a check passes",
            thresholds,
            of_probe(move |probe, number| probe.success_before_passing = narrow(number)),
        ),
        (
            "the failures before a check is critical",
            thresholds,
            of_probe(move |probe, number| probe.failures_before_critical = narrow(number)),
        ),
        (
            "the address of a check has",
            253,
            of_probe(|probe, number| {
                probe.target = Target::Udp {
                    address: format!("{}:1", &"x.".repeat(number)[..number]),
                };
            }),
        ),
        (
            "the gRPC service of a check has",
            MAXIMUM_CHECK_ADDRESS_BYTES,
            of_probe(|probe, number| {
                probe.target = Target::Grpc {
                    address: "127.0.0.1:1".into(),
                    service: text(number),
                    tls: None,
                };
            }),
        ),
        (
            "the URL of a check has",
            MAXIMUM_CHECK_ADDRESS_BYTES,
            of_http(|http, number| http.url = format!("http://127.0.0.1:1/{}", text(number - 19))),
        ),
        (
            "the method of a check",
            MAXIMUM_REGISTRY_NAME_BYTES,
            of_http(|http, number| http.method = text(number)),
        ),
        (
            "the body of a check has",
            MAXIMUM_CHECK_BODY_BYTES,
            of_http(|http, number| http.body = text(number)),
        ),
        (
            "headers of a check; the most",
            MAXIMUM_CHECK_HEADERS,
            of_http(|http, number| {
                let headers = names(number).map(|name| (format!("x-{name}"), Vec::new()));
                http.headers = headers.collect();
            }),
        ),
        (
            "the header of a check has",
            MAXIMUM_CHECK_BODY_BYTES,
            of_http(|http, number| http.headers = [("x-a".to_owned(), vec![text(number)])].into()),
        ),
        (
            "the TLS server name of a check",
            63,
            of_http(|http, number| http.tls.server_name = format!("{}.example", text(number))),
        ),
    ]
}

#[tokio::test]
async fn as_much_as_is_stated_is_taken_and_one_more_is_refused_and_leaves_nothing() {
    let node = TestNode::start().await;
    let registry = node.registry();
    for (refusal, most, request) in [of_a_registration(), of_checks(), of_probes()]
        .into_iter()
        .flatten()
    {
        let (registration, checks) = request(most);
        let (place, id) = (registration.node.clone(), registration.id.clone());
        let taken = registry.register(registration, Claim::New, &checks).await;
        taken.unwrap_or_else(|error| panic!("{most} ({refusal}): {error}"));
        registry.deregister(&place, &id, None).await.unwrap();
        let before = node.catalog().await.changed();
        let (registration, checks) = request(most + 1);
        let error = refused(registry.register(registration, Claim::New, &checks).await).to_string();
        assert!(
            error.contains(refusal),
            "{most} and one more ({refusal}): {error}"
        );
        assert!(error.len() < 400, "it does not repeat what is too long: {error}");
        let catalog = node.catalog().await;
        assert_eq!((catalog.instances(), catalog.changed()), (0, before), "{refusal}");
    }
}

#[tokio::test]
async fn what_is_said_of_nodes_and_checks_has_the_same_limits() {
    let node = TestNode::start().await;
    let registry = node.registry();
    for (refusal, most, change) in [
        (
            "the name of the node has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            (|node, number| node.name = text(number)) as fn(&mut Node, usize),
        ),
        (
            "the id of the node has",
            MAXIMUM_REGISTRY_NAME_BYTES,
            |node, number| {
                node.id = text(number);
            },
        ),
        ("the address of the node has", 253, |node, number| {
            node.address = "x.".repeat(number)[..number].to_owned();
        }),
        (
            "pairs of metadata; the most",
            MAXIMUM_METADATA_PAIRS,
            |node, number| {
                node.metadata = names(number).map(|name| (name, String::new())).collect();
            },
        ),
    ] {
        for (number, is_taken) in [(most, true), (most + 1, false)] {
            let mut known = known_node("n");
            change(&mut known, number);
            match (is_taken, registry.register_node(&known, &[]).await) {
                (true, Ok(_)) => {}
                (false, outcome) => {
                    let error = refused(outcome.map(|_| ())).to_string();
                    assert!(error.contains(refusal), "{refusal}: {error}");
                }
                (true, Err(error)) => panic!("{number} ({refusal}): {error}"),
            }
        }
    }
    let checks: Vec<NewCheck> = names(MAXIMUM_CHECKS - 1)
        .map(|id| check(&id, Status::Passing))
        .collect();
    registry
        .register(instance("web", "n", "w"), Claim::New, &checks)
        .await
        .unwrap();
    // The last place is for an operator.
    registry
        .set_maintenance("n", Some("w"), Some(&text(MAXIMUM_CHECK_OUTPUT_BYTES)))
        .await
        .unwrap();
    let one_more = registry
        .register_check("n", Some("w"), &check("more", Status::Passing), false)
        .await;
    assert!(
        refused(one_more.map(|_| ()))
            .to_string()
            .contains("checks; the most is 32")
    );
    let long = text(MAXIMUM_CHECK_OUTPUT_BYTES + 1);
    let reason = registry.set_maintenance("n", Some("w"), Some(&long)).await;
    assert!(
        refused(reason.map(|_| ()))
            .to_string()
            .contains("the reason has 4097 bytes")
    );
    let said = |bytes| CheckState {
        status: Status::Warning,
        output: text(bytes),
    };
    registry
        .report("n", Some("w"), "0", &said(MAXIMUM_CHECK_OUTPUT_BYTES))
        .await
        .unwrap();
    let report = registry
        .report("n", Some("w"), "0", &said(MAXIMUM_CHECK_OUTPUT_BYTES + 1))
        .await;
    assert!(
        refused(report.map(|_| ()))
            .to_string()
            .contains("the output of a check has 4097 bytes")
    );
}

#[tokio::test]
async fn heartbeats_and_watches_are_counted_and_what_ends_makes_room() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let all = vec![LeaseId(1); MAXIMUM_HEARTBEAT_LEASES];
    let gone = registry.heartbeat(&all).await.unwrap().answer;
    assert_eq!(gone.len(), MAXIMUM_HEARTBEAT_LEASES);
    let one_more = [&all[..], &[LeaseId(1)]].concat();
    let error = refused(registry.heartbeat(&one_more).await.map(|_| ())).to_string();
    assert_eq!(
        error,
        "stead: there are 10001 leases in one message; the most is 10000"
    );

    let number = u32::try_from(MAXIMUM_REGISTRY_WATCHES - 1).unwrap();
    let others = registry.watches.acquire_many(number).await.unwrap();
    let watch = registry.watch(Filter::default(), None).await.unwrap();
    let one_more = registry.watch(Filter::default(), None).await;
    assert_eq!(refused(one_more.map(|_| ())), RegistryError::TooManyWatches);
    drop(watch);
    // One that is refused for something else takes no place.
    for _ in 0..2 {
        let future = registry.watch(Filter::default(), Some(Revision(i64::MAX))).await;
        assert!(matches!(
            refused(future.map(|_| ())),
            RegistryError::Future { .. }
        ));
    }
    registry.watch(Filter::default(), None).await.unwrap();
    drop(others);
}

#[tokio::test]
async fn an_instance_more_than_there_may_be_is_refused_and_one_that_is_there_is_changed() {
    let node = TestNode::start().await;
    let registry = node.registry();
    node.register(instance("web", "n", "w"), Claim::New)
        .await
        .unwrap();
    let mut full = Catalog::clone(&*node.catalog().await);
    full.instances = MAXIMUM_INSTANCES;
    // What the member learns meanwhile takes the place of what is said here: then it is said again.
    let mut one_more = Ok(());
    for _ in 0..100 {
        registry.board.begin(&full);
        let outcome = node.register(instance("web", "n", "more"), Claim::New).await;
        one_more = outcome.map(|_| ());
        if one_more.is_err() {
            break;
        }
        registry.deregister("n", "more", None).await.unwrap();
    }
    assert_eq!(refused(one_more), RegistryError::Full);
    node.register(instance("web", "n", "w"), Claim::New)
        .await
        .unwrap();
}
