//! The key of the hashes of a mount: drawn when it is first needed, kept as long as the mount.
//!
//! Never told to anybody.

use std::fmt::Write as _;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::base::secret::Secret;
use crate::service::secrets::engine::{Fault, Storage};
use crate::service::secrets::randomness::Randomness;

const PATH: &str = "salt";
const BYTES: usize = 32;

/// See the module.
pub(super) struct Salt(Secret<Vec<u8>>);

impl Salt {
    /// That of the mount, which is made when it is first needed.
    pub fn of(storage: &mut dyn Storage, randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        if let Some(salt) = Self::existing(storage)? {
            return Ok(salt);
        }
        let salt = Secret::new(std::mem::take(&mut *randomness.bytes(BYTES)?));
        storage.put(PATH, salt.clone(), None)?;
        Ok(Self(salt))
    }

    /// That of the mount, if one was made.
    pub fn existing(storage: &mut dyn Storage) -> Result<Option<Self>, Fault> {
        Ok(storage.get(PATH)?.map(Self))
    }

    /// The hash of parts, as hexadecimal digits.
    pub fn text(&self, parts: &[&str]) -> String {
        let mut text = String::new();
        for byte in self.hash(parts) {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// A number below `bound`, the same for the same parts; 0 where `bound` is 0.
    pub fn number(&self, parts: &[&str], bound: u64) -> u64 {
        let first = self.hash(parts).first_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(first).checked_rem(bound).unwrap_or_default()
    }

    /// The hash of parts, each with its length in front, so that no two lists of parts are the same bytes.
    fn hash(&self, parts: &[&str]) -> [u8; 32] {
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.expose()) else {
            unreachable!("HMAC takes keys of every length")
        };
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}
