//! Engines on a node: that what they do is written, encrypted and taken back.

use serde_json::{Value, json};

use super::support::{Store, data, refusal};
use crate::service::secrets::store::keys;
use crate::service::secrets::{SecretsError, Verb};
use crate::state::command::Range;

async fn mounted(path: &str, kind: &str, options: Value) -> Store {
    let store = Store::start().await;
    let body = json!({"type": kind, "options": options});
    store
        .write(&format!("sys/mounts/{path}"), body)
        .await
        .expect("root mounts");
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_read_as_it_was_written_and_is_nowhere_in_the_store() {
    let store = mounted("secret", "kv", json!({"version": "2"})).await;
    let body = json!({"data": {"password": "canary-in-a-coal-mine", "number": 1}});
    store
        .write("secret/data/canary-path/app", body)
        .await
        .expect("root writes");
    let read = store
        .read("secret/data/canary-path/app")
        .await
        .expect("root reads");
    assert_eq!(data(&read)["data"]["password"], json!("canary-in-a-coal-mine"));
    let listed = store
        .ask(&store.root, Verb::List, "secret/metadata", json!({}))
        .await;
    assert_eq!(
        data(&listed.expect("root lists"))["keys"],
        json!(["canary-path/"])
    );
    let view = store.secrets.core.reader.view();
    let mut all = Range {
        keys: keys::all_names(),
        ..Range::default()
    };
    all.keys.key = bytes::Bytes::from_static(&[0]);
    let records = view
        .range(&all)
        .expect("the disk works")
        .expect("the newest revision")
        .key_values;
    assert!(records.len() > 5);
    for canary in ["canary", &store.root] {
        for record in &records {
            let holds = |bytes: &[u8]| {
                bytes
                    .windows(canary.len())
                    .any(|window| window == canary.as_bytes())
            };
            assert!(
                !holds(&record.key) && !holds(&record.value),
                "{canary} is in a record"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_one_secret_at_once_all_count() {
    let store = mounted("secret", "kv", json!({"version": "2"})).await;
    let writes = (0..12).map(|number| store.write("secret/data/app", json!({"data": {"number": number}})));
    let written = futures::future::join_all(writes).await;
    let mut versions: Vec<i64> = written
        .into_iter()
        .map(|outcome| {
            data(&outcome.expect("each is written"))["version"]
                .as_i64()
                .expect("a number")
        })
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=12).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_encrypted_before_a_rotation_is_read_after_it() {
    let store = mounted("secret", "kv", json!({})).await;
    store
        .write("secret/before", json!({"value": "1"}))
        .await
        .expect("root writes");
    store.write("sys/rotate", json!({})).await.expect("root rotates");
    store
        .write("secret/after", json!({"value": "2"}))
        .await
        .expect("root writes");
    let status = data(&store.read("sys/key-status").await.expect("root asks"));
    assert_eq!(status["term"], json!(2));
    for (at, value) in [("secret/before", "1"), ("secret/after", "2")] {
        assert_eq!(
            data(&store.read(at).await.expect("root reads"))["value"],
            json!(value)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_put_in_the_place_of_another_is_not_believed() {
    use crate::state::command::{Command, Put};
    let store = mounted("secret", "kv", json!({})).await;
    store
        .write("secret/one", json!({"value": "1"}))
        .await
        .expect("root writes");
    let all = || {
        let range = Range {
            keys: keys::all_names(),
            ..Range::default()
        };
        let view = store.secrets.core.reader.view();
        view.range(&range)
            .expect("the disk works")
            .expect("the newest revision")
            .key_values
    };
    let before = all();
    store
        .write("secret/one", json!({"value": "2"}))
        .await
        .expect("root writes");
    let changed: Vec<_> = all()
        .into_iter()
        .filter(|record| !before.contains(record))
        .collect();
    let [changed] = changed.as_slice() else {
        panic!("one record was written: {}", changed.len())
    };
    let old = before
        .iter()
        .find(|record| record.key == changed.key)
        .expect("it was there before");
    let replay = Command::Put(Put {
        namespace: crate::base::Namespace::SECRETS,
        key: old.key.clone(),
        value: old.value.clone(),
        ..Put::default()
    });
    store
        .secrets
        .core
        .propose(replay.by_node(), Some)
        .await
        .expect("whoever writes the store");
    let said = refusal(store.read("secret/one").await);
    assert!(said.contains("changed, moved or replaced"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_a_token_and_five_wrong_passwords_lock_the_user() {
    let store = Store::start().await;
    store
        .write("sys/auth/userpass", json!({"type": "userpass"}))
        .await
        .expect("root mounts");
    let user = json!({"password": "a long one", "token_policies": "reader", "token_ttl": "1h"});
    store
        .write("auth/userpass/users/bob", user)
        .await
        .expect("root makes users");
    let login = |password: &'static str| {
        store.ask(
            "",
            Verb::Write,
            "auth/userpass/login/bob",
            json!({"password": password}),
        )
    };
    let auth = login("a long one")
        .await
        .expect("the right password")
        .auth
        .expect("a token");
    assert_eq!(auth.policies, ["default", "reader"]);
    let looked = store
        .ask(
            auth.token.expose(),
            Verb::Read,
            "auth/token/lookup-self",
            json!({}),
        )
        .await;
    let looked = data(&looked.expect("it is a token"));
    assert_eq!(
        (&looked["orphan"], &looked["display_name"]),
        (&json!(true), &json!("userpass-bob"))
    );
    for _ in 0..5 {
        assert!(login("another").await.is_err());
    }
    assert!(matches!(
        login("a long one").await,
        Err(SecretsError::Denied | SecretsError::Fault(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unmounted_engine_stored_is_taken_away() {
    let store = mounted("secret", "kv", json!({})).await;
    for number in 0..20 {
        store
            .write(&format!("secret/{number}"), json!({"value": number}))
            .await
            .expect("root writes");
    }
    let records = || {
        let range = Range {
            keys: keys::all_names(),
            count_only: true,
            ..Range::default()
        };
        let view = store.secrets.core.reader.view();
        view.range(&range)
            .expect("the disk works")
            .expect("the newest revision")
            .count
    };
    let before = records();
    store
        .ask(&store.root, Verb::Delete, "sys/mounts/secret", json!({}))
        .await
        .expect("root unmounts");
    assert!(matches!(
        store.read("secret/1").await,
        Err(SecretsError::Fault(_))
    ));
    store.node.until(|_| records() == before - 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_leased_ends_with_its_mount() {
    let store = mounted("pki", "pki", json!({})).await;
    let root = json!({"common_name": "root.test", "ttl": "24h", "key_type": "ec", "key_bits": 256});
    store
        .write("pki/root/generate/internal", root)
        .await
        .expect("root makes a root");
    let role = json!({"allow_any_name": true, "generate_lease": true, "ttl": "1h", "key_type": "ec", "key_bits": 256});
    store
        .write("pki/roles/web", role)
        .await
        .expect("root writes roles");
    let issued = store
        .write("pki/issue/web", json!({"common_name": "web.test"}))
        .await
        .expect("root issues");
    assert!(
        issued.lease_id.starts_with("pki/issue/web/"),
        "{}",
        issued.lease_id
    );
    let lease = json!({"lease_id": issued.lease_id});
    store
        .write("sys/leases/lookup", lease.clone())
        .await
        .expect("it is there");
    store
        .ask(&store.root, Verb::Delete, "sys/mounts/pki", json!({}))
        .await
        .expect("root unmounts");
    assert_eq!(
        refusal(store.write("sys/leases/lookup", lease).await),
        "invalid lease"
    );
}
