//! What every service stands on: replication, headers, admission, metrics and the settings.

use std::sync::Arc;
use std::time::Duration;

use super::admit::Admission;
use super::header::Headers;
use super::{ServiceError, Settings};
use crate::base::Revision;
use crate::base::metrics::Metrics;
use crate::replication::Replication;
use crate::state::applied::{Answer, Fatal, Refusal};
use crate::state::command::Command;
use crate::state::{ReadView, Reader};

/// Seconds that a request may take besides two elections, as etcd's.
const REQUEST_SECONDS: u64 = 5;

/// Shared by all services of a node.
pub(super) struct Core {
    /// The node's part in the cluster.
    pub replication: Replication,
    /// The newest state of this node.
    pub reader: Reader,
    /// Makes headers.
    pub headers: Headers,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Decides what may be proposed.
    pub admission: Admission,
    /// The node's settings.
    pub settings: Settings,
}

impl Core {
    /// How long a request is tried for.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(REQUEST_SECONDS) + self.settings.election * 2
    }

    /// The state to read from: this node's as it is, or one that holds every acknowledged write.
    pub async fn view(&self, serializable: bool) -> Result<Arc<ReadView>, ServiceError> {
        if serializable {
            Ok(self.reader.view())
        } else {
            Ok(self.replication.read_barrier().await?)
        }
    }

    /// Proposes a command; the answer that `pick` takes, with the store's revision after the command.
    pub async fn propose<T>(
        &self,
        command: Command,
        pick: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<(Revision, T), ServiceError> {
        let committed = self.replication.propose(command).await?;
        let answer = pick(committed.outcome?).ok_or_else(|| {
            ServiceError::Internal("the state machine answered another command than the one proposed".into())
        })?;
        Ok((committed.revision, answer))
    }
}

/// Does a read that may take long on a thread that may block, so that it delays no other request.
pub(super) async fn read_aside<T: Send + 'static>(
    view: Arc<ReadView>,
    read: impl FnOnce(&ReadView) -> Result<Result<T, Refusal>, Fatal> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::task::spawn_blocking(move || read(&view)).await {
        Ok(outcome) => Ok(outcome??),
        // The runtime is going down, or the read panicked: either way this node will not answer.
        Err(_) => Err(ServiceError::Stopped),
    }
}
