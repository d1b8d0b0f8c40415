//! `stead.secrets.v1`: the secret store and its seal. Translation only, within bounds.

mod bounds;
mod envelope;
mod seal;

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub(super) use self::bounds::CallBounds;
use self::bounds::Watches;
use self::envelope::{json, peer, status, token};
pub(super) use self::seal::SealDoor;
use crate::base::limits::ASIDE_SECRET_BODY_BYTES;
use crate::proto::secrets as wire;
use crate::proto::secrets::secrets_server::Secrets as Service;
use crate::service::ServiceError;
use crate::service::secrets::engine::TokenKind;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::{self, Secrets, SecretsError, Verb, path};
use crate::service::watch::WatchHub;

type Answered = Result<Response<wire::SecretResponse>, Status>;

/// The front door of what is behind the seal.
pub(super) struct SecretsDoor {
    secrets: Secrets,
    hub: WatchHub,
    watches: Watches,
}

impl SecretsDoor {
    /// The door to `secrets`, whose changes `hub` tells.
    pub fn new(secrets: Secrets, hub: WatchHub) -> Self {
        Self {
            secrets,
            hub,
            watches: Watches::new(),
        }
    }

    async fn answer(&self, verb: Verb, request: Request<wire::SecretRequest>) -> Answered {
        let (metadata, extensions, asked) = request.into_parts();
        let wrap = (asked.wrap_ttl_seconds != 0).then(|| Duration::from_secs(asked.wrap_ttl_seconds));
        let id = Uuid::new_v4().to_string();
        let request = secrets::Request {
            id: id.clone(),
            verb,
            path: normal(&asked.path, verb == Verb::List).map_err(|error| status(&error))?,
            body: parse(asked.data).await.map_err(|error| status(&error))?,
            token: token(&metadata),
            wrap,
            peer: peer(&extensions),
        };
        let answer = self.secrets.handle(request).await;
        Ok(Response::new(response(
            id,
            answer.map_err(|error| status(&error))?,
        )?))
    }
}

#[tonic::async_trait]
impl Service for SecretsDoor {
    type WatchStream = BoxStream<'static, Result<wire::WatchSecretsResponse, Status>>;

    async fn read(&self, request: Request<wire::SecretRequest>) -> Answered {
        self.answer(Verb::Read, request).await
    }

    async fn write(&self, request: Request<wire::SecretRequest>) -> Answered {
        self.answer(Verb::Write, request).await
    }

    async fn patch(&self, request: Request<wire::SecretRequest>) -> Answered {
        self.answer(Verb::Patch, request).await
    }

    async fn delete(&self, request: Request<wire::SecretRequest>) -> Answered {
        self.answer(Verb::Delete, request).await
    }

    async fn list(&self, request: Request<wire::SecretRequest>) -> Answered {
        self.answer(Verb::List, request).await
    }

    async fn watch(
        &self,
        request: Request<wire::WatchSecretsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (metadata, extensions, asked) = request.into_parts();
        let peer = peer(&extensions);
        let place = self.watches.enter(peer.address)?;
        let paths = asked.paths.iter().map(|path| normal(path, false));
        let paths: Vec<String> = paths.collect::<Result<_, _>>().map_err(|error| status(&error))?;
        let changes = self
            .secrets
            .changes(&self.hub, paths, token(&metadata), peer)
            .await
            .map_err(|error| status(&error))?;
        let begun = wire::WatchSecretsResponse::default();
        let told = unfold(Some((changes, place)), |open| async move {
            let (mut changes, place) = open?;
            // An error is the last that is said.
            Some(match changes.next().await {
                Ok(paths) => (Ok(wire::WatchSecretsResponse { paths }), Some((changes, place))),
                Err(error) => (Err(status(&error)), None),
            })
        });
        let told = futures::stream::once(async { Ok(begun) }).chain(told);
        Ok(Response::new(told.boxed()))
    }
}

/// The data of a call. What takes long is understood aside, so that the rest of the node goes on.
async fn parse(data: Bytes) -> Result<Body, SecretsError> {
    if data.len() < ASIDE_SECRET_BODY_BYTES {
        return Ok(Body::parse(&data)?);
    }
    let parsed = tokio::task::spawn_blocking(move || Body::parse(&data)).await;
    Ok(parsed.map_err(|_| ServiceError::Stopped)??)
}

/// A path in its one form. It is not encoded for a URL: a percent sign is one.
fn normal(plain: &str, is_list: bool) -> Result<String, SecretsError> {
    Ok(path::normalise(&plain.replace('%', "%25"), is_list)?)
}

fn response(request_id: String, answer: secrets::Response) -> Result<wire::SecretResponse, Status> {
    if answer.pieces.is_some() {
        return Err(Status::unimplemented(
            "a snapshot is no answer of this service: ask etcd's Maintenance for it",
        ));
    }
    let data = answer.data.as_ref().map(json).transpose()?;
    let has_lease = !answer.lease_id.is_empty() || answer.lease_seconds != 0;
    Ok(wire::SecretResponse {
        request_id,
        data: data.unwrap_or_default(),
        warnings: answer.warnings,
        lease: has_lease.then_some(wire::Lease {
            id: answer.lease_id,
            seconds: answer.lease_seconds,
            is_renewable: answer.is_renewable,
        }),
        auth: answer.auth.map(auth),
        wrapped: answer.wrapped.map(wrapped),
        mount_kind: answer.mount_kind,
        is_gone: answer.is_gone,
        goes_on: answer.goes_on,
        raw: answer.raw.map(|raw| wire::Raw {
            content_type: raw.content_type.to_owned(),
            bytes: raw.bytes.into(),
        }),
    })
}

fn auth(auth: secrets::request::Auth) -> wire::Auth {
    let kind = match auth.kind {
        TokenKind::Service => "service",
        TokenKind::Batch => "batch",
    };
    wire::Auth {
        token: auth.token.expose().clone(),
        accessor: auth.accessor,
        policies: auth.policies,
        metadata: auth.metadata.into_iter().collect(),
        lease_seconds: auth.lease_seconds,
        is_renewable: auth.is_renewable,
        is_orphan: auth.is_orphan,
        kind: kind.to_owned(),
        uses: auth.uses,
    }
}

fn wrapped(wrapped: secrets::request::Wrapped) -> wire::Wrapped {
    wire::Wrapped {
        token: wrapped.token.expose().clone(),
        accessor: wrapped.accessor,
        ttl_seconds: wrapped.ttl_seconds,
        created_milliseconds: u64::try_from(wrapped.created.as_millis()).unwrap_or(u64::MAX),
        creation_path: wrapped.creation_path,
        wrapped_accessor: wrapped.wrapped_accessor.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::{FutureExt, poll};
    use tokio::runtime::Builder;
    use tokio::task::spawn_blocking;

    use super::*;

    #[test]
    fn large_data_are_understood_on_a_thread_that_may_block() {
        // There is one, and it has something else to do.
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (end, ended) = mpsc::channel::<()>();
            let other = spawn_blocking(move || ended.recv());
            let data = |bytes: usize| {
                let around = r#"{"k":""}"#.len();
                Bytes::from(format!(r#"{{"k":"{}"}}"#, "v".repeat(bytes - around)))
            };
            let small = parse(data(ASIDE_SECRET_BODY_BYTES - 1)).now_or_never();
            assert!(small.unwrap().unwrap().get("k").is_some());
            let mut large = Box::pin(parse(data(ASIDE_SECRET_BODY_BYTES)));
            assert!(poll!(&mut large).is_pending());
            end.send(()).unwrap();
            other.await.unwrap().unwrap();
            assert!(large.await.unwrap().get("k").is_some());
        });
    }

    #[test]
    fn a_path_is_not_decoded_and_has_one_form() {
        assert_eq!(
            normal("/secret//data/a%2fb/", false).unwrap(),
            "secret/data/a%2fb"
        );
        assert_eq!(normal("secret/metadata", true).unwrap(), "secret/metadata/");
        assert!(normal("secret/../sys/seal", false).is_err());
    }

    #[test]
    fn an_answer_says_what_is_leased_only_where_something_is() {
        let answer = |answer| response("id".to_owned(), answer).unwrap();
        let nothing = answer(secrets::Response::default());
        assert_eq!(
            nothing,
            wire::SecretResponse {
                request_id: "id".to_owned(),
                ..wire::SecretResponse::default()
            }
        );
        let advised = answer(secrets::Response {
            lease_seconds: 60,
            ..secrets::Response::default()
        });
        assert_eq!(advised.lease.map(|lease| lease.seconds), Some(60));
    }
}
