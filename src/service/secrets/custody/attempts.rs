//! What people do together with their shares once a node is unsealed: change the shares, and make a root token.
//!
//! Both need as many shares as unsealing does, and prove them the same way: they open the root key. Never tells which share
//! of several is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use uuid::Uuid;

use super::initialize::root_token;
use super::{Custody, Numbers, SHARES_ID, Stored};
use crate::base::clock;
use crate::base::secret::Secret;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::{Randomness, SystemRandomness};
use crate::service::secrets::seal::attempt::{Outcome, Unsealing};
use crate::service::secrets::seal::{LocalSeal, SealError, Share, shamir};
use crate::service::secrets::status::{AttemptStatus, InitSettings, Rekeyed, RootMade};
use crate::service::secrets::store::commit::Committed;
use crate::service::secrets::store::{Draft, keys};
use crate::service::secrets::token::text::TOKEN_CHARACTERS;

/// A change of the shares that was begun.
pub struct Rekeying {
    nonce: Uuid,
    settings: InitSettings,
    collecting: Unsealing,
}

/// A root token that is to be made.
pub struct MakingRoot {
    nonce: Uuid,
    password: Secret<String>,
    collecting: Unsealing,
}

fn nonce() -> Result<Uuid, SecretsError> {
    let mut random = [0; 16];
    SystemRandomness.fill(&mut random).map_err(SealError::from)?;
    Ok(uuid::Builder::from_random_bytes(random).into_uuid())
}

fn nothing_begun(needed: u8, password_length: usize) -> AttemptStatus {
    AttemptStatus {
        is_started: false,
        nonce: None,
        given: 0,
        needed,
        new_shares: None,
        password_length,
    }
}

fn invalid(text: &str) -> SecretsError {
    Fault::Invalid(text.to_owned()).into()
}

/// What a share led to: the root key, if it was the last one needed.
fn offered(collecting: &mut Unsealing, share: Share, stored: &Stored) -> Result<Option<Key>, SecretsError> {
    match collecting.offer(share, None, &stored.wrapped, &mut SystemRandomness)? {
        Outcome::Waiting(_) => Ok(None),
        Outcome::Opened(root) => Ok(Some(root)),
    }
}

impl Custody {
    async fn opened_seals(&self) -> Result<Stored, SecretsError> {
        self.require()?;
        let (_, stored) = self.stored().await?.ok_or(SecretsError::NotInitialized)?;
        Ok(stored)
    }

    /// Writes what an attempt came to; where others were faster, people give their shares anew.
    async fn write(&self, draft: Draft) -> Result<(), SecretsError> {
        match draft.commit(&self.core, &self.leases).await? {
            Committed::Written(_) => Ok(()),
            Committed::Conflict => Err(SecretsError::Contended(1)),
        }
    }

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
    pub async fn begin_rekeying(&self, settings: InitSettings) -> Result<AttemptStatus, SecretsError> {
        let stored = self.opened_seals().await?;
        let mut rekeying = self.rekeying.lock().await;
        if rekeying.is_some() {
            return Err(invalid("rekey already in progress"));
        }
        // Whether there can be so many shares.
        let trial = SystemRandomness.key().map_err(SealError::from)?;
        shamir::split(&trial, settings.shares, settings.threshold, &mut SystemRandomness)?;
        let begun = Rekeying {
            nonce: nonce()?,
            settings,
            collecting: Unsealing::new(SHARES_ID, stored.numbers.threshold)?,
        };
        let status = begun.status();
        *rekeying = Some(begun);
        Ok(status)
    }

    /// Gives up a change of the shares.
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
    /// Sealed, none is under way, another nonce, or the shares are wrong.
    pub async fn offer_to_rekeying(&self, share: Share, nonce: Uuid) -> Result<Rekeyed, SecretsError> {
        let stored = self.opened_seals().await?;
        let mut held = self.rekeying.lock().await;
        let Some(rekeying) = held.as_mut() else {
            return Err(invalid("no rekey in progress"));
        };
        if rekeying.nonce != nonce {
            return Err(SealError::WrongNonce { nonce }.into());
        }
        let Some(root) = offered(&mut rekeying.collecting, share, &stored)? else {
            return Ok(Rekeyed::Waiting(rekeying.status()));
        };
        let settings = rekeying.settings;
        let key = SystemRandomness.key().map_err(SealError::from)?;
        let shares = shamir::split(&key, settings.shares, settings.threshold, &mut SystemRandomness)?;
        let seal = LocalSeal::shares(SHARES_ID, key);
        let wrapped = stored
            .wrapped
            .replaced(&root, &[&seal], |_| true, &mut SystemRandomness)?;
        let numbers = Numbers {
            shares: settings.shares,
            threshold: settings.threshold,
        };
        let view = self.core.view(false).await?;
        let mut draft = Draft::new(self.require()?, view, clock::unix_time());
        draft.needs_unchanged(&stored.seals);
        draft.put_plain(keys::SEALS, wrapped.encode()?);
        draft.put_plain(keys::SHARES, Bytes::from(encode(&numbers)?.expose().clone()));
        self.write(draft).await?;
        *held = None;
        tracing::info!(
            shares = settings.shares,
            threshold = settings.threshold,
            "the shares of the secret store are others"
        );
        Ok(Rekeyed::Done { nonce, shares })
    }

    /// How far the making of a root token is.
    ///
    /// # Errors
    /// Sealed.
    pub async fn making_root(&self) -> Result<AttemptStatus, SecretsError> {
        let stored = self.opened_seals().await?;
        let making = self.making_root.lock().await;
        Ok(match making.as_ref() {
            Some(making) => making.status(),
            None => nothing_begun(stored.numbers.threshold, TOKEN_CHARACTERS),
        })
    }

    /// Begins to make a root token.
    ///
    /// # Errors
    /// Sealed, one is under way, or the password has not the length of a token.
    pub async fn begin_making_root(&self, password: Secret<String>) -> Result<AttemptStatus, SecretsError> {
        let stored = self.opened_seals().await?;
        if password.expose().len() != TOKEN_CHARACTERS {
            return Err(invalid(&format!(
                "OTP string is wrong length: it has {TOKEN_CHARACTERS} characters"
            )));
        }
        let mut making = self.making_root.lock().await;
        if making.is_some() {
            return Err(invalid("root generation already in progress"));
        }
        let begun = MakingRoot {
            nonce: nonce()?,
            password,
            collecting: Unsealing::new(SHARES_ID, stored.numbers.threshold)?,
        };
        let status = begun.status();
        *making = Some(begun);
        Ok(status)
    }

    /// Gives up making a root token.
    ///
    /// # Errors
    /// Sealed.
    pub async fn cancel_making_root(&self) -> Result<(), SecretsError> {
        self.require()?;
        *self.making_root.lock().await = None;
        Ok(())
    }

    /// Takes a share for a root token.
    ///
    /// # Errors
    /// Sealed, none is under way, another nonce, or the shares are wrong.
    pub async fn offer_to_making_root(&self, share: Share, nonce: Uuid) -> Result<RootMade, SecretsError> {
        let stored = self.opened_seals().await?;
        let mut held = self.making_root.lock().await;
        let Some(making) = held.as_mut() else {
            return Err(invalid("no root generation in progress"));
        };
        if making.nonce != nonce {
            return Err(SealError::WrongNonce { nonce }.into());
        }
        if offered(&mut making.collecting, share, &stored)?.is_none() {
            return Ok(RootMade::Waiting(making.status()));
        }
        let view = self.core.view(false).await?;
        let mut draft = Draft::new(self.require()?, view, clock::unix_time());
        let token = root_token(&mut draft)?;
        self.write(draft).await?;
        let mixed: Vec<u8> = token
            .expose()
            .bytes()
            .zip(making.password.expose().bytes())
            .map(|(of_token, of_password)| of_token ^ of_password)
            .collect();
        *held = None;
        tracing::info!("a root token was made with shares");
        Ok(RootMade::Done {
            nonce,
            encoded: Secret::new(STANDARD_NO_PAD.encode(mixed)),
        })
    }
}

impl Rekeying {
    fn status(&self) -> AttemptStatus {
        let progress = self.collecting.progress();
        AttemptStatus {
            is_started: true,
            nonce: Some(self.nonce),
            given: progress.given,
            needed: progress.threshold,
            new_shares: Some(self.settings),
            password_length: 0,
        }
    }
}

impl MakingRoot {
    fn status(&self) -> AttemptStatus {
        let progress = self.collecting.progress();
        AttemptStatus {
            is_started: true,
            nonce: Some(self.nonce),
            given: progress.given,
            needed: progress.threshold,
            new_shares: None,
            password_length: TOKEN_CHARACTERS,
        }
    }
}
