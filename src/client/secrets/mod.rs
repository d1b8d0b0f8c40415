//! Secrets, as a program reads and writes them, and the seals of the nodes.
//!
//! ```no_run
//! use stead::client::{Secrets, Settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Settings::new("127.0.0.1:2379,127.0.0.1:22379").open()?;
//! let secrets = Secrets::of(client, Some("the token"))?;
//! let answer = secrets.read("secret/data/db/app", "").await?;
//! // ... `answer.data` is an object of JSON.
//! let mut changes = secrets.watch(vec!["secret/data/db/app".to_owned()]);
//! loop {
//!     changes.next().await?;
//!     let answer = secrets.read("secret/data/db/app", "").await?;
//! }
//! # }
//! ```
//!
//! A node that is sealed is passed over while there is another. Never shows a token, and never repeats a change that may
//! have been made.

mod changes;
#[cfg(test)]
pub(crate) mod testing;

use std::future::Future;

use bytes::Bytes;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Response, Status};

pub use self::changes::SecretChanges;
use super::endpoints::Client;
use super::error::ClientError;
use super::node::Node;
use crate::proto::secrets::{SecretRequest, SecretResponse, WatchSecretsRequest};

/// Where the token of a call is.
const TOKEN: &str = "x-vault-token";

/// The secret store of a cluster, for whoever has a token. A handle: clones share the connections.
#[derive(Debug, Clone)]
pub struct Secrets {
    client: Client,
    token: Option<AsciiMetadataValue>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Read,
    Write,
    Patch,
    Delete,
    List,
}

impl Secrets {
    /// The secret store of the cluster of a client, and the token to show; none: what is open to everybody.
    ///
    /// # Errors
    /// The token has characters that no token has.
    pub fn of(client: Client, token: Option<&str>) -> Result<Self, ClientError> {
        let token = token.map(|token| {
            let mut token = AsciiMetadataValue::try_from(token).map_err(|_| ClientError::BadToken)?;
            token.set_sensitive(true);
            Ok::<_, ClientError>(token)
        });
        Ok(Self {
            client,
            token: token.transpose()?,
        })
    }

    /// The client that it asks with.
    #[must_use]
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The same on one node alone: no other answers for it.
    #[must_use]
    pub(crate) fn only(&self, node: &Node) -> Self {
        Self {
            client: self.client.only(node),
            token: self.token.clone(),
        }
    }

    /// Reads what is at a path; `data`: an object of JSON with more of what is asked, or nothing.
    ///
    /// # Errors
    /// The cluster refuses it, nothing is there, or nobody answered in time.
    pub async fn read(&self, path: &str, data: &str) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::Read, path, data, 0).await
    }

    /// Lists what is below a path.
    ///
    /// # Errors
    /// As [`Secrets::read`].
    pub async fn list(&self, path: &str) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::List, path, "", 0).await
    }

    /// Writes an object of JSON to a path.
    ///
    /// # Errors
    /// The cluster refuses it, or it is not known whether it was done.
    pub async fn write(&self, path: &str, data: &str) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::Write, path, data, 0).await
    }

    /// As [`Secrets::write`], with the answer wrapped for so many seconds.
    ///
    /// # Errors
    /// As [`Secrets::write`].
    pub async fn write_wrapped(
        &self,
        path: &str,
        data: &str,
        wrap_ttl_seconds: u64,
    ) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::Write, path, data, wrap_ttl_seconds).await
    }

    /// As [`Secrets::read`], with the answer wrapped for so many seconds.
    ///
    /// # Errors
    /// As [`Secrets::read`].
    pub async fn read_wrapped(
        &self,
        path: &str,
        data: &str,
        wrap_ttl_seconds: u64,
    ) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::Read, path, data, wrap_ttl_seconds).await
    }

    /// Changes a part of what is at a path.
    ///
    /// # Errors
    /// As [`Secrets::write`].
    pub async fn patch(&self, path: &str, data: &str) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::Patch, path, data, 0).await
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// As [`Secrets::write`].
    pub async fn delete(&self, path: &str) -> Result<SecretResponse, ClientError> {
        self.ask(Verb::Delete, path, "", 0).await
    }

    /// Follows what is at paths that the token may read.
    #[must_use]
    pub fn watch(&self, paths: Vec<String>) -> SecretChanges {
        SecretChanges::new(self.clone(), WatchSecretsRequest { paths })
    }

    async fn ask(
        &self,
        verb: Verb,
        path: &str,
        data: &str,
        wrap_ttl_seconds: u64,
    ) -> Result<SecretResponse, ClientError> {
        let message = SecretRequest {
            path: path.to_owned(),
            data: Bytes::copy_from_slice(data.as_bytes()),
            wrap_ttl_seconds,
        };
        let is_repeatable = matches!(verb, Verb::Read | Verb::List) && wrap_ttl_seconds == 0;
        self.call(is_repeatable, |node| {
            let request = self.request(message.clone());
            async move {
                let mut secrets = node.secrets();
                match verb {
                    Verb::Read => secrets.read(request).await,
                    Verb::Write => secrets.write(request).await,
                    Verb::Patch => secrets.patch(request).await,
                    Verb::Delete => secrets.delete(request).await,
                    Verb::List => secrets.list(request).await,
                }
            }
        })
        .await
    }

    /// A request with the token.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        request
    }

    /// Calls the next node while one is sealed, until each was asked once: a sealed one has done nothing.
    async fn call<T, F>(&self, is_repeatable: bool, call: impl Fn(Node) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut others = self.client.nodes().len();
        loop {
            let node = self.client.current();
            let answer = if is_repeatable {
                self.client.read(&call).await
            } else {
                self.client.write(&call).await
            };
            others = others.saturating_sub(1);
            match answer {
                Err(ClientError::Refused(status)) if is_sealed(&status) && others > 0 => {
                    self.client.move_on(&node).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Whether a node is sealed, so that another may answer.
pub(crate) fn is_sealed(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
}
