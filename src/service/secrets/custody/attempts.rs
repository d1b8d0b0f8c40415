//! What is alike of all that people do together with their shares once a node is unsealed.
//!
//! All of it needs as many shares as unsealing does, and proves them the same way: they open the root key. Never tells which
//! share of several is wrong.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{Custody, Stored, read_seals};
use crate::base::limits::MAXIMUM_SEAL_WRITE_SECONDS;
use crate::service::ServiceError;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::{Randomness, SystemRandomness};
use crate::service::secrets::seal::attempt::{Outcome, Unsealing};
use crate::service::secrets::seal::{SealError, Share, WrappedKeys};
use crate::service::secrets::status::AttemptStatus;
use crate::service::secrets::store::Draft;
use crate::service::secrets::store::commit::Committed;

/// Pause before what had no answer is written again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn new_nonce() -> Result<Uuid, SecretsError> {
    let mut random = [0; 16];
    SystemRandomness.fill(&mut random).map_err(SealError::from)?;
    Ok(uuid::Builder::from_random_bytes(random).into_uuid())
}

pub(super) fn nothing_begun(needed: u8, password_length: usize) -> AttemptStatus {
    AttemptStatus {
        needed,
        password_length,
        ..AttemptStatus::default()
    }
}

pub(super) fn invalid(text: impl Into<String>) -> SecretsError {
    Fault::Invalid(text.into()).into()
}

/// What a share led to: the root key, if it was the last one needed.
pub(super) fn offered(
    collecting: &mut Unsealing,
    share: Share,
    wrapped: &WrappedKeys,
) -> Result<Option<Key>, SecretsError> {
    match collecting.offer(share, None, wrapped, &mut SystemRandomness)? {
        Outcome::Waiting(_) => Ok(None),
        Outcome::Opened(root) => Ok(Some(root)),
    }
}

/// Whether what was to be written may be written, or be yet.
pub(super) fn is_unsure(error: &SecretsError) -> bool {
    use ServiceError as E;
    let SecretsError::Service(error) = error else {
        return false;
    };
    matches!(
        error,
        E::Timeout
            | E::TimeoutLeaderFailed
            | E::TimeoutConnectionLost
            | E::TimeoutApplied
            | E::LeaderChanged
            | E::NoLeader
            | E::NotLeader
            | E::Stopped
    )
}

impl Custody {
    pub(super) async fn opened_seals(&self) -> Result<Stored, SecretsError> {
        self.require()?;
        let (_, stored) = self.stored().await?.ok_or(SecretsError::NotInitialized)?;
        Ok(stored)
    }

    /// Writes seals, and what belongs to them. What had no answer is written again, until it is known whether it is there:
    /// what opens it is told once.
    ///
    /// # Errors
    /// As [`Draft::commit`]. Where it [is not known](is_unsure) by then, it may be written.
    pub(super) async fn install(
        &self,
        draft: &mut Draft,
        seals: &WrappedKeys,
    ) -> Result<Committed, SecretsError> {
        let until = Instant::now() + Duration::from_secs(MAXIMUM_SEAL_WRITE_SECONDS);
        loop {
            let outcome = match timeout_at(until, draft.commit(&self.core, &self.leases)).await {
                // They may be there since another time.
                Ok(Ok(Committed::Conflict)) => self.whose(seals).await,
                Ok(outcome) => outcome,
                Err(_) => return Err(ServiceError::Timeout.into()),
            };
            match outcome {
                Err(error) if is_unsure(&error) && Instant::now() < until => {
                    tracing::warn!(%error, "the seals of the secret store could not be written; trying again");
                    sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether the shares of these seals are stored, or others.
    async fn whose(&self, seals: &WrappedKeys) -> Result<Committed, SecretsError> {
        let view = self.core.view(false).await?;
        Ok(match read_seals(&view)? {
            Some(stored) if stored.wrapped.has_shares_of(seals) => {
                Committed::Written(stored.seals.modification_revision)
            }
            _ => Committed::Conflict,
        })
    }
}
