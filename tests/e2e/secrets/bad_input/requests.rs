//! Paths, bodies, methods and headers that are wrong.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{SECRET, is_still_there, nothing_was_logged, open_store, refused, store};
use crate::e2e::secrets::{MAXIMUM_WAIT, PAUSE, Visitor};
use crate::support::{Error, Result, TestResult};

/// Bytes of the longest body.
const MAXIMUM_BODY_BYTES: usize = 32 * 1024 * 1024;

const NO_JSON: &str = "failed to parse JSON input";

#[tokio::test]
async fn a_path_has_one_form_and_dots_and_broken_encodings_are_none() -> TestResult {
    let store = store().await?;
    let root = store.root(0);
    let rules = "path \"secret/data/app/*\" { capabilities = [\"create\", \"read\", \"update\"] }";
    root.writes("sys/policies/acl/app", json!({"policy": rules}))
        .await?
        .with(204)?;
    let made = root
        .writes("auth/token/create", json!({"policies": ["app"]}))
        .await?;
    let made = made.with(200)?;
    let app = root.with_token(made["auth"]["client_token"].as_str().ok_or("no token")?);
    let other = json!({"data": {"v": SECRET}});
    root.writes("secret/data/other", other.clone()).await?.with(200)?;

    let (dots, encoding, control) = (
        "segment of dots",
        "not encoded as it should be",
        "control character",
    );
    let long = format!("secret/data/{}", "a/".repeat(1_024));
    let (wide, deep) = (
        format!("secret/data/{}", "a".repeat(513)),
        format!("secret/data{}", "/a".repeat(64)),
    );
    for (path, says) in [
        ("secret/data/app/../other", dots),
        ("secret/data/app/./a", dots),
        ("secret/data/app/..", dots),
        ("../v1/secret/data/app/a", dots),
        ("secret/data/app/%2e%2e/other", dots),
        ("secret/data/app/.%2E/other", dots),
        ("secret/data/app%2f..%2fother", dots),
        ("secret/data/app/%2e%2e%2fother", dots),
        ("secret/data/app/a%00", control),
        ("secret/data/app/%00/../other", control),
        ("secret/data/app/a%0d%0aX-Vault-Token:%20a", control),
        ("secret/data/app/%7f", control),
        ("secret/data/app/%ff", encoding),
        ("secret/data/app/%c0%ae%c0%ae/other", encoding),
        ("secret/data/app/%c3", encoding),
        ("secret/data/app/%ed%a0%80", encoding),
        ("secret/data/app/%zz", encoding),
        ("secret/data/app/%2", encoding),
        ("secret/data/app/%", encoding),
        (long.as_str(), "the most is 2048"),
    ] {
        for visitor in [&root, &app, &root.with_token("")] {
            for method in ["GET", "DELETE", "LIST", "POST"] {
                let answered = visitor.asks(method, path, Value::Null).await?;
                refused(&answered, 400, says).map_err(|error| format!("{method} {path}: {error}"))?;
            }
        }
    }
    for (path, says) in [(wide, "the most is 512"), (deep, "more than 64 segments")] {
        for method in ["GET", "DELETE", "POST"] {
            let answered = root.asks(method, &path, other.clone()).await?;
            refused(&answered, 400, says).map_err(|error| format!("{method} {path}: {error}"))?;
        }
    }
    // Other ways to write it are the same path, for policies too.
    for path in [
        "secret//data///app//a",
        "/secret/data/app/a/",
        "secret/data%2Fapp%2fa",
        "%73ecret/data/app/%61",
    ] {
        for visitor in [&root, &app] {
            let read = visitor.reads(path).await?.with(200)?;
            assert_eq!(read["data"]["data"]["v"], SECRET, "{path}");
        }
    }
    for path in [
        "secret//data//other",
        "secret/data%2fother",
        "secret/data/app%252f..%252fother/../other",
    ] {
        assert_ne!(app.reads(path).await?.status, 200, "{path}");
    }
    // A percent sign that was encoded is one, and no encoding.
    let encoded = "secret/data/app/%252e%252e";
    app.writes(encoded, json!({"data": {"v": 1}})).await?.with(200)?;
    let listed = root
        .asks("LIST", "secret/metadata/app", Value::Null)
        .await?
        .with(200)?;
    assert_eq!(listed["data"]["keys"], json!(["%2e%2e", "a"]));
    is_still_there(&app).await?;
    nothing_was_logged(&store)?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_cannot_be_understood_is_refused_and_not_repeated() -> TestResult {
    let store = store().await?;
    let root = store.root(0);
    let nested =
        |open: &str, close: &str| format!("{{\"data\": {}{}}}", open.repeat(10_000), close.repeat(10_000));
    let (lists, objects) = (nested("[", "]"), nested("{\"a\":", "}"));
    let open = format!("{{\"data\": {}", "[".repeat(10_000));
    let twice = format!("{{\"data\": {{\"v\": \"{SECRET}\"}}, \"data\": {{\"v\": \"{SECRET}\"}}}}");
    let twice_below = format!("{{\"data\": {{\"v\": \"{SECRET}\", \"v\": 1}}}}");
    let cut = format!("{{\"data\": {{\"v\": \"{SECRET}");
    let behind = format!("{{\"data\": {{}}}} {SECRET}");
    let quoted = format!("\"{SECRET}\"");
    for (body, says) in [
        (lists.as_str(), NO_JSON),
        (&objects, NO_JSON),
        (&open, NO_JSON),
        (&twice, "\"data\" is said twice"),
        (&twice_below, "\"v\" is said twice"),
        (&cut, NO_JSON),
        (&behind, NO_JSON),
        (&quoted, "it is no object"),
        (SECRET, NO_JSON),
        ("[1]", "it is no object"),
        ("{\"data\": {\"v\": 1e999}}", NO_JSON),
        ("{\"data\": {\"v\": NaN}}", NO_JSON),
        ("{\"data\": {\"v\": \"\\ud800\"}}", NO_JSON),
        ("{\"data\": {\"v\": \"\u{0}\"}}", NO_JSON),
        ("", "no data provided"),
        ("null", "no data provided"),
        ("{}", "no data provided"),
        ("{\"data\": null}", "no data provided"),
    ] {
        let begin = &body[..body.len().min(40)];
        for path in ["secret/data/app/a", "secret/data/app/new"] {
            let answered = root
                .sends("POST", path, "Content-Type: application/json\r\n", body)
                .await?;
            refused(&answered, 400, says).map_err(|error| format!("{begin}: {error}"))?;
        }
        is_still_there(&root)
            .await
            .map_err(|error| format!("{begin}: {error}"))?;
    }
    let none = root.reads("secret/data/app/new").await?;
    refused(&none, 404, "")?;
    nothing_was_logged(&store)?;
    Ok(())
}

#[tokio::test]
async fn a_field_of_another_kind_is_refused_and_what_may_be_secret_in_it_is_not_repeated() -> TestResult {
    let store = store().await?;
    let root = store.root(0);
    for (path, body) in [
        ("sys/mounts/transit", json!({"type": "transit"})),
        ("sys/mounts/pki", json!({"type": "pki"})),
        ("sys/auth/approle", json!({"type": "approle"})),
        ("sys/auth/userpass", json!({"type": "userpass"})),
        ("auth/approle/role/app", json!({"token_policies": "default"})),
        ("auth/userpass/users/alice", json!({"password": "right"})),
    ] {
        root.writes(path, body).await?.with(204)?;
    }
    root.writes("transit/keys/k", json!({})).await?.with(200)?;
    let mut wrong = Vec::new();
    for (path, body) in [
        ("secret/data/app/a", json!({"data": SECRET})),
        ("secret/data/app/a", json!({"data": [SECRET]})),
        ("secret/data/app/a", json!({"data": {}, "options": SECRET})),
        (
            "secret/data/app/a",
            json!({"data": {}, "options": {"cas": SECRET}}),
        ),
        ("secret/delete/app/a", json!({"versions": SECRET})),
        ("secret/delete/app/a", json!({"versions": {"v": SECRET}})),
        ("secret/metadata/app/a", json!({"max_versions": SECRET})),
        (
            "secret/metadata/app/a",
            json!({"custom_metadata": {"a": [SECRET]}}),
        ),
        ("transit/encrypt/k", json!({"plaintext": format!("{SECRET}!")})),
        ("transit/encrypt/k", json!({"plaintext": [SECRET]})),
        ("transit/encrypt/k", json!({"batch_input": SECRET})),
        (
            "transit/encrypt/k",
            json!({"batch_input": [{"plaintext": format!("{SECRET}!")}]}),
        ),
        ("transit/decrypt/k", json!({"ciphertext": SECRET})),
        (
            "transit/decrypt/k",
            json!({"ciphertext": format!("vault:v1:{SECRET}")}),
        ),
        ("transit/sign/k", json!({"input": SECRET})),
        ("transit/keys/k/config", json!({"min_decryption_version": SECRET})),
        ("pki/config/ca", json!({"pem_bundle": SECRET})),
        (
            "pki/root/generate/internal",
            json!({"common_name": "a", "ttl": SECRET}),
        ),
        ("pki/roles/r", json!({"allowed_domains": {"a": SECRET}})),
        ("auth/token/create", json!({"ttl": SECRET})),
        ("auth/token/create", json!({"policies": {"a": SECRET}})),
        ("auth/token/create", json!({"num_uses": SECRET})),
        ("auth/token/create", json!({"renewable": SECRET})),
        ("auth/token/lookup", json!({"token": [SECRET]})),
        ("auth/userpass/users/bob", json!({"password": [SECRET]})),
        (
            "auth/userpass/users/alice/password",
            json!({"password": {"a": SECRET}}),
        ),
        ("auth/userpass/login/alice", json!({"password": SECRET})),
        ("auth/userpass/login/nobody", json!({"password": SECRET})),
        ("auth/userpass/login/alice", json!({"password": [SECRET]})),
        (
            "auth/approle/login",
            json!({"role_id": SECRET, "secret_id": SECRET}),
        ),
        ("auth/approle/login", json!({"secret_id": [SECRET]})),
        (
            "auth/approle/role/app/custom-secret-id",
            json!({"secret_id": [SECRET]}),
        ),
        ("auth/approle/role/app", json!({"secret_id_ttl": SECRET})),
        ("sys/policies/acl/bad", json!({"policy": [SECRET]})),
        ("sys/mounts/other", json!({"type": [SECRET]})),
        ("sys/mounts/secret/tune", json!({"max_lease_ttl": SECRET})),
        ("sys/audit/other", json!({"type": "file", "options": SECRET})),
        ("sys/generate-root/attempt", json!({"otp": format!("{SECRET}!")})),
    ] {
        let answered = root.writes(path, body.clone()).await?;
        let is_refused = match answered.body.get("data") {
            // A batch tells of each item what is wrong with it.
            Some(data) => answered.status == 400 && !data.to_string().contains(SECRET),
            None => refused(&answered, answered.status, " ").is_ok() && matches!(answered.status, 400 | 403),
        };
        if !is_refused {
            wrong.push(format!("{path} {body}: {} {}", answered.status, answered.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let login = root
        .writes("auth/userpass/login/alice", json!({"password": "right"}))
        .await?;
    assert!(login.with(200)?["auth"]["client_token"].is_string());
    is_still_there(&root).await?;
    nothing_was_logged(&store)?;
    Ok(())
}

#[tokio::test]
async fn methods_and_content_types_that_a_path_does_not_have_are_refused() -> TestResult {
    let store = store().await?;
    let root = store.root(0);
    let mut wrong = Vec::new();
    for (method, path, status) in [
        ("TRACE", "secret/data/app/a", 405),
        ("CONNECT", "secret/data/app/a", 405),
        ("SECRET", "secret/data/app/a", 405),
        ("POST", "sys/health", 405),
        ("DELETE", "sys/init", 405),
        ("LIST", "sys/seal-status", 405),
        ("GET", "sys/unseal", 405),
        ("GET", "sys/rekey/update", 405),
        ("LIST", "secret/data/app", 405),
        ("DELETE", "secret/config", 405),
        ("LIST", "auth/token/create", 405),
        ("GET", "auth/token/create", 405),
        ("DELETE", "sys/policies/acl/default", 400),
        ("DELETE", "sys/mounts/sys", 400),
    ] {
        let answered = root.asks(method, path, Value::Null).await?;
        if answered.status != status || !answered.body["errors"].is_array() {
            wrong.push(format!("{method} {path}: {} {}", answered.status, answered.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is no folder has nothing below it, as what is not there.
    for path in ["secret/metadata/app/a", "secret/metadata/none", "cubbyhole/none"] {
        for answered in [
            root.asks("LIST", path, Value::Null).await?,
            root.reads(&format!("{path}?list=true")).await?,
        ] {
            refused(&answered, 404, "").map_err(|error| format!("{path}: {error}"))?;
        }
    }
    refused(
        &root.reads("secret/data/app/a?list=perhaps").await?,
        400,
        "no truth value",
    )?;
    refused(&root.reads("nowhere/a").await?, 404, "no handler for route")?;

    let patch = json!({"data": {"more": 1}}).to_string();
    for kind in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: text/xml\r\n",
    ] {
        let answered = root.sends("PATCH", "secret/data/app/a", kind, &patch).await?;
        refused(&answered, 415, "application/merge-patch+json")?;
    }
    let kind = "Content-Type: application/merge-patch+json\r\n";
    root.sends("PATCH", "secret/data/app/a", kind, &patch)
        .await?
        .with(200)?;
    // As in Vault, what is written is JSON whatever it is called.
    for kind in ["text/xml", "multipart/form-data; boundary=a", "\u{e9}"] {
        let kind = format!("Content-Type: {kind}\r\n");
        let secret = json!({"data": {"v": SECRET}}).to_string();
        root.sends("POST", "secret/data/app/a", &kind, &secret)
            .await?
            .with(200)?;
        let form = format!("data={SECRET}");
        refused(
            &root.sends("POST", "secret/data/app/a", &kind, &form).await?,
            400,
            NO_JSON,
        )?;
    }
    for (header, status) in [
        ("X-Vault-Namespace: team-a\r\n", 400),
        ("X-Vault-Wrap-Format: jwt\r\n", 501),
    ] {
        let answered = root.sends("GET", "secret/data/app/a", header, "").await?;
        refused(&answered, status, "not supported")
            .or_else(|_| refused(&answered, status, "X-Vault-Wrap-Format"))?;
    }
    is_still_there(&root).await?;
    Ok(())
}

/// Sends a head, and that many bytes of a body; the status and the body of the answer, which comes before all is sent.
async fn large(visitor: &Visitor, head: &str, body: &[u8]) -> Result<(u16, Value)> {
    let mut connection = TcpStream::connect(&visitor.address).await?;
    let request = format!(
        "POST /v1/secret/data/app/large HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Vault-Token: {}\r\n{head}\r\n",
        visitor.address, visitor.token
    );
    connection.write_all(request.as_bytes()).await?;
    connection.write_all(body).await?;
    let mut answer = String::new();
    timeout(MAXIMUM_WAIT, connection.read_to_string(&mut answer)).await??;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, serde_json::from_str(body)?))
}

#[tokio::test]
async fn a_body_has_32_mib_at_most_whether_its_length_is_told_or_not() -> TestResult {
    let store = open_store().await?;
    for root in store.roots() {
        let too_large = MAXIMUM_BODY_BYTES + 1;
        // The length is enough: nothing of the body was sent.
        let told = format!("Content-Length: {too_large}\r\n");
        let (status, said) = large(&root, &told, b"").await?;
        assert_eq!(
            (status, &said["errors"][0]),
            (413, &json!("the body has 33554433 bytes; the most is 33554432"))
        );

        // Without a length, one byte too much ends it: the end of the chunk was not sent.
        let chunk = [format!("{too_large:x}\r\n").as_bytes(), &vec![b' '; too_large]].concat();
        let (status, said) = large(&root, "Transfer-Encoding: chunked\r\n", &chunk).await?;
        assert_eq!(status, 413, "{said}");
        assert!(
            said["errors"][0]
                .as_str()
                .is_some_and(|text| text.contains("the most is 33554432")),
            "{said}"
        );

        // The longest body is read; what is in it is a secret.
        let mut longest = json!({"data": {"v": SECRET}}).to_string();
        longest.push_str(&" ".repeat(MAXIMUM_BODY_BYTES - longest.len()));
        let told = format!("Content-Length: {}\r\n", longest.len());
        let written = async {
            loop {
                match large(&root, &told, longest.as_bytes()).await? {
                    // The members may have no leader while all of them are so busy.
                    (503, _) => sleep(PAUSE).await,
                    other => return Ok::<_, Error>(other),
                }
            }
        };
        let (status, said) = timeout(MAXIMUM_WAIT, written).await??;
        assert_eq!(status, 200, "{said}");

        // A secret itself is shorter.
        let long = json!({"data": {"v": SECRET.repeat(40_000)}});
        refused(
            &root.writes("secret/data/app/large", long).await?,
            400,
            "the most is 1048576",
        )?;
        is_still_there(&root).await?;
    }
    nothing_was_logged(&store)?;
    Ok(())
}
