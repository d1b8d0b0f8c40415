//! What every service stands on: replication, headers, the gate, admission, metrics and the settings.

use std::sync::Arc;
use std::time::Duration;

use super::admit::Admission;
use super::auth::gate::{Caller, Gate, may_be_outdated};
use super::header::Headers;
use super::{ServiceError, Settings};
use crate::base::Revision;
use crate::base::metrics::Metrics;
use crate::replication::Replication;
use crate::state::access::Request;
use crate::state::applied::{Answer, Fatal, RangeAnswer, Refusal, TxnAnswer};
use crate::state::command::{Command, Txn};
use crate::state::{ReadView, Reader};

/// Seconds that a request may take besides two elections, as etcd's.
const REQUEST_SECONDS: u64 = 5;

/// How often a command is proposed anew for a user whose identity was outdated when it was applied.
const MAXIMUM_SIGNINGS: usize = 4;

/// Shared by all services of a node.
pub(super) struct Core {
    /// The node's part in the cluster.
    pub replication: Replication,
    /// The newest state of this node.
    pub reader: Reader,
    /// Makes headers.
    pub headers: Headers,
    /// Lets requests through.
    pub gate: Gate,
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

    /// Measures how long it took to read a range; none if it failed.
    pub fn measure_range(&self, took: Duration, range: Option<&RangeAnswer>) {
        let requests = &self.metrics.requests;
        let seconds = took.as_secs_f64();
        match range {
            Some(range) => {
                requests.range_seconds.observe(seconds);
                self.measure_read(took, "range", || range.key_values.len());
            }
            None => requests.failed_range_seconds.observe(seconds),
        }
    }

    /// Logs a read that took long: what it was and how much it gave, never what.
    pub fn measure_read(&self, took: Duration, what: &'static str, answers: impl FnOnce() -> usize) {
        if took > self.settings.slow_read {
            self.metrics.requests.slow.inc();
            tracing::warn!(
                what,
                answers = answers(),
                took_milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "reading keys took long (--warning-apply-duration)"
            );
        }
    }

    /// The state to read from: this node's as it is, or one that holds every acknowledged write.
    pub async fn view(&self, serializable: bool) -> Result<Arc<ReadView>, ServiceError> {
        if serializable {
            Ok(self.reader.view())
        } else {
            Ok(self.replication.read_barrier().await?)
        }
    }

    /// The state to read from, as [`Core::view`], in which the caller may do `request`.
    pub async fn view_for(
        &self,
        caller: &Caller,
        serializable: bool,
        request: &Request<'_>,
    ) -> Result<Arc<ReadView>, ServiceError> {
        let view = self.view(serializable).await?;
        match self.gate.judge(&view, caller, request) {
            Ok(_) => Ok(view),
            Err(error) if serializable && may_be_outdated(&error) => {
                let view = self.view(false).await.map_err(|_| error)?;
                self.gate.judge(&view, caller, request)?;
                Ok(view)
            }
            Err(error) => Err(error),
        }
    }

    /// Proposes a command of a caller; as [`Core::propose`].
    pub async fn propose_for<T>(
        &self,
        caller: &Caller,
        command: Command,
        pick: impl Fn(Answer) -> Option<T>,
    ) -> Result<(Revision, T), ServiceError> {
        if self.gate.is_open() && caller.is_nobody() {
            return self.propose(command, pick).await;
        }
        // What was refused for an outdated identity did nothing, and the state that refused it is known here by now.
        let mut signings = 1;
        loop {
            let signed = self.gate.sign(caller, command.clone()).await?;
            match self.propose(signed, &pick).await {
                Err(
                    ServiceError::Refused(Refusal::UserEmpty)
                    | ServiceError::Refused(Refusal::AuthOldRevision),
                ) if signings < MAXIMUM_SIGNINGS => {
                    signings += 1;
                }
                proposed => return proposed,
            }
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

    /// Proposes a transaction for the caller, as [`Core::propose_for`], if it may be proposed; its answer, whichever way it
    /// went.
    pub async fn transact(&self, caller: &Caller, txn: Txn) -> Result<TxnAnswer, ServiceError> {
        self.admission.txn(&txn)?;
        let pick = |answer| match answer {
            Answer::Txn(txn) => Some(txn),
            _ => None,
        };
        let (_, answer) = self.propose_for(caller, Command::Txn(txn), pick).await?;
        Ok(answer)
    }

    /// What this node reaches in the time that a request may take.
    pub async fn in_time<T>(
        &self,
        reaching: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        match tokio::time::timeout(self.request_timeout(), reaching).await {
            Ok(reached) => reached,
            Err(_) => Err(ServiceError::TimeoutApplied),
        }
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
