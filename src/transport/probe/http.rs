//! A probe over HTTP/1.1. Reads no more of an answer than is kept; looks at the target of a redirect as at a new one.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use url::{Host, Url};

use super::dial::{Dialer, Protocol};
use super::truncate;
use crate::base::limits::MAXIMUM_CHECK_REDIRECTS;
use crate::service::registry::{HttpTarget, Status, target_url};

/// Bytes that the head of an answer may have.
const MAXIMUM_HEAD_BYTES: usize = 64 * 1024;
const AGENT: &str = "stead-health-check";
const ACCEPTED: &str = "text/plain, text/*, */*";

/// The method of a request, as it is sent.
pub(super) fn method(target: &HttpTarget) -> &str {
    match target.method.as_str() {
        "" => "GET",
        method => method,
    }
}

/// A request that is to be sent next.
struct Next<'target> {
    url: Url,
    method: Method,
    headers: Option<&'target BTreeMap<String, Vec<String>>>,
    body: Bytes,
}

/// Asks; the status of the check and what it says.
///
/// # Errors
/// There is no answer, in a sentence.
pub(super) async fn ask(
    dialer: &Dialer,
    target: &HttpTarget,
    output_bytes: usize,
) -> Result<(Status, String), String> {
    let first = target_url(&target.url).map_err(|error| error.to_string())?;
    let mut next = Next {
        method: Method::from_bytes(method(target).as_bytes()).map_err(|error| error.to_string())?,
        headers: Some(&target.headers),
        body: Bytes::from(target.body.clone()),
        url: first.clone(),
    };
    for _ in 0..=MAXIMUM_CHECK_REDIRECTS {
        // Ends with the probe, whatever becomes of it.
        let mut connections = JoinSet::new();
        let answer = send(dialer, target, &next, &mut connections).await?;
        let followed = match target.disable_redirects {
            true => None,
            false => redirect(&next.url, &answer)?,
        };
        let Some(url) = followed else {
            return read(target, answer, output_bytes).await;
        };
        let keeps =
            [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&answer.status());
        if !keeps && next.method != Method::HEAD {
            next.method = Method::GET;
            next.body = Bytes::new();
        }
        if url.origin() != first.origin() {
            // They were meant for somebody else.
            next.headers = None;
        }
        next.url = url;
    }
    Err(format!("more than {MAXIMUM_CHECK_REDIRECTS} redirects"))
}

/// Where an answer sends to, if it does.
fn redirect(url: &Url, answer: &Response<Incoming>) -> Result<Option<Url>, String> {
    const REDIRECTS: [StatusCode; 5] = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !REDIRECTS.contains(&answer.status()) {
        return Ok(None);
    }
    let Some(location) = answer.headers().get(LOCATION) else {
        return Ok(None);
    };
    let unusable = || "the answer redirects to something that is no URL of HTTP".to_owned();
    let location = location.to_str().map_err(|_| unusable())?;
    let joined = url.join(location).map_err(|_| unusable())?;
    target_url(joined.as_str()).map(Some).map_err(|_| unusable())
}

async fn send(
    dialer: &Dialer,
    target: &HttpTarget,
    next: &Next<'_>,
    connections: &mut JoinSet<()>,
) -> Result<Response<Incoming>, String> {
    let host = match next.url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err("the URL has no host".into()),
    };
    let port = next.url.port_or_known_default().unwrap_or_default();
    let tls = (next.url.scheme() == "https").then_some((&target.tls, Protocol::Http1));
    let socket = dialer.connect_to(&host, port, tls).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAXIMUM_HEAD_BYTES)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|error| error.to_string())?;
    connections.spawn(async move {
        // What goes wrong is told to whoever waits for the answer.
        let _ = connection.await;
    });
    let request = request(next)?;
    let sent = sender.send_request(request).await;
    sent.map_err(|error| format!("no answer of HTTP: {error}"))
}

fn request(next: &Next<'_>) -> Result<Request<Full<Bytes>>, String> {
    let url = &next.url;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut request = Request::builder()
        .method(next.method.clone())
        .uri(path)
        .body(Full::new(next.body.clone()))
        .map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert(
        HOST,
        HeaderValue::from_str(&host).map_err(|error| error.to_string())?,
    );
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    for (name, values) in next.headers.into_iter().flatten() {
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        headers.remove(&name);
        for value in values {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.append(name.clone(), value);
        }
    }
    Ok(request)
}

async fn read(
    target: &HttpTarget,
    answer: Response<Incoming>,
    output_bytes: usize,
) -> Result<(Status, String), String> {
    let found = answer.status();
    let mut body = answer.into_body();
    let mut kept = Vec::new();
    while kept.len() < output_bytes
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| format!("the answer ends too early: {error}"))?;
        if let Some(data) = frame.data_ref() {
            let room = output_bytes.saturating_sub(kept.len());
            kept.extend(data.iter().take(room));
        }
    }
    let mut text = String::from_utf8_lossy(&kept).into_owned();
    truncate(&mut text, output_bytes);
    let status = match found {
        found if found.is_success() => Status::Passing,
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ => Status::Critical,
    };
    let (method, url) = (method(target), &target.url);
    let mut output = format!("HTTP {method} {url}: {found} Output: {text}");
    truncate(&mut output, output_bytes);
    Ok((status, output))
}
