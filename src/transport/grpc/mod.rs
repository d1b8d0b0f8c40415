//! The gRPC front door: etcd's services on the client port, the registry, secrets, health and reflection. Translation only.
//!
//! A call is sent to its service by its path, without a router in between: this is the path of every request. Unary calls
//! cost no task and no timer of their own, but for the timer of those to the secret store.

mod auth;
mod call;
mod caller;
mod cluster;
mod election;
pub mod error;
mod health;
mod interface;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod methods;
mod reflection;
mod registry;
mod secrets;
pub mod translate;
mod versions;
pub mod watch;

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use prometheus::IntCounter;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tower::Service;

use crate::base::limits::GRPC_OVERHEAD_BYTES;
use crate::base::metrics::CallMetrics;
use crate::proto::etcdserverpb::auth_server::AuthServer;
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::lease_server::LeaseServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::proto::health::health_server::HealthServer;
use crate::proto::registry::registry_server::RegistryServer;
use crate::proto::secrets::seal_server::SealServer;
use crate::proto::secrets::secrets_server::SecretsServer;
use crate::proto::v3electionpb::election_server::ElectionServer;
use crate::proto::v3lockpb::lock_server::LockServer;
use crate::service::auth::Pass;
use crate::service::watch::WatchHub;
use crate::service::{ServiceError, Services};
use crate::transport::CallSettings;
use call::{Counted, RequestBody, Source, client_version, requires_leader, stream_end};
pub(super) use call::{InsideBody, ResponseBody};
use methods::{Kind, Method, Methods, Target};
use reflection::Reflection;
use versions::ClientVersions;
use watch::{StreamGuard, WatchServer};

type Answering = BoxFuture<'static, Result<Response<tonic::body::Body>, Infallible>>;

/// The gRPC services of a node.
pub(super) struct GrpcDoor {
    kv: KvServer<kv::KvDoor>,
    watch: WatchServer,
    lease: LeaseServer<lease::LeaseDoor>,
    cluster: ClusterServer<cluster::ClusterDoor>,
    maintenance: MaintenanceServer<maintenance::MaintenanceDoor>,
    auth: AuthServer<auth::AuthDoor>,
    lock: LockServer<lock::LockDoor>,
    election: ElectionServer<election::ElectionDoor>,
    registry: RegistryServer<registry::RegistryDoor>,
    seal: SealServer<secrets::SealDoor>,
    secrets: SecretsServer<secrets::SecretsDoor>,
    secret_bounds: secrets::CallBounds,
    health: HealthServer<health::HealthDoor>,
    reflection: Reflection,
    methods: Methods,
    versions: ClientVersions,
    received: IntCounter,
    sent: IntCounter,
    streams: Streams,
    maximum_message_bytes: usize,
}

impl GrpcDoor {
    /// The door to `services` and the watches of `hub`. All its streams end when `stopping` is cancelled.
    pub fn new(
        services: &Services,
        hub: WatchHub,
        metrics: &CallMetrics,
        settings: CallSettings,
        stopping: CancellationToken,
    ) -> Self {
        let overhead = usize::try_from(GRPC_OVERHEAD_BYTES).unwrap_or(usize::MAX);
        let maximum_message_bytes = services.settings.maximum_request_bytes.saturating_add(overhead);
        let streams = Streams {
            services: services.clone(),
            stopping,
        };
        let headers = services.headers.clone();
        let seal = secrets::SealDoor(services.secrets.clone());
        let secrets = secrets::SecretsDoor::new(services.secrets.clone(), hub.clone());
        let watch = WatchServer::new(
            hub,
            Arc::new(move |revision| translate::header(&headers.at(revision))),
            Arc::new(streams.clone()),
            maximum_message_bytes,
        );
        // Requests are limited by their prefix (see `call`); answers are as large as they are.
        macro_rules! server {
            ($server:ident, $door:expr) => {
                $server::new($door)
                    .max_decoding_message_size(maximum_message_bytes)
                    .max_encoding_message_size(usize::MAX)
            };
        }
        Self {
            kv: server!(KvServer, kv::KvDoor(services.kv.clone())),
            watch,
            lease: server!(LeaseServer, lease::LeaseDoor(services.leases.clone())),
            cluster: server!(ClusterServer, cluster::ClusterDoor(services.cluster.clone())),
            maintenance: server!(
                MaintenanceServer,
                maintenance::MaintenanceDoor(services.maintenance.clone())
            ),
            auth: server!(AuthServer, auth::AuthDoor(services.users.clone())),
            lock: server!(LockServer, lock::LockDoor(services.locks.clone())),
            election: server!(ElectionServer, election::ElectionDoor(services.elections.clone())),
            registry: server!(RegistryServer, registry::RegistryDoor(services.registry.clone())),
            seal: server!(SealServer, seal),
            secrets: server!(SecretsServer, secrets),
            secret_bounds: secrets::CallBounds::new(),
            health: server!(HealthServer, health::HealthDoor),
            reflection: Reflection::new(),
            methods: Methods::new(metrics, settings),
            versions: ClientVersions::new(&metrics.by_client_version),
            received: metrics.received_bytes.clone(),
            sent: metrics.sent_bytes.clone(),
            streams,
            maximum_message_bytes,
        }
    }

    /// Bytes of the largest message that is taken.
    pub fn maximum_message_bytes(&self) -> usize {
        self.maximum_message_bytes
    }

    /// Answers a client's call.
    pub fn call(&self, request: Request<Incoming>) -> Call {
        self.answer_counted(request.map(Source::Client))
    }

    /// Answers a call of another front door of this node.
    pub fn call_inside(&self, request: Request<InsideBody>) -> Call {
        self.answer_counted(request.map(Source::Inside))
    }

    fn answer_counted(&self, request: Request<Source>) -> Call {
        let method = match self.methods.at(request.uri().path()) {
            Ok(method) => method,
            Err(text) => return self.refuse(None, &Status::unimplemented(text)),
        };
        let counted = Counted::begin(Arc::clone(&method));
        match client_version(request.headers()) {
            Ok(version) => self.versions.count(version, method.kind),
            Err(_) => return self.refuse(Some(counted), &error::status(&ServiceError::BadClientVersion)),
        }
        let wants_leader = requires_leader(request.headers());
        if wants_leader && !self.streams.services.health.has_leader() {
            return self.refuse(Some(counted), &error::status(&ServiceError::NoLeader));
        }
        if !method.is_for_learners && self.streams.services.status.borrow().is_learner {
            return self.refuse(
                Some(counted),
                &error::status(&ServiceError::NotSupportedForLearner),
            );
        }
        let ending = self.ending(&method, wants_leader);
        let (received, progress) = (self.received.clone(), counted.progress());
        let limit = self.maximum_message_bytes;
        let answering = self.answer(
            method.target,
            request.map(|inner| RequestBody::new(inner, received, progress, limit)),
        );
        Call {
            answering,
            counted: Some(counted),
            sent: self.sent.clone(),
            ending,
        }
    }

    fn answer(&self, target: Target, request: Request<RequestBody>) -> Answering {
        match target {
            Target::Kv => self.kv.clone().call(request),
            Target::Watch => self.watch.clone().call(request),
            Target::Lease => self.lease.clone().call(request),
            Target::Cluster => self.cluster.clone().call(request),
            Target::Maintenance => self.maintenance.clone().call(request),
            Target::Auth => self.auth.clone().call(request),
            Target::Lock => self.lock.clone().call(request),
            Target::Election => self.election.clone().call(request),
            Target::Registry => self.registry.clone().call(request),
            Target::Seal => self
                .secret_bounds
                .keep(request, |request| self.seal.clone().call(request)),
            Target::Secrets => self
                .secret_bounds
                .keep(request, |request| self.secrets.clone().call(request)),
            Target::Health => self.health.clone().call(request),
            Target::Reflection => self.reflection.call(request),
            Target::ReflectionAlpha => self.reflection.call_alpha(request),
        }
    }

    /// What ends a stream from outside. Unary calls end by themselves, and watches are ended by their own service.
    fn ending(&self, method: &Method, wants_leader: bool) -> Option<BoxFuture<'static, Status>> {
        match (method.kind, method.target) {
            (Kind::Unary, _) | (_, Target::Watch) => None,
            (Kind::ServerStream | Kind::BidirectionalStream, _) => Some(self.streams.end(wants_leader)),
        }
    }

    fn refuse(&self, counted: Option<Counted>, error: &Status) -> Call {
        let answering = ready(Ok(error.clone().into_http())).boxed();
        Call {
            answering,
            counted,
            sent: self.sent.clone(),
            ending: None,
        }
    }
}

/// A call that is being answered.
pub(super) struct Call {
    answering: Answering,
    counted: Option<Counted>,
    sent: IntCounter,
    ending: Option<BoxFuture<'static, Status>>,
}

impl Future for Call {
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = std::task::ready!(self.answering.poll_unpin(context));
        let call = &mut *self;
        Poll::Ready(ResponseBody::wrap(
            response,
            call.counted.take(),
            call.sent.clone(),
            call.ending.take(),
        ))
    }
}

/// Which streams may open, and when they must end.
#[derive(Clone)]
struct Streams {
    services: Services,
    stopping: CancellationToken,
}

impl Streams {
    fn end(&self, wants_leader: bool) -> BoxFuture<'static, Status> {
        let leader = wants_leader.then(|| self.services.status.clone());
        stream_end(self.stopping.clone(), leader, self.services.settings.election).boxed()
    }
}

impl StreamGuard for Streams {
    fn admit(&self, metadata: &MetadataMap) -> Result<BoxFuture<'static, Status>, Status> {
        // Without a leader the call does not get here.
        Ok(self.end(requires_leader(metadata.as_ref())))
    }

    fn pass(&self, metadata: &MetadataMap, extensions: &http::Extensions) -> Option<Pass> {
        self.services.gate.pass(caller::caller(metadata, extensions))
    }
}

/// Whether a request is a gRPC call. In HTTP/1 it is none, whatever it says of itself: what a browser may send passes the
/// checks of pages.
pub(super) fn is_call<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2
        && request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
