//! One client's connection to one node, and the one place that decides what an error says about the outcome.
//!
//! Invariant: an error counts as "did not happen" only if the request cannot have left this process, or the server
//! named a reason that is decided before anything is proposed. Everything else is unknown.

use std::error::Error as _;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// How long a client waits for the answer to one operation.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a client waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a client waits after a connection that could not be made: whoever refuses does so at once.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// The longest answer that is taken.
pub const MAXIMUM_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Messages of etcd's interface that say that nothing was proposed, under codes that say less.
const REFUSALS: [&str; 2] = ["etcdserver: too many requests", "etcdserver: not capable"];

/// Why an operation has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It did not happen and never will.
    DidNotHappen(String),
    /// It may have happened, or may yet happen.
    Unknown(String),
}

impl Failure {
    /// What the status of a mutation says.
    pub fn of_mutation(status: &Status) -> Self {
        let text = format!("{:?}: {}", status.code(), status.message());
        let refused = match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => true,
            _ => REFUSALS.contains(&status.message()) || connection_was_refused(status),
        };
        if refused {
            Self::DidNotHappen(text)
        } else {
            Self::Unknown(text)
        }
    }
}

/// Whether the cause is that nobody listens: then the request was never sent.
fn connection_was_refused(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}

/// A connection to one node, made when it is needed.
pub struct Connection {
    addresses: Vec<SocketAddr>,
    node: usize,
    channel: Option<Channel>,
}

impl Connection {
    /// A connection to `node`, one of the nodes with the given client addresses.
    pub fn new(addresses: Vec<SocketAddr>, node: usize) -> Self {
        Self {
            addresses,
            node,
            channel: None,
        }
    }

    /// Which node is asked.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Asks the next node from now on.
    pub fn hop(&mut self) {
        self.node = (self.node + 1) % self.addresses.len();
        self.channel = None;
    }

    /// Forgets the connection, so that the next use makes a new one.
    pub fn disconnect(&mut self) {
        self.channel = None;
    }

    /// The channel to the node.
    ///
    /// # Errors
    /// When no connection can be made; nothing has been asked then.
    pub async fn channel(&mut self) -> Result<Channel, Failure> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let address = self.addresses[self.node];
        let connecting = async {
            Endpoint::from_shared(format!("http://{address}"))?
                .connect_timeout(CONNECT_TIMEOUT)
                .connect()
                .await
        };
        let problem = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(channel)) => return Ok(self.channel.insert(channel).clone()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("nothing in {CONNECT_TIMEOUT:?}"),
        };
        tokio::time::sleep(RECONNECT_PAUSE).await;
        Err(Failure::DidNotHappen(format!(
            "no connection to {address}: {problem}"
        )))
    }

    /// Makes one unary call that may change the store.
    ///
    /// # Errors
    /// See [`Failure`]. After an unknown outcome, or when nobody listens, the connection is forgotten.
    pub async fn call<T, F>(&mut self, call: impl FnOnce(Channel) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let channel = self.channel().await?;
        let failure = match tokio::time::timeout(OPERATION_TIMEOUT, call(channel)).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => {
                if connection_was_refused(&status) {
                    self.disconnect();
                }
                Failure::of_mutation(&status)
            }
            Err(_) => Failure::Unknown(format!("no answer in {OPERATION_TIMEOUT:?}")),
        };
        if matches!(failure, Failure::Unknown(_)) {
            self.disconnect();
        }
        Err(failure)
    }
}
