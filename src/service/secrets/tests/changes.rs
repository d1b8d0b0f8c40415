//! Who may follow what, and what is told of it.

use serde_json::json;
use tokio::time::timeout;

use super::support::Store;
use crate::base::secret::Secret;
use crate::service::secrets::changes::SecretChanges;
use crate::service::secrets::engine::Peer;
use crate::service::secrets::{SecretsError, Verb};
use crate::service::testing::PATIENCE;

/// What is read without a token.
const OPEN: &str = "sys/internal/specs/openapi";

async fn follow(store: &Store, token: &str, paths: &[&str]) -> Result<SecretChanges, SecretsError> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let token = (!token.is_empty()).then(|| Secret::new(token.to_owned()));
    store
        .secrets
        .changes(&store.node.hub, paths, token, Peer::default())
        .await
}

async fn next(changes: &mut SecretChanges) -> Result<Vec<String>, SecretsError> {
    timeout(PATIENCE, changes.next()).await.expect("it is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_followed_by_a_token_and_for_as_long_as_it_is_one() {
    let store = Store::start().await;
    for token in ["", "hvs.0123456789abcdefghijklmn"] {
        store
            .ask(token, Verb::Read, OPEN, json!({}))
            .await
            .expect("everybody reads it");
        let refused = follow(&store, token, &[OPEN]).await;
        assert!(matches!(refused, Err(SecretsError::Denied)), "{token}");
    }
    let token = store.token(json!({"policies": ["default"]})).await;
    let mut changes = follow(&store, &token, &[OPEN]).await.expect("it is one");
    store
        .write("auth/token/revoke", json!({"token": token}))
        .await
        .expect("root revokes");
    let ended = next(&mut changes).await;
    assert!(matches!(ended, Err(SecretsError::Denied)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_follow_is_one_use_of_a_token_for_each_path() {
    let store = Store::start().await;
    let token = store.token(json!({"policies": ["default"], "num_uses": 3})).await;
    let paths = ["cubbyhole/a", "cubbyhole/b"];
    follow(&store, &token, &paths).await.map(drop).expect("two uses");
    store
        .ask(&token, Verb::Read, "auth/token/lookup-self", json!({}))
        .await
        .expect("the third use");
    let refused = follow(&store, &token, &paths).await;
    assert!(matches!(refused, Err(SecretsError::Denied)));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_paths_are_followed_as_one() {
    let store = Store::start().await;
    let paths = ["cubbyhole/a", "cubbyhole/b", "cubbyhole/a"];
    let mut changes = follow(&store, &store.root, &paths)
        .await
        .expect("root reads its own");
    store
        .write("cubbyhole/a", json!({"k": "v"}))
        .await
        .expect("root writes its own");
    assert_eq!(next(&mut changes).await.expect("it has changed"), ["cubbyhole/a"]);
}
