//! Other shares in place of the present ones.
//!
//! ```text
//!  begin -> the present shares -> the new ones, told once -> in use
//!                                              \-> verified by as many as will be needed -> in use
//! ```
//!
//! Whoever asks for it has the new shares verified: until as many as will be needed were given back, the present ones stay, so
//! that new ones which never reached their people lock nobody out. The same is asked of who could not be told in time whether
//! the new ones are in use. Where nobody is there any more to be told of them, the former ones are put back.
//!
//! Never keeps the new shares, nor the key that they make.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::sleep;
use uuid::Uuid;

use super::attempts::{PAUSE, invalid, is_unsure, new_nonce, nothing_begun, offered};
use super::{Custody, Numbers, SHARES_ID, Stored, read_seals};
use crate::base::clock;
use crate::service::ServiceError;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::{Randomness, SystemRandomness};
use crate::service::secrets::seal::attempt::Unsealing;
use crate::service::secrets::seal::{LocalSeal, SealError, Share, WrappedKeys, shamir};
use crate::service::secrets::status::{AttemptStatus, InitSettings, RekeySettings, Rekeyed, Verified};
use crate::service::secrets::store::commit::{Committed, replace_plain};
use crate::service::secrets::store::{Draft, keys};
use crate::state::applied::KeyValue;

/// A change of the shares that was begun.
pub struct Rekeying {
    nonce: Uuid,
    settings: RekeySettings,
    collecting: Unsealing,
    made: Option<Made>,
}

/// New shares that are not known to be in use.
struct Made {
    /// Of their verification.
    nonce: Uuid,
    change: Change,
    /// Whether they may be in use all the same, as there was no answer.
    may_be_in_use: bool,
    collecting: Unsealing,
}

/// Seals, and others in their place.
#[derive(Clone)]
struct Change {
    before: KeyValue,
    wrapped_before: WrappedKeys,
    numbers_before: Numbers,
    wrapped: WrappedKeys,
    numbers: Numbers,
}

/// What new shares have done, until somebody takes them: if nobody does, it is undone.
struct Untold {
    custody: Arc<Custody>,
    change: Option<Change>,
}

impl Drop for Untold {
    fn drop(&mut self) {
        if let (Some(change), Ok(runtime)) = (self.change.take(), Handle::try_current()) {
            let custody = Arc::clone(&self.custody);
            runtime.spawn(async move {
                *custody.rekeying.lock().await = None;
                custody.put_back(&change).await;
            });
        }
    }
}

impl Custody {
    /// How far a change of the shares is.
    ///
    /// # Errors
    /// Sealed.
    pub async fn rekeying(&self) -> Result<AttemptStatus, SecretsError> {
        let stored = self.opened_seals().await?;
        let rekeying = self.rekeying.lock().await;
        Ok(match rekeying.as_ref() {
            Some(rekeying) => rekeying.status(),
            None => nothing_begun(stored.numbers.threshold, 0),
        })
    }

    /// Begins a change of the shares.
    ///
    /// # Errors
    /// Sealed, one is under way, or the numbers cannot be.
    pub async fn begin_rekeying(&self, settings: RekeySettings) -> Result<AttemptStatus, SecretsError> {
        let stored = self.opened_seals().await?;
        let mut rekeying = self.rekeying.lock().await;
        if rekeying.is_some() {
            return Err(invalid("rekey already in progress"));
        }
        // Whether there can be so many shares.
        let InitSettings { shares, threshold } = settings.new;
        let trial = SystemRandomness.key().map_err(SealError::from)?;
        shamir::split(&trial, shares, threshold, &mut SystemRandomness)?;
        let begun = Rekeying {
            nonce: new_nonce()?,
            settings,
            collecting: Unsealing::new(SHARES_ID, stored.numbers.threshold)?,
            made: None,
        };
        let status = begun.status();
        *rekeying = Some(begun);
        Ok(status)
    }

    /// Gives up a change of the shares, also where only the verification of new ones is missing: the former ones stay.
    ///
    /// # Errors
    /// Sealed.
    pub async fn cancel_rekeying(self: &Arc<Self>) -> Result<(), SecretsError> {
        self.require()?;
        let made = self.rekeying.lock().await.take().and_then(|held| held.made);
        if let Some(made) = made.filter(|made| made.may_be_in_use) {
            let custody = Arc::clone(self);
            // Goes on without its client.
            let putting = tokio::spawn(async move { custody.put_back(&made.change).await });
            putting
                .await
                .map_err(|_| SecretsError::Service(ServiceError::Stopped))?;
        }
        Ok(())
    }

    /// Takes one of the present shares for a change of them.
    ///
    /// # Errors
    /// Sealed, none is under way, another nonce, the shares are wrong, or the new ones are there.
    pub async fn offer_to_rekeying(
        self: &Arc<Self>,
        share: Share,
        nonce: Uuid,
    ) -> Result<Rekeyed, SecretsError> {
        let custody = Arc::clone(self);
        let (teller, told) = oneshot::channel();
        // Goes on without its client: who is not told of new shares could open nothing any more.
        tokio::spawn(async move {
            let mut change = None;
            let outcome = custody.take_share(share, nonce, &mut change).await;
            let _ = teller.send((outcome, Untold { custody, change }));
        });
        let (outcome, mut untold) = told
            .await
            .map_err(|_| SecretsError::Service(ServiceError::Stopped))?;
        untold.change = None;
        outcome
    }

    /// Takes one of the present shares. Where it leads to new ones, `change` is what they may have done.
    async fn take_share(
        &self,
        share: Share,
        nonce: Uuid,
        change: &mut Option<Change>,
    ) -> Result<Rekeyed, SecretsError> {
        let stored = self.opened_seals().await?;
        let mut held = self.rekeying.lock().await;
        let Some(rekeying) = held.as_mut() else {
            return Err(invalid("no rekey in progress"));
        };
        if rekeying.nonce != nonce {
            return Err(SealError::WrongNonce { nonce }.into());
        }
        if let Some(made) = &rekeying.made {
            return Err(invalid(format!(
                "the new shares are made, and are to be verified; the nonce of that is {}",
                made.nonce
            )));
        }
        let Some(root) = offered(&mut rekeying.collecting, share, &stored.wrapped)? else {
            return Ok(Rekeyed::Waiting(rekeying.status()));
        };
        let settings = rekeying.settings;
        let (mut made, shares) = Made::new(stored, &root, settings.new)?;
        *change = Some(made.change.clone());
        let is_in_use = !settings.requires_verification && self.takes(&mut made).await?;
        let verification = (!is_in_use).then_some(made.nonce);
        match verification {
            Some(_) => rekeying.made = Some(made),
            None => *held = None,
        }
        Ok(Rekeyed::Done {
            nonce,
            shares,
            verification,
        })
    }

    /// Has the former shares be the ones again, as nobody has the new ones. What may still be on its way to be written is
    /// kept from that. Goes on until it is done, also while the node is sealed: it takes no key.
    async fn put_back(&self, change: &Change) {
        loop {
            match self.try_to_put_back(change).await {
                Ok(true) => {
                    tracing::warn!("new shares that nobody has are not in use");
                    return;
                }
                Ok(false) => {}
                Err(SecretsError::Service(ServiceError::Stopped)) => {
                    tracing::error!("the node stops; shares that nobody has may be in use");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the former shares could not be put back; trying again"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether the former shares are the ones, or others that people have.
    async fn try_to_put_back(&self, change: &Change) -> Result<bool, SecretsError> {
        let view = self.core.view(false).await?;
        let stored = read_seals(&view)?.ok_or(SecretsError::NotInitialized)?;
        let is_former = stored.wrapped.has_shares_of(&change.wrapped_before);
        if !is_former && !stored.wrapped.has_shares_of(&change.wrapped) {
            return Ok(true);
        }
        let seals = stored.wrapped.with_shares_of(&change.wrapped_before).encode()?;
        let numbers = Bytes::from(encode(&change.numbers_before)?.expose().clone());
        let writes = [(keys::SEALS, seals), (keys::SHARES, numbers)];
        let committed = replace_plain(&self.core, &stored.seals, writes).await?;
        Ok(committed != Committed::Conflict)
    }

    /// How far the verification of new shares is.
    ///
    /// # Errors
    /// Sealed, or no change of the shares is under way.
    pub async fn verifying(&self) -> Result<AttemptStatus, SecretsError> {
        self.require()?;
        let held = self.rekeying.lock().await;
        let rekeying = held.as_ref().ok_or_else(|| invalid("no rekey in progress"))?;
        Ok(rekeying.verification())
    }

    /// Drops what was given for the verification of new shares, which goes on under another nonce.
    ///
    /// # Errors
    /// Sealed, or there are no new shares.
    pub async fn restart_verifying(&self) -> Result<AttemptStatus, SecretsError> {
        self.require()?;
        let mut held = self.rekeying.lock().await;
        let rekeying = held.as_mut().ok_or_else(|| invalid("no rekey in progress"))?;
        let made = rekeying.made.as_mut().ok_or_else(not_made)?;
        made.collecting.reset();
        made.nonce = new_nonce()?;
        Ok(rekeying.verification())
    }

    /// Takes one of the new shares. The last that is needed has them be the ones.
    ///
    /// # Errors
    /// Sealed, there are no new shares, another nonce, the shares are wrong, or the seals were changed by others meanwhile.
    pub async fn verify(self: &Arc<Self>, share: Share, nonce: Uuid) -> Result<Verified, SecretsError> {
        let custody = Arc::clone(self);
        // Goes on without its client.
        let verifying = tokio::spawn(async move { custody.take_new_share(share, nonce).await });
        verifying
            .await
            .map_err(|_| SecretsError::Service(ServiceError::Stopped))?
    }

    async fn take_new_share(&self, share: Share, nonce: Uuid) -> Result<Verified, SecretsError> {
        self.require()?;
        let mut held = self.rekeying.lock().await;
        let rekeying = held.as_mut().ok_or_else(|| invalid("no rekey in progress"))?;
        let made = rekeying.made.as_mut().ok_or_else(not_made)?;
        if made.nonce != nonce {
            return Err(SealError::WrongNonce { nonce }.into());
        }
        if offered(&mut made.collecting, share, &made.change.wrapped)?.is_none() {
            return Ok(Verified::Waiting(rekeying.verification()));
        }
        let outcome = self.use_made(made).await?;
        *held = None;
        match outcome {
            Committed::Written(_) => Ok(Verified::Done { nonce }),
            Committed::Conflict => Err(invalid(
                "the seals were changed meanwhile: the new shares are void; begin the rekey again",
            )),
        }
    }

    /// Whether new shares are in use now; not, where there is no answer: they may be.
    ///
    /// # Errors
    /// They are not, nor will be.
    async fn takes(&self, made: &mut Made) -> Result<bool, SecretsError> {
        match self.use_made(made).await {
            Ok(Committed::Written(_)) => Ok(true),
            Ok(Committed::Conflict) => Err(SecretsError::Contended(1)),
            Err(error) if is_unsure(&error) => {
                tracing::warn!(%error, "whether the new shares are in use is not known; they are to be verified");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Has new shares be the ones.
    async fn use_made(&self, made: &mut Made) -> Result<Committed, SecretsError> {
        let Change {
            before,
            wrapped,
            numbers,
            ..
        } = &made.change;
        let view = self.core.reader.view();
        let mut draft = Draft::new(self.require()?, view, clock::unix_time());
        draft.needs_unchanged(before);
        draft.put_plain(keys::SEALS, wrapped.encode()?);
        draft.put_plain(keys::SHARES, Bytes::from(encode(numbers)?.expose().clone()));
        let outcome = self.install(&mut draft, wrapped).await;
        made.may_be_in_use |= outcome.as_ref().is_err_and(is_unsure);
        let outcome = outcome?;
        if outcome != Committed::Conflict {
            let Numbers { shares, threshold } = *numbers;
            tracing::info!(shares, threshold, "the shares of the secret store are others");
        }
        Ok(outcome)
    }
}

fn not_made() -> SecretsError {
    invalid("there are no new shares to be verified yet")
}

impl Rekeying {
    fn status(&self) -> AttemptStatus {
        let progress = self.collecting.progress();
        AttemptStatus {
            is_started: true,
            nonce: Some(self.nonce),
            given: progress.given,
            needed: progress.threshold,
            new_shares: Some(self.settings.new),
            requires_verification: self.settings.requires_verification || self.made.is_some(),
            verification: self.made.as_ref().map(|made| made.nonce),
            ..AttemptStatus::default()
        }
    }

    fn verification(&self) -> AttemptStatus {
        let given = self.made.as_ref().map(|made| made.collecting.progress().given);
        AttemptStatus {
            is_started: self.made.is_some(),
            nonce: self.made.as_ref().map(|made| made.nonce),
            given: given.unwrap_or_default(),
            needed: self.settings.new.threshold,
            new_shares: Some(self.settings.new),
            ..AttemptStatus::default()
        }
    }
}

impl Made {
    /// New shares that open the root key in place of those of `stored`, and they themselves.
    fn new(stored: Stored, root: &Key, settings: InitSettings) -> Result<(Self, Vec<Share>), SecretsError> {
        let key = SystemRandomness.key().map_err(SealError::from)?;
        let shares = shamir::split(&key, settings.shares, settings.threshold, &mut SystemRandomness)?;
        let seal = LocalSeal::shares(SHARES_ID, key);
        let wrapped = stored
            .wrapped
            .replaced(root, &[&seal], |_| true, &mut SystemRandomness)?;
        let change = Change {
            before: stored.seals,
            wrapped_before: stored.wrapped,
            numbers_before: stored.numbers,
            wrapped,
            numbers: Numbers {
                shares: settings.shares,
                threshold: settings.threshold,
            },
        };
        let made = Self {
            nonce: new_nonce()?,
            change,
            may_be_in_use: false,
            collecting: Unsealing::new(SHARES_ID, settings.threshold)?,
        };
        Ok((made, shares))
    }
}
