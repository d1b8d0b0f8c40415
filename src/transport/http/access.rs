//! Who may ask over HTTP: scripts of which web pages (CORS), and under which names of this machine.
//!
//! As in etcd, a request under a name that is not in the list is refused: the list protects from a page that makes its own
//! name lead to this machine. It is for plain connections; a name that a certificate vouches for needs no list.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::plain;

/// Some names, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Every name.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Names {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// What is served over HTTP, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whether the JSON gateway is served.
    pub gateway: bool,
    /// Origins of web pages whose scripts may ask.
    pub origins: Names,
    /// Host names under which this machine may be asked.
    pub hosts: Names,
}

/// In the extensions of a request that came over TLS.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct Protected;

/// Answers a request that may come, and marks the answer for web pages that may read it.
pub(super) async fn check(
    State(settings): State<Arc<HttpSettings>>,
    request: Request,
    next: Next,
) -> Response {
    let host = host_name(request.headers(), request.uri());
    if request.extensions().get::<Protected>().is_none() && !settings.hosts.contains(&host) {
        return plain(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "This server is not known under the name {host:?}. Add the name to --host-whitelist, or ask under one that \
                 is in it. (The list protects from DNS rebinding, CVE-2018-5702.)\n"
            ),
        );
    }
    let allowed = allowed_origin(&settings.origins, request.headers());
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        next.run(request).await
    };
    if let Some(origin) = allowed {
        let head = response.headers_mut();
        let mut mark = |name: HeaderName, value| head.insert(name, value);
        mark(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        mark(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"),
        );
        mark(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("accept, content-type, authorization"),
        );
    }
    response
}

fn allowed_origin(origins: &Names, headers: &HeaderMap) -> Option<HeaderValue> {
    match origins {
        Names::All => Some(HeaderValue::from_static("*")),
        Names::Only(_) => {
            let origin = headers.get(header::ORIGIN)?;
            origins.contains(origin.to_str().ok()?).then(|| origin.clone())
        }
    }
}

/// The name under which this machine is asked, without the port.
fn host_name(headers: &HeaderMap, uri: &Uri) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()))
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    // An IPv6 address stands in brackets.
    name.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::super::guarded;
    use super::*;

    #[test]
    fn a_host_is_known_by_its_name_whatever_the_port() {
        let name = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).expect("it is a host"));
            host_name(&headers, &Uri::from_static("/v3/kv/range"))
        };
        assert_eq!(name("example.com:2379"), "example.com");
        assert_eq!(name("example.com"), "example.com");
        assert_eq!(name("[::1]:2379"), "::1");
        assert_eq!(name("[::1]"), "::1");
        assert_eq!(name("127.0.0.1:80"), "127.0.0.1");
        let of_http_2 = Uri::from_static("http://example.com:2379/v3/kv/range");
        assert_eq!(host_name(&HeaderMap::new(), &of_http_2), "example.com");
    }

    #[tokio::test]
    async fn a_name_that_is_not_in_the_list_is_refused_on_plain_connections_only() {
        let settings = HttpSettings {
            gateway: true,
            origins: Names::All,
            hosts: Names::Only(BTreeSet::from(["good.example".to_owned()])),
        };
        let pages = Router::new().route("/", get(|| async { "page" }));
        let pages = guarded(pages, settings);
        let status = async |host: &str, is_protected: bool| {
            let mut request = Request::get("/").header(header::HOST, host).body(Body::empty());
            let request = request.as_mut().expect("it is a request");
            if is_protected {
                request.extensions_mut().insert(Protected);
            }
            let answer = pages.clone().oneshot(std::mem::take(request)).await;
            answer.expect("it is answered").status()
        };
        assert_eq!(status("good.example", false).await, StatusCode::OK);
        assert_eq!(
            status("bad.example", false).await,
            StatusCode::MISDIRECTED_REQUEST
        );
        assert_eq!(status("bad.example", true).await, StatusCode::OK);
    }

    #[test]
    fn an_origin_is_answered_by_itself_unless_all_are_allowed() {
        let mut headers = HeaderMap::new();
        assert_eq!(allowed_origin(&Names::All, &headers).expect("all may"), "*");
        let some = Names::Only(BTreeSet::from(["http://a".to_owned()]));
        assert_eq!(allowed_origin(&some, &headers), None);
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://b"));
        assert_eq!(allowed_origin(&some, &headers), None);
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://a"));
        assert_eq!(allowed_origin(&some, &headers).expect("it may"), "http://a");
    }
}
