//! Entries: golden JSON, and no secret in any place.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::render::{RenderError, Style};
use super::super::{Auth, Entry, Fields, Header, Mounted, Reply, Settings, Wrap};
use super::{NOW, entry, key, metadata, options, request};
use crate::base::limits::{MAXIMUM_AUDIT_DATA_BYTES, MAXIMUM_AUDIT_RECORD_BYTES};
use crate::service::secrets::audit::Allowed;
use crate::service::secrets::barrier::hashed::{Hasher, Purpose};
use crate::service::secrets::engine::{Data, Raw};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation;

fn style(value: Value) -> Style {
    let settings = Settings::parse("file/", "log", &options(value), &Allowed::default()).unwrap();
    settings.style(&key())
}

fn hash(text: &str) -> String {
    let hasher = Hasher::new(&key(), Purpose::Audit { device: "file" });
    hasher.hash(text.as_bytes()).to_string()
}

fn json_of(style: &Style, entry: &Entry<'_>) -> Value {
    let text = style.render(entry).unwrap();
    assert!(!text.contains(&b'\n'));
    serde_json::from_slice(&text).unwrap()
}

/// All that can be said, with one canary.
fn with_everything<T>(canary: &str, data: Fields<'_>, check: impl FnOnce(&Entry<'_>) -> T) -> T {
    let policies = vec!["default".to_owned(), "dev".to_owned()];
    let metadata = metadata("username", "ada");
    let auth = Auth {
        client_token: canary,
        accessor: canary,
        display_name: "userpass-ada",
        policies: &policies,
        token_policies: &policies,
        identity_policies: &[],
        is_allowed: Some(true),
        no_default_policy: false,
        metadata: Some(&metadata),
        entity_id: "e1",
        token_type: "service",
        token_ttl: Duration::from_secs(3600),
        token_issued: Some(NOW),
        uses: 0,
    };
    let values = vec![canary.to_owned()];
    let headers = [
        Header {
            name: "x-secret",
            values: &values,
            is_hashed: true,
        },
        Header {
            name: "x-plain",
            values: &["shown".to_owned()],
            is_hashed: false,
        },
    ];
    let mount = Mounted {
        point: "secret/",
        kind: "kv",
        accessor: "kv_01234567",
        is_auth: false,
        plain_request_keys: &[],
        plain_response_keys: &[],
    };
    let mut request = request(data, Some(mount));
    request.client_token = canary;
    request.client_token_accessor = canary;
    request.headers = &headers;
    request.wrap_ttl = Some(Duration::from_secs(60));
    let reply = Reply {
        auth: Some(&auth),
        lease_id: "secret/data/a/1",
        data,
        status: 0,
        warnings: &["careful".to_owned()],
        wrap: Some(Wrap {
            token: canary,
            accessor: canary,
            ttl: Duration::from_secs(60),
            created: NOW,
            creation_path: "secret/data/a",
            wrapped_accessor: canary,
        }),
    };
    let entry = entry(&request, Some(&auth), Some(&reply));
    check(&entry)
}

#[test]
fn an_entry_has_the_fields_of_vault() {
    let map = options(json!({"data": {"password": "canary", "n": 1, "t": true, "z": null}}));
    let shown = with_everything("canary", Fields::Map(&map), |entry| {
        json_of(&style(json!({})), entry)
    });
    let canary = hash("canary");
    let auth = json!({
        "client_token": canary, "accessor": canary, "display_name": "userpass-ada",
        "policies": ["default", "dev"], "token_policies": ["default", "dev"],
        "policy_results": {"allowed": true}, "metadata": {"username": "ada"}, "entity_id": "e1",
        "token_type": "service", "token_ttl": 3600, "token_issue_time": "2026-01-02T03:04:05.000000006Z",
    });
    let data = json!({"data": {"password": canary, "n": 1, "t": true, "z": null}});
    let golden = json!({
        "time": "2026-01-02T03:04:05.000000006Z",
        "type": "response",
        "auth": auth,
        "request": {
            "id": "11111111-2222-4333-8444-555555555555", "operation": "update",
            "mount_class": "secret", "mount_point": "secret/", "mount_type": "kv", "mount_accessor": "kv_01234567",
            "client_token": canary, "client_token_accessor": canary, "namespace": {"id": "root"},
            "path": "secret/data/a", "data": data, "remote_address": "192.0.2.1", "remote_port": 4711,
            "headers": {"x-secret": [canary], "x-plain": ["shown"]}, "wrap_ttl": 60,
        },
        "response": {
            "auth": auth, "secret": {"lease_id": "secret/data/a/1"}, "data": data, "warnings": ["careful"],
            "wrap_info": {
                "ttl": 60, "token": canary, "accessor": canary, "creation_time": "2026-01-02T03:04:05.000000006Z",
                "creation_path": "secret/data/a", "wrapped_accessor": canary,
            },
            "mount_class": "secret", "mount_point": "secret/", "mount_type": "kv", "mount_accessor": "kv_01234567",
        },
    });
    assert_eq!(shown, golden);
}

#[test]
fn a_request_without_a_token_is_short() {
    let request = request(Fields::Nothing, None);
    let mut entry = entry(&request, None, None);
    entry.error = "permission denied";
    let text = String::from_utf8(style(json!({})).render(&entry).unwrap()).unwrap();
    assert_eq!(
        text,
        r#"{"time":"2026-01-02T03:04:05.000000006Z","type":"request","request":{"id":"11111111-2222-4333-8444-555555555555","operation":"update","namespace":{"id":"root"},"path":"secret/data/a","remote_address":"192.0.2.1","remote_port":4711},"error":"permission denied"}"#
    );
}

/// Computed with Python: HKDF-SHA256 (RFC 5869) of the bytes 0 to 31 with the label `stead hash audit file`, then HMAC.
#[test]
fn hashes_are_those_that_another_implementation_makes() {
    assert_eq!(
        hash("canary"),
        "hmac-sha256:8d98c410fb93bf0f8709889980fae7b9f3448485dcb3406ec1a12d5166e7ee8f"
    );
}

#[test]
fn accessors_and_all_else_are_shown_where_the_device_says_so() {
    let map = options(json!({"password": "canary"}));
    let accessors = style(json!({"hmac_accessor": "false"}));
    let shown = with_everything("canary", Fields::Map(&map), |entry| json_of(&accessors, entry));
    for pointer in [
        "/auth/accessor",
        "/request/client_token_accessor",
        "/response/auth/accessor",
        "/response/wrap_info/accessor",
        "/response/wrap_info/wrapped_accessor",
    ] {
        assert_eq!(shown.pointer(pointer), Some(&json!("canary")), "{pointer}");
    }
    for pointer in [
        "/auth/client_token",
        "/response/wrap_info/token",
        "/request/data/password",
    ] {
        assert_eq!(shown.pointer(pointer), Some(&json!(hash("canary"))), "{pointer}");
    }
    let raw = style(json!({"log_raw": true}));
    let text = with_everything("canary", Fields::Map(&map), |entry| raw.render(entry).unwrap());
    assert!(!String::from_utf8(text).unwrap().contains("hmac-sha256"));
}

#[test]
fn only_the_innermost_name_makes_a_text_plain() {
    let map = options(json!({
        "plain": "a", "secret": "b",
        "outer": {"plain": ["c", ["d"]], "secret": "e", "list": [{"plain": "f"}, "g"]},
        "list": ["plain", "h"],
    }));
    let body = Body::parse(
        json!({"plain": {"secret": "i", "pl\u{61}in": "j"}})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    let names = vec!["plain".to_owned()];
    let mount = |is_request: bool| Mounted {
        point: "secret/",
        kind: "kv",
        accessor: "",
        is_auth: false,
        plain_request_keys: if is_request { &names } else { &[] },
        plain_response_keys: if is_request { &[] } else { &names },
    };
    let golden = json!({
        "plain": "a", "secret": hash("b"),
        "outer": {"plain": ["c", ["d"]], "secret": hash("e"), "list": [{"plain": "f"}, hash("g")]},
        "list": [hash("plain"), hash("h")],
    });
    let style = style(json!({}));
    for (is_request, pointer, other) in [
        (true, "/request/data", "/response/data"),
        (false, "/response/data", "/request/data"),
    ] {
        let request = request(Fields::Map(&map), Some(mount(is_request)));
        let reply = Reply {
            data: Fields::Map(&map),
            ..Reply::default()
        };
        let shown = json_of(&style, &entry(&request, None, Some(&reply)));
        assert_eq!(shown.pointer(pointer), Some(&golden));
        assert_ne!(
            shown.pointer(other),
            Some(&golden),
            "a list is for requests or for answers"
        );
    }
    let request = request(Fields::Body(&body), Some(mount(true)));
    let shown = json_of(&style, &entry(&request, None, None));
    assert_eq!(
        shown["request"]["data"],
        json!({"plain": {"secret": hash("i"), "plain": "j"}})
    );
}

#[test]
fn numbers_keep_their_form_and_line_ends_between_values_go() {
    let body = b"{\"a\": [1.0,\n\t1E+2, 123456789012345678901234567890], \"b\":\n{\"c\\n\": \"d\"}}";
    let body = Body::parse(body).unwrap();
    let request = request(Fields::Body(&body), None);
    let text = String::from_utf8(style(json!({})).render(&entry(&request, None, None)).unwrap()).unwrap();
    let golden = format!(
        r#""data":{{"a":[1.0,1E+2,123456789012345678901234567890],"b":{{"c\n":"{}"}}}}"#,
        hash("d")
    );
    assert!(text.contains(&golden), "{text}");
}

#[test]
fn lists_are_counted_where_the_device_says_so_and_only_in_answers_to_lists() {
    let data = Data::new()
        .with("keys", &["a", "b"])
        .unwrap()
        .with("key_info", &json!({"a": {"x": "y"}, "b": {}}))
        .unwrap()
        .with("other", &["c"])
        .unwrap();
    let counted = json!({"keys": 2, "key_info": 2, "other": [hash("c")]});
    let whole = json!({
        "keys": [hash("a"), hash("b")], "key_info": {"a": {"x": hash("y")}, "b": {}}, "other": [hash("c")]
    });
    for (elides, operation, golden) in [
        (true, Operation::List, &counted),
        (true, Operation::Read, &whole),
        (false, Operation::List, &whole),
    ] {
        let mut request = request(Fields::Data(&data), None);
        request.operation = operation;
        let reply = Reply {
            data: Fields::Data(&data),
            ..Reply::default()
        };
        let shown = json_of(
            &style(json!({"elide_list_responses": elides})),
            &entry(&request, None, Some(&reply)),
        );
        assert_eq!(&shown["response"]["data"], golden);
        assert_eq!(shown["request"]["data"], whole);
    }
}

#[test]
fn bytes_that_are_no_json_are_hashed_as_one() {
    let raw = Raw {
        content_type: "application/pkix-cert",
        bytes: b"canary".to_vec(),
    };
    let request = request(Fields::Nothing, None);
    let reply = Reply {
        data: Fields::Raw(&raw),
        status: 200,
        ..Reply::default()
    };
    let entry = entry(&request, None, Some(&reply));
    let golden = |body: &str| json!({"http_content_type": "application/pkix-cert", "http_raw_body": body, "http_status_code": 200});
    let shown = json_of(&style(json!({})), &entry);
    assert_eq!(shown["response"]["data"], golden(&hash("canary")));
    let shown = json_of(&style(json!({"log_raw": true})), &entry);
    assert_eq!(shown["response"]["data"], golden("Y2FuYXJ5"));
}

#[test]
fn data_that_would_take_too_much_are_one_hash() {
    // Each text of one byte takes 79 when it is hashed.
    let many: Vec<&str> = vec!["a"; MAXIMUM_AUDIT_DATA_BYTES / 79 + 1];
    let map = options(json!({"many": many, "b": "canary"}));
    let request = request(Fields::Map(&map), None);
    let shown = json_of(&style(json!({})), &entry(&request, None, None));
    let whole = serde_json::to_string(&map).unwrap();
    assert_eq!(
        shown["request"]["data_elided"],
        json!({"bytes": whole.len(), "hash": hash(&whole)})
    );
    assert_eq!(shown["request"].get("data"), None);
    let fewer = options(json!({"many": vec!["a"; MAXIMUM_AUDIT_DATA_BYTES / 79 - 1]}));
    let request = super::request(Fields::Map(&fewer), None);
    let shown = json_of(&style(json!({})), &entry(&request, None, None));
    assert!(shown["request"]["data"]["many"].is_array());
}

#[test]
fn an_entry_that_is_too_large_is_refused() {
    let request = request(Fields::Nothing, None);
    let long = "e".repeat(MAXIMUM_AUDIT_RECORD_BYTES);
    let mut entry = entry(&request, None, None);
    entry.error = &long;
    let refused = style(json!({})).render(&entry).unwrap_err();
    assert!(matches!(refused, RenderError::Large(bytes) if bytes > MAXIMUM_AUDIT_RECORD_BYTES));
}

/// JSON with the canary in it, in any nesting; names and numbers are harmless.
fn nested() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!("CANARY")),
        "[a\"\\\\\n{}\\[\\]:,é]{0,3}".prop_map(|around| json!(format!("{around}CANARY{around}"))),
        any::<i64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|truth| json!(truth)),
        Just(Value::Null),
    ];
    leaf.prop_recursive(6, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-c\"\\\\{}\\[\\]:,\n]{0,3}", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// What the rewriting should give.
fn expected(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(hash(text)),
        Value::Array(items) => items.iter().map(expected).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), expected(value)))
                .collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn a_canary_is_nowhere_in_an_entry(value in nested(), is_pretty in any::<bool>()) {
        let map = options(json!({"value": value}));
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&map).unwrap(),
            false => serde_json::to_string(&map).unwrap(),
        };
        let body = Body::parse(text.as_bytes()).unwrap();
        let mut data = Data::new();
        data.set_text("value", body.text("value").unwrap()).unwrap();
        for fields in [Fields::Map(&map), Fields::Body(&body), Fields::Data(&data)] {
            let text = with_everything("CANARY", fields, |entry| style(json!({})).render(entry).unwrap());
            let text = String::from_utf8(text).unwrap();
            prop_assert!(!text.contains("CANARY") && !text.contains('\n'), "{}", text);
            let shown: Value = serde_json::from_str(&text).unwrap();
            for side in ["request", "response"] {
                prop_assert_eq!(&shown[side]["data"]["value"], &expected(&value));
            }
        }
    }
}
