//! Quotas in the store: which there are, and that requests are refused for them.

use serde_json::{Value, json};

use super::support::{Store, data, refusal};
use crate::service::secrets::{ErrorKind, SecretsError, Verb};

const AT: &str = "sys/quotas/rate-limit";

async fn with_mount() -> Store {
    let store = Store::start().await;
    store
        .write("sys/mounts/kv", json!({"type": "kv"}))
        .await
        .expect("root mounts");
    store
}

async fn put(store: &Store, name: &str, body: Value) -> Result<(), SecretsError> {
    store.write(&format!("{AT}/{name}"), body).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_a_quota_are_refused_whoever_sends_them() {
    let store = with_mount().await;
    put(
        &store,
        "few",
        json!({"path": "kv/a*", "rate": 2, "interval": "1h"}),
    )
    .await
    .expect("root writes it");
    store.write("kv/a", json!({"b": 1})).await.expect("the first");
    let second = store.ask("", Verb::Read, "kv/a1", json!({})).await;
    assert_eq!(second.expect_err("without a token").kind(), ErrorKind::Denied);
    for token in [store.root.as_str(), "", "none"] {
        let refused = store
            .ask(token, Verb::Read, "kv/a", json!({}))
            .await
            .expect_err("the third");
        assert_eq!(refused.kind(), ErrorKind::Limited);
        assert_eq!(
            refused.to_string(),
            "request path \"kv/a\": rate limit quota exceeded"
        );
        assert_eq!(refused.allowance(), None);
    }
    store.write("kv/b", json!({"b": 1})).await.expect("another path");
    let config = json!({
        "rate_limit_exempt_paths": ["kv/a2"],
        "enable_rate_limit_response_headers": true,
        "enable_rate_limit_audit_logging": true,
    });
    store
        .write("sys/quotas/config", config.clone())
        .await
        .expect("root writes it");
    let told = store.read("sys/quotas/config").await.expect("it is told");
    assert_eq!(data(&told), config);
    let refused = store.read("kv/a").await.expect_err("the fourth");
    let told = refused.allowance().copied().expect("it is told");
    assert_eq!((told.limit, told.remaining), (2, 0));
    assert!((3_000..=3_600).contains(&told.reset_seconds), "{told:?}");
    let exempt = store.read("kv/a2").await.expect_err("nothing is there");
    assert_eq!(exempt.kind(), ErrorKind::Missing);
    put(&store, "few", json!({"rate": 3})).await.expect("changed");
    let first = store.read("kv/a").await.expect("counted anew");
    assert_eq!(first.allowance.map(|told| told.remaining), Some(2));
    let exempt = store.read("sys/mounts").await.expect("under no quota");
    assert_eq!(exempt.allowance, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_told_as_it_was_written_and_goes_with_its_mount() {
    let store = with_mount().await;
    let list = async || {
        let listed = store.ask(&store.root, Verb::List, AT, json!({})).await;
        listed.map(|listed| data(&listed)["keys"].clone())
    };
    assert_eq!(list().await.expect_err("none").kind(), ErrorKind::Missing);
    put(
        &store,
        "mount",
        json!({"path": "kv", "rate": "10.5", "interval": "600", "block_interval": "10m"}),
    )
    .await
    .expect("root writes it");
    put(&store, "part", json!({"path": "/kv/data/*/", "rate": 1}))
        .await
        .expect("root writes it");
    put(&store, "all", json!({"rate": 1000000}))
        .await
        .expect("root writes it");
    let told = async |name: &str| {
        let told = store.read(&format!("{AT}/{name}")).await;
        data(&told.expect("it is there"))
    };
    assert_eq!(
        told("mount").await,
        json!({
            "name": "mount", "type": "rate-limit", "path": "kv/", "role": "",
            "rate": 10.5, "interval": 600, "block_interval": 600,
        })
    );
    assert_eq!(told("part").await["path"], "kv/data/*");
    assert_eq!(told("all").await["path"], "");
    assert_eq!(told("all").await["interval"], 1);
    store
        .write("sys/remount", json!({"from": "kv", "to": "moved/kv"}))
        .await
        .expect("root moves it");
    assert_eq!(told("mount").await["path"], "moved/kv/");
    assert_eq!(told("part").await["path"], "moved/kv/data/*");
    store
        .ask(&store.root, Verb::Delete, "sys/mounts/moved/kv", json!({}))
        .await
        .expect("root takes it away");
    assert_eq!(list().await.expect("one is left"), json!(["all"]));
    store
        .ask(&store.root, Verb::Delete, &format!("{AT}/all"), json!({}))
        .await
        .expect("root removes it");
    let gone = store.read(&format!("{AT}/all")).await;
    assert_eq!(gone.expect_err("it is gone").kind(), ErrorKind::Missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_cannot_be_is_refused_and_none_is_for_roles() {
    let store = with_mount().await;
    for (body, reason) in [
        (
            json!({"path": "/not-exist", "rate": 1}),
            "invalid mount path \"not-exist\"",
        ),
        (json!({"path": "k*", "rate": 1}), "invalid mount path \"k*\""),
        (json!({"path": "kv*", "rate": 1}), "invalid mount path \"kv*\""),
        (json!({"path": "kv/*/a", "rate": 1}), "'*' stands only at the end"),
        (json!({"path": "kv"}), "'rate' is 0"),
        (json!({"path": "kv", "rate": "many"}), "'rate' is no number"),
        (
            json!({"path": "kv", "rate": 1, "interval": "soon"}),
            "\"interval\"",
        ),
    ] {
        let refused = refusal(put(&store, "q", body).await);
        assert!(refused.contains(reason), "{refused}");
    }
    let role = put(
        &store,
        "q",
        json!({"path": "auth/token", "rate": 1, "role": "web"}),
    )
    .await;
    assert_eq!(role.expect_err("not offered").kind(), ErrorKind::Unimplemented);
    let leases = store.write("sys/quotas/lease-count/q", json!({})).await;
    assert_eq!(leases.expect_err("not offered").kind(), ErrorKind::Unimplemented);
}
