//! A node of a store of secrets, for tests of what asks one: it has one secret, which it tells the changes of, and fails
//! when it is told to.
//!
//! Never looks at a path or a token.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _, once};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use super::Secrets;
use crate::client::Settings;
use crate::proto::secrets::secrets_server::{Secrets as Service, SecretsServer};
use crate::proto::secrets::{SecretRequest, SecretResponse, WatchSecretsRequest, WatchSecretsResponse};

/// How long one thing that must happen may take.
pub(crate) const MAXIMUM_WAIT: Duration = Duration::from_secs(60);

/// What says where a secret is mounted.
const MOUNTS: &str = "sys/internal/ui/mounts/";

type Answered = Result<Response<SecretResponse>, Status>;
type Told = Result<WatchSecretsResponse, Status>;

/// A node, which serves as long as the test runs. A handle.
#[derive(Clone)]
pub(crate) struct NodeTwin {
    endpoint: String,
    state: Arc<Mutex<State>>,
    told: broadcast::Sender<Told>,
}

struct State {
    /// The fields of the secret, in JSON.
    fields: &'static str,
    /// Reads that are to fail yet.
    failing: usize,
}

impl NodeTwin {
    /// Starts one.
    pub(crate) async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let twin = Self {
            endpoint: listener.local_addr().unwrap().to_string(),
            state: Arc::new(Mutex::new(State {
                fields: "{}",
                failing: 0,
            })),
            told: broadcast::channel(16).0,
        };
        let server = Server::builder().add_service(SecretsServer::new(twin.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        twin
    }

    /// The store on such nodes.
    pub(crate) fn store(nodes: &[&Self]) -> Secrets {
        let endpoints: Vec<&str> = nodes.iter().map(|node| node.endpoint()).collect();
        let client = Settings::new(&endpoints.join(",")).open().unwrap();
        Secrets::of(client, None).unwrap()
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Writes the secret. Whoever follows it is told the endpoint in place of a path, by which a test sees who has told it.
    pub(crate) fn put(&self, fields: &'static str) {
        self.state.lock().fields = fields;
        self.tell(Ok(WatchSecretsResponse {
            paths: vec![self.endpoint.clone()],
        }));
    }

    /// Has so many reads of the secret fail.
    pub(crate) fn fail(&self, reads: usize) {
        self.state.lock().failing = reads;
    }

    /// Ends what follows the secret now.
    pub(crate) fn end(&self, code: Code) {
        self.tell(Err(Status::new(code, "ended")));
    }

    fn tell(&self, told: Told) {
        // There may be nobody who follows it.
        let _ = self.told.send(told);
    }
}

fn unused() -> Status {
    Status::unimplemented("it is only read")
}

#[tonic::async_trait]
impl Service for NodeTwin {
    type WatchStream = BoxStream<'static, Told>;

    async fn read(&self, request: Request<SecretRequest>) -> Answered {
        let mut state = self.state.lock();
        let data = if request.get_ref().path.starts_with(MOUNTS) {
            r#"{"path":"secret/"}"#
        } else if state.failing > 0 {
            state.failing -= 1;
            return Err(Status::internal("it cannot be recorded"));
        } else {
            state.fields
        };
        Ok(Response::new(SecretResponse {
            data: data.into(),
            ..SecretResponse::default()
        }))
    }

    async fn write(&self, _: Request<SecretRequest>) -> Answered {
        Err(unused())
    }

    async fn patch(&self, _: Request<SecretRequest>) -> Answered {
        Err(unused())
    }

    async fn delete(&self, _: Request<SecretRequest>) -> Answered {
        Err(unused())
    }

    async fn list(&self, _: Request<SecretRequest>) -> Answered {
        Err(unused())
    }

    async fn watch(&self, _: Request<WatchSecretsRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let begun = once(async { Ok(WatchSecretsResponse::default()) });
        let told = BroadcastStream::new(self.told.subscribe());
        let told = told.filter_map(|told| std::future::ready(told.ok()));
        Ok(Response::new(begun.chain(told).boxed()))
    }
}
