//! Requests to the gateway and the answers that etcd gives.

use serde_json::{Value, json};

/// Requests, each with its status and answer, in order, on a fresh store.
pub fn script() -> Vec<(&'static str, Value, u16, Value)> {
    let header = |revision: &str| json!({ "revision": revision });
    let a2 =
        json!({"key": "YQ==", "create_revision": "2", "mod_revision": "3", "version": "2", "value": "Mg=="});
    let range = json!({"header": header("3"), "kvs": [a2], "count": "1"});
    let gone = "etcdserver: mvcc: required revision has been compacted";
    let error = |code: i32, text: &str| json!({"error": text, "code": code, "message": text});
    let alarm = |action: &str| json!({"action": action, "memberID": "5", "alarm": "NOSPACE"});
    let alarms = || json!({"header": header("10"), "alarms": [{"memberID": "5", "alarm": "NOSPACE"}]});
    let corrupt = |action: &str| json!({"action": action, "memberID": "5", "alarm": "CORRUPT"});
    let corrupts = || json!({"header": header("10"), "alarms": [{"memberID": "5", "alarm": "CORRUPT"}]});
    vec![
        (
            "/v3/kv/put",
            json!({"key": "YQ==", "value": "MQ=="}),
            200,
            json!({"header": header("2")}),
        ),
        (
            "/v3/kv/put",
            json!({"key": "YQ==", "value": "Mg==", "prevKv": true, "unknown": {"a": [1]}}),
            200,
            json!({
                "header": header("3"),
                "prev_kv": {"key": "YQ==", "create_revision": "2", "mod_revision": "2", "version": "1", "value": "MQ=="},
            }),
        ),
        ("/v3/kv/range", json!({"key": "YQ=="}), 200, range.clone()),
        ("/v3beta/kv/range", json!({"key": "YQ=="}), 200, range.clone()),
        (
            "/v3/kv/range",
            json!({"key": "YQ==", "range_end": "eg==", "limit": "5", "sort_order": "DESCEND", "sortTarget": 3}),
            200,
            range.clone(),
        ),
        (
            "/v3/kv/range",
            json!({"key": "Yg=="}),
            200,
            json!({"header": header("3")}),
        ),
        (
            "/v3/kv/range",
            json!({"key": "YQ==", "count_only": true}),
            200,
            json!({"header": header("3"), "count": "1"}),
        ),
        (
            "/v3/kv/txn",
            json!({
                "compare": [{"target": "VALUE", "key": "YQ==", "value": "Mg==", "result": "EQUAL"}],
                "success": [{"requestRange": {"key": "YQ=="}}, {"request_put": {"key": "Yg=="}}],
            }),
            200,
            json!({
                "header": header("4"),
                "succeeded": true,
                "responses": [
                    {"response_range": {"header": header("3"), "kvs": range["kvs"], "count": "1"}},
                    {"response_put": {"header": header("4")}},
                ],
            }),
        ),
        (
            "/v3/kv/deleterange",
            json!({"key": "Yg==", "prev_kv": true}),
            200,
            json!({
                "header": header("5"),
                "deleted": "1",
                "prev_kvs": [{"key": "Yg==", "create_revision": "4", "mod_revision": "4", "version": "1"}],
            }),
        ),
        (
            "/v3/kv/compaction",
            json!({"revision": 5, "physical": true}),
            200,
            json!({"header": header("5")}),
        ),
        (
            "/v3/kv/range",
            json!({"key": "YQ==", "revision": "2"}),
            400,
            error(11, gone),
        ),
        (
            "/v3/kv/range",
            json!({}),
            400,
            error(3, "etcdserver: key is not provided"),
        ),
        (
            "/v3/lease/grant",
            json!({"TTL": 600, "ID": "31"}),
            200,
            json!({"header": header("5"), "ID": "31", "TTL": "600"}),
        ),
        (
            "/v3/lease/grant",
            json!({"TTL": 600, "ID": "31"}),
            400,
            error(9, "etcdserver: lease already exists"),
        ),
        (
            "/v3/kv/lease/leases",
            json!({}),
            200,
            json!({"header": header("5"), "leases": [{"ID": "31"}]}),
        ),
        (
            "/v3/lease/leases",
            json!({}),
            200,
            json!({"header": header("5"), "leases": [{"ID": "31"}]}),
        ),
        (
            "/v3/lease/timetolive",
            json!({"ID": "99"}),
            200,
            json!({"header": header("5"), "ID": "99", "TTL": "-1"}),
        ),
        (
            "/v3/kv/lease/timetolive",
            json!({"ID": "99"}),
            200,
            json!({"header": header("5"), "ID": "99", "TTL": "-1"}),
        ),
        (
            "/v3/lease/keepalive",
            json!({"ID": "31"}),
            200,
            json!({"result": {"header": header("5"), "ID": "31", "TTL": "600"}}),
        ),
        (
            "/v3/lock/lock",
            json!({"name": "TA==", "lease": "31"}),
            200,
            json!({"header": header("6"), "key": "TC8xZg=="}),
        ),
        (
            "/v3/lock/unlock",
            json!({"key": "TC8xZg=="}),
            200,
            json!({"header": header("7")}),
        ),
        (
            "/v3/election/leader",
            json!({"name": "RQ=="}),
            500,
            error(2, "election: no leader"),
        ),
        (
            "/v3/election/campaign",
            json!({"name": "RQ==", "lease": "31", "value": "MQ=="}),
            200,
            json!({"header": header("8"), "leader": {"name": "RQ==", "key": "RS8xZg==", "rev": "8", "lease": "31"}}),
        ),
        (
            "/v3/election/proclaim",
            json!({"leader": {"name": "RQ==", "key": "RS8xZg==", "rev": "8", "lease": "31"}, "value": "Mg=="}),
            200,
            json!({"header": header("9")}),
        ),
        (
            "/v3/election/leader",
            json!({"name": "RQ=="}),
            200,
            json!({
                "header": header("9"),
                "kv": {
                    "key": "RS8xZg==", "create_revision": "8", "mod_revision": "9", "version": "2", "value": "Mg==",
                    "lease": "31",
                },
            }),
        ),
        (
            "/v3/election/resign",
            json!({"leader": {"name": "RQ==", "key": "RS8xZg==", "rev": "8", "lease": "31"}}),
            200,
            json!({"header": header("10")}),
        ),
        (
            "/v3/election/resign",
            json!({}),
            500,
            error(2, "\"leader\" field must be provided"),
        ),
        (
            "/v3/lease/revoke",
            json!({"ID": "31"}),
            200,
            json!({"header": header("10")}),
        ),
        (
            "/v3/kv/lease/revoke",
            json!({"ID": "31"}),
            404,
            error(5, "etcdserver: requested lease not found"),
        ),
        (
            "/v3/maintenance/alarm",
            json!({"action": "GET"}),
            200,
            json!({"header": header("10")}),
        ),
        // Raising what is active says so again; clearing says what it cleared.
        ("/v3/maintenance/alarm", alarm("ACTIVATE"), 200, alarms()),
        ("/v3/maintenance/alarm", alarm("ACTIVATE"), 200, alarms()),
        (
            "/v3/maintenance/alarm",
            json!({"alarm": "CORRUPT"}),
            200,
            json!({"header": header("10")}),
        ),
        (
            "/v3/maintenance/alarm",
            json!({"alarm": "NOSPACE"}),
            200,
            alarms(),
        ),
        (
            "/v3/kv/put",
            json!({"key": "YQ=="}),
            429,
            error(8, "etcdserver: mvcc: database space exceeded"),
        ),
        ("/v3/maintenance/alarm", alarm("DEACTIVATE"), 200, alarms()),
        (
            "/v3/maintenance/alarm",
            alarm("DEACTIVATE"),
            200,
            json!({"header": header("10")}),
        ),
        ("/v3/maintenance/alarm", corrupt("ACTIVATE"), 200, corrupts()),
        (
            "/v3/kv/deleterange",
            json!({"key": "YQ=="}),
            500,
            error(15, "etcdserver: corrupt cluster"),
        ),
        ("/v3/maintenance/alarm", corrupt("DEACTIVATE"), 200, corrupts()),
        ("/v3/maintenance/defragment", json!({}), 200, json!({})),
        (
            "/v3/maintenance/transfer-leadership",
            json!({"targetID": "5"}),
            400,
            error(9, "etcdserver: bad leader transferee"),
        ),
    ]
}
