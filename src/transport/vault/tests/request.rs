//! Requests, as the store gets them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body as Stream;
use bytes::Bytes;
use http::{HeaderValue, Request as HttpRequest};
use serde_json::{Value, json};

use super::super::body;
use super::super::error::Refusal;
use super::super::large::LargeBodies;
use super::super::request::{Asked, check_headers, whole};
use super::refused;
use crate::base::limits::{MAXIMUM_SECRET_BODY_BYTES, MAXIMUM_SECRET_BODY_DEPTH};
use crate::service::secrets::{Request, Verb};
use crate::transport::Origin;

/// A request through all that the door does before it asks the store.
async fn translated(
    method: &str,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Result<Request, Refusal> {
    let mut request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .body(Stream::from(Bytes::copy_from_slice(body)))
        .unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().insert(*name, value);
    }
    let origin = Origin {
        address: Some(SocketAddr::from(([10, 0, 0, 7], 4_711))),
        certificates: vec![b"der".to_vec()].into(),
    };
    let encoded = request.uri().path().strip_prefix("/v1/").unwrap().to_owned();
    let (parts, stream) = request.into_parts();
    check_headers(&parts.headers)?;
    let asked = Asked::read(&parts, &encoded)?;
    let places = LargeBodies::new(1, 1);
    let (body, _) = body::read(&parts.headers, stream, &places, origin.ip(), &asked).await?;
    whole(asked, body, &parts.headers, &origin)
}

async fn good(method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
    match translated(method, path, headers, body.as_bytes()).await {
        Ok(request) => request,
        Err(refusal) => panic!("{method} {path}: {refusal:?}"),
    }
}

async fn bad(method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> (u16, Value) {
    match translated(method, path, headers, body.as_bytes()).await {
        Ok(request) => panic!("{method} {path}: {request:?}"),
        Err(refusal) => refused(refusal).await,
    }
}

const PATCH: (&str, &str) = ("content-type", "application/merge-patch+json; charset=utf-8");

#[tokio::test]
async fn each_method_is_a_verb_and_each_way_to_write_a_path_is_the_same() {
    for (method, path, headers, verb, normal) in [
        ("GET", "/v1/secret/a", [].as_slice(), Verb::Read, "secret/a"),
        ("GET", "/v1//secret//a/", &[], Verb::Read, "secret/a"),
        ("LIST", "/v1/secret/a", &[], Verb::List, "secret/a/"),
        ("GET", "/v1/secret/a?list=true", &[], Verb::List, "secret/a/"),
        ("GET", "/v1/secret/a?list=1", &[], Verb::List, "secret/a/"),
        ("GET", "/v1/secret/a?list=false", &[], Verb::Read, "secret/a"),
        ("LIST", "/v1/secret/a?list", &[], Verb::List, "secret/a/"),
        ("POST", "/v1/secret/a%20b", &[], Verb::Write, "secret/a b"),
        ("PUT", "/v1/secret/a", &[], Verb::Write, "secret/a"),
        ("PATCH", "/v1/secret/a", &[PATCH], Verb::Patch, "secret/a"),
        ("DELETE", "/v1/secret/a", &[], Verb::Delete, "secret/a"),
    ] {
        let request = good(method, path, headers, "").await;
        assert_eq!(
            (request.verb, request.path.as_str()),
            (verb, normal),
            "{method} {path}"
        );
        assert!(request.body.fields().is_empty());
        assert!(uuid::Uuid::parse_str(&request.id).is_ok());
    }
    for (method, path, status) in [
        ("HEAD", "/v1/secret/a", 405),
        ("TRACE", "/v1/secret/a", 405),
        ("PATCH", "/v1/secret/a", 415),
        ("GET", "/v1/secret/a?list=perhaps", 400),
        ("GET", "/v1/secret/a?help=1", 501),
        ("GET", "/v1/secret/%2e%2e/a", 400),
        ("GET", "/v1/secret/%zz", 400),
    ] {
        assert_eq!(bad(method, path, &[], "").await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn parameters_are_fields_where_nothing_is_written() {
    let path = "/v1/secret/data/a?version=2&p=a%2Cb&p=c&list=false&empty";
    for method in ["GET", "DELETE", "LIST"] {
        let request = good(method, path, &[], "{\"ignored\": 1}").await;
        assert_eq!(
            Value::Object(request.body.fields().clone()),
            json!({"version": "2", "p": ["a,b", "c"], "empty": ""}),
            "{method}"
        );
    }
    let written = good("POST", path, &[], "{\"a\": 1}").await;
    assert_eq!(Value::Object(written.body.fields().clone()), json!({"a": 1}));
}

#[tokio::test]
async fn a_body_is_json_whatever_it_is_called_or_a_form() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (header, body, fields) in [
        (
            ("content-type", "application/json"),
            "{\"a\": 1.0}",
            json!({"a": 1.0}),
        ),
        (("content-type", "text/xml"), " {\"a\": 1}", json!({"a": 1})),
        (form, "{\"a\": \"b=c\"}", json!({"a": "b=c"})),
        (form, "a=b%20c&d=1&d=2", json!({"a": "b c", "d": ["1", "2"]})),
        (form, "", json!({})),
        (form, "null", json!({})),
    ] {
        let request = good("PUT", "/v1/a", &[header], body).await;
        assert_eq!(Value::Object(request.body.fields().clone()), fields, "{body}");
    }
    let nested = MAXIMUM_SECRET_BODY_DEPTH;
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(nested), "]".repeat(nested));
    for body in [
        "[1]",
        "a=b",
        "{\"a\": hunter2}",
        "{\"a\": 1, \"a\": 2}",
        deep.as_str(),
    ] {
        let (status, said) = bad("PUT", "/v1/a", &[], body).await;
        assert_eq!(status, 400, "{said}");
        let text = said["errors"][0].as_str().unwrap();
        assert!(text.starts_with("failed to parse JSON input"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_its_length_is_told_or_not() {
    let told = (MAXIMUM_SECRET_BODY_BYTES + 1).to_string();
    let (status, _) = bad("PUT", "/v1/a", &[("content-length", &told)], "").await;
    assert_eq!(status, 413);
    let large = vec![b' '; MAXIMUM_SECRET_BODY_BYTES + 1];
    let refusal = translated("PUT", "/v1/a", &[], &large).await.unwrap_err();
    assert_eq!(refused(refusal).await.0, 413);
}

#[tokio::test]
async fn a_token_is_in_one_of_two_headers_and_shown_by_neither() {
    for (headers, token) in [
        ([].as_slice(), None),
        (&[("x-vault-token", "hvs.a")], Some("hvs.a")),
        (&[("authorization", "Bearer hvs.b")], Some("hvs.b")),
        (&[("authorization", "bearer  hvs.b ")], Some("hvs.b")),
        (&[("authorization", "Basic hvs.b")], None),
        (&[("x-vault-token", " ")], None),
        (
            &[("x-vault-token", "hvs.a"), ("authorization", "Bearer hvs.b")],
            Some("hvs.a"),
        ),
    ] {
        let request = good("GET", "/v1/a", headers, "").await;
        let found = request.token.as_ref().map(|token| token.expose().as_str());
        assert_eq!(found, token, "{headers:?}");
        assert!(!format!("{request:?}").contains("hvs."));
    }
    assert_eq!(
        bad("GET", "/v1/a", &[("x-vault-token", "hvs.é")], "").await.0,
        403
    );
}

#[tokio::test]
async fn headers_say_how_long_an_answer_is_wrapped_and_of_which_namespace_it_is() {
    for (text, seconds) in [("60", 60), ("5m", 300), ("1h30m", 5_400)] {
        let request = good("GET", "/v1/a", &[("x-vault-wrap-ttl", text)], "").await;
        assert_eq!(request.wrap, Some(Duration::from_secs(seconds)));
    }
    for text in ["", "0"] {
        let request = good("GET", "/v1/a", &[("x-vault-wrap-ttl", text)], "").await;
        assert_eq!(request.wrap, None);
    }
    for namespace in ["", "/", "root", "root/", "/root/"] {
        good("GET", "/v1/a", &[("x-vault-namespace", namespace)], "").await;
    }
    for (name, value, status) in [
        ("x-vault-wrap-ttl", "-1", 400),
        ("x-vault-wrap-ttl", "soon", 400),
        ("x-vault-wrap-format", "jwt", 501),
        ("x-vault-namespace", "team-a", 400),
        ("x-vault-namespace", "root/a", 400),
    ] {
        let (answered, said) = bad("GET", "/v1/a", &[(name, value)], "").await;
        assert_eq!(answered, status, "{name}: {value}: {said}");
        assert!(said["errors"][0].as_str().is_some_and(|text| text.len() > 20));
    }
}

#[tokio::test]
async fn a_request_says_who_sent_it() {
    let request = good("GET", "/v1/a", &[], "").await;
    assert_eq!(request.peer.address, Some([10, 0, 0, 7].into()));
    assert_eq!(request.peer.port, 4_711);
    assert_eq!(request.peer.certificates, [b"der".to_vec()]);
}
