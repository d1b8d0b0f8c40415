//! Renewals: a registration whose time was over comes back on its own wish, and nothing that was ended does.

use super::*;
use crate::state::applied::Refusal;
use crate::state::command::Command;

async fn expire(node: &TestNode, registered: Registered) {
    let gone = async {
        while node.ids().await.contains(&"w".to_owned()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    let gone = node.registry().heartbeat(&[registered.lease]).await.unwrap();
    assert_eq!(gone.answer, [registered.lease]);
}

fn web() -> Registration {
    mortal("web", "n", "w")
}

#[tokio::test]
async fn a_registration_whose_time_was_over_is_made_anew_and_one_that_is_there_stays() {
    let node = TestNode::start().await;
    let first = node.register(web(), Claim::New).await.unwrap();
    let same = node.register(web(), Claim::Renewal(first.epoch)).await.unwrap();
    assert_eq!(same, first);
    expire(&node, first).await;
    let second = node.register(web(), Claim::Renewal(first.epoch)).await.unwrap();
    assert!(second.epoch > first.epoch && second.lease != first.lease);
    assert_eq!(node.ids().await, ["w"]);
    // It is known by its new epoch alone.
    let older = refused(node.register(web(), Claim::Renewal(first.epoch)).await);
    assert!(matches!(older, RegistryError::OlderEpoch { .. }), "{older:?}");
}

#[tokio::test]
async fn what_was_deregistered_is_not_made_anew_by_a_renewal_before_or_after_its_time() {
    let node = TestNode::start().await;
    let registry = node.registry();
    for (expires, takes_node) in [(false, false), (false, true), (true, false), (true, true)] {
        let first = node.register(web(), Claim::New).await.unwrap();
        if expires {
            expire(&node, first).await;
        }
        // What is gone already is ended all the same.
        let _ = if takes_node {
            registry.deregister_node("n").await.map(drop)
        } else {
            registry.deregister("n", "w", None).await.map(drop)
        };
        let ended = refused(node.register(web(), Claim::Renewal(first.epoch)).await);
        assert!(matches!(ended, RegistryError::Ended { .. }), "{ended:?}");
        assert_eq!(node.ids().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn deregistrations_of_others_keep_nobody_from_a_renewal_unless_history_is_gone() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let shared = keys::fence(Owner::instance("n", "w"));
    let other = (0..)
        .map(|number| format!("i{number}"))
        .find(|id| keys::fence(Owner::instance("m", id)) == shared);
    let other = other.unwrap();
    let first = node.register(web(), Claim::New).await.unwrap();
    expire(&node, first).await;
    for _ in 0..3 {
        refused(registry.deregister("m", &other, None).await);
    }
    let second = node.register(web(), Claim::Renewal(first.epoch)).await.unwrap();
    expire(&node, second).await;
    // Hidden behind others.
    refused(registry.deregister("n", "w", None).await);
    for _ in 0..3 {
        refused(registry.deregister("m", &other, None).await);
    }
    let ended = refused(node.register(web(), Claim::Renewal(second.epoch)).await);
    assert!(matches!(ended, RegistryError::Ended { .. }), "{ended:?}");
    // What cannot be told is not risked.
    let third = node.register(web(), Claim::New).await.unwrap();
    expire(&node, third).await;
    for _ in 0..2 {
        refused(registry.deregister("m", &other, None).await);
    }
    let revision = node.catalog().await.revision();
    let compaction = Command::Compact { revision };
    node.services.core.propose(compaction, Some).await.unwrap();
    let ended = refused(node.register(web(), Claim::Renewal(third.epoch)).await);
    assert!(matches!(ended, RegistryError::Ended { .. }), "{ended:?}");
}

#[tokio::test]
async fn a_registration_is_known_by_the_lease_that_was_asked_for_and_gets_no_other() {
    let node = TestNode::start().await;
    let registry = node.registry();
    let on = |lease, claim| registry.register_on(LeaseId(lease), web(), claim, &[]);
    let first = on(7, Claim::New).await.unwrap().answer;
    assert_eq!(first.lease, LeaseId(7));
    // What is there keeps the lease that it has.
    let same = on(8, Claim::Renewal(first.epoch)).await.unwrap().answer;
    assert_eq!(same, first);
    let taken = on(7, Claim::New).await.map(|answered| answered.answer);
    assert_eq!(taken, Err(ServiceError::Refused(Refusal::LeaseExists)));
    assert_eq!(
        node.catalog().await.entry("n", "w").unwrap().instance.lease,
        LeaseId(7)
    );
    expire(&node, first).await;
    let second = on(9, Claim::Renewal(first.epoch)).await.unwrap().answer;
    assert_eq!(second.lease, LeaseId(9));
}
