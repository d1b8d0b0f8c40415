//! Checks on a node of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::service::ServiceError;
use crate::service::checks::{CheckRegistration, Policy, ranges};
use crate::service::registry::{
    Alias, Claim, HttpTarget, NewCheck, Registration, RegistryError, Target, TargetTls, TimeToLive,
};
use crate::service::testing::Node;

fn instance(id: &str) -> Registration {
    Registration {
        service: "web".into(),
        id: id.into(),
        node: "n".into(),
        address: "10.0.0.1".into(),
        ..Registration::default()
    }
}

fn check(id: &str, kind: CheckKind) -> NewCheck {
    NewCheck {
        definition: CheckDefinition {
            id: id.into(),
            name: String::new(),
            notes: String::new(),
            kind,
        },
        state: said(Status::Critical, ""),
    }
}

fn said(status: Status, output: &str) -> CheckState {
    CheckState {
        status,
        output: output.into(),
    }
}

fn ttl(milliseconds: u64) -> CheckKind {
    CheckKind::TimeToLive(TimeToLive {
        milliseconds,
        deregister_after_milliseconds: 0,
    })
}

fn http(url: String) -> CheckKind {
    let target = Target::Http(HttpTarget {
        url,
        method: String::new(),
        headers: Default::default(),
        body: String::new(),
        disable_redirects: false,
        tls: TargetTls::default(),
    });
    CheckKind::Probe(Box::new(Probe::new(target, Duration::from_secs(1))))
}

impl Node {
    async fn with_check(&self, id: &str, kind: CheckKind) {
        let checks = [check("c", kind)];
        let registry = &self.services.registry;
        registry
            .register(instance(id), Claim::Whichever, &checks)
            .await
            .unwrap();
    }

    fn found(&self, id: &str) -> Option<Check> {
        let place = CheckPlace {
            node: "n".into(),
            instance: Some(id.into()),
            check: "c".into(),
        };
        self.services.registry.newest().check(&place).cloned()
    }

    async fn until_it_is(&self, id: &str, status: Status) -> Check {
        self.until(|node| node.found(id).is_some_and(|check| check.state.status == status))
            .await;
        self.found(id).unwrap()
    }

    async fn report(&self, id: &str, status: Status, output: &str) -> Result<(), ServiceError> {
        let registry = &self.services.registry;
        let state = said(status, output);
        registry.report("n", Some(id), "c", &state).await.map(drop)
    }

    fn revision(&self) -> Revision {
        self.services.core.reader.view().revision()
    }
}

#[tokio::test]
async fn a_check_is_critical_when_no_report_comes_in_time_and_reports_alone_write_nothing() {
    let node = Node::start().await;
    node.with_check("w", ttl(300)).await;
    node.report("w", Status::Passing, "well").await.unwrap();
    let written = node.revision();
    let kept = clock::now();
    // Longer than its time to live, with outputs that change.
    while kept.elapsed() < Duration::from_millis(900) {
        node.report("w", Status::Passing, &format!("{:?}", kept.elapsed()))
            .await
            .unwrap();
        sleep(Duration::from_millis(30)).await;
    }
    let last = clock::now();
    assert_eq!(node.revision(), written, "a report wrote something");
    assert_eq!(node.found("w").unwrap().state.status, Status::Passing);
    let expired = node.until_it_is("w", Status::Critical).await;
    assert!(
        last.elapsed() >= Duration::from_millis(250),
        "too early: {:?}",
        last.elapsed()
    );
    assert_eq!(
        expired.state.output,
        "TTL expired (last output before timeout follows): well"
    );
    // Once, and a report ends it.
    let after = node.revision();
    assert_eq!(after.0, written.0 + 1);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(node.revision(), after);
    node.report("w", Status::Warning, "again").await.unwrap();
    assert_eq!(node.until_it_is("w", Status::Warning).await.state.output, "again");
}

#[tokio::test]
async fn a_probe_writes_only_changes_of_the_status() {
    let (is_well, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut servers = JoinSet::new();
    let (well, count) = (Arc::clone(&is_well), Arc::clone(&asked));
    servers.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4_096]).await;
            let number = count.fetch_add(1, Ordering::SeqCst).to_string();
            let head = if well.load(Ordering::SeqCst) {
                "200 OK"
            } else {
                "500 No"
            };
            let length = number.len();
            let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{number}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let node = Node::start().await;
    node.with_check("w", http(url)).await;
    let passing = node.until_it_is("w", Status::Passing).await;
    assert!(passing.state.output.contains("200 OK Output: "), "{passing:?}");
    let written = node.revision();
    let before = asked.load(Ordering::SeqCst);
    node.until(|_| asked.load(Ordering::SeqCst) >= before + 3).await;
    assert_eq!(
        node.revision(),
        written,
        "an output was written that says nothing new"
    );
    is_well.store(false, Ordering::SeqCst);
    let critical = node.until_it_is("w", Status::Critical).await;
    assert!(critical.state.output.contains("500"), "{critical:?}");
    assert_eq!(node.revision().0, written.0 + 1);

    // Nobody reports what is found out, and a check that is gone is not done any more.
    let refused = node.report("w", Status::Passing, "").await;
    let reported = matches!(
        refused,
        Err(ServiceError::Registry(RegistryError::NotReported {
            kind: "http",
            ..
        }))
    );
    assert!(reported, "{refused:?}");
    let registry = &node.services.registry;
    registry.deregister_check("n", Some("w"), "c").await.unwrap();
    node.until(|node| node.services.core.metrics.checks.owned.get() == 0)
        .await;
    let after = asked.load(Ordering::SeqCst);
    sleep(Duration::from_millis(1_500)).await;
    assert!(asked.load(Ordering::SeqCst) <= after + 1);
}

#[tokio::test]
async fn what_was_found_out_about_an_older_definition_or_state_is_dropped() {
    let node = Node::start().await;
    let registry = &node.services.registry;
    node.with_check("w", ttl(60_000)).await;
    node.until(|node| node.found("w").is_some()).await;
    let seen = node.found("w").unwrap();
    let place = CheckPlace {
        node: "n".into(),
        instance: Some("w".into()),
        check: "c".into(),
    };
    node.report("w", Status::Warning, "newer").await.unwrap();
    let passing = said(Status::Passing, "slow");
    assert!(!registry.settle(&place, &seen, &passing, None).await.unwrap());
    let newer = node.until_it_is("w", Status::Warning).await;
    assert!(registry.settle(&place, &newer, &passing, None).await.unwrap());
    // The same once more: it has changed since, by itself.
    assert!(!registry.settle(&place, &newer, &passing, None).await.unwrap());
    let seen = node.until_it_is("w", Status::Passing).await;
    // Registered anew with another definition.
    let checks = [check("c", ttl(50_000))];
    registry
        .register(instance("w"), Claim::New, &checks)
        .await
        .unwrap();
    let critical = said(Status::Critical, "slow");
    assert!(!registry.settle(&place, &seen, &critical, None).await.unwrap());
    registry.deregister("n", "w", None).await.unwrap();
    assert!(!registry.settle(&place, &seen, &critical, None).await.unwrap());
}

#[tokio::test]
async fn an_alias_is_as_bad_as_what_it_stands_for() {
    let node = Node::start().await;
    node.with_check("w", ttl(60_000)).await;
    let alias = |instance: &str| {
        CheckKind::Alias(Alias {
            node: String::new(),
            instance: instance.into(),
        })
    };
    node.with_check("a", alias("w")).await;
    node.with_check("b", alias("nobody")).await;
    for status in [
        Status::Passing,
        Status::Warning,
        Status::Critical,
        Status::Passing,
    ] {
        node.report("w", status, "").await.unwrap();
        node.until_it_is("a", status).await;
    }
    assert_eq!(node.found("b").unwrap().state.status, Status::Critical);
    node.services.registry.deregister("n", "w", None).await.unwrap();
    let gone = node.until_it_is("a", Status::Critical).await;
    assert_eq!(gone.state.output, "Service w could not be found on node n");
}

#[tokio::test]
async fn an_instance_is_overdue_when_its_check_is_critical_for_the_time_that_it_has() {
    let node = Node::start().await;
    let kind = |deregister_after_milliseconds| {
        CheckKind::TimeToLive(TimeToLive {
            milliseconds: 60_000,
            deregister_after_milliseconds,
        })
    };
    node.with_check("w", kind(1)).await;
    node.with_check("never", kind(0)).await;
    node.with_check("well", kind(1)).await;
    node.report("well", Status::Passing, "").await.unwrap();
    let catalog = node.services.registry.catalog(false).await.unwrap();
    let (mut table, start) = (Table::default(), clock::now());
    assert!(table.refresh(&catalog, start));
    let minute = Duration::from_secs(60);
    let late = |table: &Table, now| -> Vec<String> {
        let overdue = overdue(table, now).into_iter();
        overdue
            .filter_map(|(place, _)| place.instance.map(|id| id.to_string()))
            .collect()
    };
    assert_eq!(late(&table, start + minute - Duration::from_millis(1)), [""; 0]);
    assert_eq!(late(&table, start + minute), ["w"]);
    // It stays critical when something else of it changes, and begins anew after it was well, or is another registration.
    node.report("w", Status::Critical, "still").await.unwrap();
    let later = start + minute / 2;
    table.refresh(&node.services.registry.catalog(false).await.unwrap(), later);
    assert_eq!(late(&table, start + minute), ["w"]);
    let checks = [check("c", kind(1))];
    let registry = &node.services.registry;
    registry
        .register(instance("w"), Claim::New, &checks)
        .await
        .unwrap();
    table.refresh(&registry.catalog(false).await.unwrap(), later);
    assert_eq!(late(&table, start + minute), [""; 0]);
    assert_eq!(late(&table, later + minute), ["w"]);
}

#[tokio::test]
async fn checks_are_registered_only_where_they_may_go_and_by_whom_they_may() {
    let node = Node::start().await;
    let refused = |node: &Node, checks: [NewCheck; 1]| {
        let registry = node.services.registry.clone();
        async move {
            match registry.register(instance("w"), Claim::New, &checks).await {
                Err(ServiceError::Registry(error)) => error.to_string(),
                other => panic!("not refused: {other:?}"),
            }
        }
    };
    let metadata = check("c", http("http://169.254.169.254/".into()));
    let text = refused(&node, [metadata]).await;
    assert!(
        text.contains("169.254.169.254") && text.contains("--check-targets"),
        "{text}"
    );
    for (registration, part) in [
        (CheckRegistration::Nobody, "--check-registration=nobody"),
        (CheckRegistration::Root, "until authentication is enabled"),
    ] {
        let node = Node::start_with(|settings| {
            settings.checks = Policy::new(ranges("127.0.0.1").unwrap(), registration);
        })
        .await;
        let text = refused(&node, [check("c", http("http://127.0.0.1/".into()))]).await;
        assert!(text.contains(part), "{text}");
        // What the members do not ask for goes nowhere.
        node.with_check("w", ttl(1_000)).await;
    }
}

#[tokio::test]
async fn a_member_that_announces_itself_is_a_node_with_its_health_and_writes_nothing_more() {
    let node = Node::start_with(|settings| settings.announce = true).await;
    let cluster = &node.services.cluster;
    cluster
        .publish("n1", &["http://127.0.0.1:1".to_owned()])
        .await
        .unwrap();
    let registry = &node.services.registry;
    node.until(|_| registry.newest().entry("n1", "consul").is_some())
        .await;
    let catalog = registry.newest();
    let known = catalog.node("n1").unwrap();
    let entry = catalog.entry("n1", "consul").unwrap();
    assert_eq!(
        (entry.address(), entry.instance.registration.port),
        ("127.0.0.1", 8_300)
    );
    assert_eq!(known.state.checks[0].definition.id, "serfHealth");
    assert_eq!(known.state.checks[0].state.output, "Agent alive and reachable");
    let written = node.revision();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(node.revision(), written);
    // What somebody else changed is mended, and so is what is said of it.
    let critical = said(Status::Critical, "gone");
    registry
        .report("n1", None, "serfHealth", &critical)
        .await
        .unwrap();
    node.until(|_| {
        let catalog = registry.newest();
        let entry = catalog.entry("n1", "consul");
        entry.is_some_and(|entry| entry.status() == Status::Passing)
    })
    .await;
    registry.deregister_node("n1").await.unwrap();
    node.until(|_| registry.newest().entry("n1", "consul").is_some())
        .await;
}
