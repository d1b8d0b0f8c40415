//! Following secrets, on whichever node answers.
//!
//! Never leaves a change out: where the endpoint was lost, everything that is followed counts as changed.

use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::super::endpoints::is_lost;
use super::super::error::ClientError;
use super::super::node::Node;
use super::{Secrets, is_sealed};
use crate::base::clock;
use crate::proto::secrets::{WatchSecretsRequest, WatchSecretsResponse};

/// Pause after every node refused, since all are sealed.
const SEALED: std::time::Duration = std::time::Duration::from_secs(1);

/// What happens to secrets that are followed.
#[derive(Debug)]
pub struct SecretChanges {
    secrets: Secrets,
    request: WatchSecretsRequest,
    stream: Option<(Node, Streaming<WatchSecretsResponse>)>,
    /// Whether somebody has answered yet.
    has_begun: bool,
    /// Nodes in a row that are sealed.
    sealed: usize,
}

impl SecretChanges {
    pub(super) fn new(secrets: Secrets, request: WatchSecretsRequest) -> Self {
        Self {
            secrets,
            request,
            stream: None,
            has_begun: false,
            sealed: 0,
        }
    }

    /// Waits until nothing is missed any more: what is read from then on is followed.
    ///
    /// # Errors
    /// The token may not read one of the paths, or nobody answered in time.
    pub async fn begin(&mut self) -> Result<(), ClientError> {
        if !self.has_begun {
            self.next().await?;
        }
        Ok(())
    }

    /// The paths of what may have changed; the first time and after a loss of the connection: all. Losing the future loses
    /// nothing.
    ///
    /// # Errors
    /// The token may not read one of the paths, or nobody ever answered.
    pub async fn next(&mut self) -> Result<Vec<String>, ClientError> {
        let started = clock::now();
        loop {
            let Some((node, responses)) = &mut self.stream else {
                let node = self.secrets.client().current();
                match self.open(&node).await {
                    Ok(responses) => self.stream = Some((node, responses)),
                    Err(status) => {
                        let is_over = started.elapsed() >= self.secrets.client().command_timeout();
                        if !self.has_begun && is_over && is_lost(&status) {
                            return Err(self.secrets.client().not_connected(&status));
                        }
                        self.lose(&node, status).await?;
                    }
                }
                continue;
            };
            match responses.message().await {
                Ok(Some(response)) => {
                    self.has_begun = true;
                    self.sealed = 0;
                    return Ok(if response.paths.is_empty() {
                        self.request.paths.clone()
                    } else {
                        response.paths
                    });
                }
                Ok(None) => self.stream = None,
                Err(status) => {
                    let node = node.clone();
                    self.stream = None;
                    self.lose(&node, status).await?;
                }
            }
        }
    }

    async fn open(&self, node: &Node) -> Result<Streaming<WatchSecretsResponse>, Status> {
        let request = self.secrets.request(self.request.clone());
        let mut stub = node.secrets();
        let opening = timeout(self.secrets.client().command_timeout(), stub.watch(request));
        let opened = opening.await;
        let response = opened.unwrap_or_else(|_| Err(Status::unavailable("no answer in time")))?;
        Ok(response.into_inner())
    }

    /// Goes on elsewhere, or says why not. Once it has begun, a sealed cluster is waited for: people will unseal it.
    async fn lose(&mut self, node: &Node, status: Status) -> Result<(), ClientError> {
        let client = self.secrets.client();
        if is_sealed(&status) {
            self.sealed = self.sealed.saturating_add(1);
            if self.sealed >= client.nodes().len() {
                if !self.has_begun {
                    return Err(ClientError::Refused(status));
                }
                sleep(SEALED).await;
            }
        } else if !is_lost(&status) {
            return Err(ClientError::Refused(status));
        }
        client.move_on(node).await;
        Ok(())
    }
}
