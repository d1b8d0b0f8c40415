//! A root token for people with enough shares.
//!
//! Never tells the token to who does not know the one-time password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use uuid::Uuid;

use super::attempts::{invalid, new_nonce, nothing_begun, offered};
use super::initialize::root_token;
use super::{Custody, SHARES_ID};
use crate::base::clock;
use crate::base::secret::Secret;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::seal::attempt::Unsealing;
use crate::service::secrets::seal::{SealError, Share};
use crate::service::secrets::status::{AttemptStatus, RootMade};
use crate::service::secrets::store::Draft;
use crate::service::secrets::store::commit::Committed;
use crate::service::secrets::token::text::TOKEN_CHARACTERS;

/// A root token that is to be made.
pub struct MakingRoot {
    nonce: Uuid,
    password: Secret<String>,
    collecting: Unsealing,
}

impl Custody {
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
            return Err(invalid(format!(
                "OTP string is wrong length: it has {TOKEN_CHARACTERS} characters"
            )));
        }
        let mut making = self.making_root.lock().await;
        if making.is_some() {
            return Err(invalid("root generation already in progress"));
        }
        let begun = MakingRoot {
            nonce: new_nonce()?,
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
        if making.collecting.progress().threshold != stored.numbers.threshold {
            // The shares were changed since it began.
            making.collecting = Unsealing::new(SHARES_ID, stored.numbers.threshold)?;
        }
        if offered(&mut making.collecting, share, &stored.wrapped)?.is_none() {
            return Ok(RootMade::Waiting(making.status()));
        }
        let view = self.core.view(false).await?;
        let mut draft = Draft::new(self.require()?, view, clock::unix_time());
        // Shares that are void by now make none, where this node had not heard of it yet.
        draft.needs_unchanged(&stored.seals);
        let token = root_token(&mut draft)?;
        if draft.commit(&self.core, &self.leases).await? == Committed::Conflict {
            return Err(SecretsError::Contended(1));
        }
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

impl MakingRoot {
    fn status(&self) -> AttemptStatus {
        let progress = self.collecting.progress();
        AttemptStatus {
            is_started: true,
            nonce: Some(self.nonce),
            given: progress.given,
            needed: progress.threshold,
            password_length: TOKEN_CHARACTERS,
            ..AttemptStatus::default()
        }
    }
}
