//! Password policies in the store, and passwords by them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::support::{Store, data, refusal};
use crate::service::secrets::{ErrorKind, Verb};

const POLICY: &str = "length = 12\nrule \"charset\" {\n  charset = \"xyz\"\n  min-chars = 1\n}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_password_policy_is_kept_as_it_was_written_and_makes_other_passwords_each_time() {
    let store = Store::start().await;
    let at = "sys/policies/password/team/web";
    for given in [POLICY.to_owned(), STANDARD.encode(POLICY)] {
        store
            .write(at, json!({"policy": given}))
            .await
            .expect("root writes it");
        let read = store.read(at).await.expect("root reads it");
        assert_eq!(data(&read), json!({"policy": POLICY}));
    }
    let mut made = Vec::new();
    for _ in 0..2 {
        let answer = store.read(&format!("{at}/generate")).await.expect("a password");
        let password = data(&answer)["password"].as_str().unwrap_or_default().to_owned();
        assert_eq!(password.len(), 12);
        assert!(password.chars().all(|letter| "xyz".contains(letter)));
        made.push(password);
    }
    assert_ne!(made[0], made[1]);
    let listed = store
        .ask(&store.root, Verb::List, "sys/policies/password", json!({}))
        .await
        .expect("there is one");
    assert_eq!(data(&listed), json!({"keys": ["team/web"]}));
    store
        .ask(&store.root, Verb::Delete, at, json!({}))
        .await
        .expect("root removes it");
    for gone in [at.to_owned(), format!("{at}/generate")] {
        let refused = store.read(&gone).await.expect_err("it is gone");
        assert_eq!(refused.kind(), ErrorKind::Missing, "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_policy_that_is_none_is_refused_and_changes_nothing() {
    let store = Store::start().await;
    let at = "sys/policies/password/web";
    store
        .write(at, json!({"policy": POLICY}))
        .await
        .expect("root writes it");
    for (body, reason) in [
        (json!({}), "'policy' parameter not supplied or empty"),
        (json!({"policy": ""}), "'policy' parameter not supplied or empty"),
        (json!({"policy": "length = 8"}), "it has 0 rules"),
        (
            json!({"policy": "length = 4\nrule \"charset\" {\n charset = \"a\"\n min-chars = 3\n}\n\
                rule \"charset\" {\n charset = \"b\"\n min-chars = 3\n}"}),
            "of 50000 passwords that were tried 0 met its rules",
        ),
    ] {
        let refused = refusal(store.write(at, body).await);
        assert!(refused.contains(reason), "{refused}");
    }
    let long = format!("sys/policies/password/{}", "x".repeat(257));
    let refused = refusal(store.write(&long, json!({"policy": POLICY})).await);
    assert!(refused.contains("257 bytes; the most is 256"), "{refused}");
    let read = store.read(at).await.expect("it is as it was");
    assert_eq!(data(&read), json!({"policy": POLICY}));
    let reader = store.token(json!({"policies": ["default"]})).await;
    for path in [at.to_owned(), format!("{at}/generate")] {
        let refused = store.ask(&reader, Verb::Read, &path, json!({})).await;
        assert_eq!(refused.expect_err("no right to it").kind(), ErrorKind::Denied);
    }
}
