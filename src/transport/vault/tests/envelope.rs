//! Envelopes and errors.

use std::time::Duration;

use serde_json::json;

use super::super::envelope::{answer, spreads};
use super::super::error::Refusal;
use super::{json, read, refused};
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::service::secrets::engine::{Data, Fault, Raw, TokenKind};
use crate::service::secrets::parameters::ParameterError;
use crate::service::secrets::request::{Auth, Wrapped};
use crate::service::secrets::{Allowance, Response, SecretsError};

const ID: &str = "5c1b4b2e-9d3f-4a80-a7f0-0b6a40e43b3a";

fn data() -> Data {
    let mut data = Data::new().with("keys", &["a", "b/"]).unwrap();
    data.set_text("big", "123456789012345678901234567890").unwrap();
    data
}

#[tokio::test]
async fn an_envelope_has_all_keys_and_numbers_keep_their_form() {
    let response = Response {
        data: Some(data()),
        lease_seconds: 2_764_800,
        mount_kind: "kv".into(),
        ..Response::default()
    };
    let answered = answer(ID, response, false).unwrap().into_response();
    let (status, content_type, text) = read(answered).await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    assert_eq!(
        text.trim_end(),
        format!(
            r#"{{"request_id":"{ID}","lease_id":"","renewable":false,"lease_duration":2764800,"data":{{"big":123456789012345678901234567890,"keys":["a","b/"]}},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}}"#
        )
    );
}

#[tokio::test]
async fn what_says_nothing_is_204_without_a_body_and_a_warning_is_an_envelope() {
    let nothing = answer(ID, Response::default(), true).unwrap().into_response();
    assert_eq!(read(nothing).await, (204, String::new(), String::new()));

    let warned = Response {
        warnings: vec!["mind".into()],
        ..Response::default()
    };
    let (status, body) = json(answer(ID, warned, true).unwrap()).await;
    assert_eq!((status, &body["warnings"]), (200, &json!(["mind"])));
    assert_eq!(body["data"], json!(null));
}

#[tokio::test]
async fn what_is_gone_is_404_with_a_body_and_what_goes_on_is_202() {
    let gone = Response {
        data: Some(data()),
        is_gone: true,
        ..Response::default()
    };
    let (status, body) = json(answer(ID, gone, false).unwrap()).await;
    assert_eq!((status, &body["data"]["keys"]), (404, &json!(["a", "b/"])));

    let goes_on = Response {
        goes_on: true,
        ..Response::default()
    };
    let (status, ..) = read(answer(ID, goes_on, false).unwrap().into_response()).await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn raw_bytes_are_the_whole_answer() {
    let raw = Response {
        raw: Some(Raw {
            content_type: "application/pkix-cert",
            bytes: b"bytes".to_vec(),
        }),
        ..Response::default()
    };
    let read = read(answer(ID, raw, false).unwrap().into_response()).await;
    assert_eq!(read, (200, "application/pkix-cert".into(), "bytes".into()));
}

#[tokio::test]
async fn data_of_old_paths_are_at_the_top_too_and_never_replace_the_envelope() {
    for path in [
        "sys/mounts",
        "sys/mounts/secret/tune",
        "sys/auth",
        "sys/policy",
        "sys/policy/default",
        "sys/audit",
        "sys/audit-hash/file",
        "sys/capabilities-self",
        "sys/key-status",
        "sys/rotate",
        "sys/wrapping/wrap",
        "sys/config/cors",
        "sys/ha-status",
    ] {
        assert!(spreads(path), "{path}");
    }
    for path in [
        "sys/policies/acl",
        "sys/mountsx",
        "secret/sys/mounts",
        "auth/token/create",
        "sys/wrapping/lookup",
    ] {
        assert!(!spreads(path), "{path}");
    }
    let response = Response {
        data: Some(data().with("lease_id", "of the data").unwrap()),
        ..Response::default()
    };
    let answered = answer(ID, response, true).unwrap().into_response();
    let (_, _, text) = read(answered).await;
    assert_eq!(text.matches("lease_id").count(), 2, "once in the data: {text}");
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&body["keys"], &body["data"]["keys"], &body["lease_id"]),
        (&json!(["a", "b/"]), &json!(["a", "b/"]), &json!(""))
    );
}

#[tokio::test]
async fn a_token_has_the_shape_that_clients_read() {
    let auth = Auth {
        token: Secret::new("hvs.token".into()),
        accessor: "accessor".into(),
        policies: vec!["default".into(), "app".into()],
        metadata: [("user".to_owned(), "ann".to_owned())].into(),
        lease_seconds: 3_600,
        is_renewable: true,
        is_orphan: true,
        kind: TokenKind::Service,
        uses: 3,
    };
    let response = Response {
        auth: Some(auth),
        ..Response::default()
    };
    let (status, body) = json(answer(ID, response, false).unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(
        body["auth"],
        json!({
            "client_token": "hvs.token", "accessor": "accessor", "policies": ["default", "app"],
            "token_policies": ["default", "app"], "metadata": {"user": "ann"}, "lease_duration": 3600,
            "renewable": true, "entity_id": "", "token_type": "service", "orphan": true,
            "mfa_requirement": null, "num_uses": 3
        })
    );
    assert_eq!(body["data"], json!(null));
}

#[tokio::test]
async fn what_is_wrapped_shows_where_and_nothing_else() {
    let wrapped = Wrapped {
        token: Secret::new("hvs.wrapping".into()),
        accessor: "accessor".into(),
        ttl_seconds: 60,
        created: Duration::new(1_767_323_045, 678_900_000),
        creation_path: "secret/a".into(),
        wrapped_accessor: None,
    };
    let response = Response {
        wrapped: Some(wrapped),
        ..Response::default()
    };
    let (_, body) = json(answer(ID, response, false).unwrap()).await;
    assert_eq!(
        body["wrap_info"],
        json!({
            "token": "hvs.wrapping", "accessor": "accessor", "ttl": 60,
            "creation_time": "2026-01-02T03:04:05.678900000Z", "creation_path": "secret/a"
        })
    );
    assert_eq!((&body["data"], &body["auth"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn an_error_has_the_status_and_the_text_that_clients_look_for() {
    let denied = json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]});
    let refusals: Vec<(Refusal, u16, serde_json::Value)> = vec![
        (SecretsError::Denied.into(), 403, denied),
        (
            SecretsError::BadToken.into(),
            403,
            json!({"errors": ["bad token"]}),
        ),
        (
            SecretsError::Sealed.into(),
            503,
            json!({"errors": ["Vault is sealed"]}),
        ),
        (
            SecretsError::AlreadyInitialized.into(),
            400,
            json!({"errors": ["Vault is already initialized"]}),
        ),
        (
            SecretsError::Fault(Fault::Missing).into(),
            404,
            json!({"errors": []}),
        ),
        (
            SecretsError::Fault(Fault::Unsupported).into(),
            405,
            json!({"errors": ["unsupported operation"]}),
        ),
        (
            SecretsError::Fault(Fault::NoPath("Invalid path for a versioned store".into())).into(),
            404,
            json!({"errors": [], "warnings": ["Invalid path for a versioned store"]}),
        ),
        (
            SecretsError::Fault(Fault::NoPath(
                "no handler for route \"x/\". route entry not found.".into(),
            ))
            .into(),
            404,
            json!({"errors": ["no handler for route \"x/\". route entry not found."]}),
        ),
        (
            SecretsError::Fault(Fault::Unimplemented("this".into())).into(),
            501,
            json!({"errors": ["this is not supported"]}),
        ),
        (
            SecretsError::Fault(Fault::InvalidWith {
                text: "one failed".into(),
                data: data(),
            })
            .into(),
            400,
            json!({"errors": ["one failed"], "data": {"keys": ["a", "b/"], "big": 123456789012345678901234567890_u128 as f64}}),
        ),
        (ParameterError::Large(9).into(), 413, json!(null)),
        (
            SecretsError::Service(ServiceError::NoLeader).into(),
            503,
            json!(null),
        ),
    ];
    for (refusal, status, body) in refusals {
        let (answered, said) = refused(refusal).await;
        assert_eq!(answered, status, "{said}");
        if !body.is_null() {
            assert_eq!(said, body);
        }
    }
}

#[tokio::test]
async fn what_is_left_of_a_quota_is_told_beside_answers_and_when_to_come_back_beside_refusals() {
    let allowance = Allowance {
        limit: 10,
        remaining: 0,
        reset_seconds: 7,
    };
    let header = |response: &http::Response<axum::body::Body>, name: &str| {
        let value = response.headers().get(name);
        value.and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let served = Response {
        allowance: Some(allowance),
        ..Response::default()
    };
    let served = answer(ID, served, false).unwrap().into_response();
    let limited = |told| {
        let path = "kv/a".to_owned();
        Refusal::from(SecretsError::Limited { path, told }).into_response()
    };
    let refused = limited(Some(allowance));
    assert_eq!((served.status().as_u16(), refused.status().as_u16()), (204, 429));
    for response in [&served, &refused] {
        assert_eq!(header(response, "x-ratelimit-limit").as_deref(), Some("10"));
        assert_eq!(header(response, "x-ratelimit-remaining").as_deref(), Some("0"));
        assert_eq!(header(response, "x-ratelimit-reset").as_deref(), Some("7"));
    }
    assert_eq!(header(&served, "retry-after"), None);
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("7"));
    let silent = limited(None);
    assert_eq!(silent.status().as_u16(), 429);
    assert_eq!(header(&silent, "retry-after"), None);
    let (_, _, text) = read(silent).await;
    assert_eq!(
        text.trim_end(),
        r#"{"errors":["request path \"kv/a\": rate limit quota exceeded"]}"#
    );
}

#[tokio::test]
async fn a_batch_that_failed_in_part_has_the_status_that_its_engine_says() {
    let batch = |status| Response {
        status,
        ..Response::data(Data::new().with("batch_results", &["a", "b"]).unwrap())
    };
    for (said, status) in [(None, 200), (Some(400), 400), (Some(207), 207)] {
        let (answered, body) = json(answer(ID, batch(said), false).unwrap()).await;
        assert_eq!(answered, status);
        assert_eq!(body["data"]["batch_results"], serde_json::json!(["a", "b"]));
    }
}
