//! Where keys, nonces and polynomials come from: the operating system, and in tests what makes golden bytes possible.
//!
//! Never a generator of its own.

use std::io;

use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base::clock;
use crate::service::secrets::memory::Key;

/// A source of random bytes.
pub trait Randomness {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// There is no randomness to be had.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()>;

    /// A new key, made in locked memory.
    ///
    /// # Errors
    /// As [`Randomness::fill`].
    fn key(&mut self) -> io::Result<Key> {
        Key::filled(|bytes| self.fill(bytes))
    }

    /// That many bytes.
    ///
    /// # Errors
    /// As [`Randomness::fill`].
    fn bytes(&mut self, count: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; count]);
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A number below `bound`, each as likely as every other; 0 where `bound` is 0 or 1.
    ///
    /// # Errors
    /// As [`Randomness::fill`].
    fn below(&mut self, bound: u8) -> io::Result<u8> {
        if bound < 2 {
            return Ok(0);
        }
        // All ones, as long as the largest number: at least every second that is drawn fits.
        let mask = u8::MAX >> (bound - 1).leading_zeros();
        loop {
            let mut drawn = [0];
            self.fill(&mut drawn)?;
            let [number] = drawn.map(|byte| byte & mask);
            if number < bound {
                return Ok(number);
            }
        }
    }
}

/// The generator of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        clock::fill_from_system(bytes)
    }
}

/// A source of random bytes as the libraries of ciphers and signatures want it. They cannot be told that there is
/// none: they are given worthless bytes then, which are not all the same so that whoever searches a prime among them comes to
/// an end, and [`Generator::finish`] says that what was made of them must be thrown away.
pub struct Generator<'source> {
    source: &'source mut dyn Randomness,
    failure: Option<io::Error>,
    worthless: u64,
}

impl<'source> Generator<'source> {
    /// Draws from `source`.
    #[must_use]
    pub fn new(source: &'source mut dyn Randomness) -> Self {
        Self {
            source,
            failure: None,
            worthless: 0,
        }
    }

    /// Says whether all that was drawn was random. Nothing that was made with it may be used before.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl RngCore for Generator<'_> {
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
        if self.failure.is_none() {
            match self.source.fill(bytes) {
                Ok(()) => return,
                Err(error) => self.failure = Some(error),
            }
        }
        for chunk in bytes.chunks_mut(32) {
            self.worthless = self.worthless.wrapping_add(1);
            for (byte, other) in chunk.iter_mut().zip(Sha256::digest(self.worthless.to_be_bytes())) {
                *byte = other;
            }
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        // Some of them panic where they are told that there is none.
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Generator<'_> {}

/// Counts: 0, 1, 2 and so on, for golden bytes.
#[cfg(test)]
pub(crate) struct Counting(pub u8);

#[cfg(test)]
impl Randomness for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_a_bound_is_drawn_and_none_above() {
        for bound in [1, 2, 3, 5, 128, 200, 255] {
            let mut seen = [false; 256];
            for start in 0..=255 {
                seen[usize::from(Counting(start).below(bound).unwrap())] = true;
            }
            for (number, was_seen) in seen.iter().enumerate() {
                assert_eq!(*was_seen, number < usize::from(bound), "{number} of {bound}");
            }
        }
        assert_eq!(Counting(9).below(0).unwrap(), 0);
    }

    #[test]
    fn the_system_gives_other_bytes_each_time() {
        let draw = || SystemRandomness.key().unwrap();
        assert_ne!(draw(), draw());
    }

    /// A generator that has nothing to give.
    struct Dry;

    impl Randomness for Dry {
        fn fill(&mut self, _bytes: &mut [u8]) -> io::Result<()> {
            Err(io::Error::other("dry"))
        }
    }

    #[test]
    fn a_source_that_runs_dry_is_an_error_and_never_a_key_of_zeros() {
        assert!(Dry.key().is_err());
        assert!(Dry.below(7).is_err());
    }
    #[test]
    fn a_generator_without_a_source_comes_to_an_end_and_says_that_nothing_was_random() {
        let mut dry = Dry;
        let mut generator = Generator::new(&mut dry);
        assert_ne!(generator.next_u64(), generator.next_u64());
        let mut worthless = [0; 4];
        assert!(generator.try_fill_bytes(&mut worthless).is_ok() && worthless != [0; 4]);
        assert!(generator.finish().is_err());
        let mut counting = Counting(0);
        let mut generator = Generator::new(&mut counting);
        assert_eq!(generator.next_u32(), u32::from_le_bytes([0, 1, 2, 3]));
        assert!(generator.finish().is_ok());
    }
}
