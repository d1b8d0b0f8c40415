//! For fuzzing: what clients of Vault's interface send, before a service sees it.

use std::sync::LazyLock;

use axum::body::Body as Stream;
use http::header::{HeaderName, HeaderValue};
use tokio::runtime::{Builder, Runtime};

use super::error::Refusal;
use super::large::LargeBodies;
use super::{ROOT, body, request, shares};
use crate::service::secrets::path::normalise;
use crate::service::secrets::{Request, Verb};
use crate::transport::Origin;

/// What large bodies are understood aside by.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let built = Builder::new_current_thread().build();
    built.expect("threads can be started")
});

/// A request: the method and what is asked of, then lines of headers, and behind an empty line the body.
pub fn requests(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next().unwrap_or_default().splitn(2, |byte| *byte == b' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let mut builder = http::Request::builder().method(method).uri(target);
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            builder = builder.header(name, value);
        }
    }
    let sent = rest.strip_prefix(b"\n\n").unwrap_or_default().to_vec();
    let Ok(asked) = builder.body(Stream::from(sent)) else {
        return;
    };
    match RUNTIME.block_on(read(asked)) {
        Ok(Some(read)) => {
            let again = normalise(&read.path.replace('%', "%25"), read.verb == Verb::List);
            assert_eq!(again, Ok(read.path));
        }
        Ok(None) => {}
        Err(refusal) => {
            let status = refusal.into_response().status();
            assert!(status.is_client_error() || status.as_u16() == 501, "{status}");
        }
    }
}

async fn read(asked: http::Request<Stream>) -> Result<Option<Request>, Refusal> {
    let (parts, stream) = asked.into_parts();
    let Some(encoded) = parts.uri.path().strip_prefix(ROOT) else {
        return Ok(None);
    };
    request::check_headers(&parts.headers)?;
    let asked = request::Asked::read(&parts, encoded)?;
    let places = LargeBodies::new(1, 1);
    let (body, _) = body::read(&parts.headers, stream, &places, None, &asked).await?;
    let _ = shares::share(&body, "");
    let _ = shares::nonce(&body);
    let _ = shares::numbers(&body);
    request::whole(asked, body, &parts.headers, &Origin::default()).map(Some)
}

/// Requests of all methods.
#[must_use]
pub fn request_seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "GET /v1/secret/data/a%2Fb?version=2&list=false\nX-Vault-Token: s.abc\nX-Vault-Wrap-TTL: 5m\n\n",
        "LIST /v1/secret/metadata/\nAuthorization: Bearer s.abc\nX-Vault-Namespace: root/\n\n",
        "POST /v1/auth/userpass/login/u\nContent-Type: application/x-www-form-urlencoded\n\npassword=a%20b&x=1&x=2",
        "PUT /v1/sys/unseal\nContent-Length: 60\n\n{\"key\": \"AAECAwQF\", \"nonce\": \"\", \"secret_shares\": 5, \"secret_threshold\": \"3\"}",
        "PATCH /v1/secret/data/a\nContent-Type: application/merge-patch+json\nContent-Length: 21\nX-Vault-Request: true\n\n{\"data\": {\"a\": null}}",
    ];
    seeds.map(|seed| seed.as_bytes().to_vec()).into()
}
