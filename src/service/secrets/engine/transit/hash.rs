//! The hash functions that requests name, and what is made with each: hashes, HMAC, the paddings of RSA.
//!
//! Never compares two hashes.

use hmac::digest::Digest;
use hmac::{Hmac, Mac};
use rsa::{Oaep, Pkcs1v15Sign, Pss};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, which is broken and still asked for.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA3-224.
    Sha3Of224,
    /// SHA3-256.
    Sha3Of256,
    /// SHA3-384.
    Sha3Of384,
    /// SHA3-512.
    Sha3Of512,
}

/// The expression with `$type` as the type of the hash function.
macro_rules! with_type {
    ($hash:expr, $type:ident => $expression:expr) => {
        with_type!($hash, $type => $expression, {
            Sha1: Sha1,
            Sha224: Sha224,
            Sha256: Sha256,
            Sha384: Sha384,
            Sha512: Sha512,
            Sha3Of224: Sha3_224,
            Sha3Of256: Sha3_256,
            Sha3Of384: Sha3_384,
            Sha3Of512: Sha3_512,
        })
    };
    ($hash:expr, $type:ident => $expression:expr, { $($hash_of:ident: $function:ident,)* }) => {
        match $hash {
            $(Hash::$hash_of => {
                type $type = $function;
                $expression
            })*
        }
    };
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3Of224,
        Self::Sha3Of256,
        Self::Sha3Of384,
        Self::Sha3Of512,
    ];

    /// As requests write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha2-224",
            Self::Sha256 => "sha2-256",
            Self::Sha384 => "sha2-384",
            Self::Sha512 => "sha2-512",
            Self::Sha3Of224 => "sha3-224",
            Self::Sha3Of256 => "sha3-256",
            Self::Sha3Of384 => "sha3-384",
            Self::Sha3Of512 => "sha3-512",
        }
    }

    /// The function of that name; none: there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// Bytes of a hash.
    #[must_use]
    pub fn bytes(self) -> usize {
        with_type!(self, Function => <Function as Digest>::output_size())
    }

    /// The hash of the input.
    #[must_use]
    pub fn of(self, input: &[u8]) -> Vec<u8> {
        with_type!(self, Function => Function::digest(input).to_vec())
    }

    /// The HMAC (RFC 2104) of the input.
    #[must_use]
    pub fn hmac(self, key: &[u8], input: &[u8]) -> Vec<u8> {
        with_type!(self, Function => match <Hmac<Function> as Mac>::new_from_slice(key) {
            Ok(mac) => mac.chain_update(input).finalize().into_bytes().to_vec(),
            Err(_) => unreachable!("HMAC takes keys of every length"),
        })
    }

    /// PSS with a salt of that many bytes; what is signed is blinded.
    #[must_use]
    pub fn pss(self, salt_bytes: usize) -> Pss {
        with_type!(self, Function => Pss::new_blinded_with_salt::<Function>(salt_bytes))
    }

    /// The padding of signatures of PKCS #1 1.5.
    #[must_use]
    pub fn pkcs1(self) -> Pkcs1v15Sign {
        with_type!(self, Function => Pkcs1v15Sign::new::<Function>())
    }

    /// The padding of encryption of PKCS #1 2.
    #[must_use]
    pub fn oaep(self) -> Oaep {
        with_type!(self, Function => Oaep::new::<Function>())
    }
}
