//! One fetch: a connection, a request and its answer.
//!
//! Never follows a redirect, and never reads more than a document of keys can have. What cannot be ended when nobody waits for
//! it any more holds the place of its fetch until it is over.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use url::Url;

use super::Fetched;
use crate::base::limits::MAXIMUM_FETCHED_BYTES;
use crate::service::secrets::engine::Errand;

/// Runs an errand. `system` is what trusts whom the system trusts, once it is known.
pub(super) async fn fetch(
    errand: &Errand,
    system: &OnceCell<Arc<ClientConfig>>,
    place: &Arc<OwnedSemaphorePermit>,
) -> Fetched {
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
    let addresses = addresses(&host, port, place).await.map_err(failed)?;
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
    match url.scheme() {
        "http" => ask(stream, &url, errand).await,
        "https" => {
            let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(trusting(&errand.authorities, system, place).await?);
            let stream = connector.connect(name, stream).await.map_err(failed)?;
            ask(stream, &url, errand).await
        }
        other => Err(format!(
            "{url} is of scheme {other:?}: only http and https are fetched"
        )),
    }
}

/// The addresses of a host.
async fn addresses(host: &str, port: u16, place: &Arc<OwnedSemaphorePermit>) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (host, place) = (host.to_owned(), Arc::clone(place));
    let looking = tokio::task::spawn_blocking(move || {
        let _place = place;
        (host.as_str(), port).to_socket_addrs()
    });
    let found = looking.await.map_err(io::Error::other)??;
    Ok(found.collect())
}

/// Trusts who is given as PEM; nobody is: whom the system trusts, which is read once.
pub(super) async fn trusting(
    authorities: &str,
    system: &OnceCell<Arc<ClientConfig>>,
    place: &Arc<OwnedSemaphorePermit>,
) -> Result<Arc<ClientConfig>, String> {
    if !authorities.is_empty() {
        return Ok(Arc::new(trusting_only(given(authorities)?)));
    }
    let load = || async {
        let place = Arc::clone(place);
        let loading = tokio::task::spawn_blocking(move || {
            let _place = place;
            of_system().map(|roots| Arc::new(trusting_only(roots)))
        });
        loading
            .await
            .map_err(|error| format!("the trusted authorities of this machine cannot be read: {error}"))?
    };
    system.get_or_try_init(load).await.cloned()
}

fn given(authorities: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("a trusted certificate is no PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("a trusted certificate cannot be used: {error}"))?;
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // One that cannot be used is trusted by nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err("this machine has no list of trusted authorities; name those to trust".to_owned()),
        false => Ok(roots),
    }
}

fn trusting_only(roots: RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A resumed session would skip the check of a certificate that is over since.
    config.resumption = Resumption::disabled();
    config
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    errand: &Errand,
) -> Fetched {
    let failed = |error: hyper::Error| format!("{url} did not answer: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Ends with the fetch, whatever becomes of it.
    let mut connections = JoinSet::new();
    connections.spawn(async move {
        // What goes wrong is told to whoever waits for the answer.
        let _ = connection.await;
    });
    let answer = sender.send_request(request(url, errand)?).await.map_err(failed)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("{url} answered {status}"));
    }
    let body = Limited::new(answer.into_body(), MAXIMUM_FETCHED_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| format!("the answer of {url} did not come whole: {error}"))?;
    // A copy, which holds nothing else: it may be kept.
    Ok(Arc::from(&body.to_bytes()[..]))
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
