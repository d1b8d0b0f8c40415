//! Initialising the store: its root key, its keyring, its shares and its first token, all in one transaction.
//!
//! Never keeps what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Custody, Numbers, SHARES_ID, SealSource, read_seals};
use crate::base::clock;
use crate::base::secret::Secret;
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

impl Custody {
    /// Initialises the store, and unseals this node.
    ///
    /// # Errors
    /// It was initialised before, the numbers of shares cannot be, or a seal of this node cannot be used.
    pub async fn initialize(&self, settings: InitSettings) -> Result<Initialized, SecretsError> {
        let view = self.core.view(false).await?;
        if read_seals(&view)?.is_some() {
            return Err(SecretsError::AlreadyInitialized);
        }
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
        let unsealed = Arc::new(Unsealed::new(root, keyring));
        let mut draft = Draft::new(Arc::clone(&unsealed), view, now);
        let seals = wrapped.encode()?;
        draft.put_plain(keys::SEALS, seals.clone());
        draft.put_plain(keys::SHARES, Bytes::from(encode(&numbers)?.expose().clone()));
        draft.put_plain(keys::KEYRING, sealed);
        Mounts::new(randomness)?.write(&mut draft)?;
        let root_token = root_token(&mut draft)?;
        match self.install(draft, &seals).await? {
            Committed::Written(_) => {}
            Committed::Conflict => return Err(SecretsError::AlreadyInitialized),
        }
        let root = unsealed.copy_of_root();
        self.open(Unsealed::open(root, &self.core.reader.view())?);
        Ok(Initialized { shares, root_token })
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
        path: "auth/token/root".to_owned(),
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
