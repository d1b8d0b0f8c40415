//! Tokens on a node: who may make which, how long they last, and what ends with them.

use std::time::Duration;

use serde_json::json;

use super::support::{Store, data, refusal, request};
use crate::service::secrets::{SecretsError, Verb};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_unsealed_by_as_many_shares_as_are_needed_and_not_by_fewer() {
    let store = Store::start().await;
    store.write("sys/seal", json!({})).await.expect("root seals");
    assert!(matches!(
        store.read("sys/mounts").await,
        Err(SecretsError::Sealed)
    ));
    let [first, second, _] = <[_; 3]>::try_from(store.shares).expect("three shares");
    let again = crate::service::secrets::seal::Share::new(first.expose()).expect("a share");
    for share in [first, again] {
        let status = store.secrets.unseal(share).await.expect("a right share");
        assert_eq!(
            (status.is_sealed, status.given),
            (true, 1),
            "the same share twice is one"
        );
    }
    let status = store.secrets.unseal(second).await.expect("a right share");
    assert!(!status.is_sealed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_its_policies_say_and_nothing_else() {
    let store = Store::start().await;
    let policy = json!({"policy": "path \"sys/policies/acl/*\" { capabilities = [\"read\"] }"});
    store
        .write("sys/policies/acl/look", policy)
        .await
        .expect("root writes policies");
    let token = store.token(json!({"policies": ["look"]})).await;
    let answer = store
        .ask(&token, Verb::Read, "sys/policies/acl/look", json!({}))
        .await;
    assert!(answer.is_ok());
    for (verb, at) in [
        (Verb::Write, "sys/policies/acl/look"),
        (Verb::Read, "sys/mounts"),
        (Verb::Read, "no/such/mount"),
    ] {
        let outcome = store
            .ask(&token, verb, at, json!({"policy": "path \"*\" {}"}))
            .await;
        assert!(matches!(outcome, Err(SecretsError::Denied)), "{verb:?} {at}");
    }
    let nobody = store.ask("hvs.nobody", Verb::Read, "sys/mounts", json!({})).await;
    assert!(matches!(nobody, Err(SecretsError::Denied)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_ended_with_the_one_that_made_it_unless_it_is_an_orphan() {
    let store = Store::start().await;
    let policy =
        json!({"policy": "path \"auth/token/*\" { capabilities = [\"create\", \"update\", \"sudo\"] }"});
    store
        .write("sys/policies/acl/make", policy)
        .await
        .expect("root writes policies");
    let parent = store.token(json!({"policies": ["make"]})).await;
    let mut made = Vec::new();
    for body in [json!({}), json!({"no_parent": true})] {
        let answer = store
            .ask(&parent, Verb::Write, "auth/token/create", body)
            .await
            .expect("it may");
        made.push(answer.auth.expect("a token").token.expose().clone());
    }
    let revoked = store.write("auth/token/revoke", json!({"token": parent})).await;
    assert!(revoked.is_ok());
    let look = |token: String| {
        let request = request(&token, Verb::Read, "auth/token/lookup-self", &json!({}));
        store.secrets.handle(request)
    };
    assert!(matches!(look(parent).await, Err(SecretsError::Denied)));
    assert!(matches!(look(made[0].clone()).await, Err(SecretsError::Denied)));
    assert!(look(made[1].clone()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_two_uses_serves_two_requests_however_many_come_at_once() {
    let store = Store::start().await;
    let token = store.token(json!({"num_uses": 2})).await;
    let requests = (0..16).map(|_| {
        let request = request(&token, Verb::Read, "auth/token/lookup-self", &json!({}));
        store.secrets.handle(request)
    });
    let served = futures::future::join_all(requests).await;
    assert_eq!(served.iter().filter(|outcome| outcome.is_ok()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_unwrapped_once() {
    let store = Store::start().await;
    let mut wrapping = request(
        &store.root,
        Verb::Write,
        "sys/wrapping/wrap",
        &json!({"number": 1.0}),
    );
    wrapping.wrap = Some(Duration::from_secs(60));
    let wrapped = store
        .secrets
        .handle(wrapping)
        .await
        .expect("root wraps")
        .wrapped
        .expect("it is wrapped");
    let token = wrapped.token.expose().clone();
    let looked = store
        .ask("", Verb::Write, "sys/wrapping/lookup", json!({"token": token}))
        .await;
    assert_eq!(
        data(&looked.expect("open to all"))["creation_path"],
        json!("sys/wrapping/wrap")
    );
    let unwrapped = store
        .ask(&token, Verb::Write, "sys/wrapping/unwrap", json!({}))
        .await;
    let unwrapped = unwrapped.expect("the first time");
    assert_eq!(
        unwrapped.data.as_ref().and_then(|data| data.get("number")),
        Some("1.0")
    );
    let again = store
        .ask(&token, Verb::Write, "sys/wrapping/unwrap", json!({}))
        .await;
    assert_eq!(refusal(again), "wrapping token is not valid or does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_leaves_behind_is_taken_away() {
    let store = Store::start().await;
    let token = store.token(json!({})).await;
    let looked = store
        .ask(&token, Verb::Read, "auth/token/lookup-self", json!({}))
        .await;
    let accessor = data(&looked.expect("its own"))["accessor"]
        .as_str()
        .expect("text")
        .to_owned();
    let before = records(&store);
    store.token(json!({"ttl": "1s"})).await;
    store
        .write("auth/token/revoke-accessor", json!({"accessor": accessor}))
        .await
        .expect("it is there");
    store.node.until(|_| records(&store) < before).await;
}

fn records(store: &Store) -> i64 {
    use crate::state::command::Range;
    let range = Range {
        keys: crate::service::secrets::store::keys::all_names(),
        count_only: true,
        ..Range::default()
    };
    let view = store.secrets.core.reader.view();
    view.range(&range)
        .expect("the disk works")
        .expect("the newest revision")
        .count
}
