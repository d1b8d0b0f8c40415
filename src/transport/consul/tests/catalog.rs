//! `/v1/catalog`.

use serde_json::json;

use super::*;

const WEB: &str = r#"{"Node":"m1","Address":"10.0.0.1","ID":"","NodeMeta":{"zone":"z1"},"TaggedAddresses":{"lan":"10.0.0.1"},
    "Service":{"ID":"w1","Service":"web","Tags":["a","b"],"Port":80,"Meta":{"v":"1"}},
    "Check":{"Node":"m1","CheckID":"c","Name":"n","Status":"passing","ServiceID":"w1"}}"#;

fn without_indexes(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        for index in ["CreateIndex", "ModifyIndex"] {
            if let Some(index) = fields.remove(index) {
                assert!(index.as_u64() > Some(0));
            }
        }
    }
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_catalog_has_lists_and_never_null() {
    let door = Door::open().await;
    assert_eq!(door.get("/v1/catalog/datacenters").await.good(), json!(["dc1"]));
    assert_eq!(door.get("/v1/catalog/nodes").await.good(), json!([]));
    assert_eq!(door.get("/v1/catalog/services").await.good(), json!({}));
    let none = door.get("/v1/catalog/service/none").await;
    assert!(none.index() > 0);
    assert_eq!(none.headers["x-consul-knownleader"], "true");
    assert!(none.headers.contains_key("x-consul-lastcontact"));
    assert_eq!(none.good(), json!([]));
    assert_eq!(door.get("/v1/catalog/node/none").await.good(), Value::Null);
    assert_eq!(door.get("/v1/health/service/none").await.good(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_members_are_nodes_with_the_service_consul_from_the_start() {
    let door = Door::open_with(|settings| settings.announce = true).await;
    door.node
        .services
        .cluster
        .publish("n1", &["http://127.0.0.1:1".to_owned()])
        .await
        .unwrap();
    let mut services = Value::Null;
    for _ in 0..600 {
        services = door.get("/v1/catalog/services").await.good();
        if services != json!({}) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(services, json!({"consul": []}));
    let checks = door.get("/v1/health/node/n1").await.good();
    assert_eq!(checks[0]["CheckID"], "serfHealth");
    assert_eq!(checks[0]["Status"], "passing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_is_shown_in_all_its_forms() {
    let door = Door::open().await;
    assert_eq!(door.put("/v1/catalog/register", WEB).await.good(), json!(true));
    assert_eq!(
        door.get("/v1/catalog/services").await.good(),
        json!({"web": ["a", "b"]})
    );
    let node = json!({
        "ID": "", "Node": "m1", "Address": "10.0.0.1", "Datacenter": "dc1",
        "TaggedAddresses": {"lan": "10.0.0.1"}, "Meta": {"zone": "z1"},
    });
    let nodes = door.get("/v1/catalog/nodes").await.good();
    assert_eq!(without_indexes(nodes[0].clone()), node);
    let services = door.get("/v1/catalog/service/web").await.good();
    let wanted = json!({
        "ID": "", "Node": "m1", "Address": "10.0.0.1", "Datacenter": "dc1", "TaggedAddresses": {"lan": "10.0.0.1"},
        "NodeMeta": {"zone": "z1"}, "ServiceKind": "", "ServiceID": "w1", "ServiceName": "web",
        "ServiceTags": ["a", "b"], "ServiceAddress": "", "ServiceTaggedAddresses": {},
        "ServiceWeights": {"Passing": 1, "Warning": 1}, "ServiceMeta": {"v": "1"}, "ServicePort": 80,
        "ServiceSocketPath": "", "ServiceEnableTagOverride": false,
        "ServiceProxy": {"Mode": "", "MeshGateway": {}, "Expose": {}}, "ServiceConnect": {},
    });
    assert_eq!(without_indexes(services[0].clone()), wanted);
    let of_node = door.get("/v1/catalog/node/m1").await.good();
    assert_eq!(of_node["Node"]["Node"], "m1");
    assert_eq!(of_node["Services"]["w1"]["Service"], "web");
    let listed = door.get("/v1/catalog/node-services/m1").await.good();
    assert_eq!(listed["Services"][0]["ID"], "w1");
    // The same again is no change.
    let index = door.get("/v1/catalog/service/web").await.index();
    door.put("/v1/catalog/register", WEB).await.good();
    assert_eq!(door.get("/v1/catalog/service/web").await.index(), index);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_chosen_by_tags_metadata_filters_and_nearness() {
    let door = Door::open().await;
    door.put("/v1/catalog/register", WEB).await.good();
    let other = WEB
        .replace("m1", "m2")
        .replace("10.0.0.1", "10.0.0.2")
        .replace("z1", "z2");
    door.put("/v1/catalog/register", &other.replace("[\"a\",\"b\"]", "[\"a\"]"))
        .await
        .good();
    let names = |path: &'static str| {
        let door = &door;
        async move {
            let found = door.get(path).await.good();
            let names = found
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["Node"].as_str().unwrap().to_owned());
            names.collect::<Vec<_>>().join(" ")
        }
    };
    for (path, wanted) in [
        ("/v1/catalog/service/web", "m1 m2"),
        ("/v1/catalog/service/WEB?tag=a&tag=b", "m1"),
        ("/v1/catalog/service/web?tag=c", ""),
        ("/v1/catalog/service/web?node-meta=zone:z2", "m2"),
        ("/v1/catalog/service/web?near=m2", "m2 m1"),
        ("/v1/catalog/nodes?near=m2", "m2 m1"),
        ("/v1/catalog/nodes?filter=Meta.zone%20%3D%3D%20z2", "m2"),
        ("/v1/catalog/service/web?filter=b%20in%20ServiceTags", "m1"),
        ("/v1/catalog/service/web?cached&stale", "m1 m2"),
    ] {
        assert_eq!(names(path).await, wanted, "{path}");
    }
    assert_eq!(
        door.get("/v1/catalog/service/web?cached").await.headers["x-cache"],
        "HIT"
    );
    let refused = door
        .get("/v1/catalog/nodes?filter=Nope%20is%20empty")
        .await
        .refused(400);
    assert!(refused.contains("Selector \"Nope\" is not valid"), "{refused}");
    assert_eq!(
        door.get("/v1/catalog/nodes?dc=dc2").await.refused(500),
        "No path to datacenter"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deregistered_goes_and_who_waits_for_it_is_told() {
    let door = Door::open().await;
    door.put("/v1/catalog/register", WEB).await.good();
    let index = door.get("/v1/catalog/service/web").await.index();
    let path = format!("/v1/catalog/service/web?index={index}&wait=30s");
    let gone = r#"{"Node":"m1","ServiceID":"w1"}"#;
    let (told, done) = tokio::join!(door.get(&path), door.put("/v1/catalog/deregister", gone));
    assert_eq!(done.good(), json!(true));
    assert!(told.index() > index);
    assert_eq!(told.good(), json!([]));
    // Nobody misses what is not there.
    assert_eq!(door.put("/v1/catalog/deregister", gone).await.good(), json!(true));
    assert_eq!(
        door.put("/v1/catalog/deregister", r#"{"Node":"m1"}"#)
            .await
            .good(),
        json!(true)
    );
    assert_eq!(door.get("/v1/catalog/nodes").await.good(), json!([]));
    assert_eq!(
        door.put("/v1/catalog/deregister", r#"{"Node":"m1"}"#)
            .await
            .good(),
        json!(true)
    );
    door.put("/v1/catalog/deregister", "{}").await.refused(400);
    door.put("/v1/catalog/register", r#"{"Node":"x"}"#)
        .await
        .refused(400);
    let orphan = r#"{"Node":"x","Address":"10.0.0.1","Check":{"CheckID":"c","ServiceID":"nope"}}"#;
    door.put("/v1/catalog/register", orphan).await.refused(500);
    assert_eq!(
        door.get("/v1/catalog/nodes").await.good(),
        json!([]),
        "nothing was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_without_a_change_ends_with_the_same_index() {
    let door = Door::open().await;
    door.put("/v1/catalog/register", WEB).await.good();
    let first = door.get("/v1/catalog/service/web").await;
    let path = format!("/v1/catalog/service/web?index={}&wait=50ms", first.index());
    let other = WEB.replace("web", "db").replace("w1", "d1");
    let (same, _) = tokio::join!(door.get(&path), door.put("/v1/catalog/register", &other));
    assert_eq!(same.index(), first.index());
    assert_eq!(same.good(), first.good());
}
