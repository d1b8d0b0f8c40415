//! Names that are the same in every spelling: what holds for one holds for all. And what is left of a token or a secret id
//! once it was used.

use std::borrow::Cow;

use serde_json::{Map, json};

use super::support::{Store, data, refusal, request};
use crate::service::secrets::engine::Engine;
use crate::service::secrets::engine::cubbyhole::Cubbyhole;
use crate::service::secrets::engine::kv::{KeyValue, Versioned};
use crate::service::secrets::engine::pki::Pki;
use crate::service::secrets::engine::transit::Transit;
use crate::service::secrets::login::{AppRole, Certificates, Jwt, Kubernetes, UserPass};
use crate::service::secrets::policy::{Decision, Merged, Operation, Policy, Values};
use crate::service::secrets::{ErrorKind, SecretsError, Verb, system};

/// A store with these methods of logging in.
async fn with_logins(kinds: &[&str]) -> Store {
    let store = Store::start().await;
    for kind in kinds {
        store
            .write(&format!("sys/auth/{kind}"), json!({"type": kind}))
            .await
            .expect("root mounts");
    }
    store
}

/// A token with that policy.
async fn limited(store: &Store, policy: &str) -> String {
    store
        .write("sys/policies/acl/limited", json!({"policy": policy}))
        .await
        .expect("root writes policies");
    store.token(json!({"policies": ["limited"]})).await
}

/// Whether there is no right to read a path.
async fn is_denied(store: &Store, token: &str, at: &str) -> bool {
    let outcome = store.ask(token, Verb::Read, at, json!({})).await;
    outcome.is_err_and(|error| error.kind() == ErrorKind::Denied)
}

#[test]
fn names_are_folded_where_they_are_stored_so_and_nothing_else_is() {
    let cases: [(&dyn Engine, &str, &str); 16] = [
        (&UserPass, "login/BOB", "login/bob"),
        (&UserPass, "users/Bob/Password", "users/bob/Password"),
        (&UserPass, "users/bob", "users/bob"),
        (&UserPass, "Users/Bob", "Users/Bob"),
        (&UserPass, "users/", "users/"),
        (&AppRole, "role/Web/secret-id/Lookup", "role/web/secret-id/Lookup"),
        (&AppRole, "Login", "Login"),
        (&Certificates, "certs/Web", "certs/web"),
        (&Certificates, "crls/Web", "crls/web"),
        (&Kubernetes, "role/ΑΣ", "role/ας"),
        (&Jwt, "role/Web", "role/Web"),
        (&Pki, "roles/Web", "roles/Web"),
        (&Transit, "keys/Web", "keys/Web"),
        (&KeyValue, "login/Web", "login/Web"),
        (&Versioned, "data/Web", "data/Web"),
        (&Cubbyhole, "Web", "Web"),
    ];
    for (engine, path, stored) in cases {
        let canonical = engine.canonical(path);
        assert_eq!(canonical, stored);
        assert_eq!(matches!(canonical, Cow::Borrowed(_)), path == stored, "{path}");
    }
    for (path, stored) in [
        ("policy/Web", "policy/web"),
        ("policies/acl/Web/One", "policies/acl/web/one"),
        ("policies/password/Web", "policies/password/Web"),
        ("mounts/Web", "mounts/Web"),
    ] {
        assert_eq!(system::canonical(path), stored);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_change_a_user_may_not_under_another_spelling() {
    let store = with_logins(&["userpass"]).await;
    for user in ["admin", "bob"] {
        store
            .write(
                &format!("auth/userpass/users/{user}"),
                json!({"password": "a long one"}),
            )
            .await
            .expect("root makes users");
    }
    let policy = r#"
        path "auth/userpass/users/*" { capabilities = ["create", "update"] }
        path "auth/userpass/users/admin*" { capabilities = ["deny"] }
    "#;
    let token = limited(&store, policy).await;
    let change = async |user: &str| {
        let at = format!("auth/userpass/users/{user}/password");
        store
            .ask(&token, Verb::Write, &at, json!({"password": "another"}))
            .await
    };
    for user in ["admin", "Admin", "ADMIN"] {
        let refused = change(user).await.expect_err("a narrow rule denies it");
        assert_eq!(refused.kind(), ErrorKind::Denied, "{user}");
    }
    change("Bob").await.expect("no rule denies it");
    let at = "auth/userpass/login/admin";
    let login = store
        .ask("", Verb::Write, at, json!({"password": "a long one"}))
        .await;
    assert!(login.is_ok(), "the password is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_about_a_name_is_about_every_spelling_of_it() {
    let store = with_logins(&["approle", "cert", "kubernetes", "userpass"]).await;
    let directories = [
        "auth/approle/role",
        "auth/cert/certs",
        "auth/cert/crls",
        "auth/kubernetes/role",
        "auth/userpass/users",
        "sys/policies/acl",
        "sys/policy",
    ];
    let rules = directories.map(|directory| {
        format!(
            "path \"{directory}/*\" {{ capabilities = [\"read\"] }}\n\
             path \"{directory}/admin*\" {{ capabilities = [\"deny\"] }}\n"
        )
    });
    let token = limited(&store, &rules.concat()).await;
    for directory in directories {
        for (name, denied) in [("admin", true), ("Admin", true), ("Other", false)] {
            let at = format!("{directory}/{name}");
            assert_eq!(is_denied(&store, &token, &at).await, denied, "{at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_one_spelling_is_none_to_another() {
    let store = Store::start().await;
    let policy = r#"
        path "sys/policies/acl/Written" { capabilities = ["read"] }
        path "sys/policies/acl/stored" { capabilities = ["read"] }
        path "sys/policies/acl/Both" { capabilities = ["read"] }
        path "sys/policies/acl/both" { capabilities = ["read"] }
    "#;
    let token = limited(&store, policy).await;
    for (name, denied) in [
        ("Written", false),
        ("written", true),
        ("Stored", true),
        ("stored", false),
        ("Both", false),
        ("both", false),
        ("BOTH", true),
    ] {
        let at = format!("sys/policies/acl/{name}");
        assert_eq!(is_denied(&store, &token, &at).await, denied, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_one_spelling_beats_a_wider_one_that_is_about_it_too() {
    let store = with_logins(&["approle"]).await;
    let names = ["MyApp", "Admin", "Part", "Other"];
    for name in names {
        let at = format!("auth/approle/role/{name}");
        store.write(&at, json!({})).await.expect("root makes roles");
    }
    let policy = r#"
        path "auth/approle/role/*" { capabilities = ["list"] }
        path "auth/approle/role/MyApp/role-id" { capabilities = ["read"] }
        path "auth/approle/role/Admin/role-id" { capabilities = ["read"] }
        path "auth/approle/role/admin*" { capabilities = ["deny"] }
        path "auth/approle/role/Part/role-id" { capabilities = ["list", "read"] }
        path "auth/approle/role/part/+" { capabilities = ["list", "update"] }
    "#;
    let token = limited(&store, policy).await;
    let at = |name: &str| format!("auth/approle/role/{name}/role-id");
    let asked = json!({"token": token, "paths": names.map(at)});
    let told = store.write("sys/capabilities", asked).await;
    let told = data(&told.expect("root asks"));
    for (name, denied, capabilities) in [
        ("MyApp", false, json!(["read"])),
        ("Admin", true, json!(["deny"])),
        ("Part", true, json!(["list"])),
        ("Other", true, json!(["list"])),
    ] {
        let at = at(name);
        assert_eq!(is_denied(&store, &token, &at).await, denied, "{at}");
        assert_eq!(told[&at], capabilities, "{at}");
    }
}

#[test]
fn who_may_use_both_spellings_is_privileged_only_with_sudo_at_both() {
    let policy = r#"
        path "users/*" { capabilities = ["read"] }
        path "users/Bob" { capabilities = ["read", "sudo"] }
        path "users/Admin" { capabilities = ["read", "sudo"] }
        path "users/admin" { capabilities = ["read"] }
        path "users/Root" { capabilities = ["read", "sudo"] }
        path "users/root" { capabilities = ["read", "sudo"] }
        path "users/+/keys" { capabilities = ["deny"] }
        path "users/Bob/keys" { capabilities = ["read"] }
    "#;
    let policy = Policy::parse("test", policy).expect("a policy");
    let merged = Merged::new([&policy], &Values::default()).expect("root is not among them");
    for (written, is_privileged) in [
        ("users/Bob", true),
        ("users/Admin", false),
        ("users/Root", true),
        ("users/Bob/keys", false),
    ] {
        let stored = written.to_lowercase();
        let decision = merged.decide_spelled(Operation::Read, written, Some(&stored), &Map::new(), None);
        assert_eq!(decision, Decision::Allowed { is_privileged }, "{written}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_under_another_spelling_is_taken_back_by_the_name() {
    let store = with_logins(&["userpass"]).await;
    store
        .write("auth/userpass/users/mallory", json!({"password": "a long one"}))
        .await
        .expect("root makes users");
    let at = "auth/userpass/login/MALLORY";
    let login = store
        .ask("", Verb::Write, at, json!({"password": "a long one"}))
        .await;
    let auth = login.expect("the right password").auth.expect("a token");
    let look = || {
        store.ask(
            auth.token.expose(),
            Verb::Read,
            "auth/token/lookup-self",
            json!({}),
        )
    };
    let looked = data(&look().await.expect("it is a token"));
    assert_eq!(looked["path"], json!("auth/userpass/login/mallory"));
    store
        .write("sys/leases/revoke-prefix/auth/userpass/login/mallory", json!({}))
        .await
        .expect("root takes back");
    assert!(matches!(look().await, Err(SecretsError::Denied)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_uses_no_secret_id_up() {
    let store = with_logins(&["approle"]).await;
    let role = json!({"secret_id_num_uses": 1, "secret_id_bound_cidrs": ["10.0.0.0/8"]});
    store
        .write("auth/approle/role/web", role)
        .await
        .expect("root writes roles");
    let role = store.read("auth/approle/role/web/role-id").await;
    let role = data(&role.expect("root reads it"));
    let secret = store.write("auth/approle/role/web/secret-id", json!({})).await;
    let secret = data(&secret.expect("root makes it"));
    let login = async |address: [u8; 4]| {
        let body = json!({"role_id": role["role_id"], "secret_id": secret["secret_id"]});
        let mut login = request("", Verb::Write, "auth/approle/login", &body);
        login.peer.address = Some(address.into());
        store.secrets.handle(login).await
    };
    let refused = refusal(login([192, 0, 2, 1]).await);
    assert!(refused.contains("CIDR restrictions on the role"), "{refused}");
    login([10, 0, 0, 1]).await.expect("it was not used");
    let again = login([10, 0, 0, 1]).await;
    assert_eq!(refusal(again), "invalid role or secret ID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_few_uses_that_renews_itself_is_renewed_and_has_one_use_less() {
    let store = Store::start().await;
    let token = store
        .token(json!({"policies": ["default"], "ttl": "1h", "num_uses": 3}))
        .await;
    let renew = json!({"increment": "10h"});
    store
        .ask(&token, Verb::Write, "auth/token/renew-self", renew)
        .await
        .expect("its own");
    let look = || store.ask(&token, Verb::Read, "auth/token/lookup-self", json!({}));
    let looked = data(&look().await.expect("the second use"));
    assert!(looked["ttl"].as_u64() > Some(3_600), "{looked}");
    assert_eq!(looked["num_uses"], json!(2));
    look().await.expect("the third use");
    assert!(matches!(look().await, Err(SecretsError::Denied)));
}
