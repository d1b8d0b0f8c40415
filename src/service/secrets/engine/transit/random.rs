//! The given randomness for libraries that cannot be told that there is none: the key of a stream cipher is drawn before,
//! and what they draw is of that stream.
//!
//! Never fails once it is there, and never gives the same twice.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rsa::rand_core::{CryptoRng, Error, RngCore};
use zeroize::Zeroizing;

use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::Randomness;

/// Random bytes without end.
pub struct Stream(ChaCha20);

impl Stream {
    /// A stream of its own.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn new(randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        let mut key = Zeroizing::new([0; 32]);
        randomness.fill(&mut *key)?;
        // The key is used once, so that any nonce will do.
        Ok(Self(ChaCha20::new((&*key).into(), &[0; 12].into())))
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        self.0.apply_keystream(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Stream {}

/// That many random bytes.
///
/// # Errors
/// There is no randomness to be had.
pub fn drawn(randomness: &mut dyn Randomness, count: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    randomness.fill(&mut bytes)?;
    Ok(bytes)
}
