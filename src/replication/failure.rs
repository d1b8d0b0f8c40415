//! The one place where a node's death is recorded: by raft, the log's writer, or apply. The first reason stays.

use std::sync::Arc;

use tokio::sync::watch;

/// A shared, sticky failure.
#[derive(Clone)]
pub struct Failure {
    reason: Arc<watch::Sender<Option<String>>>,
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            reason: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Failure {
    /// Records why the node cannot go on. Later reasons are dropped.
    pub fn report(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.reason.send_if_modified(|current| {
            let is_first = current.is_none();
            if is_first {
                tracing::error!(reason, "this node cannot go on");
                *current = Some(reason);
            }
            is_first
        });
    }

    /// Resolves with the reason once there is one.
    pub async fn wait(&self) -> String {
        let mut receiver = self.reason.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}
