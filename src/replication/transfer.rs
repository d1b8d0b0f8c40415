//! Leadership, handed on while this node lives.
//!
//! Never takes it: whoever is handed it is asked to stand for election at once.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use super::members::best_successor;
use super::{Replication, TransferError};
use crate::base::MemberId;

impl Replication {
    /// Hands leadership to `target`.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, target: MemberId, timeout: Duration) -> Result<(), TransferError> {
        let mut status = self.status();
        if !status.borrow_and_update().is_leader {
            return Err(TransferError::NotLeader);
        }
        if !self.parts.status.voters().contains(&target.0) {
            return Err(TransferError::BadTarget);
        }
        let deadline = Instant::now() + timeout;
        let transfer = self.parts.raft.trigger().transfer_leader(target.0).await;
        transfer.map_err(|_| TransferError::Timeout)?;
        let taken_over = status.wait_for(|status| status.leader == Some(target));
        match tokio::time::timeout_at(deadline, taken_over).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TransferError::Timeout),
        }
    }

    /// Hands leadership to the voter that has most of the log; nothing is to be done where this node does not lead.
    ///
    /// # Errors
    /// See [`TransferError`]: there is no other voter, or it did not take over in time.
    pub async fn step_down(&self, timeout: Duration) -> Result<(), TransferError> {
        let parts = &self.parts;
        if !self.status().borrow().is_leader {
            return Ok(());
        }
        let successor = best_successor(&parts.raft.metrics().borrow_watched(), parts.member.0);
        let successor = successor.ok_or(TransferError::BadTarget)?;
        match self.transfer_leader(MemberId(successor), timeout).await {
            // Somebody else was faster.
            Err(TransferError::NotLeader) => Ok(()),
            outcome => outcome,
        }
    }
}
