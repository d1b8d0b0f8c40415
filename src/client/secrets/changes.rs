//! Following secrets, on whichever node answers.
//!
//! Once it has begun, it goes on until it is refused for good: a node that fails is followed by the next. Never leaves a
//! change out: where the endpoint was lost, everything that is followed counts as changed.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status, Streaming};

use super::super::endpoints::is_lost;
use super::super::error::ClientError;
use super::super::node::Node;
use super::{Secrets, is_sealed};
use crate::base::clock;
use crate::proto::secrets::{WatchSecretsRequest, WatchSecretsResponse};

/// Pause before the next node is asked, where one has failed or all are sealed.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// Nobody is asked before this.
    not_before: Option<Instant>,
}

impl SecretChanges {
    pub(super) fn new(secrets: Secrets, request: WatchSecretsRequest) -> Self {
        Self {
            secrets,
            request,
            stream: None,
            has_begun: false,
            sealed: 0,
            not_before: None,
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
                if let Some(not_before) = self.not_before {
                    sleep_until(not_before).await;
                    self.not_before = None;
                }
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
            let status = match responses.message().await {
                Ok(Some(response)) => {
                    self.has_begun = true;
                    self.sealed = 0;
                    return Ok(if response.paths.is_empty() {
                        self.request.paths.clone()
                    } else {
                        response.paths
                    });
                }
                Ok(None) => Status::unavailable("the server ended the stream"),
                Err(status) => status,
            };
            let node = node.clone();
            self.stream = None;
            self.lose(&node, status).await?;
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
        let goes_on_at_once = if is_sealed(&status) {
            self.sealed = self.sealed.saturating_add(1);
            self.sealed < client.nodes().len()
        } else {
            is_lost(&status)
        };
        if !goes_on_at_once {
            if !self.has_begun || is_final(&status) {
                return Err(ClientError::Refused(status));
            }
            self.not_before = Some(Instant::now() + PAUSE);
        }
        client.move_on(node).await;
        Ok(())
    }
}

/// Whether every node would refuse it, and for good: the token has no right to it, or it cannot be followed.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::Unimplemented
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MAXIMUM_WAIT, NodeTwin};
    use super::*;

    async fn next(changes: &mut SecretChanges) -> Result<Vec<String>, ClientError> {
        timeout(MAXIMUM_WAIT, changes.next()).await.unwrap()
    }

    async fn begun(nodes: &[&NodeTwin]) -> SecretChanges {
        let mut changes = NodeTwin::store(nodes).watch(vec!["secret/a".to_owned()]);
        changes.begin().await.unwrap();
        changes
    }

    #[tokio::test]
    async fn a_node_that_fails_is_followed_by_the_next() {
        for code in [
            Code::Internal,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Unavailable,
        ] {
            let (one, other) = (NodeTwin::serve().await, NodeTwin::serve().await);
            let mut changes = begun(&[&one, &other]).await;
            one.put("{}");
            assert_eq!(next(&mut changes).await.unwrap(), [one.endpoint()], "{code}");
            one.end(code);
            assert_eq!(next(&mut changes).await.unwrap(), ["secret/a"], "{code}");
            other.put("{}");
            assert_eq!(next(&mut changes).await.unwrap(), [other.endpoint()], "{code}");
        }
    }

    #[tokio::test]
    async fn what_every_node_would_refuse_ends_it() {
        for code in [
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::InvalidArgument,
            Code::Unimplemented,
        ] {
            let (one, other) = (NodeTwin::serve().await, NodeTwin::serve().await);
            let mut changes = begun(&[&one, &other]).await;
            one.end(code);
            let error = next(&mut changes).await.unwrap_err();
            assert!(
                matches!(&error, ClientError::Refused(status) if status.code() == code),
                "{error:?}"
            );
        }
    }
}
