//! Seals of this node's settings, which open the root key without anybody.
//!
//! Never tries again what a wrong key did not open until the wrapped root key is another; never unseals a node that somebody
//! sealed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Custody, Stored};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::seal::{LocalSeal, SealError, SealKey, SealKind};
use crate::service::secrets::store::Unsealed;
use crate::state::ReadView;

/// Pause before the next try.
const AGAIN_MILLISECONDS: u64 = 1_000;

/// Where the key of a seal comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealSource {
    /// A file with a key of 32 bytes, which only the server's user may read.
    File {
        /// Which of the cluster's seals it is.
        id: String,
        /// Its path.
        path: PathBuf,
    },
    /// An environment variable with such a key.
    Environment {
        /// Which of the cluster's seals it is.
        id: String,
        /// Its name.
        variable: String,
    },
}

impl SealSource {
    /// The seal.
    ///
    /// # Errors
    /// Its key cannot be had.
    pub fn open(&self) -> Result<LocalSeal, SealError> {
        match self {
            Self::File { id, path } => LocalSeal::key_file(id, path),
            Self::Environment { id, variable } => {
                LocalSeal::environment(id, variable, |name| std::env::var_os(name))
            }
        }
    }

    /// Which of the cluster's seals it is.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::File { id, .. } | Self::Environment { id, .. } => id,
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// The key of one cannot be had.
    pub(super) fn open_all(sources: &[Self]) -> Result<Vec<LocalSeal>, SealError> {
        sources.iter().map(Self::open).collect()
    }

    /// What keeps its key.
    #[must_use]
    pub fn kind(&self) -> SealKind {
        match self {
            Self::File { .. } => SealKind::KeyFile,
            Self::Environment { .. } => SealKind::Environment,
        }
    }
}

impl Custody {
    /// Unseals this node by its seals, for as long as it runs.
    pub async fn run(&self) {
        let mut told = String::new();
        loop {
            let wants = !self.sources.is_empty()
                && self.unsealed().is_none()
                && !self.is_sealed_by_hand.load(Ordering::Relaxed);
            if wants && let Err(reason) = self.try_sources().await {
                if reason != told {
                    tracing::warn!(
                        reason,
                        "no seal of this node opens the secret store; shares still do"
                    );
                }
                told = reason;
            }
            tokio::time::sleep(Duration::from_millis(AGAIN_MILLISECONDS)).await;
        }
    }

    async fn try_sources(&self) -> Result<(), String> {
        let stored = self.stored().await.map_err(|error| error.to_string())?;
        let Some((view, stored)) = stored else {
            return Ok(());
        };
        let mut reasons = Vec::new();
        for source in self.sources.iter() {
            match opened(source, &stored, &view) {
                Ok(unsealed) => {
                    tracing::info!(seal = source.id(), "unsealed by itself");
                    if !reasons.is_empty() {
                        let reason = reasons.join("; ");
                        tracing::warn!(
                            reason,
                            "a seal of this node does not open the secret store; another did"
                        );
                    }
                    self.open(unsealed);
                    return Ok(());
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(reasons.join("; "))
    }

    /// The seals of this node's settings.
    #[must_use]
    pub fn sources(&self) -> &Arc<[SealSource]> {
        &self.sources
    }
}

fn opened(source: &SealSource, stored: &Stored, view: &ReadView) -> Result<Unsealed, SecretsError> {
    let seal = source.open()?;
    let root = stored.wrapped.unwrap(&seal as &dyn SealKey)?;
    Unsealed::open(root, view)
}
