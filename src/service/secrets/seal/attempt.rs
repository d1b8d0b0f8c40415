//! One node collecting shares: the first begins an attempt with a nonce of its own, and the last that is needed ends it, with
//! the root key or with nothing.
//!
//! Shares are held in locked memory and dropped (wiped) when the attempt ends, however it ends. A wrong share shows only when
//! all are there and do not open the root key; nobody is told which one it was. A share that is given again changes nothing.
//!
//! Never stored and never sent to another node: every node is unsealed by itself.

use uuid::Uuid;

use super::error::SealError;
use super::kinds::LocalSeal;
use super::shamir::{self, Share};
use super::wrap::WrappedKeys;
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::Randomness;

/// How far unsealing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The attempt; none before its first share.
    pub nonce: Option<Uuid>,
    /// Different shares that were given.
    pub given: usize,
    /// Shares that are needed.
    pub threshold: u8,
}

/// What a share led to.
#[derive(Debug)]
pub enum Outcome {
    /// More are needed.
    Waiting(Progress),
    /// The root key.
    Opened(Key),
}

/// The unsealing of one node by shares.
pub struct Unsealing {
    seal: String,
    threshold: u8,
    attempt: Option<Attempt>,
}

struct Attempt {
    nonce: Uuid,
    shares: Vec<Share>,
}

impl Unsealing {
    /// Collects shares of the seal whose id is `seal`, of which `threshold` are needed.
    ///
    /// # Errors
    /// [`SealError::ThresholdOfZero`].
    pub fn new(seal: impl Into<String>, threshold: u8) -> Result<Self, SealError> {
        if threshold == 0 {
            return Err(SealError::ThresholdOfZero);
        }
        Ok(Self {
            seal: seal.into(),
            threshold,
            attempt: None,
        })
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            nonce: self.attempt.as_ref().map(|attempt| attempt.nonce),
            given: self.attempt.as_ref().map_or(0, |attempt| attempt.shares.len()),
            threshold: self.threshold,
        }
    }

    /// Takes a share for the attempt `nonce`, or for whichever there is, and opens `wrapped` when it was the last needed.
    ///
    /// # Errors
    /// [`SealError::WrongNonce`] and [`SealError::ShareKind`], which leave the attempt as it is; [`SealError::WrongShares`],
    /// which ends it; [`SealError::UnknownSeal`] where nothing was wrapped by this seal, which ends it too.
    pub fn offer(
        &mut self,
        share: Share,
        nonce: Option<Uuid>,
        wrapped: &WrappedKeys,
        randomness: &mut dyn Randomness,
    ) -> Result<Outcome, SealError> {
        let current = self.attempt.as_ref().map(|attempt| attempt.nonce);
        if let Some(nonce) = nonce.filter(|nonce| current != Some(*nonce)) {
            return Err(SealError::WrongNonce { nonce });
        }
        share.check_kind(self.threshold)?;
        let mut attempt = match self.attempt.take() {
            Some(attempt) => attempt,
            None => Attempt::begin(self.threshold, randomness)?,
        };
        // Each comparison takes the same time whatever differs, and all are made.
        let is_known = attempt
            .shares
            .iter()
            .fold(false, |is_known, other| is_known | (*other == share));
        if !is_known {
            attempt.shares.push(share);
        }
        if attempt.shares.len() < usize::from(self.threshold) {
            self.attempt = Some(attempt);
            return Ok(Outcome::Waiting(self.progress()));
        }
        // Two shares of one coordinate are as wrong as any others; saying so would tell which.
        let key = shamir::combine(&attempt.shares, self.threshold).map_err(|_| SealError::WrongShares)?;
        match wrapped.unwrap(&LocalSeal::shares(self.seal.clone(), key)) {
            Ok(root) => Ok(Outcome::Opened(root)),
            Err(SealError::CannotUnwrap { .. }) => Err(SealError::WrongShares),
            Err(other) => Err(other),
        }
    }

    /// Drops what was given so far.
    pub fn reset(&mut self) {
        self.attempt = None;
    }
}

impl Attempt {
    fn begin(threshold: u8, randomness: &mut dyn Randomness) -> Result<Self, SealError> {
        let mut random = [0; 16];
        randomness.fill(&mut random)?;
        Ok(Self {
            nonce: uuid::Builder::from_random_bytes(random).into_uuid(),
            shares: Vec::with_capacity(usize::from(threshold)),
        })
    }
}
