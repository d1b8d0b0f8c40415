//! Hashes of passwords, made by bcrypt.
//!
//! Never takes less time for nobody than for somebody.

use serde::{Deserialize, Serialize};

use crate::base::limits::MAXIMUM_LOGIN_PASSWORD_BYTES;
use crate::base::secret::Secret;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::Randomness;

/// The logarithm of the rounds, as in Vault.
const COST: u32 = 10;

/// The hash of a password, with its salt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hash(Secret<String>);

impl Hash {
    /// The hash of a password, with a salt of its own.
    pub fn of(password: &Secret<String>, randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        let length = password.expose().len();
        if length > MAXIMUM_LOGIN_PASSWORD_BYTES {
            return Err(Fault::Invalid(format!(
                "password has {length} bytes; the most is {MAXIMUM_LOGIN_PASSWORD_BYTES}"
            )));
        }
        let mut salt = [0; 16];
        randomness.fill(&mut salt)?;
        bcrypt::hash_with_salt(password.expose(), COST, salt)
            .map(|parts| Self(Secret::new(parts.to_string())))
            .map_err(|error| Fault::Internal(format!("cannot hash the password: {error}")))
    }

    /// Whether a password is the one of `hash`; that of nobody is never right, and takes as long.
    pub fn is_of(hash: Option<&Self>, password: &Secret<String>) -> bool {
        let Some(hash) = hash else {
            drop(std::hint::black_box(bcrypt::hash_with_salt(
                password.expose(),
                COST,
                [0; 16],
            )));
            return false;
        };
        // Cut where bcrypt ends, so that the right beginning of what is too long would open.
        let fits = password.expose().len() <= MAXIMUM_LOGIN_PASSWORD_BYTES;
        let is_right = bcrypt::verify(password.expose(), hash.0.expose()).unwrap_or(false);
        is_right && fits
    }
}
