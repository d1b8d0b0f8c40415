//! `/v1/query`.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_made_executed_changed_and_deleted() {
    let door = Door::open().await;
    for (node, status) in [("m1", "passing"), ("m2", "critical"), ("m3", "passing")] {
        let body = json!({
            "Node": node, "Address": "10.0.0.1",
            "Service": {"ID": "w", "Service": "web", "Tags": ["a"]},
            "Check": {"CheckID": "c", "Name": "c", "Status": status, "ServiceID": "w"},
        });
        door.put("/v1/catalog/register", &body.to_string()).await.good();
    }
    let body = r#"{"Name":"q","Service":{"Service":"web","Tags":["a","!b"]},"DNS":{"TTL":"10s"}}"#;
    let made = door.ask(Method::POST, "/v1/query", "", body).await.good();
    let id = made["ID"].as_str().unwrap().to_owned();
    let nodes = |found: &Value| {
        let nodes = found["Nodes"].as_array().unwrap().iter();
        nodes
            .map(|one| one["Node"]["Node"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let found = door.get("/v1/query/q/execute?near=m3").await.good();
    assert_eq!(nodes(&found), ["m3", "m1"]);
    assert_eq!(
        (&found["DNS"]["TTL"], &found["Datacenter"]),
        (&json!("10s"), &json!("dc1"))
    );
    let found = door
        .get(&format!("/v1/query/{id}/execute?near=m1&limit=1"))
        .await
        .good();
    assert_eq!(nodes(&found), ["m1"]);
    let shown = door.get(&format!("/v1/query/{id}")).await.good();
    assert_eq!(shown[0]["Name"], "q");
    assert_eq!(door.get("/v1/query").await.good(), shown);
    let taken = door.ask(Method::POST, "/v1/query", "", body).await.refused(400);
    assert!(taken.contains("aliases an existing query name"), "{taken}");

    let template =
        r#"{"Name":"geo-","Service":{"Service":"${name.suffix}"},"Template":{"Type":"name_prefix_match"}}"#;
    door.put(&format!("/v1/query/{id}"), template).await.good();
    assert_eq!(
        nodes(&door.get("/v1/query/geo-web/execute?near=m1").await.good()),
        ["m1", "m3"]
    );
    let explained = door.get("/v1/query/geo-web/explain").await.good();
    assert_eq!(explained["Query"]["Service"]["Service"], "web");
    assert_eq!(
        door.get("/v1/query/q/execute").await.refused(404),
        "Query not found"
    );

    door.ask(Method::DELETE, &format!("/v1/query/{id}"), "", "")
        .await
        .good();
    assert_eq!(door.get("/v1/query").await.good(), json!([]));
    for (body, reason) in [
        ("{}", "Must provide a Service name"),
        (r#"{"Service":{"Service":"x"},"Session":"s"}"#, "Session"),
        (
            r#"{"Service":{"Service":"x"},"DNS":{"TTL":"soon"}}"#,
            "Bad DNS TTL",
        ),
        (
            r#"{"Service":{"Service":"x"},"Template":{"Type":"t"}}"#,
            "Bad Template.Type",
        ),
        (
            r#"{"Service":{"Service":"${x}"},"Template":{"Type":"name_prefix_match"}}"#,
            "there is no variable",
        ),
    ] {
        let refused = door.ask(Method::POST, "/v1/query", "", body).await.refused(400);
        assert!(refused.contains(reason), "{body}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_queries_is_told_of_a_change_and_of_nothing_else() {
    let door = Door::open().await;
    let body = r#"{"Name":"q","Service":{"Service":"web"}}"#;
    let made = door.ask(Method::POST, "/v1/query", "", body).await.good();
    let id = made["ID"].as_str().unwrap().to_owned();
    let index = door.get("/v1/query").await.index();
    let (list, one) = (
        format!("/v1/query?index={index}&wait=30s"),
        format!("/v1/query/{id}?index={index}&wait=30s"),
    );
    let path = format!("/v1/query/{id}");
    let other = r#"{"Name":"r","Service":{"Service":"web"}}"#;
    let (list, one, _) = tokio::join!(door.get(&list), door.get(&one), door.put(&path, other));
    assert!(list.index() > index && one.index() > index);
    assert_eq!(list.good()[0]["Name"], "r");
    assert_eq!(one.good()[0]["Name"], "r");

    let index = door.get("/v1/query").await.index();
    let waiting = format!("/v1/query?stale&index={index}&wait=50ms");
    let (same, _) = tokio::join!(door.get(&waiting), door.put("/v1/kv/k", "v"));
    assert_eq!(same.index(), index);
    let waiting = format!("/v1/query?stale&index={index}&wait=30s");
    let (told, _) = tokio::join!(door.get(&waiting), door.ask(Method::DELETE, &path, "", ""));
    assert!(told.index() > index);
    assert_eq!(told.good(), json!([]));
}
