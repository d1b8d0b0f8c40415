//! What a token may be made with: without `sudo`, by a role, and by whoever is bound to addresses.

use serde_json::{Value, json};

use super::support::{Store, data, refusal, request};
use crate::base::clock;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::request::Auth;
use crate::service::secrets::store::Draft;
use crate::service::secrets::store::commit::Committed;
use crate::service::secrets::{Response, SecretsError, Verb};

/// A store, and a token of the policies `default` and `make`: it may make tokens and end them, but has no `sudo`.
async fn with_maker() -> (Store, String) {
    let store = Store::start().await;
    put_policy(
        &store,
        "make",
        "path \"auth/token/*\" { capabilities = [\"update\"] }",
    )
    .await;
    let maker = store.token(json!({"policies": ["make"]})).await;
    (store, maker)
}

async fn put_policy(store: &Store, name: &str, text: &str) {
    store
        .write(&format!("sys/policies/acl/{name}"), json!({"policy": text}))
        .await
        .expect("root writes policies");
}

async fn put_role(store: &Store, name: &str, settings: Value) {
    store
        .write(&format!("auth/token/roles/{name}"), settings)
        .await
        .expect("root writes roles");
}

async fn make(store: &Store, token: &str, how: &str, body: Value) -> Result<Auth, SecretsError> {
    let at = format!("auth/token/{how}");
    let answer = store.ask(token, Verb::Write, &at, body).await?;
    Ok(answer.auth.expect("a token was made"))
}

async fn policies(store: &Store, token: &str, how: &str, body: Value) -> Vec<String> {
    let made = make(store, token, how, body).await;
    made.expect("it may").policies
}

async fn is_there(store: &Store, token: &str) -> bool {
    let at = "auth/token/lookup-self";
    store.ask(token, Verb::Read, at, json!({})).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_lists_gives_no_policy_that_its_user_has_not() {
    let (store, maker) = with_maker().await;
    put_role(&store, "ci", json!({"period": "24h"})).await;
    for wanted in [json!(["admin"]), json!(["make", "admin"]), json!("root")] {
        for how in ["create/ci", "create"] {
            let made = make(&store, &maker, how, json!({"policies": wanted})).await;
            assert_eq!(
                refusal(made),
                "child policies must be subset of parent",
                "{how} {wanted}"
            );
        }
    }
    for body in [json!({}), json!({"policies": ["make"]})] {
        let given = policies(&store, &maker, "create/ci", body).await;
        assert_eq!(given, ["default", "make"]);
    }
    put_role(&store, "bare", json!({"token_no_default_policy": true})).await;
    for body in [json!({}), json!({"policies": ["make"]})] {
        let given = policies(&store, &maker, "create/bare", body).await;
        assert_eq!(given, ["make"]);
    }
    // With `sudo` there all may be given but root's.
    put_policy(
        &store,
        "trusted",
        "path \"auth/token/create/ci\" { capabilities = [\"update\", \"sudo\"] }",
    )
    .await;
    let trusted = store.token(json!({"policies": ["trusted"]})).await;
    let admin = json!({"policies": ["admin"]});
    let given = policies(&store, &trusted, "create/ci", admin.clone()).await;
    assert_eq!(given, ["admin", "default"]);
    let made = make(&store, &trusted, "create/ci", json!({"policies": ["root"]})).await;
    assert_eq!(
        refusal(made),
        "root tokens may not be created without parent token being root"
    );
    let given = policies(&store, &store.root, "create/ci", admin).await;
    assert_eq!(given, ["admin", "default"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_lists_alone_says_which_policies_there_are() {
    let (store, maker) = with_maker().await;
    for (name, settings) in [
        ("allows", json!({"allowed_policies": ["app"]})),
        ("allows-globs", json!({"allowed_policies_glob": ["ap*"]})),
        ("refuses", json!({"disallowed_policies": ["admin"]})),
        ("refuses-globs", json!({"disallowed_policies_glob": ["adm*"]})),
        ("refuses-own", json!({"disallowed_policies": ["make"]})),
    ] {
        put_role(&store, name, settings).await;
        let how = format!("create/{name}");
        let given = policies(&store, &maker, &how, json!({"policies": ["app"]})).await;
        assert_eq!(given, ["app", "default"], "{name}");
        for wanted in ["admin", "root"] {
            if name == "refuses-own" && wanted == "admin" {
                continue;
            }
            for token in [&maker, &store.root] {
                let made = make(&store, token, &how, json!({"policies": wanted})).await;
                let refused = refusal(made);
                let ends = format!("{wanted:?} is not among them");
                assert!(refused.ends_with(&ends), "{name}: {refused}");
            }
        }
    }
    // Whoever asks for none has what is allowed, or what its maker has and is not refused; never root's.
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("allows", &["app", "default"], &["app", "default"]),
        ("allows-globs", &["default"], &["default"]),
        ("refuses", &["default", "make"], &["default"]),
        ("refuses-globs", &["default", "make"], &["default"]),
        ("refuses-own", &["default"], &["default"]),
    ];
    for (name, of_maker, of_root) in cases {
        let how = format!("create/{name}");
        let given = policies(&store, &maker, &how, json!({})).await;
        assert_eq!(given, of_maker, "{name}");
        let given = policies(&store, &store.root, &how, json!({})).await;
        assert_eq!(given, of_root, "{name}");
    }
    let bare = json!({"no_default_policy": true});
    assert_eq!(policies(&store, &maker, "create/refuses", bare).await, ["make"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_of_a_role_mean_the_same_in_any_case() {
    let (store, maker) = with_maker().await;
    put_role(&store, "refuses", json!({"disallowed_policies_glob": "Prod-*"})).await;
    put_role(&store, "allows", json!({"allowed_policies_glob": "App-*"})).await;
    let made = make(
        &store,
        &maker,
        "create/refuses",
        json!({"policies": ["prod-db", "Prod-DB"]}),
    )
    .await;
    assert!(refusal(made).ends_with("\"prod-db\" is not among them"));
    let given = policies(&store, &maker, "create/allows", json!({"policies": ["APP-one"]})).await;
    assert_eq!(given, ["app-one", "default"]);
    let shown = data(&store.read("auth/token/roles/refuses").await.expect("it is there"));
    assert_eq!(shown["disallowed_policies_glob"], json!(["prod-*"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_of_a_role_of_old_mean_the_same_in_any_case() {
    let (store, maker) = with_maker().await;
    // As roles were stored once.
    let unsealed = store.secrets.custody.require().expect("it is not sealed");
    let view = store.secrets.core.reader.view();
    let mut draft = Draft::new(unsealed, view, clock::unix_time());
    let role = draft.name("role/old").expect("a path of a test");
    let record = json!({"name": "old", "disallowed_policies_glob": ["Prod-*"]});
    draft.put(&role, encode(&record).expect("it is JSON"), None);
    let committed = draft.commit(&store.secrets.core, &store.secrets.leases).await;
    assert!(matches!(committed, Ok(Committed::Written(_))));
    let made = make(&store, &maker, "create/old", json!({"policies": ["prod-db"]})).await;
    assert!(refusal(made).ends_with("\"prod-db\" is not among them"));
    let given = policies(&store, &maker, "create/old", json!({"policies": ["app"]})).await;
    assert_eq!(given, ["app", "default"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn default_is_given_by_a_role_only_where_it_is_listed_or_added() {
    let (store, maker) = with_maker().await;
    let asked = json!({"policies": ["app", "default"]});
    for (name, allowed, is_bare, is_given) in [
        ("adds", json!(["app"]), false, true),
        ("bare", json!(["app"]), true, false),
        ("lists", json!(["app", "default"]), true, true),
    ] {
        let role = json!({"allowed_policies": allowed, "token_no_default_policy": is_bare});
        put_role(&store, name, role).await;
        let made = make(&store, &maker, &format!("create/{name}"), asked.clone()).await;
        if is_given {
            assert_eq!(made.expect("it may").policies, ["app", "default"], "{name}");
        } else {
            let refused = refusal(made);
            assert!(refused.ends_with("\"default\" is not among them"), "{refused}");
        }
    }
    let bare = json!({"policies": ["default"], "no_default_policy": true});
    let refused = refusal(make(&store, &maker, "create/adds", bare).await);
    assert!(refused.ends_with("\"default\" is not among them"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn default_is_asked_for_only_by_who_has_it_and_added_where_it_is_not_refused() {
    let (store, maker) = with_maker().await;
    let bare = store
        .token(json!({"policies": ["make"], "no_default_policy": true}))
        .await;
    let asked = json!({"policies": ["default"]});
    let made = make(&store, &bare, "create", asked.clone()).await;
    assert_eq!(refusal(made), "child policies must be subset of parent");
    for body in [json!({}), json!({"policies": ["make"]})] {
        assert_eq!(policies(&store, &bare, "create", body.clone()).await, ["make"]);
        let given = policies(&store, &maker, "create", body).await;
        assert_eq!(given, ["default", "make"]);
    }
    for token in [&maker, &store.root] {
        let given = policies(&store, token, "create", asked.clone()).await;
        assert_eq!(given, ["default"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_and_an_id_of_ones_own_need_sudo_by_a_role_too() {
    let (store, maker) = with_maker().await;
    put_role(&store, "daily", json!({"token_period": "24h"})).await;
    put_role(&store, "plain", json!({})).await;
    for how in ["create", "create-orphan", "create/daily", "create/plain"] {
        for (body, what) in [
            (json!({"period": "8760h"}), "create periodic token"),
            (json!({"period": "1s"}), "create periodic token"),
            (json!({"id": "chosen"}), "specify token id"),
        ] {
            let refused = refusal(make(&store, &maker, how, body).await);
            assert_eq!(
                refused,
                format!("root or sudo privileges required to {what}"),
                "{how}"
            );
        }
    }
    let made = make(&store, &maker, "create/daily", json!({"period": "0"})).await;
    assert_eq!(made.expect("the period is the role's").lease_seconds, 86_400);
    // Of two periods the lesser is taken.
    for (how, period, seconds) in [
        ("create/daily", "1h", 3_600),
        ("create/daily", "48h", 86_400),
        ("create/plain", "48h", 172_800),
    ] {
        let body = json!({"policies": ["make"], "period": period});
        let made = make(&store, &store.root, how, body).await;
        assert_eq!(made.expect("root may").lease_seconds, seconds, "{how} {period}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_alone_says_whether_its_tokens_are_orphans() {
    let (store, maker) = with_maker().await;
    put_role(&store, "child", json!({})).await;
    put_role(&store, "orphan", json!({"orphan": true})).await;
    let mut children = Vec::new();
    for wanted in [true, false] {
        for token in [&maker, &store.root] {
            for (how, is_orphan) in [("create/child", false), ("create/orphan", true)] {
                let body = json!({"policies": ["make"], "no_parent": wanted});
                let made = make(&store, token, how, body).await.expect("it may");
                assert_eq!(made.is_orphan, is_orphan, "{how} {wanted}");
                if *token == maker {
                    children.push((made.token.expose().clone(), is_orphan));
                }
            }
        }
    }
    let refused = refusal(make(&store, &maker, "create", json!({"no_parent": true})).await);
    assert_eq!(refused, "root or sudo privileges required to create orphan token");
    store
        .write("auth/token/revoke", json!({"token": maker}))
        .await
        .expect("root ends it");
    for (child, is_orphan) in children {
        assert_eq!(is_there(&store, &child).await, is_orphan);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_ended_without_its_children_only_by_who_has_sudo() {
    let (store, maker) = with_maker().await;
    let parent = store.token(json!({"policies": ["make"]})).await;
    let child = make(&store, &parent, "create", json!({}))
        .await
        .expect("it may")
        .token
        .expose()
        .clone();
    let batch = store.token(json!({"policies": ["make"], "type": "batch"})).await;
    let named = format!("auth/token/revoke-orphan/{parent}");
    for (at, body) in [
        (named.as_str(), json!({})),
        ("auth/token/revoke-orphan", json!({"token": parent})),
        ("auth/token/revoke-orphan", json!({"token": batch})),
    ] {
        let outcome = store.ask(&maker, Verb::Write, at, body).await;
        assert!(matches!(outcome, Err(SecretsError::Denied)), "{at}");
    }
    let body = json!({"token": batch});
    let outcome = store.write("auth/token/revoke-orphan", body).await;
    assert_eq!(refusal(outcome), "batch tokens cannot be revoked");
    for token in [&parent, &child, &batch] {
        assert!(is_there(&store, token).await);
    }
    store.write(&named, json!({})).await.expect("root ends it");
    assert!(!is_there(&store, &parent).await);
    assert!(is_there(&store, &child).await);
}

/// What a request comes to that is sent from an address.
async fn ask_from(
    store: &Store,
    address: &str,
    token: &str,
    verb: Verb,
    at: &str,
) -> Result<Response, SecretsError> {
    let mut request = request(token, verb, at, &json!({}));
    request.peer.address = Some(address.parse().expect("an address"));
    store.secrets.handle(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_bound_to_addresses_makes_tokens_that_are_bound_to_them() {
    let (store, _) = with_maker().await;
    put_role(&store, "bound", json!({"token_bound_cidrs": ["10.0.0.0/8"]})).await;
    let bound = make(&store, &store.root, "create/bound", json!({"policies": ["make"]})).await;
    let bound = bound.expect("root may").token.expose().clone();
    for how in ["create", "create-orphan"] {
        let at = format!("auth/token/{how}");
        let made = ask_from(&store, "10.1.2.3", &bound, Verb::Write, &at).await;
        let child = made.expect("from there it may").auth.expect("a token was made");
        let child = child.token.expose().clone();
        let at = "auth/token/lookup-self";
        let looked = ask_from(&store, "10.9.9.9", &child, Verb::Read, at).await;
        let looked = data(&looked.expect("from there it is one"));
        assert_eq!(looked["bound_cidrs"], json!(["10.0.0.0/8"]), "{how}");
        let elsewhere = ask_from(&store, "192.0.2.1", &child, Verb::Read, at).await;
        assert!(matches!(elsewhere, Err(SecretsError::Denied)), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lasts_no_longer_than_a_lease_may() {
    let (store, _) = with_maker().await;
    let longest = crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS.unsigned_abs();
    let endless = u64::MAX;
    put_role(&store, "endless", json!({"token_period": endless})).await;
    let too_long = |seconds: u64| format!("the token would last {seconds} seconds; the most is 9000000000");
    for (how, period) in [
        ("create", json!(endless)),
        ("create", json!(endless.to_string())),
        ("create-orphan", json!(endless - 1)),
        ("create", json!(longest + 1)),
        ("create/endless", json!(null)),
    ] {
        let body = json!({"policies": ["make"], "period": period});
        let refused = refusal(make(&store, &store.root, how, body).await);
        let seconds = match &period {
            Value::Null => endless,
            Value::String(text) => text.parse().expect("a number"),
            number => number.as_u64().expect("a number"),
        };
        assert_eq!(refused, too_long(seconds), "{how}");
    }
    // What is cut anyway may be as long as anybody likes, and what is not too long can be shown.
    let month = 768 * 3_600;
    for (mut body, seconds) in [
        (json!({"ttl": endless}), month),
        (json!({"explicit_max_ttl": endless}), month),
        (json!({"period": endless, "explicit_max_ttl": "1h"}), 3_600),
        (json!({"period": longest}), longest),
    ] {
        body["policies"] = json!(["make"]);
        let made = make(&store, &store.root, "create", body.clone()).await;
        let made = made.expect("root may");
        assert_eq!(made.lease_seconds, seconds, "{body}");
        let looked = json!({"token": made.token.expose()});
        let looked = store.write("auth/token/lookup", looked).await;
        let looked = data(&looked.expect("it is there"));
        assert_eq!(looked["creation_ttl"], json!(seconds), "{body}");
    }
}
