//! `/v1/txn` on the catalog.

use serde_json::json;

use super::*;

fn all() -> Value {
    json!([
        {"Node": {"Verb": "set", "Node": {"Node": "m1", "Address": "10.0.0.1", "Meta": {"zone": "z1"}}}},
        {"Service": {"Verb": "set", "Node": "m1", "Service": {"ID": "w1", "Service": "web", "Tags": ["a"], "Port": 80}}},
        {"Check": {"Verb": "set", "Check": {
            "Node": "m1", "CheckID": "c", "Name": "n", "Status": "passing", "ServiceID": "w1",
        }}},
        {"KV": {"Verb": "set", "Key": "k", "Value": "dg=="}},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_writes_and_shows_nodes_services_checks_and_keys() {
    let door = Door::open().await;
    let written = door.put("/v1/txn", &all().to_string()).await.good();
    assert_eq!(written["Errors"], Value::Null);
    let results = &written["Results"];
    assert_eq!(results[0]["Node"]["Meta"], json!({"zone": "z1"}));
    assert_eq!(results[1]["Service"]["Tags"], json!(["a"]));
    let check = &results[2]["Check"];
    assert_eq!(
        (
            &check["Node"],
            &check["CheckID"],
            &check["ServiceName"],
            &check["Type"]
        ),
        (&json!("m1"), &json!("c"), &json!("web"), &json!(""))
    );
    assert_eq!(results[3]["KV"]["Key"], "k");
    let indexes: Vec<&Value> = [("Node", 0), ("Service", 1), ("Check", 2), ("KV", 3)]
        .map(|(kind, number)| &results[number][kind]["ModifyIndex"])
        .to_vec();
    assert!(indexes[0].as_u64() > Some(1));
    assert!(indexes.iter().all(|index| *index == indexes[0]), "{indexes:?}");

    let asked = json!([
        {"Node": {"Verb": "get", "Node": {"Node": "m1"}}},
        {"Service": {"Verb": "get", "Node": "m1", "Service": {"ID": "w1"}}},
        {"Check": {"Verb": "get", "Check": {"Node": "m1", "CheckID": "c"}}},
    ]);
    let read = door.put("/v1/txn", &asked.to_string()).await;
    assert!(read.headers.contains_key("x-consul-knownleader"));
    let read = read.good();
    for (kind, number) in [("Node", 0), ("Service", 1), ("Check", 2)] {
        assert_eq!(read["Results"][number], results[number], "{kind}");
    }
    // As the catalog shows them.
    let node = door.get("/v1/catalog/node/m1").await.good();
    assert_eq!(node["Node"], results[0]["Node"]);
    assert_eq!(node["Services"]["w1"], results[1]["Service"]);
    assert_eq!(door.get("/v1/health/checks/web").await.good()[0], *check);

    let index = indexes[0].as_u64().unwrap();
    let removing = |index: u64| {
        json!([
            {"KV": {"Verb": "delete", "Key": "k"}},
            {"Check": {"Verb": "delete-cas", "Check": {"Node": "m1", "CheckID": "c", "ModifyIndex": index}}},
            {"Service": {"Verb": "delete-cas", "Node": "m1", "Service": {"ID": "w1", "ModifyIndex": index}}},
            {"Node": {"Verb": "delete-cas", "Node": {"Node": "m1", "ModifyIndex": index}}},
        ])
        .to_string()
    };
    let stale = door.put("/v1/txn", &removing(index + 1)).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let stale = stale.json();
    assert_eq!(stale["Results"], Value::Null);
    let numbers: Vec<u64> = stale["Errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["OpIndex"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(
        door.get("/v1/catalog/nodes")
            .await
            .good()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let removed = door.put("/v1/txn", &removing(index)).await.good();
    assert_eq!(removed, json!({"Results": null, "Errors": null}));
    assert_eq!(door.get("/v1/catalog/nodes").await.good(), json!([]));
    assert_eq!(door.get("/v1/kv/k").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_operation_is_refused_and_nothing_is_done() {
    let door = Door::open().await;
    for (operation, status, reason) in [
        (json!({}), 400, "no KV, Node, Service or Check"),
        (
            json!({"Node": {"Verb": "set", "Node": {}}}),
            400,
            "kind Node has no Node",
        ),
        (
            json!({"Node": {"Verb": "set", "Node": {"Node": "m1"}}}),
            400,
            "the address of the node is missing",
        ),
        (
            json!({"Node": {"Verb": "lock", "Node": {"Node": "m1"}}}),
            400,
            "unknown Node operation \"lock\"",
        ),
        (
            json!({"Service": {"Verb": "set", "Service": {"Service": "web"}}}),
            400,
            "kind Service has no Node",
        ),
        (
            json!({"Service": {"Verb": "set", "Node": "m1", "Service": {"Service": "web", "Port": 70_000}}}),
            400,
            "Port is 70000",
        ),
        (
            json!({"Check": {"Verb": "set", "Check": {"Node": "m1", "Name": "c", "Status": "fine"}}}),
            400,
            "Bad check status",
        ),
        (
            json!({"Check": {"Verb": "set", "Check": {"Node": "m1", "Name": "c", "Definition": {"Args": ["true"]}}}}),
            400,
            "Scripts are disabled",
        ),
        (
            json!({"Check": {"Verb": "get", "Check": {"Node": "m\u{0}1", "Name": "c"}}}),
            400,
            "control character",
        ),
    ] {
        let body = json!([{"KV": {"Verb": "set", "Key": "k", "Value": ""}}, operation]).to_string();
        let text = door.put("/v1/txn", &body).await.refused(status);
        assert!(text.contains(reason), "{body}: {text}");
    }
    assert_eq!(door.get("/v1/kv/k").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_needs_the_right_to_what_it_is_about() {
    let door = Door::open_with(|settings| {
        settings.consul.acls.is_on = true;
        settings.consul.acls.allows_by_default = false;
    })
    .await;
    let root = door.put("/v1/acl/bootstrap", "").await.good();
    let root = root["SecretID"].as_str().unwrap().to_owned();
    let db = json!({"Service": {"Verb": "set", "Node": "m1", "Service": {"ID": "d1", "Service": "db"}}});
    for body in [all().to_string(), json!([db]).to_string()] {
        let done = door.ask(Method::PUT, "/v1/txn", &root, &body).await;
        done.good();
    }
    let rules = r#"
        service "web" { policy = "write" }
        node "m1" { policy = "read" }
        key "k" { policy = "write" }
    "#;
    let policy = json!({"Name": "web", "Rules": rules}).to_string();
    door.ask(Method::PUT, "/v1/acl/policy", &root, &policy)
        .await
        .good();
    let token = door
        .ask(
            Method::PUT,
            "/v1/acl/token",
            &root,
            r#"{"Policies":[{"Name":"web"}]}"#,
        )
        .await
        .good();
    let token = token["SecretID"].as_str().unwrap().to_owned();
    let [node, service, check, key] = [0, 1, 2, 3].map(|number| all()[number].clone());
    let changed = |operation: &Value, from: &str, to: &str| -> Value {
        serde_json::from_str(&operation.to_string().replace(from, to)).unwrap()
    };
    for (operation, right) in [
        (service.clone(), None),
        (check.clone(), None),
        (key, None),
        (changed(&service, "\"set\"", "\"get\""), None),
        (changed(&node, "\"set\"", "\"get\""), None),
        (node.clone(), Some("'node:write' on \"m1\"")),
        (
            changed(&node, "\"set\"", "\"delete\""),
            Some("'node:write' on \"m1\""),
        ),
        (changed(&service, "web", "db"), Some("'service:write' on \"db\"")),
        // What has the id now is another service.
        (changed(&service, "w1", "d1"), Some("'service:write' on \"db\"")),
        (
            changed(&changed(&service, "w1", "d1"), "\"set\"", "\"delete\""),
            Some("'service:write' on \"db\""),
        ),
        (
            changed(&changed(&service, "w1", "d1"), "\"set\"", "\"get\""),
            Some("'service:read' on \"db\""),
        ),
        (changed(&check, "w1", "d1"), Some("'service:write' on \"db\"")),
        (changed(&check, "\"w1\"", "\"\""), Some("'node:write' on \"m1\"")),
        (changed(&node, "m1", "m2"), Some("'node:write' on \"m2\"")),
    ] {
        let body = json!([operation]).to_string();
        let answer = door.ask(Method::PUT, "/v1/txn", &token, &body).await;
        match right {
            None => {
                answer.good();
            }
            Some(right) => {
                let text = answer.refused(403);
                assert!(text.contains(right), "{body}: {text}");
            }
        }
    }
}
