//! Other shares in place of the present ones.
//!
//! ```text
//!  begin -> the present shares -> the new ones, told once -> in use
//!                                              \\-> verified by as many as will be needed -> in use
//! ```
//!
//! Whoever asks for it has the new shares verified: until as many as will be needed were given back, the present ones stay, so
//! that new ones which never reached their people lock nobody out. The same is asked of who could not be told in time whether
//! the new ones are in use. Where nobody is there any more to be told of them, the former ones are put back.
//!
//! Never keeps the new shares, nor the key that they make.

use std::sync::Arc;

use bytes::Bytes;
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
use crate::service::secrets::store::commit::Committed;
use crate::service::secrets::store::{Draft, keys};
use crate::state::applied::KeyValue;

/// A change of the shares that was begun.
pub struct Rekeying {
    nonce: Uuid,
    settings: RekeySettings,
    collecting: Unsealing,
    made: Option<Made>,
}

/// New shares that are not in use yet.
struct Made {
    /// Of their verification.
    nonce: Uuid,
    /// The seals that they replace.
    before: KeyValue,
    /// The seals that they open.
    wrapped: WrappedKeys,
    collecting: Unsealing,
}

/// What new shares may have taken the place of.
struct Former {
    seals: KeyValue,
    numbers: Numbers,
    /// The seals that may be stored instead.
    instead: Bytes,
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

    /// Gives up a change of the shares, also where only the verification of new ones is missing.
    ///
    /// # Errors
    /// Sealed.
    pub async fn cancel_rekeying(&self) -> Result<(), SecretsError> {
        self.require()?;
        *self.rekeying.lock().await = None;
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
            let mut former = None;
            let outcome = custody.take_share(share, nonce, &mut former).await;
            if teller.send(outcome).is_err()
                && let Some(former) = former
            {
                custody.put_back(&former).await;
            }
        });
        told.await
            .map_err(|_| SecretsError::Service(ServiceError::Stopped))?
    }

    /// Takes one of the present shares. Where it leads to new ones, `former` is what they may have taken the place of.
    async fn take_share(
        &self,
        share: Share,
        nonce: Uuid,
        former: &mut Option<Former>,
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
        let numbers = stored.numbers;
        let (made, shares) = Made::new(stored, &root, settings.new)?;
        *former = Some(Former {
            seals: made.before.clone(),
            numbers,
            instead: made.wrapped.encode()?,
        });
        let is_in_use = !settings.requires_verification && self.takes(&made, settings.new).await?;
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

    /// Has the former shares be the ones again, as nobody was told of the new ones. What may still be on its way to be
    /// written is kept from that.
    async fn put_back(&self, former: &Former) {
        *self.rekeying.lock().await = None;
        while self.unsealed().is_some() {
            match self.try_to_put_back(former).await {
                Ok(Committed::Written(_)) => {
                    tracing::warn!("nobody was there to be told of the new shares: the former ones stay");
                    return;
                }
                Ok(Committed::Conflict) => {}
                Err(error) => tracing::warn!(%error, "the former shares could not be put back; trying again"),
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_to_put_back(&self, former: &Former) -> Result<Committed, SecretsError> {
        let view = self.core.view(false).await?;
        let stored = read_seals(&view)?.ok_or(SecretsError::NotInitialized)?;
        let is_former = stored.seals.modification_revision == former.seals.modification_revision;
        if !is_former && stored.seals.value != former.instead {
            // Others have changed the seals since, by shares that they have.
            return Ok(Committed::Written(stored.seals.modification_revision));
        }
        let mut draft = Draft::new(self.require()?, view, clock::unix_time());
        draft.needs_unchanged(&stored.seals);
        draft.put_plain(keys::SEALS, former.seals.value.clone());
        draft.put_plain(
            keys::SHARES,
            Bytes::from(encode(&former.numbers)?.expose().clone()),
        );
        draft.commit(&self.core, &self.leases).await
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
    pub async fn verify(&self, share: Share, nonce: Uuid) -> Result<Verified, SecretsError> {
        self.require()?;
        let mut held = self.rekeying.lock().await;
        let rekeying = held.as_mut().ok_or_else(|| invalid("no rekey in progress"))?;
        let new = rekeying.settings.new;
        let made = rekeying.made.as_mut().ok_or_else(not_made)?;
        if made.nonce != nonce {
            return Err(SealError::WrongNonce { nonce }.into());
        }
        if offered(&mut made.collecting, share, &made.wrapped)?.is_none() {
            return Ok(Verified::Waiting(rekeying.verification()));
        }
        let outcome = self.use_made(made, new).await?;
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
    async fn takes(&self, made: &Made, new: InitSettings) -> Result<bool, SecretsError> {
        match self.use_made(made, new).await {
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
    async fn use_made(&self, made: &Made, new: InitSettings) -> Result<Committed, SecretsError> {
        let InitSettings { shares, threshold } = new;
        let seals = made.wrapped.encode()?;
        let numbers = Numbers { shares, threshold };
        let view = self.core.reader.view();
        let mut draft = Draft::new(self.require()?, view, clock::unix_time());
        draft.needs_unchanged(&made.before);
        draft.put_plain(keys::SEALS, seals.clone());
        draft.put_plain(keys::SHARES, Bytes::from(encode(&numbers)?.expose().clone()));
        let outcome = self.install(&mut draft, &seals).await?;
        if outcome != Committed::Conflict {
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
        let made = Self {
            nonce: new_nonce()?,
            before: stored.seals,
            wrapped,
            collecting: Unsealing::new(SHARES_ID, settings.threshold)?,
        };
        Ok((made, shares))
    }
}
