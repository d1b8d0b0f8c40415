//! Seals of a store that there is already: told, and replaced without losing anything.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{Store, data, refusal, request};
use crate::service::secrets::custody::SHARES_ID;
use crate::service::secrets::seal::Share;
use crate::service::secrets::{ErrorKind, SealSource, Secrets, SecretsError, Settings, Verb};
use crate::service::testing::PATIENCE;
use crate::transport::HttpFetcher;

impl Store {
    /// A key file of its own, as a seal.
    fn seal(&self, id: &str) -> SealSource {
        let path = self.node.folder().join(format!("{id}.key"));
        let key: [u8; 32] = std::array::from_fn(|at| at as u8 ^ id.as_bytes()[at % id.len()]);
        fs::write(&path, key).expect("a file of a test is written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is the test's own");
        SealSource::File {
            id: id.to_owned(),
            path,
        }
    }

    /// The same store as a sealed node with these seals has it.
    fn with_seals(&self, seals: Vec<SealSource>) -> Secrets {
        let settings = Settings {
            seals,
            fetcher: Arc::new(HttpFetcher::default()),
            audit_directory: None,
        };
        let (core, leases) = (Arc::clone(&self.secrets.core), &self.secrets.leases);
        let maintenance = self.secrets.maintenance.clone();
        Secrets::new(core, leases, self.node.hub.clone(), maintenance, settings)
    }

    /// The same store as a node with these seals has it, that people unsealed.
    async fn unsealed_with_seals(&self, seals: Vec<SealSource>) -> Secrets {
        let secrets = self.with_seals(seals);
        for share in &self.shares[1..] {
            let share = Share::new(share.expose()).expect("a share was made");
            secrets.unseal(share).await.expect("the share is right");
        }
        assert!(!secrets.status().await.expect("the store is read").is_sealed);
        secrets
    }

    /// Whether a node with only that seal opens the root key with it; that it does if it says so.
    async fn opens_by(&self, seal: &SealSource) -> bool {
        let people = self.unsealed_with_seals(vec![seal.clone()]).await;
        let listed = self.seals_of(&people).await;
        let mut told = listed.as_array().expect("a list").iter();
        let own = told.find(|told| told["configured"] == json!(true));
        let opens = own.expect("what is configured is told")["opens"] == json!(true);
        if opens {
            let alone = self.with_seals(vec![seal.clone()]);
            let unsealed = async {
                tokio::select! {
                    () = alone.custody.run() => {}
                    _ = alone.custody.wait() => {}
                }
            };
            let unsealed = tokio::time::timeout(PATIENCE, unsealed).await;
            unsealed.expect("what is said to open does so by itself");
        }
        opens
    }

    async fn seals_of(&self, secrets: &Secrets) -> Value {
        let told = secrets
            .handle(request(&self.root, Verb::Read, "sys/seals", &json!({})))
            .await;
        data(&told.expect("root reads"))["seals"].clone()
    }

    async fn apply(&self, secrets: &Secrets, body: Value) -> Result<Value, SecretsError> {
        let asked = request(&self.root, Verb::Write, "sys/seals", &body);
        Ok(data(&secrets.handle(asked).await?)["seals"].clone())
    }
}

fn names(seals: &Value) -> Vec<&str> {
    let seals = seals.as_array().expect("a list").iter();
    seals.filter_map(|seal| seal["name"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_seal_is_replaced_by_another_and_nothing_is_lost() {
    let store = Store::start().await;
    store
        .write("cubbyhole/kept", json!({"value": "1"}))
        .await
        .expect("root writes");
    let (lost, fresh) = (store.seal("lost"), store.seal("fresh"));
    let first = store.unsealed_with_seals(vec![lost.clone()]).await;
    assert_eq!(names(&store.seals_of(&first).await), [SHARES_ID, "lost"]);
    assert!(!store.opens_by(&lost).await, "nothing is wrapped by it yet");
    store.apply(&first, json!({})).await.expect("root applies");
    assert!(store.opens_by(&lost).await);

    let second = store.unsealed_with_seals(vec![fresh.clone()]).await;
    let told = store.apply(&second, json!({})).await.expect("root applies");
    let expected = json!([
        {"name": "shares", "kind": "shares", "in_use": true, "configured": false, "opens": false,
         "reason": "people open it with shares"},
        {"name": "fresh", "kind": "key-file", "in_use": true, "configured": true, "opens": true, "reason": ""},
    ]);
    assert_eq!(told, expected);
    assert_eq!(store.seals_of(&second).await, expected);
    assert!(store.opens_by(&fresh).await);
    assert!(!store.opens_by(&lost).await, "it is dropped");
    let people = store.unsealed_with_seals(Vec::new()).await;
    let read = request(&store.root, Verb::Read, "cubbyhole/kept", &json!({}));
    let read = people.handle(read).await.expect("the shares are those of before");
    assert_eq!(data(&read)["value"], json!("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn seals_that_the_settings_of_a_node_do_not_name_stay_only_if_asked_for() {
    let store = Store::start().await;
    let (one, other) = (store.seal("one"), store.seal("other"));
    let of_one = store.unsealed_with_seals(vec![one.clone()]).await;
    store.apply(&of_one, json!({})).await.expect("root applies");
    let of_other = store.unsealed_with_seals(vec![other.clone()]).await;
    let told = store.apply(&of_other, json!({"keep_others": true})).await;
    let told = told.expect("root applies");
    assert_eq!(names(&told), [SHARES_ID, "one", "other"]);
    assert_eq!(
        told[1]["reason"],
        json!("--secrets-seal of this node does not name it")
    );
    assert!(store.opens_by(&one).await && store.opens_by(&other).await);
    let none = store.unsealed_with_seals(Vec::new()).await;
    let told = store.apply(&none, json!({})).await.expect("root applies");
    assert_eq!(names(&told), [SHARES_ID]);
    assert!(!store.opens_by(&one).await && !store.opens_by(&other).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_cannot_be_used_changes_nothing_and_is_named() {
    let store = Store::start().await;
    let good = store.seal("good");
    let secrets = store.unsealed_with_seals(vec![good.clone()]).await;
    store.apply(&secrets, json!({})).await.expect("root applies");
    let missing = SealSource::File {
        id: "gone".to_owned(),
        path: store.node.folder().join("nobody.key"),
    };
    let secrets = store.unsealed_with_seals(vec![good.clone(), missing]).await;
    let error = store
        .apply(&secrets, json!({}))
        .await
        .expect_err("there is no such file");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("nobody.key"), "{error}");
    let listed = store.seals_of(&secrets).await;
    assert_eq!(names(&listed), [SHARES_ID, "good", "gone"]);
    assert_eq!(
        (&listed[1]["opens"], &listed[2]["in_use"]),
        (&json!(true), &json!(false))
    );
    assert!(
        listed[2]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("nobody.key"))
    );
    assert!(store.opens_by(&good).await);
    let refused = store.apply(&secrets, json!({"keep_others": "perhaps"})).await;
    assert!(refusal(refused).contains("keep_others"));
}

#[tokio::test(flavor = "multi_thread")]
async fn seals_are_shown_and_replaced_only_with_sudo() {
    let store = Store::start().await;
    for (capabilities, is_allowed) in [
        ("[\"read\", \"update\"]", false),
        ("[\"read\", \"update\", \"sudo\"]", true),
    ] {
        let policy = format!("path \"sys/seals\" {{ capabilities = {capabilities} }}");
        store
            .write("sys/policies/acl/keeper", json!({"policy": policy}))
            .await
            .expect("root writes policies");
        let token = store.token(json!({"policies": ["keeper"]})).await;
        for verb in [Verb::Read, Verb::Write] {
            let outcome = store.ask(&token, verb, "sys/seals", json!({})).await;
            assert_eq!(outcome.is_ok(), is_allowed, "{verb:?} {capabilities}");
        }
    }
    let listed = store.ask(&store.root, Verb::List, "sys/seals", json!({})).await;
    assert_eq!(listed.expect_err("it is no list").kind(), ErrorKind::Unsupported);
}
