//! Front doors: gRPC and HTTP, and DNS ([`dns`]). Translation only; never decides anything.
//!
//! One port speaks gRPC and HTTP: HTTP/2 with prior knowledge for gRPC clients, HTTP/1.1 for everything that reads a page. What is
//! neither is answered with an error, or not at all, and its connection closed; nobody else notices. With TLS it is the
//! same two, in the words of the handshake: `h2` and `http/1.1`.
//!
//! The one thing that goes out: the probes of checks, to whatever they are about.

mod authority;
mod clients;
mod connections;
mod consul;
pub mod dns;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateway;
pub mod grpc;
pub mod http;
mod leftover;
mod probe;
mod vault;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Request, Response};
use axum::Router;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::base::limits::MAXIMUM_SECRET_REQUESTS_PER_CLIENT;
use crate::base::metrics::Metrics;
use crate::base::tls::{CertificateName, Entrance};
use crate::service::Services;
use crate::service::consul::Consul;
use crate::service::secrets::engine::Peer;
use crate::service::watch::WatchHub;
pub use connections::Accept;
pub use fetch::HttpFetcher;
use grpc::GrpcDoor;
pub use http::{HttpSettings, Names};
pub use probe::Probes;

/// What etcd's gateway puts into calls that it makes for others: whose certificate it shows says nothing about them.
const GATEWAY_HEADER: &str = "grpcgateway-accept";

/// The front doors of a node. A handle: clones share one.
#[derive(Clone)]
pub struct FrontDoors {
    shared: Arc<Shared>,
}

/// How connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Most streams that a client may have open on one connection.
    pub maximum_concurrent_streams: u32,
    /// Silence after which a client is asked whether it is still there; none for never.
    pub keepalive_interval: Option<Duration>,
    /// Time in which it must answer; none for any.
    pub keepalive_timeout: Option<Duration>,
}

/// How calls are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSettings {
    /// Whether the time of calls is measured for each method (`--metrics=extensive`).
    pub measures_handling: bool,
    /// A call with one answer that takes longer is logged.
    pub slow_after: Duration,
}

struct Shared {
    grpc: Option<Arc<GrpcDoor>>,
    http: Router,
    connections: ConnectionSettings,
    stopping: CancellationToken,
}

impl FrontDoors {
    /// What clients are served: the services over gRPC, and over HTTP the pages and, in JSON, the services.
    #[must_use]
    pub fn for_clients(
        services: &Services,
        hub: WatchHub,
        metrics: &Arc<Metrics>,
        connections: ConnectionSettings,
        calls: CallSettings,
        http: HttpSettings,
        stopping: CancellationToken,
    ) -> Self {
        let grpc = Arc::new(GrpcDoor::new(
            services,
            hub,
            &metrics.calls,
            calls,
            stopping.clone(),
        ));
        let mut pages = http::client_pages(services, metrics);
        if http.gateway {
            pages = pages.merge(gateway::paths(&grpc));
        }
        let http = http::guarded(pages, http);
        Self {
            shared: Arc::new(Shared {
                grpc: Some(grpc),
                http,
                connections,
                stopping,
            }),
        }
    }

    /// What `--listen-metrics-urls` serves: metrics and health, and no calls.
    #[must_use]
    pub fn for_metrics(
        services: &Services,
        metrics: &Arc<Metrics>,
        connections: ConnectionSettings,
        stopping: CancellationToken,
    ) -> Self {
        let http = http::metrics_pages(services, metrics);
        Self {
            shared: Arc::new(Shared {
                grpc: None,
                http,
                connections,
                stopping,
            }),
        }
    }

    /// What `--listen-consul-urls` serves: Consul's HTTP interface, to as many requests of one client at a time.
    #[must_use]
    pub fn for_consul(
        consul: &Consul,
        requests_per_client: usize,
        connections: ConnectionSettings,
        stopping: CancellationToken,
    ) -> Self {
        let http = consul::pages(consul, requests_per_client, stopping.clone());
        Self {
            shared: Arc::new(Shared {
                grpc: None,
                http,
                connections,
                stopping,
            }),
        }
    }

    /// What `--listen-vault-urls` serves: Vault's HTTP interface. A connection has no more streams than its client may have
    /// requests under way.
    #[must_use]
    pub fn for_vault(
        services: &Services,
        connections: ConnectionSettings,
        stopping: CancellationToken,
    ) -> Self {
        let most = u32::try_from(MAXIMUM_SECRET_REQUESTS_PER_CLIENT).unwrap_or(u32::MAX);
        let connections = ConnectionSettings {
            maximum_concurrent_streams: connections.maximum_concurrent_streams.min(most),
            ..connections
        };
        Self {
            shared: Arc::new(Shared {
                grpc: None,
                http: vault::pages(services),
                connections,
                stopping,
            }),
        }
    }

    /// Serves a listener, behind `entrance`, until the token given to the constructor is cancelled; then lets calls end,
    /// for a bounded time.
    pub async fn serve(self, listener: impl Accept, entrance: Entrance) {
        let stopping = self.shared.stopping.clone();
        let settings = self.shared.connections;
        connections::serve(listener, entrance, self, settings, stopping).await;
    }

    /// The same, apart: calls over gRPC without pages, and pages without calls.
    #[must_use]
    pub fn apart(&self) -> (Self, Self) {
        let with = |grpc, http| Self {
            shared: Arc::new(Shared {
                grpc,
                http,
                connections: self.shared.connections,
                stopping: self.shared.stopping.clone(),
            }),
        };
        (
            with(self.shared.grpc.clone(), Router::new()),
            with(None, self.shared.http.clone()),
        )
    }

    fn answer(&self, mut request: Request<Incoming>, is_protected: bool) -> Answering {
        match &self.shared.grpc {
            Some(grpc) if grpc::is_call(&request) => Answering::Call(grpc.call(request)),
            _ => {
                if is_protected {
                    request.extensions_mut().insert(http::Protected);
                }
                Answering::Page(leftover::answer(self.shared.http.clone(), request).boxed())
            }
        }
    }
}

/// The doors as a connection knocks at them.
#[derive(Clone)]
struct Door {
    doors: FrontDoors,
    /// Whether it came over TLS.
    is_protected: bool,
    /// Who the client is, if its certificate says so.
    certificate: Option<CertificateName>,
    origin: Origin,
}

/// What the paths of calls to the secret store begin with.
const SECRET_CALLS: &str = "/stead.secrets.v1.";

/// In the extensions of a request for a page, or of a call to the secret store: where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Origin {
    /// Where the client is; none on this machine.
    address: Option<SocketAddr>,
    /// The certificates that it showed over TLS, its own first, as DER.
    certificates: Arc<[Vec<u8>]>,
}

impl From<&Origin> for Peer {
    fn from(origin: &Origin) -> Self {
        Self {
            address: origin.ip(),
            port: origin.address.map_or(0, |address| address.port()),
            certificates: origin.certificates.to_vec(),
        }
    }
}

impl Origin {
    /// The address of the client without its port.
    fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        introduce(&mut request, self.certificate.as_ref());
        if self.doors.shared.grpc.is_none() || request.uri().path().starts_with(SECRET_CALLS) {
            request.extensions_mut().insert(self.origin.clone());
        }
        self.doors.answer(request, self.is_protected)
    }
}

/// Puts the name that the client's certificate gives it into the request.
fn introduce<B>(request: &mut Request<B>, certificate: Option<&CertificateName>) {
    if let Some(name) = certificate
        && !request.headers().contains_key(GATEWAY_HEADER)
    {
        request.extensions_mut().insert(name.clone());
    }
}

/// A request that is being answered.
enum Answering {
    Call(grpc::Call),
    /// In a box, so that a call, as nearly all are, is small.
    Page(BoxFuture<'static, Response<axum::body::Body>>),
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Call(call) => Pin::new(call)
                .poll(context)
                .map(|answer| Ok(answer.map(AnswerBody::Call))),
            Self::Page(page) => page
                .as_mut()
                .poll(context)
                .map(|answer| Ok(answer.map(AnswerBody::Page))),
        }
    }
}

/// What is answered.
enum AnswerBody {
    Call(grpc::ResponseBody),
    Page(axum::body::Body),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Call(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Page(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Call(body) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Call(body) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_its_owner_unless_the_gateway_calls_for_another() {
        let name = CertificateName("alice".into());
        let mut direct = Request::new(());
        introduce(&mut direct, Some(&name));
        assert_eq!(direct.extensions().get(), Some(&name));

        let mut for_another = Request::new(());
        let accepts = ::http::HeaderValue::from_static("*/*");
        for_another.headers_mut().insert(GATEWAY_HEADER, accepts);
        introduce(&mut for_another, Some(&name));
        assert_eq!(for_another.extensions().get::<CertificateName>(), None);
    }
}
