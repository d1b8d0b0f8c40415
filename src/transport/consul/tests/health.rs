//! `/v1/health`.

use serde_json::json;

use super::*;

async fn with_two() -> Door {
    let door = Door::open().await;
    for (node, status) in [("m1", "passing"), ("m2", "warning")] {
        let body = json!({
            "Node": node, "Address": "10.0.0.1",
            "Service": {"ID": "w", "Service": "web", "Port": 80},
            "Checks": [
                {"CheckID": "alive", "Name": "alive", "Status": "passing"},
                {"CheckID": "own", "Name": "own", "Status": status, "ServiceID": "w"},
            ],
        });
        door.put("/v1/catalog/register", &body.to_string()).await.good();
    }
    door
}

fn ids(found: &Value, key: &str) -> Vec<String> {
    let found = found.as_array().unwrap().iter();
    found.map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_with_the_checks_of_their_node_and_their_own() {
    let door = with_two().await;
    let found = door.get("/v1/health/service/web").await.good();
    assert_eq!(found.as_array().unwrap().len(), 2);
    assert_eq!(ids(&found[0]["Checks"], "CheckID"), ["alive", "own"]);
    assert_eq!(found[0]["Node"]["Node"], "m1");
    assert_eq!(found[0]["Service"]["Port"], 80);
    let mut own = found[0]["Checks"][1].clone();
    for index in ["CreateIndex", "ModifyIndex"] {
        assert!(own.as_object_mut().unwrap().remove(index).unwrap().as_u64() > Some(0));
    }
    let wanted = json!({
        "Node": "m1", "CheckID": "own", "Name": "own", "Status": "passing", "Notes": "", "Output": "",
        "ServiceID": "w", "ServiceName": "web", "ServiceTags": [], "Type": "", "Interval": "", "Timeout": "",
        "ExposedPort": 0, "Definition": {},
    });
    assert_eq!(own, wanted);
    for (path, number) in [
        ("?passing", 1),
        ("?passing=1", 1),
        ("?passing=0", 2),
        ("?filter=Checks.Status%20%3D%3D%20warning", 1),
        ("?filter=Service.Port%20%3D%3D%2081", 0),
        ("?node-meta=a:b", 0),
    ] {
        let found = door.get(&format!("/v1/health/service/web{path}")).await.good();
        assert_eq!(found.as_array().unwrap().len(), number, "{path}");
    }
    door.get("/v1/health/service/web?passing=maybe")
        .await
        .refused(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_listed_by_node_by_service_and_by_status() {
    let door = with_two().await;
    let of_node = door.get("/v1/health/node/m2").await.good();
    assert_eq!(ids(&of_node, "CheckID"), ["alive", "own"]);
    let of_service = door.get("/v1/health/checks/web?near=m2").await.good();
    assert_eq!(ids(&of_service, "Node"), ["m2", "m1"]);
    let warning = door.get("/v1/health/state/warning").await.good();
    assert_eq!(
        (ids(&warning, "Node"), ids(&warning, "CheckID")),
        (vec!["m2".into()], vec!["own".into()])
    );
    assert_eq!(
        door.get("/v1/health/state/any")
            .await
            .good()
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert_eq!(door.get("/v1/health/state/critical").await.good(), json!([]));
    door.get("/v1/health/state/nope").await.refused(400);
    assert_eq!(door.get("/v1/health/node/nope").await.good(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_service_is_told_when_a_check_of_its_node_changes() {
    let door = with_two().await;
    let index = door.get("/v1/health/service/web?passing").await.index();
    let path = format!("/v1/health/service/web?passing&index={index}&wait=30s");
    let sick = r#"{"Node":"m1","SkipNodeUpdate":true,"Check":{"CheckID":"alive","Name":"alive","Status":"critical"}}"#;
    let (told, done) = tokio::join!(door.get(&path), door.put("/v1/catalog/register", sick));
    done.good();
    assert!(told.index() > index);
    assert_eq!(told.good(), json!([]));
}
