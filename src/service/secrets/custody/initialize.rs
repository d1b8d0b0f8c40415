//! Initialising the store: its root key, its keyring, its shares and its first token, all in one transaction.
//!
//! Never keeps what somebody was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::attempts::{invalid, is_unsure};
use super::{Custody, Numbers, SHARES_ID, SealSource, read_seals};
use crate::base::clock;
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::service::secrets::barrier::cipher::Place;
use crate::service::secrets::barrier::keyring::Keyring;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::engine::{TokenKind, Tuning};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::mounts::Mounts;
use crate::service::secrets::policy::ROOT;
use crate::service::secrets::randomness::{Randomness, SystemRandomness};
use crate::service::secrets::seal::{LocalSeal, SealError, SealKey, WrappedKeys, shamir};
use crate::service::secrets::status::{InitSettings, Initialized};
use crate::service::secrets::store::commit::Committed;
use crate::service::secrets::store::{Draft, Unsealed, keys};
use crate::service::secrets::token::{self, New};
use crate::state::ReadView;

/// What was made of a store that begins, until it is told.
pub struct Untold {
    settings: InitSettings,
    seals: WrappedKeys,
    /// What writes it; none: it is written.
    draft: Option<Draft>,
    made: Initialized,
}

impl Custody {
    /// Initialises the store, and unseals this node.
    ///
    /// What was made is kept until somebody was told of it: where it is not known yet whether it is stored, and where nobody
    /// was there any more, who asks this node again for the same shares is told.
    ///
    /// # Errors
    /// It was initialised before, the numbers of shares cannot be, or a seal of this node cannot be used.
    pub async fn initialize(self: &Arc<Self>, settings: InitSettings) -> Result<Initialized, SecretsError> {
        let is_told = || self.untold.try_lock().is_ok_and(|untold| untold.is_none());
        if read_seals(&self.core.reader.view())?.is_some() && is_told() {
            return Err(SecretsError::AlreadyInitialized);
        }
        let custody = Arc::clone(self);
        let (teller, told) = oneshot::channel();
        // Goes on without its client, once begun: what opens the store is told once.
        tokio::spawn(async move {
            let mut untold = custody.untold.lock().await;
            if teller.is_closed() {
                return;
            }
            // Where nobody listens any more, it stays untold.
            let _ = teller.send(custody.begin(settings, &mut untold).await);
        });
        told.await
            .map_err(|_| SecretsError::Service(ServiceError::Stopped))??;
        let untold = self.untold.lock().await.take();
        Ok(untold.ok_or(SecretsError::AlreadyInitialized)?.made)
    }

    /// Has a store be there whose shares are `untold`, and this node be unsealed.
    async fn begin(&self, settings: InitSettings, untold: &mut Option<Untold>) -> Result<(), SecretsError> {
        let view = self.core.view(false).await?;
        let stored = read_seals(&view)?;
        let is_untold = |untold: &Untold| match &stored {
            Some(stored) => stored.wrapped.has_shares_of(&untold.seals),
            None => untold.draft.is_some(),
        };
        if !untold.as_ref().is_some_and(is_untold) {
            if stored.is_some() {
                return Err(SecretsError::AlreadyInitialized);
            }
            *untold = Some(self.make(settings, view)?);
        }
        let begun = untold.as_mut().ok_or(SecretsError::NotInitialized)?;
        if begun.settings != settings {
            let InitSettings { shares, threshold } = begun.settings;
            return Err(invalid(format!(
                "nobody was told yet of {shares} shares, of which {threshold} are needed: ask for those"
            )));
        }
        if stored.is_none()
            && let Some(draft) = &mut begun.draft
        {
            match self.install(draft, &begun.seals).await {
                Ok(Committed::Written(_)) => {}
                Err(error) if is_unsure(&error) => return Err(error),
                outcome => {
                    *untold = None;
                    return Err(outcome.err().unwrap_or(SecretsError::AlreadyInitialized));
                }
            }
        }
        if let Some(draft) = begun.draft.take() {
            let root = draft.unsealed().copy_of_root();
            self.open(Unsealed::open(root, &self.core.reader.view())?);
        }
        Ok(())
    }

    /// A store, not written yet.
    fn make(&self, settings: InitSettings, view: Arc<ReadView>) -> Result<Untold, SecretsError> {
        let randomness = &mut SystemRandomness;
        let root = randomness.key().map_err(SealError::from)?;
        let shares_key = randomness.key().map_err(SealError::from)?;
        let shares = shamir::split(&shares_key, settings.shares, settings.threshold, randomness)?;
        let of_shares = LocalSeal::shares(SHARES_ID, shares_key);
        let automatic = SealSource::open_all(&self.sources)?;
        let mut seals: Vec<&dyn SealKey> = vec![&of_shares];
        seals.extend(automatic.iter().map(|seal| seal as &dyn SealKey));
        let wrapped = WrappedKeys::wrap(&root, &seals, randomness)?;
        let now = clock::unix_time();
        let keyring = Keyring::new(now.as_secs(), randomness)?;
        let place = Place {
            storage_key: keys::KEYRING,
            version: 1,
        };
        let sealed = Bytes::from(keyring.seal(&root, place, randomness)?);
        let numbers = Numbers {
            shares: settings.shares,
            threshold: settings.threshold,
        };
        let mut draft = Draft::new(Arc::new(Unsealed::new(root, keyring)), view, now);
        draft.put_plain(keys::SEALS, wrapped.encode()?);
        draft.put_plain(keys::SHARES, Bytes::from(encode(&numbers)?.expose().clone()));
        draft.put_plain(keys::KEYRING, sealed);
        Mounts::new(randomness)?.write(&mut draft)?;
        let root_token = root_token(&mut draft)?;
        Ok(Untold {
            settings,
            seals: wrapped,
            draft: Some(draft),
            made: Initialized { shares, root_token },
        })
    }
}

/// Makes a token that may do everything, for ever.
///
/// # Errors
/// There is no randomness.
pub(super) fn root_token(draft: &mut Draft) -> Result<Secret<String>, SecretsError> {
    let new = New {
        id: None,
        parent: None,
        policies: vec![ROOT.to_owned()],
        path: token::ROOT_PATH.to_owned(),
        metadata: BTreeMap::new(),
        display_name: ROOT.to_owned(),
        uses: 0,
        ttl: Duration::ZERO,
        max_ttl: Duration::ZERO,
        explicit_max_ttl: Duration::ZERO,
        period: Duration::ZERO,
        is_renewable: false,
        role: String::new(),
        bound_cidrs: Vec::new(),
        kind: TokenKind::Service,
        wraps: String::new(),
    };
    let made = token::make(draft, new, &Tuning::default(), &mut SystemRandomness)?;
    Ok(made.auth.token)
}
