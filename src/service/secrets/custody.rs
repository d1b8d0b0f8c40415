//! The keys of this node: whether it is sealed, and how it is unsealed, sealed, and given other shares.
//!
//! A node is unsealed by itself where a seal of its settings opens the root key, and by people with shares anyhow. Shares are
//! collected in memory, for one purpose at a time each: to unseal, to change the shares, to make a root token. Attempts are
//! those of one node: all shares of one attempt are given to the same.
//!
//! The seals of an existing store are told, and replaced by those that a node's settings name, by [`seals`].
//!
//! Never decides what a request may do, never stores a share.

mod attempts;
mod automatic;
mod initialize;
mod making_root;
mod rekeying;
pub mod seals;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use super::error::SecretsError;
use super::randomness::SystemRandomness;
use super::seal::attempt::{Outcome, Unsealing};
use super::seal::{Share, WrappedKeys};
use super::status::SealStatus;
use super::store::unsealed::stored;
use super::store::{Unsealed, keys};
use crate::service::core::Core;
use crate::service::lease::Leases;
use crate::state::ReadView;
use crate::state::applied::KeyValue;
pub use automatic::SealSource;
use initialize::Untold;
use making_root::MakingRoot;
use rekeying::Rekeying;

/// The id of the seal of shares.
pub const SHARES_ID: &str = "shares";

/// How many shares there are. Stored as it is: whoever changes it keeps people from unsealing, and learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Shares that there are.
    pub shares: u8,
    /// Shares that are needed.
    pub threshold: u8,
}

/// See the module.
pub struct Custody {
    core: Arc<Core>,
    leases: Leases,
    sources: Arc<[SealSource]>,
    unsealed: ArcSwapOption<Unsealed>,
    /// Told whenever the node is sealed or unsealed.
    changed: Notify,
    /// Whether somebody sealed this node: then it stays so until somebody unseals it, or it is started again.
    is_sealed_by_hand: AtomicBool,
    unsealing: Mutex<Option<Unsealing>>,
    rekeying: Mutex<Option<Rekeying>>,
    making_root: Mutex<Option<MakingRoot>>,
    untold: Mutex<Option<Untold>>,
}

/// What is stored of the seals.
struct Stored {
    seals: KeyValue,
    wrapped: WrappedKeys,
    numbers: Numbers,
}

impl Custody {
    /// A sealed node.
    pub(in crate::service) fn new(core: Arc<Core>, leases: Leases, sources: Vec<SealSource>) -> Self {
        Self {
            core,
            leases,
            sources: sources.into(),
            unsealed: ArcSwapOption::empty(),
            changed: Notify::new(),
            is_sealed_by_hand: AtomicBool::new(false),
            unsealing: Mutex::default(),
            rekeying: Mutex::default(),
            making_root: Mutex::default(),
            untold: Mutex::default(),
        }
    }

    /// The keys, while the node is not sealed.
    pub fn unsealed(&self) -> Option<Arc<Unsealed>> {
        self.unsealed.load_full()
    }

    /// The keys.
    ///
    /// # Errors
    /// The node is sealed.
    pub fn require(&self) -> Result<Arc<Unsealed>, SecretsError> {
        self.unsealed().ok_or(SecretsError::Sealed)
    }

    /// Resolves when the node is not sealed.
    pub async fn wait(&self) -> Arc<Unsealed> {
        loop {
            let changed = self.changed.notified();
            if let Some(unsealed) = self.unsealed() {
                return unsealed;
            }
            changed.await;
        }
    }

    /// Resolves when these are not the keys any more: whoever holds them must let go of them.
    pub async fn sealed(&self, unsealed: &Arc<Unsealed>) {
        loop {
            let changed = self.changed.notified();
            let current = self.unsealed();
            if !current.is_some_and(|current| Arc::ptr_eq(&current, unsealed)) {
                return;
            }
            changed.await;
        }
    }

    fn open(&self, unsealed: Unsealed) {
        self.unsealed.store(Some(Arc::new(unsealed)));
        self.is_sealed_by_hand.store(false, Ordering::Relaxed);
        self.changed.notify_waiters();
        tracing::info!("the secret store of this node is unsealed");
    }

    /// Forgets the keys, and all shares that were given.
    pub async fn seal(&self) {
        self.is_sealed_by_hand.store(true, Ordering::Relaxed);
        self.unsealed.store(None);
        self.changed.notify_waiters();
        *self.unsealing.lock().await = None;
        *self.rekeying.lock().await = None;
        *self.making_root.lock().await = None;
        if let Ok(mut untold) = self.untold.try_lock() {
            *untold = None;
        }
        tracing::info!("the secret store of this node is sealed");
    }

    /// What is stored of the seals; none: nothing was initialised. What this node knows already suffices, so that it can be
    /// unsealed without a quorum; that there is nothing takes one.
    async fn stored(&self) -> Result<Option<(Arc<ReadView>, Stored)>, SecretsError> {
        let view = self.core.reader.view();
        if let Some(stored) = read_seals(&view)? {
            return Ok(Some((view, stored)));
        }
        let view = self.core.view(false).await?;
        Ok(read_seals(&view)?.map(|stored| (view, stored)))
    }

    /// Where the seal stands.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub async fn status(&self) -> Result<SealStatus, SecretsError> {
        let is_sealed = self.unsealed().is_none();
        let Some((_, stored)) = self.stored().await? else {
            return Ok(SealStatus {
                is_initialized: false,
                is_sealed: true,
                threshold: 0,
                shares: 0,
                given: 0,
                nonce: None,
                seals: Vec::new(),
            });
        };
        let unsealing = self.unsealing.lock().await;
        let progress = unsealing.as_ref().map(Unsealing::progress).filter(|_| is_sealed);
        let seals = stored.wrapped.seals().map(|(id, kind)| (id.to_owned(), kind));
        Ok(SealStatus {
            is_initialized: true,
            is_sealed,
            threshold: stored.numbers.threshold,
            shares: stored.numbers.shares,
            given: progress.map_or(0, |progress| progress.given),
            nonce: progress.and_then(|progress| progress.nonce),
            seals: seals.collect(),
        })
    }

    /// Takes a share for the unsealing of this node.
    ///
    /// # Errors
    /// Not initialised, or the shares that were given are wrong.
    pub async fn unseal(&self, share: Share) -> Result<SealStatus, SecretsError> {
        if self.unsealed().is_none() {
            let (view, stored) = self.stored().await?.ok_or(SecretsError::NotInitialized)?;
            let mut unsealing = self.unsealing.lock().await;
            if self.unsealed().is_some() {
                // By another share, meanwhile.
                drop(unsealing);
                return self.status().await;
            }
            let threshold = stored.numbers.threshold;
            let mut collecting = match unsealing.take() {
                Some(collecting) if collecting.progress().threshold == threshold => collecting,
                _ => Unsealing::new(SHARES_ID, threshold)?,
            };
            let outcome = collecting.offer(share, None, &stored.wrapped, &mut SystemRandomness);
            *unsealing = Some(collecting);
            if let Outcome::Opened(root) = outcome? {
                self.open(Unsealed::open(root, &view)?);
                *unsealing = None;
            }
        }
        self.status().await
    }

    /// Drops the shares that were given to unseal this node.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub async fn reset(&self) -> Result<SealStatus, SecretsError> {
        *self.unsealing.lock().await = None;
        self.status().await
    }
}

fn read_seals(view: &ReadView) -> Result<Option<Stored>, SecretsError> {
    let Some(seals) = stored(view, &Bytes::from_static(keys::SEALS), false)? else {
        return Ok(None);
    };
    let numbers = stored(view, &Bytes::from_static(keys::SHARES), false)?;
    let numbers = numbers.ok_or(SecretsError::NotInitialized)?;
    let numbers = super::engine::storage::decode(&numbers.value)?;
    let wrapped = WrappedKeys::decode(&seals.value)?;
    Ok(Some(Stored {
        seals,
        wrapped,
        numbers,
    }))
}
