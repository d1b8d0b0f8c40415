//! `/v1/acl`, and what tokens let through.

use serde_json::json;

use super::*;

async fn guarded() -> (Door, String) {
    let door = Door::open_with(|settings| {
        settings.consul.acls.is_on = true;
        settings.consul.acls.allows_by_default = false;
    })
    .await;
    let first = door.put("/v1/acl/bootstrap", "").await.good();
    assert_eq!(first["Policies"][0]["Name"], "global-management");
    let secret = first["SecretID"].as_str().unwrap().to_owned();
    (door, secret)
}

impl Door {
    async fn by(&self, token: &str, method: &str, path: &str, body: &str) -> Answered {
        self.ask(method.parse().unwrap(), path, token, body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acls_everything_is_allowed_and_there_are_no_tokens() {
    let door = Door::open().await;
    for path in [
        "/v1/acl/tokens",
        "/v1/acl/policies",
        "/v1/acl/roles",
        "/v1/acl/token/self",
    ] {
        assert_eq!(
            door.get(path).await.refused(401),
            "ACL support disabled",
            "{path}"
        );
    }
    door.put("/v1/acl/bootstrap", "").await.refused(401);
    door.by("whatever", "GET", "/v1/catalog/nodes", "").await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_first_token_and_unknown_ones_are_refused() {
    let (door, secret) = guarded().await;
    let again = door.put("/v1/acl/bootstrap", "").await.refused(403);
    assert!(
        again.starts_with("ACL bootstrap no longer allowed (reset index: "),
        "{again}"
    );
    assert_eq!(
        door.by("nope", "GET", "/v1/catalog/nodes", "").await.refused(403),
        "ACL not found"
    );
    let own = door.by(&secret, "GET", "/v1/acl/token/self", "").await.good();
    assert_eq!(own["SecretID"], secret.as_str());
    let nobody = door.get("/v1/acl/tokens").await.refused(403);
    let wanted = "Permission denied: token with AccessorID '00000000-0000-0000-0000-000000000002' lacks permission \
                  'acl:read'";
    assert_eq!(nobody, wanted);
    assert_eq!(door.get("/v1/catalog/nodes").await.good(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_do_what_its_policies_and_roles_say_until_it_is_deleted() {
    let (door, root) = guarded().await;
    let policy = r#"{"Name":"web","Rules":"service \"web\" { policy = \"write\" }\nnode_prefix \"\" { policy = \"read\" }"}"#;
    let policy = door.by(&root, "PUT", "/v1/acl/policy", policy).await.good();
    let id = policy["ID"].as_str().unwrap();
    let role = r#"{"Name":"webmaster","Policies":[{"Name":"web"}]}"#;
    let role = door.by(&root, "PUT", "/v1/acl/role", role).await.good();
    assert_eq!(role["Policies"], json!([{"ID": id, "Name": "web"}]));
    let token = door
        .by(
            &root,
            "PUT",
            "/v1/acl/token",
            r#"{"Roles":[{"Name":"webmaster"}]}"#,
        )
        .await
        .good();
    let (accessor, secret) = (
        token["AccessorID"].as_str().unwrap(),
        token["SecretID"].as_str().unwrap(),
    );

    door.by(secret, "PUT", "/v1/agent/service/register", r#"{"Name":"web"}"#)
        .await
        .good();
    let refused = door
        .by(secret, "PUT", "/v1/agent/service/register", r#"{"Name":"db"}"#)
        .await
        .refused(403);
    let wanted = format!(
        "Permission denied: token with AccessorID '{accessor}' lacks permission 'service:write' on \"db\""
    );
    assert_eq!(refused, wanted);
    door.by(&root, "PUT", "/v1/agent/service/register", r#"{"Name":"db"}"#)
        .await
        .good();
    let seen = door.by(secret, "GET", "/v1/catalog/services", "").await;
    assert_eq!(seen.headers["x-consul-results-filtered-by-acls"], "true");
    assert_eq!(seen.good(), json!({"web": []}));
    assert_eq!(door.get("/v1/catalog/services").await.good(), json!({}));
    let of_agent = door.by(secret, "GET", "/v1/agent/services", "").await.good();
    assert_eq!(of_agent.as_object().unwrap().keys().collect::<Vec<_>>(), ["web"]);
    door.by(secret, "PUT", "/v1/agent/service/deregister/db", "")
        .await
        .refused(403);
    door.by(secret, "PUT", "/v1/agent/maintenance?enable=true", "")
        .await
        .refused(403);
    door.by(secret, "GET", "/v1/acl/policies", "").await.refused(403);
    assert_eq!(
        door.by(secret, "GET", "/v1/health/service/db", "").await.good(),
        json!([])
    );

    // A change of the policy holds for the token, and one that is deleted holds no more.
    let less = json!({"ID": id, "Name": "web", "Rules": "service \"web\" { policy = \"read\" }"}).to_string();
    door.by(&root, "PUT", &format!("/v1/acl/policy/{id}"), &less)
        .await
        .good();
    door.by(secret, "PUT", "/v1/agent/service/register", r#"{"Name":"web"}"#)
        .await
        .refused(403);
    let clone = door
        .by(&root, "PUT", &format!("/v1/acl/token/{accessor}/clone"), "{}")
        .await
        .good();
    assert_eq!(clone["Roles"], token["Roles"]);
    assert_ne!(clone["SecretID"], token["SecretID"]);
    assert_eq!(
        door.by(&root, "DELETE", &format!("/v1/acl/token/{accessor}"), "")
            .await
            .good(),
        json!(true)
    );
    assert_eq!(
        door.by(secret, "GET", "/v1/catalog/nodes", "").await.refused(403),
        "ACL not found"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_says_why() {
    let (door, root) = guarded().await;
    for (path, body, status, reason) in [
        ("/v1/acl/policy", r#"{"Name":"a b"}"#, 400, "invalid Name"),
        (
            "/v1/acl/policy",
            r#"{"Name":"x","Rules":"nope"}"#,
            400,
            "Failed to parse ACL rules",
        ),
        (
            "/v1/acl/policy",
            r#"{"Name":"global-management"}"#,
            400,
            "already exists",
        ),
        (
            "/v1/acl/policy/00000000-0000-0000-0000-000000000001",
            r#"{"Name":"x"}"#,
            400,
            "not permitted",
        ),
        ("/v1/acl/policy/nope", r#"{"Name":"x"}"#, 404, "does not exist"),
        (
            "/v1/acl/token",
            r#"{"AccessorID":"x"}"#,
            400,
            "AccessorID is not a valid UUID",
        ),
        (
            "/v1/acl/token",
            r#"{"SecretID":"x"}"#,
            400,
            "SecretID is not a valid UUID",
        ),
        (
            "/v1/acl/token",
            r#"{"Policies":[{"Name":"nope"}]}"#,
            400,
            "No such ACL policy",
        ),
        (
            "/v1/acl/token",
            r#"{"ExpirationTTL":"1s"}"#,
            400,
            "ExpirationTime cannot be less than",
        ),
        (
            "/v1/acl/token",
            r#"{"ServiceIdentities":[{"ServiceName":"A"}]}"#,
            400,
            "invalid name",
        ),
        ("/v1/acl/role", r#"{"Name":""}"#, 400, "invalid Name"),
        (
            "/v1/acl/role",
            r#"{"Name":"r","TemplatedPolicies":[{}]}"#,
            400,
            "TemplatedPolicies",
        ),
    ] {
        let refused = door.by(&root, "PUT", path, body).await.refused(status);
        assert!(refused.contains(reason), "{path} {body}: {refused}");
    }
    let anonymous = "/v1/acl/token/00000000-0000-0000-0000-000000000002";
    door.by(&root, "DELETE", anonymous, "").await.refused(400);
    let opened = r#"{"ServiceIdentities":[{"ServiceName":"web"}]}"#;
    door.by(&root, "PUT", anonymous, opened).await.good();
    door.put("/v1/agent/service/register", r#"{"Name":"web"}"#)
        .await
        .good();
    let ending = door
        .by(&root, "PUT", "/v1/acl/token", r#"{"ExpirationTTL":"5m"}"#)
        .await
        .good();
    // Consul tells the end alone, and its clients cannot read a time to live that is a text.
    assert!(ending["ExpirationTime"].is_string() && ending["ExpirationTTL"].is_null());
    let listed = door.by(&root, "GET", "/v1/acl/tokens", "").await.good();
    assert_eq!(listed.as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_may_be_given_beforehand() {
    let secret = "11111111-2222-3333-4444-555555555555";
    let door = Door::open_with(|settings| {
        settings.consul.acls.is_on = true;
        settings.consul.acls.initial_management = Some(crate::base::secret::Secret::new(secret.to_owned()));
    })
    .await;
    for _ in 0..600 {
        if door.by(secret, "GET", "/v1/acl/token/self", "").await.status == StatusCode::OK {
            door.put("/v1/acl/bootstrap", "").await.refused(403);
            door.by(secret, "GET", "/v1/acl/tokens", "").await.good();
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the token never came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_keys_shows_what_may_be_read_and_says_that_there_is_more() {
    let (door, root) = guarded().await;
    for key in ["app/a", "app/secret", "else"] {
        door.by(&root, "PUT", &format!("/v1/kv/{key}"), "v").await.good();
    }
    let rules = r#"{"Name":"app","Rules":"key_prefix \"app/\" { policy = \"read\" }\nkey \"app/secret\" { policy = \"deny\" }"}"#;
    door.by(&root, "PUT", "/v1/acl/policy", rules).await.good();
    let body = r#"{"Policies":[{"Name":"app"}]}"#;
    let token = door.by(&root, "PUT", "/v1/acl/token", body).await.good();
    let token = token["SecretID"].as_str().unwrap();
    for path in ["/v1/kv/?keys", "/v1/kv/app/?keys"] {
        let listed = door.by(token, "GET", path, "").await;
        assert_eq!(listed.headers["x-consul-results-filtered-by-acls"], "true");
        assert_eq!(listed.good(), json!(["app/a"]));
    }
    let pairs = door.by(token, "GET", "/v1/kv/app/?recurse", "").await.good();
    assert_eq!(pairs[0]["Key"], "app/a");
    assert_eq!(pairs.as_array().unwrap().len(), 1);
    let hidden = door.by(token, "GET", "/v1/kv/else?recurse", "").await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_tokens_policies_or_roles_is_told_of_a_change_and_of_nothing_else() {
    let (door, root) = guarded().await;
    let mut made = Vec::new();
    for (path, body) in [
        ("/v1/acl/policy", r#"{"Name":"p"}"#),
        ("/v1/acl/role", r#"{"Name":"r"}"#),
        ("/v1/acl/token", r#"{"Description":"t"}"#),
    ] {
        let shown = door.by(&root, "PUT", path, body).await.good();
        let id = shown.get("AccessorID").or(shown.get("ID")).unwrap();
        made.push(format!("{path}/{}", id.as_str().unwrap()));
    }
    let index = door.by(&root, "GET", "/v1/acl/tokens", "").await.index();
    let lists = ["/v1/acl/policies", "/v1/acl/roles", "/v1/acl/tokens"].map(str::to_owned);
    let paths: Vec<String> = made.iter().chain(&lists).cloned().collect();
    let (door, root) = (&door, &root);
    let waiting = |wait: &'static str, index: u64| {
        let asked = paths.iter().map(move |path| {
            let path = format!("{path}?index={index}&wait={wait}");
            async move { door.by(root, "GET", &path, "").await }
        });
        futures::future::join_all(asked)
    };
    let (same, _) = tokio::join!(waiting("50ms", index), door.by(root, "PUT", "/v1/kv/k", "v"));
    assert!(same.iter().all(|answer| answer.index() == index), "{same:?}");
    let other = door.by(root, "PUT", "/v1/acl/policy", r#"{"Name":"other"}"#);
    let (told, _) = tokio::join!(waiting("30s", index), other);
    assert!(told.iter().all(|answer| answer.index() > index), "{told:?}");
    assert_eq!(told[3].json().as_array().unwrap().len(), 3);
}
