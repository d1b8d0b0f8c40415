//! Signatures with one key, and whether they are right.
//!
//! Never takes a hash of the wrong length where the signature is of a hash, and never the salt of PSS for granted.

use ed25519_dalek::{Signature as EdSignature, Signer, VerifyingKey};
use p256::ecdsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use rsa::hazmat::rsa_encrypt;
use rsa::traits::{PublicKeyParts, SignatureScheme};
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};

use super::cipher::derive;
use super::hash::Hash;
use super::material::{Material, signing_key};
use super::public::PublicKey;
use super::record::{Key, Version};
use super::versioned::Subject;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::{Generator, Randomness};

/// The longest hash that a client may give in place of what it is of.
const MAXIMUM_HASH_BYTES: usize = 64;

/// The padding of signatures of RSA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// PSS.
    Pss(Salt),
    /// That of PKCS #1 1.5.
    Pkcs1,
}

/// Bytes of the salt of PSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Salt {
    /// As many as there is room for; of a signature to be verified, as many as it has.
    Auto,
    /// As many as the hash has.
    Hash,
    /// So many.
    Bytes(usize),
}

/// How a signature of ECDSA is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marshaling {
    /// As ASN.1.
    Asn1,
    /// As JSON Web Signatures have it: both numbers, one behind the other.
    Jws,
}

/// How something is signed.
#[derive(Debug, Clone, Copy)]
pub struct Scheme {
    /// The hash function; none: what is signed has no mark of one.
    pub hash: Option<Hash>,
    /// Whether the client gives the hash.
    pub is_hashed: bool,
    /// The padding of RSA.
    pub padding: Padding,
    /// The form of ECDSA.
    pub marshaling: Marshaling,
}

impl Scheme {
    /// The hash that is signed.
    fn digest(&self, input: &[u8]) -> Result<Vec<u8>, Fault> {
        match self.hash {
            Some(hash) if !self.is_hashed => Ok(hash.of(input)),
            _ if input.is_empty() || input.len() > MAXIMUM_HASH_BYTES => Err(Fault::Invalid(format!(
                "the input is prehashed and has {} bytes; a hash has 1 to {MAXIMUM_HASH_BYTES}",
                input.len()
            ))),
            _ => Ok(input.to_vec()),
        }
    }

    fn hash_of_pss(&self, digest: &[u8]) -> Result<Hash, Fault> {
        let hash = self.hash.ok_or_else(|| {
            Fault::Invalid("hash_algorithm=none requires signature_algorithm=pkcs1v15".to_owned())
        })?;
        check_length(hash, digest)?;
        Ok(hash)
    }

    fn pkcs1(&self, digest: &[u8]) -> Result<Pkcs1v15Sign, Fault> {
        match self.hash {
            None => Ok(Pkcs1v15Sign::new_unprefixed()),
            Some(hash) => {
                check_length(hash, digest)?;
                Ok(hash.pkcs1())
            }
        }
    }
}

fn check_length(hash: Hash, digest: &[u8]) -> Result<(), Fault> {
    if digest.len() == hash.bytes() {
        return Ok(());
    }
    Err(Fault::Invalid(format!(
        "the input is prehashed and has {} bytes; a hash of {} has {}",
        digest.len(),
        hash.name(),
        hash.bytes()
    )))
}

/// Zeros before a hash that is shorter than the numbers of the curve: they change nothing of its number.
fn padded(digest: &[u8], field_bytes: usize) -> Vec<u8> {
    let mut padded = vec![0; field_bytes.saturating_sub(digest.len())];
    padded.extend_from_slice(digest);
    padded
}

const P256_BYTES: usize = 32;
const P384_BYTES: usize = 48;
const P521_BYTES: usize = 66;

/// The expression for a curve's signature: `$crate_name` is the crate, `$key` its secret key, in the form that is wanted.
macro_rules! sign_on_curve {
    ($curve:ident, $key:expr, $digest:expr, $field_bytes:expr, $marshaling:expr, $stream:expr) => {{
        let signer = $curve::ecdsa::SigningKey::from_slice(&zeroize::Zeroizing::new($key.to_bytes()));
        let signature = signer.and_then(|signer| -> Result<$curve::ecdsa::Signature, _> {
            signer.sign_prehash_with_rng($stream, &padded($digest, $field_bytes))
        });
        signature
            .map_err(|_| unsigned())
            .map(|signature| match $marshaling {
                Marshaling::Asn1 => signature.to_der().as_bytes().to_vec(),
                Marshaling::Jws => signature.to_bytes().to_vec(),
            })
    }};
}

macro_rules! verify_on_curve {
    ($curve:ident, $key:expr, $digest:expr, $field_bytes:expr, $marshaling:expr, $signature:expr) => {{
        let signature = match $marshaling {
            Marshaling::Asn1 => $curve::ecdsa::Signature::from_der($signature),
            Marshaling::Jws => $curve::ecdsa::Signature::from_slice($signature),
        };
        let signature = signature.map_err(|_| malformed())?;
        let verifier = $curve::ecdsa::VerifyingKey::from_affine(*$key.as_affine());
        let verifier = verifier.map_err(|_| unsigned())?;
        verifier
            .verify_prehash(&padded($digest, $field_bytes), &signature)
            .is_ok()
    }};
}

/// A signature of the input.
///
/// # Errors
/// The type of the key does not sign, or not like that.
pub fn sign(
    key: &Key,
    version: &Version,
    context: Option<&Vec<u8>>,
    scheme: &Scheme,
    input: &[u8],
    randomness: &mut dyn Randomness,
) -> Result<Vec<u8>, Fault> {
    if let Material::Ed25519(seed) = &version.material {
        let signer = if key.derived {
            signing_key(&derive(&seed.0, context, seed.0.len())?)?
        } else {
            signing_key(&seed.0)?
        };
        return Ok(signer.sign(input).to_bytes().to_vec());
    }
    let digest = scheme.digest(input)?;
    let mut generator = Generator::new(randomness);
    let marshaling = scheme.marshaling;
    let signature = match &version.material {
        Material::P256(secret) => {
            sign_on_curve!(p256, secret, &digest, P256_BYTES, marshaling, &mut generator)
        }
        Material::P384(secret) => {
            sign_on_curve!(p384, secret, &digest, P384_BYTES, marshaling, &mut generator)
        }
        Material::P521(secret) => {
            sign_on_curve!(p521, secret, &digest, P521_BYTES, marshaling, &mut generator)
        }
        Material::Rsa(secret) => sign_rsa(secret, scheme, &digest, &mut generator),
        Material::Public(_) => Err(Fault::Invalid(
            "requested version for signing does not contain a private part".to_owned(),
        )),
        Material::Bytes(_) | Material::Ed25519(_) => Err(unsupported(key, "signing")),
    };
    generator.finish()?;
    signature
}

fn sign_rsa(
    secret: &RsaPrivateKey,
    scheme: &Scheme,
    digest: &[u8],
    generator: &mut Generator<'_>,
) -> Result<Vec<u8>, Fault> {
    let signature = match scheme.padding {
        Padding::Pkcs1 => secret.sign_with_rng(generator, scheme.pkcs1(digest)?, digest),
        Padding::Pss(salt) => {
            let hash = scheme.hash_of_pss(digest)?;
            let most = maximum_salt(secret, hash);
            let bytes = match salt {
                Salt::Auto => most,
                Salt::Hash => hash.bytes(),
                Salt::Bytes(bytes) => bytes,
            };
            if bytes > most {
                return Err(Fault::Invalid(format!(
                    "salt_length is {bytes}; the most for this key is {most}"
                )));
            }
            secret.sign_with_rng(generator, hash.pss(bytes), digest)
        }
    };
    signature.map_err(|_| unsigned())
}

/// Whether a signature is one of the input.
///
/// # Errors
/// The type of the key does not sign, or not like that, or the signature has another form.
pub fn verify(
    key: &Key,
    version: &Version,
    context: Option<&Vec<u8>>,
    scheme: &Scheme,
    input: &[u8],
    signature: &[u8],
) -> Result<bool, Fault> {
    let public = match &version.material {
        Material::Ed25519(seed) if key.derived => {
            let seed = derive(&seed.0, context, seed.0.len())?;
            Some(PublicKey::Ed25519(signing_key(&seed)?.verifying_key()))
        }
        material => material.public_key()?,
    };
    let public = public.ok_or_else(|| unsupported(key, "verification"))?;
    if let PublicKey::Ed25519(verifier) = &public {
        return Ok(is_of_ed25519(verifier, input, signature));
    }
    let digest = scheme.digest(input)?;
    let marshaling = scheme.marshaling;
    Ok(match &public {
        PublicKey::P256(key) => verify_on_curve!(p256, key, &digest, P256_BYTES, marshaling, signature),
        PublicKey::P384(key) => verify_on_curve!(p384, key, &digest, P384_BYTES, marshaling, signature),
        PublicKey::P521(key) => verify_on_curve!(p521, key, &digest, P521_BYTES, marshaling, signature),
        PublicKey::Rsa(key) => is_of_rsa(key, scheme, &digest, signature)?,
        PublicKey::Ed25519(_) => false,
    })
}

/// Whether a signature is one of the input, of Ed25519.
#[must_use]
pub fn is_of_ed25519(verifier: &VerifyingKey, input: &[u8], signature: &[u8]) -> bool {
    EdSignature::from_slice(signature)
        .is_ok_and(|signature| verifier.verify_strict(input, &signature).is_ok())
}

/// Whether a signature is one of the hash, of RSA.
///
/// # Errors
/// The hash has another length than those of the function.
pub fn is_of_rsa(
    public: &RsaPublicKey,
    scheme: &Scheme,
    digest: &[u8],
    signature: &[u8],
) -> Result<bool, Fault> {
    // A number that is larger than the modulus stands for a smaller one: there would be two signatures.
    if signature.len() != public.size() || BigUint::from_bytes_be(signature) >= *public.n() {
        return Ok(false);
    }
    let salt = match scheme.padding {
        Padding::Pkcs1 => return Ok(scheme.pkcs1(digest)?.verify(public, digest, signature).is_ok()),
        Padding::Pss(salt) => salt,
    };
    let hash = scheme.hash_of_pss(digest)?;
    let bytes = match salt {
        Salt::Auto => salt_of(public, hash, signature),
        Salt::Hash => Some(hash.bytes()),
        Salt::Bytes(bytes) => Some(bytes),
    };
    let bytes = bytes.filter(|bytes| *bytes <= maximum_salt(public, hash));
    Ok(bytes.is_some_and(|bytes| hash.pss(bytes).verify(public, digest, signature).is_ok()))
}

/// Bytes of a message that PSS encodes (RFC 8017, 9.1): one bit fewer than the modulus.
fn encoded_bytes(public: &impl PublicKeyParts) -> usize {
    (public.n().bits() - 1).div_ceil(8)
}

fn maximum_salt(public: &impl PublicKeyParts, hash: Hash) -> usize {
    encoded_bytes(public).saturating_sub(hash.bytes() + 2)
}

/// How long the salt of a signature says that it is (RFC 8017, 9.1.2, steps 5 to 10), which the verification then takes as
/// given; none: it has none.
fn salt_of(public: &RsaPublicKey, hash: Hash, signature: &[u8]) -> Option<usize> {
    let message = rsa_encrypt(public, &BigUint::from_bytes_be(signature))
        .ok()?
        .to_bytes_be();
    // Leading zeros are not among the bytes of a number.
    let message = padded(&message, encoded_bytes(public));
    let (masked, rest) = message.split_at_checked(message.len().checked_sub(hash.bytes() + 1)?)?;
    let (seed, _) = rest.split_at_checked(hash.bytes())?;
    let unmasked: Vec<u8> = masked
        .iter()
        .zip(mask(hash, seed))
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let unused_bits = 8 * encoded_bytes(public) - (public.n().bits() - 1);
    let (first, others) = unmasked.split_first()?;
    let first = first & (0xff >> unused_bits);
    let zeros = std::iter::once(&first)
        .chain(others)
        .take_while(|byte| **byte == 0)
        .count();
    unmasked.len().checked_sub(zeros + 1)
}

/// The mask that MGF1 makes of a seed (RFC 8017, B.2.1), without end.
fn mask(hash: Hash, seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| hash.of(&[seed, &counter.to_be_bytes()].concat()))
}

fn unsupported(key: &Key, action: &str) -> Fault {
    let name = key.kind.name();
    Fault::Invalid(match action {
        "signing" => format!("key type {name} does not support signing"),
        _ => format!("key type {name} does not support verification"),
    })
}

fn malformed() -> Fault {
    Subject::Signature.invalid("it has not the form of one")
}

fn unsigned() -> Fault {
    Fault::Internal("the key cannot sign".to_owned())
}
