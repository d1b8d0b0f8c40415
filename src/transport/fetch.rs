//! What logins have fetched over HTTP: keys of who signs tokens, and reviews of tokens.
//!
//! Never follows a redirect, and never reads more than a document of keys can have.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::base::limits::MAXIMUM_FETCHED_BYTES;
use crate::service::secrets::Fetcher;
use crate::service::secrets::engine::Errand;

/// How long fetching may take.
const PATIENCE_SECONDS: u64 = 10;

/// Fetches over HTTP/1.1.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpFetcher;

impl Fetcher for HttpFetcher {
    fn fetch<'a>(
        &'a self,
        errand: &'a Errand,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(async move {
            let fetching = tokio::time::timeout(Duration::from_secs(PATIENCE_SECONDS), fetch(errand));
            match fetching.await {
                Ok(fetched) => fetched,
                Err(_) => Err(format!(
                    "{} did not answer within {PATIENCE_SECONDS} s",
                    errand.url
                )),
            }
        })
    }
}

async fn fetch(errand: &Errand) -> Result<Vec<u8>, String> {
    let url = Url::parse(&errand.url).map_err(|error| format!("{:?} is no URL: {error}", errand.url))?;
    let host = url
        .host_str()
        .ok_or_else(|| format!("{url} names no host"))?
        .to_owned();
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = url
        .port_or_known_default()
        .ok_or_else(|| format!("{url} names no port"))?;
    let failed = |error: io::Error| format!("cannot reach {host}:{port}: {error}");
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
    match url.scheme() {
        "http" => ask(stream, &url, errand).await,
        "https" => {
            let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(Arc::new(trusting(&errand.authorities)?));
            let stream = connector.connect(name, stream).await.map_err(failed)?;
            ask(stream, &url, errand).await
        }
        other => Err(format!(
            "{url} is of scheme {other:?}: only http and https are fetched"
        )),
    }
}

fn trusting(authorities: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if authorities.is_empty() {
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that cannot be used is trusted by nobody.
            let _ = roots.add(certificate);
        }
    } else {
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            let certificate =
                certificate.map_err(|error| format!("a trusted certificate is no PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("a trusted certificate cannot be used: {error}"))?;
        }
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    errand: &Errand,
) -> Result<Vec<u8>, String> {
    let failed = |error: hyper::Error| format!("{url} did not answer: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let driving = tokio::spawn(connection);
    let answered = async {
        let answer = sender.send_request(request(url, errand)?).await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("{url} answered {status}"));
        }
        let body = Limited::new(answer.into_body(), MAXIMUM_FETCHED_BYTES)
            .collect()
            .await;
        let body = body.map_err(|error| format!("the answer of {url} did not come whole: {error}"))?;
        Ok(body.to_bytes().to_vec())
    };
    let answered = answered.await;
    driving.abort();
    answered
}

fn request(url: &Url, errand: &Errand) -> Result<Request<Full<Bytes>>, String> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let method = if errand.body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, authority)
        .header(ACCEPT, "application/json");
    if !errand.bearer.is_empty() {
        let mut value = HeaderValue::try_from(format!("Bearer {}", errand.bearer))
            .map_err(|_| "the bearer token is no text of a header".to_owned())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    if errand.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from(errand.body.clone().unwrap_or_default()));
    request.body(body).map_err(|error| error.to_string())
}
