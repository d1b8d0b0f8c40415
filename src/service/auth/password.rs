//! Passwords: hashed with argon2id on threads that may block, a few at a time.
//!
//! Never on the path of apply, and once for each token, not for each request. Checking the password of a user who is not
//! there takes as long as that of one who is.

use std::str::FromStr;
use std::sync::LazyLock;

use argon2::password_hash::{PasswordHash as Parsed, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use bcrypt::HashParts;

use crate::base::clock;
use crate::base::limits::{MAXIMUM_HASHES_AT_ONCE, MAXIMUM_WAITING_HASHES};
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::service::turns::Turns;
use crate::state::auth::PasswordHash;

/// What the hashes of a restored etcd begin with: they are good until the user gets another password.
const BCRYPT: &str = "$2";
/// Bytes of a salt (RFC 9106).
const SALT_BYTES: usize = 16;
/// KiB and rounds that a hash may ask for, several times what those that are made here do. A hash that is restored from a
/// snapshot file says itself what checking it takes.
const MAXIMUM_HASH_KIB: u32 = 64 * 1024;
/// See [`MAXIMUM_HASH_KIB`].
const MAXIMUM_HASH_ROUNDS: u32 = 16;
/// The same for bcrypt, as the logarithm of its rounds: some seconds. etcd's default is 10.
const MAXIMUM_BCRYPT_COST: u32 = 16;

/// What a password is compared with if there is no user: the hash of something random that is then forgotten.
static NOBODYS_HASH: LazyLock<Option<PasswordHash>> =
    LazyLock::new(|| hash(&Secret::new(format!("{:x}", clock::random_u64()))).ok());

/// Hashes and checks passwords. A handle: clones share the limits.
#[derive(Clone)]
pub(super) struct Passwords(Turns);

impl Default for Passwords {
    fn default() -> Self {
        Self(Turns::new(MAXIMUM_HASHES_AT_ONCE, MAXIMUM_WAITING_HASHES))
    }
}

impl Passwords {
    /// Hashes a password with a salt of its own.
    pub async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, ServiceError> {
        self.0.aside(move || hash(&password)).await?
    }

    /// Whether a password is the one of `hash`; none: of nobody.
    pub async fn check(
        &self,
        password: Secret<String>,
        hash: Option<PasswordHash>,
    ) -> Result<bool, ServiceError> {
        let check = move || match hash {
            Some(hash) => is_of(&password, &hash),
            None => {
                if let Some(hash) = NOBODYS_HASH.as_ref() {
                    is_of(&password, hash);
                }
                false
            }
        };
        self.0.aside(check).await
    }
}

fn hash(password: &Secret<String>) -> Result<PasswordHash, ServiceError> {
    let failed =
        |error: argon2::password_hash::Error| ServiceError::Internal(format!("cannot hash: {error}"));
    let salt = SaltString::encode_b64(&clock::random_bytes::<SALT_BYTES>()).map_err(failed)?;
    let hash = Argon2::default()
        .hash_password(password.expose().as_bytes(), &salt)
        .map_err(failed)?;
    Ok(Secret::new(hash.to_string()))
}

fn is_of(password: &Secret<String>, hash: &PasswordHash) -> bool {
    if hash.expose().starts_with(BCRYPT) {
        return HashParts::from_str(hash.expose()).is_ok_and(|parts| parts.get_cost() <= MAXIMUM_BCRYPT_COST)
            && bcrypt::verify(password.expose(), hash.expose()).unwrap_or(false);
    }
    Parsed::new(hash.expose()).is_ok_and(|hash| {
        Params::try_from(&hash)
            .is_ok_and(|cost| cost.m_cost() <= MAXIMUM_HASH_KIB && cost.t_cost() <= MAXIMUM_HASH_ROUNDS)
            && Argon2::default()
                .verify_password(password.expose().as_bytes(), &hash)
                .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_its_own_password_opens_a_hash() {
        let passwords = Passwords::default();
        let secret = |text: &str| Secret::new(text.to_owned());
        let one = passwords.hash(secret("hunter2")).await.unwrap();
        let other = passwords.hash(secret("hunter2")).await.unwrap();
        assert_ne!(one, other, "each has a salt of its own");
        assert!(one.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let check = |text: &str, hash: &PasswordHash| passwords.check(secret(text), Some(hash.clone()));
        assert!(check("hunter2", &one).await.unwrap());
        assert!(check("hunter2", &other).await.unwrap());
        assert!(!check("hunter3", &one).await.unwrap());
        assert!(!check("", &one).await.unwrap());
        assert!(!check("hunter2", &secret("no hash")).await.unwrap());
        assert!(!passwords.check(secret("hunter2"), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_that_etcd_made_is_as_good_as_one_of_ours() {
        let passwords = Passwords::default();
        // Made by etcd 3.5.1.
        let hash = Secret::new("$2a$10$1uLVQNBLqHTPeSqQCq0AvOF9Vn7qIkgGy1fOgSFs.XEQ9RpjCNsuW".to_owned());
        let check = |text: &str| passwords.check(Secret::new(text.to_owned()), Some(hash.clone()));
        assert!(check("hunter2").await.unwrap());
        assert!(!check("hunter3").await.unwrap());
        let broken = Secret::new("$2a$10$broken".to_owned());
        assert!(
            !passwords
                .check(Secret::new("hunter2".to_owned()), Some(broken))
                .await
                .unwrap()
        );
    }

    #[test]
    fn a_hash_that_asks_for_more_than_it_may_is_of_no_password() {
        let password = Secret::new("hunter2".to_owned());
        let salt = SaltString::encode_b64(&[7; SALT_BYTES]).unwrap();
        for (kib, rounds, is_good) in [
            (64, 1, true),
            (64, MAXIMUM_HASH_ROUNDS + 1, false),
            (MAXIMUM_HASH_KIB + 1, 1, false),
        ] {
            let cost = Params::new(kib, rounds, 1, None).unwrap();
            let hasher = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cost);
            let hash = hasher.hash_password(password.expose().as_bytes(), &salt).unwrap();
            assert_eq!(
                is_of(&password, &Secret::new(hash.to_string())),
                is_good,
                "{hash}"
            );
        }
        // Of this password too, made elsewhere with the costs 4 and 17.
        for (hash, is_good) in [
            (
                "$2a$04$TFy23JbGvpzdItnIczXIDOEM5X0.HmnWHMY/TK6.r0vR5keJpgTJy",
                true,
            ),
            (
                "$2a$17$6AQ9dRL7XTasZSHXaT8uC.zRjjhsORRFJ.k/U9tGgoqWQP05mAl4m",
                false,
            ),
        ] {
            assert_eq!(is_of(&password, &Secret::new(hash.to_owned())), is_good, "{hash}");
        }
    }
}
