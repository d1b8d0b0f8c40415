//! `/v1/agent`.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_registered_is_listed_with_its_checks_and_goes() {
    let door = Door::open().await;
    let body = r#"{"name":"web","tags":["a"],"port":80,"meta":{"k":"v"},"check":{"ttl":"30s"}}"#;
    assert_eq!(door.put("/v1/agent/service/register", body).await.text, "");
    let services = door.get("/v1/agent/services").await.good();
    // Exactly what the tests of py-consul want.
    let wanted = json!({
        "ID": "web", "Service": "web", "Tags": ["a"], "Meta": {"k": "v"}, "Port": 80, "Address": "",
        "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false, "Datacenter": "dc1",
    });
    assert_eq!(services["web"], wanted);
    let checks = door.get("/v1/agent/checks").await.good();
    let check = &checks["service:web"];
    assert_eq!(check["Name"], "Service 'web' check");
    assert_eq!(
        (&check["Status"], &check["Type"]),
        (&json!("critical"), &json!("ttl"))
    );
    assert_eq!(
        (&check["ServiceID"], &check["ServiceTags"]),
        (&json!("web"), &json!(["a"]))
    );

    door.put("/v1/agent/check/pass/service:web?note=fine", "")
        .await
        .good();
    let checks = door.get("/v1/agent/checks").await.good();
    assert_eq!(checks["service:web"]["Status"], "passing");
    assert_eq!(checks["service:web"]["Output"], "fine");
    let report = r#"{"Status":"warning","Output":"slow"}"#;
    door.put("/v1/agent/check/update/service:web", report)
        .await
        .good();
    assert_eq!(
        door.get("/v1/agent/checks").await.good()["service:web"]["Output"],
        "slow"
    );

    // Registering again keeps the check, and how it is, unless it is told to replace them.
    door.put("/v1/agent/service/register", r#"{"Name":"web","Port":81}"#)
        .await
        .good();
    assert_eq!(
        door.get("/v1/agent/checks").await.good()["service:web"]["Status"],
        "warning"
    );
    let replaced = "/v1/agent/service/register?replace-existing-checks=true";
    door.put(replaced, r#"{"Name":"web","Port":81}"#).await.good();
    assert_eq!(door.get("/v1/agent/checks").await.good().get("service:web"), None);

    door.put("/v1/agent/service/deregister/web", "").await.good();
    assert_eq!(door.get("/v1/agent/services").await.good().get("web"), None);
    let gone = door
        .put("/v1/agent/service/deregister/web", "")
        .await
        .refused(404);
    let wanted = "Unknown service ID \"web\". Ensure that the service ID is passed, not the service name.";
    assert_eq!(gone, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_of_a_member_is_written_once_whoever_needs_it_first() {
    let door = Door::open_with(|settings| settings.announce = true).await;
    let bodies = [r#"{"Name":"one"}"#, r#"{"Name":"two"}"#, r#"{"Name":"three"}"#];
    let asked = bodies.map(|body| door.put("/v1/agent/service/register", body));
    for answered in futures::future::join_all(asked).await {
        answered.good();
    }
    let found = door.get("/v1/catalog/node/n1").await.good();
    assert_eq!(found["Node"]["Address"], "127.0.0.1");
    assert!(found["Node"]["Meta"]["stead-member"].is_string(), "{found}");
    let address = &found["Node"]["Address"];
    for name in ["lan", "lan_ipv4", "wan", "wan_ipv4"] {
        assert_eq!(&found["Node"]["TaggedAddresses"][name], address, "{found}");
    }
    let checks = door.get("/v1/health/node/n1").await.good();
    assert_eq!(checks[0]["CheckID"], "serfHealth");
    for written in [&found["Node"], &found["Services"]["consul"]] {
        assert_eq!(written["CreateIndex"], written["ModifyIndex"], "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_checks_get_numbers_and_those_of_scripts_are_refused() {
    let door = Door::open().await;
    let body =
        r#"{"ID":"w1","Name":"web","Checks":[{"TTL":"1m"},{"CheckID":"own","TTL":"1m"},{"TTL":"1m"}]}"#;
    door.put("/v1/agent/service/register", body).await.good();
    let checks = door.get("/v1/agent/checks").await.good();
    for id in ["service:w1:1", "own", "service:w1:3"] {
        assert_eq!(checks[id]["ServiceID"], "w1", "{id}");
    }
    let script = r#"{"Name":"s","Args":["true"],"Interval":"10s"}"#;
    let refused = door.put("/v1/agent/check/register", script).await.refused(400);
    assert!(
        refused.starts_with("Invalid check: Scripts are disabled"),
        "{refused}"
    );
    let refused = door
        .put("/v1/agent/check/register", r#"{"TTL":"1s"}"#)
        .await
        .refused(400);
    assert_eq!(refused, "Missing check name");
    let orphan = r#"{"Name":"x","TTL":"1s","ServiceID":"nope"}"#;
    let refused = door.put("/v1/agent/check/register", orphan).await.refused(404);
    assert_eq!(refused, "ServiceID \"nope\" does not exist");
    let refused = door.put("/v1/agent/check/pass/nope", "").await.refused(404);
    assert!(refused.starts_with("Unknown check ID \"nope\""), "{refused}");
    for (body, reason) in [
        (r#"{"Port":1}"#, "Missing service name"),
        (r#"{"Name":"w","Port":70000}"#, "Port is 70000"),
        (r#"{"Name":"w","Address":"0.0.0.0"}"#, "0.0.0.0"),
        (r#"{"Name":"w","Kind":"mesh-gateway"}"#, "Kind"),
        (r#"{"Name":"w","SocketPath":"/x"}"#, "SocketPath"),
        ("{", "Request decode failed"),
    ] {
        let refused = door.put("/v1/agent/service/register", body).await.refused(400);
        assert!(refused.contains(reason), "{body}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_takes_a_service_out_and_its_health_is_the_status() {
    let door = Door::open().await;
    door.put("/v1/agent/service/register", r#"{"Name":"web"}"#)
        .await
        .good();
    let health = "/v1/agent/health/service/id/web";
    assert_eq!(door.get(health).await.good()["AggregatedStatus"], "passing");
    door.put("/v1/agent/service/maintenance/web?enable=true&reason=why", "")
        .await
        .good();
    let check = door.get("/v1/agent/checks").await.good()["_service_maintenance:web"].clone();
    assert_eq!(
        (&check["Status"], &check["Notes"]),
        (&json!("critical"), &json!("why"))
    );
    let out = door.get(&format!("{health}?format=text")).await;
    assert_eq!((out.status.as_u16(), out.text.as_str()), (503, "maintenance"));
    assert_eq!(out.headers["x-consul-reason"], "maintenance");
    assert_eq!(
        door.get("/v1/agent/health/service/name/web")
            .await
            .status
            .as_u16(),
        503
    );
    door.put("/v1/agent/service/maintenance/web?enable=false", "")
        .await
        .good();
    assert_eq!(door.get(health).await.status.as_u16(), 200);
    assert_eq!(
        door.get("/v1/agent/health/service/name/nope")
            .await
            .status
            .as_u16(),
        404
    );
    door.put("/v1/agent/maintenance?enable=true", "").await.good();
    let checks = door.get("/v1/agent/checks").await.good();
    let notes = checks["_node_maintenance"]["Notes"].as_str().unwrap();
    assert!(notes.contains("no reason was provided"), "{notes}");
    assert_eq!(door.get(health).await.status.as_u16(), 503);
    let refused = door.put("/v1/agent/maintenance", "").await.refused(400);
    assert_eq!(refused, "Missing value for enable");
    let refused = door
        .put("/v1/agent/maintenance?enable=maybe", "")
        .await
        .refused(400);
    assert_eq!(refused, "Invalid value for enable: \"maybe\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_metadata_that_agents_refuse_is_refused() {
    let door = Door::open().await;
    let with = |key: &str| format!(r#"{{"Name":"web","Meta":{{"{key}":"v"}}}}"#);
    for key in ["a b", "a.b", "é"] {
        let refused = door
            .put("/v1/agent/service/register", &with(key))
            .await
            .refused(400);
        assert!(refused.contains("Key contains invalid characters"), "{refused}");
    }
    door.put("/v1/agent/service/register", &with("a-B_1"))
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_service_is_waited_for_by_its_hash() {
    let door = Door::open().await;
    door.put("/v1/agent/service/register", r#"{"Name":"web","Port":1}"#)
        .await
        .good();
    let first = door.get("/v1/agent/service/web").await;
    let hash = first.headers["x-consul-contenthash"].to_str().unwrap().to_owned();
    assert_eq!(first.good()["ContentHash"], hash.as_str());
    let path = format!("/v1/agent/service/web?hash={hash}&wait=30s");
    let waiting = door.get(&path);
    let changing = door.put("/v1/agent/service/register", r#"{"Name":"web","Port":2}"#);
    let (changed, _) = tokio::join!(waiting, changing);
    assert_eq!(changed.good()["Port"], 2);
    door.get("/v1/agent/service/nope").await.refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_shows_itself_with_the_keys_that_clients_look_for() {
    let door = Door::open().await;
    door.node
        .services
        .cluster
        .publish("n1", &["http://127.0.0.1:1".to_owned()])
        .await
        .unwrap();
    let shown = door.get("/v1/agent/self").await.good();
    let keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["Config", "Coord", "DebugConfig", "Member", "Meta", "Stats", "xDS"]
    );
    assert_eq!(
        (&shown["Config"]["NodeName"], &shown["Config"]["Datacenter"]),
        (&json!("n1"), &json!("dc1"))
    );
    let members = door.get("/v1/agent/members").await.good();
    assert_eq!(
        (&members[0]["Name"], &members[0]["Status"]),
        (&json!("n1"), &json!(1))
    );
    assert_eq!(members[0], shown["Member"]);
    assert_eq!(
        door.get("/v1/agent/members?wan=1").await.good()[0]["Name"],
        "n1.dc1"
    );
    let left = door.put("/v1/agent/leave", "").await.refused(500);
    assert!(left.contains("stead member remove"), "{left}");
    let unknown = door.put("/v1/agent/force-leave/nope", "").await.refused(500);
    assert_eq!(unknown, "agent: No node found with name 'nope'");
    let member = door.put("/v1/agent/force-leave/n1", "").await.refused(500);
    assert!(member.contains("stead member remove"), "{member}");
    door.put("/v1/agent/join/10.9.9.9", "").await.refused(500);
    door.put("/v1/agent/join/127.0.0.1", "").await.good();
    door.put("/v1/agent/reload", "").await.good();
    door.put("/v1/agent/token/default", r#"{"Token":"x"}"#)
        .await
        .refused(401);
    assert!(door.get("/v1/agent/metrics").await.good()["Gauges"].is_array());
    let page = door.get("/v1/agent/metrics?format=prometheus").await;
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4");
    let wanted = "# TYPE etcd_mvcc_db_total_size_in_bytes gauge\n";
    assert!(page.text.contains(wanted), "{}", page.text);
}
