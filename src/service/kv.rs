//! Keys and values: range, put, delete, transaction, compaction.
//!
//! Reads come from a state that holds every acknowledged write, or from this node's as it is where the request allows
//! it. Writes go through the log. Never retries a write: replication does, where it provably was not appended.

use std::sync::Arc;
use std::time::Instant;

use super::auth::Caller;
use super::core::{Core, read_aside};
use super::header::Answered;
use super::range_stream::RangeChunks;
use super::{ServiceError, validate};
use crate::base::Revision;
use crate::state::access::Request;
use crate::state::applied::{Answer, DeleteRangeAnswer, PutAnswer, RangeAnswer, TxnAnswer};
use crate::state::command::{Command, DeleteRange, Operation, Put, Range, Txn};

/// Keys and values. A handle: clones share one service.
#[derive(Clone)]
pub struct Kv {
    core: Arc<Core>,
    caller: Caller,
}

impl Kv {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            caller: Caller::default(),
        }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self {
            core: Arc::clone(&self.core),
            caller,
        }
    }

    /// Reads a range: from this node's state as it is if `serializable`.
    ///
    /// # Errors
    /// Invalid, compacted, future, or no quorum in time.
    pub async fn range(
        &self,
        request: Range,
        serializable: bool,
    ) -> Result<Answered<RangeAnswer>, ServiceError> {
        if !serializable && self.core.headers.is_learner() {
            return Err(ServiceError::NotSupportedForLearner);
        }
        validate::range(&request)?;
        self.core.metrics.ranges.inc();
        let view = self
            .core
            .view_for(&self.caller, serializable, &Request::Range(&request))
            .await?;
        let began = Instant::now();
        let read = if is_point(&request) {
            view.range(&request)
                .map_err(ServiceError::from)
                .and_then(|read| Ok(read?))
        } else {
            read_aside(view, move |view| view.range(&request)).await
        };
        self.core.measure_range(began.elapsed(), read.as_ref().ok());
        let answer = read?;
        Ok(Answered {
            header: self.core.headers.at(answer.revision),
            answer,
        })
    }

    /// Reads a range in pieces of bounded size, all at one revision.
    ///
    /// # Errors
    /// As [`Kv::range`]; sorts and filters are not offered.
    pub async fn range_stream(
        &self,
        request: Range,
        serializable: bool,
    ) -> Result<RangeChunks, ServiceError> {
        self.core.metrics.ranges.inc();
        RangeChunks::open(Arc::clone(&self.core), self.caller.clone(), request, serializable).await
    }

    /// Writes one key.
    ///
    /// # Errors
    /// Invalid, no such lease, no space, or no answer in time.
    pub async fn put(&self, request: Put) -> Result<Answered<PutAnswer>, ServiceError> {
        validate::put(&request)?;
        self.core.admission.put(&request)?;
        let pick = |answer| {
            if let Answer::Put(put) = answer {
                Some(put)
            } else {
                None
            }
        };
        let (_, answer) = self
            .core
            .propose_for(&self.caller, Command::Put(request), pick)
            .await?;
        Ok(Answered {
            header: self.core.headers.at(answer.revision),
            answer,
        })
    }

    /// Removes keys.
    ///
    /// # Errors
    /// Invalid, or no answer in time.
    pub async fn delete_range(
        &self,
        request: DeleteRange,
    ) -> Result<Answered<DeleteRangeAnswer>, ServiceError> {
        validate::delete_range(&request)?;
        self.core.admission.change()?;
        let pick = |answer| {
            if let Answer::DeleteRange(delete) = answer {
                Some(delete)
            } else {
                None
            }
        };
        let (_, answer) = self
            .core
            .propose_for(&self.caller, Command::DeleteRange(request), pick)
            .await?;
        Ok(Answered {
            header: self.core.headers.at(answer.revision),
            answer,
        })
    }

    /// Does a transaction. One that only reads does not go through the log, and is answered from this node's state as
    /// it is if `serializable`: if every range in it allows that.
    ///
    /// # Errors
    /// Invalid, refused as one of its operations would be, no space, or no answer in time.
    pub async fn txn(&self, request: Txn, serializable: bool) -> Result<Answered<TxnAnswer>, ServiceError> {
        validate::txn(&request, self.core.settings.maximum_txn_operations)?;
        self.core.metrics.txns.inc();
        let answer = if request.is_read_only() {
            let view = self
                .core
                .view_for(&self.caller, serializable, &Request::Txn(&request))
                .await?;
            let began = Instant::now();
            let answer = if reads_points(&request) {
                view.read_transaction(&request)??
            } else {
                read_aside(view, move |view| view.read_transaction(&request)).await?
            };
            self.core
                .measure_read(began.elapsed(), "transaction", || answer.answers.len());
            answer
        } else {
            self.core.admission.txn(&request)?;
            let pick = |answer| {
                if let Answer::Txn(txn) = answer {
                    Some(txn)
                } else {
                    None
                }
            };
            self.core
                .propose_for(&self.caller, Command::Txn(request), pick)
                .await?
                .1
        };
        Ok(Answered {
            header: self.core.headers.at(answer.revision),
            answer,
        })
    }

    /// Forgets the history before `revision`. With `physical`, answers when this node has also removed it from disk.
    ///
    /// # Errors
    /// Compacted already, future, or no answer in time.
    pub async fn compact(&self, revision: Revision, physical: bool) -> Result<Answered<()>, ServiceError> {
        self.core.admission.change()?;
        let pick = |answer| matches!(answer, Answer::Compact).then_some(());
        let (current, ()) = self
            .core
            .propose_for(&self.caller, Command::Compact { revision }, pick)
            .await?;
        if physical {
            self.core.replication.compaction_removed(revision).await;
        }
        Ok(Answered {
            header: self.core.headers.at(current),
            answer: (),
        })
    }
}

/// Whether a range reads one key: so cheap that it is done where it is asked for.
fn is_point(range: &Range) -> bool {
    range.keys.end.is_empty()
}

fn reads_points(txn: &Txn) -> bool {
    let point = |operation: &Operation| matches!(operation, Operation::Range(range) if is_point(range));
    txn.compare.iter().all(|compare| compare.keys.end.is_empty())
        && txn.success.iter().chain(&txn.failure).all(point)
}
