//! How much of the secret store clients may ask for at a time over gRPC, and for how long: as on Vault's interface.
//!
//! Never decides who may do what.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

use super::super::Answering;
use crate::base::limits::{
    MAXIMUM_SECRET_REQUEST_SECONDS, MAXIMUM_SECRET_REQUESTS_PER_CLIENT, MAXIMUM_SECRET_WATCHES,
    MAXIMUM_SECRET_WATCHES_PER_CLIENT,
};
use crate::transport::Origin;
use crate::transport::clients::{Clients, Place};

/// The bounds of calls to the secret store and to its seal, what they receive included.
pub(in super::super) struct CallBounds {
    clients: Clients,
}

impl CallBounds {
    /// No call is under way.
    pub fn new() -> Self {
        Self {
            clients: Clients::new(MAXIMUM_SECRET_REQUESTS_PER_CLIENT),
        }
    }

    /// Has a call answered, unless its client has too many under way, and ends it if that takes too long. A watch is answered
    /// when it has begun.
    pub fn keep<B>(&self, request: Request<B>, answer: impl FnOnce(Request<B>) -> Answering) -> Answering {
        let client = request.extensions().get::<Origin>().and_then(Origin::ip);
        let Some(place) = self.clients.enter(client) else {
            let refused = Status::resource_exhausted(format!(
                "too many requests of this client are under way: at most {} may be",
                self.clients.maximum()
            ));
            return ready(Ok(refused.into_http())).boxed();
        };
        let patience = Duration::from_secs(MAXIMUM_SECRET_REQUEST_SECONDS);
        let answering = answer(request);
        async move {
            let _place = place;
            match timeout(patience, answering).await {
                Ok(answered) => answered,
                Err(_) => {
                    let text = format!("the request took longer than {MAXIMUM_SECRET_REQUEST_SECONDS} s");
                    Ok(Status::deadline_exceeded(text).into_http())
                }
            }
        }
        .boxed()
    }
}

/// Places for watches: so many on the node, and so many of them for each client.
pub(super) struct Watches {
    all: Arc<Semaphore>,
    clients: Clients,
}

/// The place of one watch, for as long as it is there.
pub(super) struct WatchPlace {
    _of_client: Place,
    _of_all: OwnedSemaphorePermit,
}

impl Watches {
    /// Nothing is watched.
    pub fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAXIMUM_SECRET_WATCHES)),
            clients: Clients::new(MAXIMUM_SECRET_WATCHES_PER_CLIENT),
        }
    }

    /// A place for one more watch of a client.
    ///
    /// # Errors
    /// The client or the node has as many as may be.
    pub fn enter(&self, client: Option<IpAddr>) -> Result<WatchPlace, Status> {
        let of_client = self.clients.enter(client).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "this client has {MAXIMUM_SECRET_WATCHES_PER_CLIENT} watches of secrets on this node already; \
                 end some"
            ))
        })?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "this node has {MAXIMUM_SECRET_WATCHES} watches of secrets already; use another \
                 node or end some"
            ))
        })?;
        Ok(WatchPlace {
            _of_client: of_client,
            _of_all: of_all,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::{Ipv4Addr, SocketAddr};

    use bytes::Bytes;
    use futures::StreamExt;
    use futures::stream::BoxStream;
    use http_body_util::{BodyExt, Full};
    use tokio_util::sync::CancellationToken;
    use tonic::{Code, Response};

    use super::super::super::{GrpcDoor, InsideBody};
    use super::super::{SecretsDoor, Service};
    use super::*;
    use crate::base::metrics::Metrics;
    use crate::proto::secrets::{WatchSecretsRequest, WatchSecretsResponse};
    use crate::service::secrets::status::InitSettings;
    use crate::service::testing::{Node, PATIENCE};
    use crate::transport::CallSettings;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));
    /// What is read without a token.
    const OPEN: &str = "sys/internal/specs/openapi";

    fn origin(client: IpAddr) -> Origin {
        Origin {
            address: Some(SocketAddr::new(client, 9)),
            certificates: Vec::new().into(),
        }
    }

    /// The code that a call of nothing is refused with; none: it is answered.
    async fn refusal(door: &GrpcDoor, client: IpAddr, path: &str) -> Option<Code> {
        let empty = Full::new(Bytes::from_static(&[0; 5]));
        let request = Request::post(path)
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .extension(origin(client))
            .body(InsideBody::new(empty.map_err(|never| match never {})))
            .unwrap();
        let response = door.call_inside(request).await;
        Status::from_header_map(response.headers()).map(|status| status.code())
    }

    #[tokio::test]
    async fn a_client_has_so_many_calls_under_way_and_keeps_nobody_else_from_calling() {
        let node = Node::start().await;
        let metrics = Metrics::new().unwrap();
        let settings = CallSettings {
            measures_handling: false,
            slow_after: PATIENCE,
        };
        let stopping = CancellationToken::new();
        let door = GrpcDoor::new(
            &node.services,
            node.hub.clone(),
            &metrics.calls,
            settings,
            stopping,
        );
        let clients = &door.secret_bounds.clients;
        let enter = |_| clients.enter(Some(CLIENT)).unwrap();
        let mut places: Vec<Place> = (0..MAXIMUM_SECRET_REQUESTS_PER_CLIENT).map(enter).collect();
        let status = "/stead.secrets.v1.Seal/Status";
        for path in [
            status,
            "/stead.secrets.v1.Secrets/Read",
            "/stead.secrets.v1.Secrets/Watch",
        ] {
            let refused = refusal(&door, CLIENT, path).await;
            assert_eq!(refused, Some(Code::ResourceExhausted), "{path}");
        }
        assert_eq!(refusal(&door, OTHER, status).await, None);
        // The last place is left by each call that is answered.
        drop(places.pop());
        for _ in 0..2 {
            assert_eq!(refusal(&door, CLIENT, status).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_too_long_is_ended_and_leaves_its_place() {
        let bounds = CallBounds::new();
        let enter = |_| bounds.clients.enter(Some(CLIENT)).unwrap();
        let _others: Vec<Place> = (1..MAXIMUM_SECRET_REQUESTS_PER_CLIENT).map(enter).collect();
        let mut request = Request::new(());
        request.extensions_mut().insert(origin(CLIENT));
        let endless = bounds.keep(request, |_| pending().boxed());
        assert!(bounds.clients.enter(Some(CLIENT)).is_none());
        let Ok(ended) = endless.await;
        let ended = Status::from_header_map(ended.headers()).unwrap();
        assert_eq!(ended.code(), Code::DeadlineExceeded);
        assert_eq!(ended.message(), "the request took longer than 90 s");
        assert!(bounds.clients.enter(Some(CLIENT)).is_some());
    }

    /// A node whose store is unsealed, its door, and a token that may do everything.
    async fn unsealed() -> (Node, SecretsDoor, String) {
        let node = Node::start().await;
        let settings = InitSettings {
            shares: 3,
            threshold: 2,
        };
        let made = node.services.secrets.initialize(settings).await.unwrap();
        let door = SecretsDoor::new(node.services.secrets.clone(), node.hub.clone());
        (node, door, made.root_token.expose().clone())
    }

    type Watch = BoxStream<'static, Result<WatchSecretsResponse, Status>>;

    /// Watches something; else the code and the text of the refusal.
    async fn watch(door: &SecretsDoor, client: IpAddr, token: &str) -> Result<Watch, (Code, String)> {
        let mut request = tonic::Request::new(WatchSecretsRequest {
            paths: vec![OPEN.to_owned()],
        });
        request.extensions_mut().insert(origin(client));
        if !token.is_empty() {
            request
                .metadata_mut()
                .insert("x-vault-token", token.parse().unwrap());
        }
        let answer = door.watch(request).await.map(Response::into_inner);
        answer.map_err(|status| (status.code(), status.message().to_owned()))
    }

    fn refused(answer: Result<Watch, (Code, String)>) -> (Code, String) {
        answer.map(drop).unwrap_err()
    }

    #[tokio::test]
    async fn a_client_has_so_many_watches_and_those_that_end_make_room() {
        let (_node, door, root) = unsealed().await;
        let enter = |_| door.watches.enter(Some(CLIENT)).unwrap();
        let _others: Vec<WatchPlace> = (1..MAXIMUM_SECRET_WATCHES_PER_CLIENT).map(enter).collect();
        let mut last = watch(&door, CLIENT, &root).await.unwrap();
        assert!(
            last.next().await.unwrap().unwrap().paths.is_empty(),
            "it has begun"
        );
        let text = "this client has 256 watches of secrets on this node already; end some";
        assert_eq!(
            refused(watch(&door, CLIENT, &root).await),
            (Code::ResourceExhausted, text.to_owned())
        );
        watch(&door, OTHER, &root).await.map(drop).unwrap();
        drop(last);
        // One that is refused for something else takes no place.
        for token in ["", "hvs.0123456789abcdefghijklmn"] {
            let (code, text) = refused(watch(&door, CLIENT, token).await);
            assert_eq!(
                (code, text.as_str()),
                (Code::PermissionDenied, "permission denied")
            );
        }
        watch(&door, CLIENT, &root).await.map(drop).unwrap();
    }

    #[tokio::test]
    async fn a_node_has_so_many_watches_and_those_that_end_make_room() {
        let (_node, door, root) = unsealed().await;
        let most = u32::try_from(MAXIMUM_SECRET_WATCHES - 1).unwrap();
        let _others = door.watches.all.try_acquire_many(most).unwrap();
        let last = watch(&door, CLIENT, &root).await.unwrap();
        let text = "this node has 10000 watches of secrets already; use another node or end some";
        assert_eq!(
            refused(watch(&door, OTHER, &root).await),
            (Code::ResourceExhausted, text.to_owned())
        );
        drop(last);
        watch(&door, OTHER, &root).await.map(drop).unwrap();
    }
}
