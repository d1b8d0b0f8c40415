//! Sessions and what they hold.

use super::*;
use crate::service::consul::session::watched_sessions;
use crate::service::registry::{CheckDefinition, CheckKind, CheckState, NewCheck, Node as Machine, Status};
use crate::service::testing::PATIENCE;

/// Waits until a session is gone.
async fn gone(consul: &Consul, id: Uuid) {
    let waiting = async {
        loop {
            let mut waiter = consul.waiter(watched_sessions());
            let seen = consul.session(id, false, true).await.unwrap();
            if seen.content.is_none() {
                return;
            }
            waiter.changed(seen.revision, seen.index).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("the session ends");
}

/// A node `m` with a check `c`.
async fn machine(consul: &Consul) {
    let node = Machine {
        name: "m".into(),
        address: "10.0.0.1".into(),
        ..Machine::default()
    };
    consul
        .registry()
        .register_node(&node, &[check(Status::Passing)])
        .await
        .unwrap();
}

fn check(status: Status) -> NewCheck {
    NewCheck {
        definition: CheckDefinition {
            id: "c".into(),
            name: "c".into(),
            notes: String::new(),
            kind: CheckKind::Reported,
        },
        state: CheckState {
            status,
            output: String::new(),
        },
    }
}

fn on_machine() -> NewSession {
    NewSession {
        node: Some("m".into()),
        node_checks: Some(vec!["c".into()]),
        ..endless()
    }
}

async fn report(consul: &Consul, status: Status) {
    let state = check(status).state;
    consul.registry().report("m", None, "c", &state).await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_session_releases_its_keys_and_leaves_their_values() {
    let (_node, consul) = start().await;
    let one = consul.create_session(endless()).await.unwrap();
    assert!(lock(&consul, "a", one).await && lock(&consul, "b", one).await);
    let before = get(&consul, "a").await.unwrap();
    consul.end_session(one).await.unwrap();
    let after = get(&consul, "a").await.unwrap();
    assert_eq!(
        (after.session, after.lock_index, after.value),
        (None, 1, before.value)
    );
    assert!(after.modified > before.modified);
    assert_eq!(consul.session(one, false, true).await.unwrap().content, None);
    let two = consul.create_session(endless()).await.unwrap();
    assert!(lock(&consul, "b", two).await);
    consul.end_session(one).await.unwrap();
    assert_eq!(get(&consul, "b").await.unwrap().session, Some(two));
}

#[tokio::test]
async fn the_end_of_a_session_that_deletes_removes_its_keys_and_no_others() {
    let (_node, consul) = start().await;
    let deleting = NewSession {
        behavior: Behavior::Delete,
        ..endless()
    };
    let one = consul.create_session(deleting).await.unwrap();
    let two = consul.create_session(endless()).await.unwrap();
    assert!(lock(&consul, "mine", one).await && lock(&consul, "passed on", one).await);
    assert!(put(&consul, "passed on", "v", Condition::Release(one)).await);
    assert!(lock(&consul, "passed on", two).await);
    consul.end_session(one).await.unwrap();
    assert_eq!(get(&consul, "mine").await, None);
    assert_eq!(get(&consul, "passed on").await.unwrap().session, Some(two));
}

#[tokio::test]
async fn a_lost_lock_is_delayed_and_one_that_was_let_go_is_not() {
    let (_node, consul) = start().await;
    let delaying = || NewSession {
        lock_delay: Duration::from_secs(2),
        ..endless()
    };
    let one = consul.create_session(delaying()).await.unwrap();
    let two = consul.create_session(delaying()).await.unwrap();
    assert!(lock(&consul, "k", one).await);
    assert!(put(&consul, "k", "v", Condition::Release(one)).await);
    assert!(lock(&consul, "k", two).await);
    let began = std::time::Instant::now();
    consul.end_session(two).await.unwrap();
    let mut refused = 0;
    while !lock(&consul, "k", one).await {
        refused += 1;
        assert!(began.elapsed() < PATIENCE, "the delay ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 0 && began.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_session_that_holds_more_keys_than_a_transaction_takes_ends_whole() {
    let (_node, consul) = start().await;
    let one = consul.create_session(endless()).await.unwrap();
    let number = crate::base::limits::MAXIMUM_CONSUL_TXN_KEYS + 3;
    let locking = (0..number).map(|key| {
        let consul = consul.clone();
        async move { lock(&consul, &format!("k/{key:05}"), one).await }
    });
    let locked = futures::future::join_all(locking).await;
    assert!(locked.into_iter().all(|locked| locked));
    consul.end_session(one).await.unwrap();
    let pairs = consul.pairs(b"k/", false, true).await.unwrap().content;
    assert_eq!(pairs.len(), number);
    assert!(pairs.iter().all(|pair| pair.session.is_none()));
    assert_eq!(consul.session(one, false, true).await.unwrap().content, None);
}

#[tokio::test]
async fn a_session_ends_when_its_check_is_critical_and_not_when_it_warns() {
    let (_node, consul) = start().await;
    machine(&consul).await;
    let id = consul.create_session(on_machine()).await.unwrap();
    assert!(lock(&consul, "k", id).await);
    report(&consul, Status::Warning).await;
    let other = consul.create_session(on_machine()).await.unwrap();
    consul.end_session(other).await.unwrap();
    assert!(consul.session(id, false, true).await.unwrap().content.is_some());
    report(&consul, Status::Critical).await;
    gone(&consul, id).await;
    assert_eq!(get(&consul, "k").await.unwrap().session, None);
    let refused = consul.create_session(on_machine()).await.unwrap_err();
    assert_eq!(refused.to_string(), "Check 'c' is in critical state");
}

#[tokio::test]
async fn a_session_ends_when_its_check_or_its_node_is_gone() {
    let (_node, consul) = start().await;
    machine(&consul).await;
    let id = consul.create_session(on_machine()).await.unwrap();
    consul.registry().deregister_check("m", None, "c").await.unwrap();
    gone(&consul, id).await;
    let without_checks = NewSession {
        node: Some("m".into()),
        ..endless()
    };
    let id = consul.create_session(without_checks).await.unwrap();
    consul.registry().deregister_node("m").await.unwrap();
    gone(&consul, id).await;
}

#[tokio::test]
async fn a_session_ends_when_its_sign_of_life_does_and_is_renewed_until_then() {
    let (node, consul) = start().await;
    let mortal = NewSession {
        ttl: Some(("10s".into(), Duration::from_secs(10))),
        ..endless()
    };
    let id = consul.create_session(mortal).await.unwrap();
    assert!(lock(&consul, "k", id).await);
    let renewed = consul.renew_session(id).await.unwrap().unwrap();
    assert_eq!((renewed.id, renewed.ttl.as_str()), (id, "10s"));
    let leases = node.services.core.reader.view().leases().unwrap();
    // Twice the time to live.
    assert_eq!(
        leases.iter().map(|(_, seconds)| *seconds).collect::<Vec<_>>(),
        [20]
    );
    for (lease, _) in leases {
        consul.leases.revoke(lease).await.unwrap();
    }
    gone(&consul, id).await;
    assert_eq!(consul.renew_session(id).await.unwrap(), None);
    assert_eq!(get(&consul, "k").await.unwrap().session, None);
}

#[tokio::test]
async fn times_out_of_their_bounds_and_what_is_not_there_are_refused_with_consuls_words() {
    let (_node, consul) = start().await;
    let refused = async |new: NewSession| consul.create_session(new).await.unwrap_err().to_string();
    for (text, seconds) in [("9s", 9), ("86401s", 86_401)] {
        let new = NewSession {
            ttl: Some((text.into(), Duration::from_secs(seconds))),
            ..endless()
        };
        assert!(refused(new).await.starts_with("Invalid Session TTL"));
    }
    let unknown = NewSession {
        node_checks: Some(vec!["x".into()]),
        ..endless()
    };
    assert_eq!(refused(unknown).await, "Missing check 'x' registration");
    let elsewhere = NewSession {
        node: Some("nowhere".into()),
        ..endless()
    };
    assert_eq!(refused(elsewhere).await, "Missing node registration: \"nowhere\"");
}
