//! Encryption with one key: authenticated ciphers and RSA, with the keys that are derived for a context.
//!
//! What is encrypted is the nonce, the ciphertext and the tag. The nonce is random, or, where encryption is convergent, an
//! HMAC of what is encrypted; then it takes up what is authenticated besides, since one nonce must not serve two messages.
//! Never takes a nonce from a client.

use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use hkdf::Hkdf;
use hmac::digest::generic_array::GenericArray;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::hash::Hash;
use super::kind::KeyType;
use super::material::Material;
use super::public::PublicKey;
use super::record::{Key, Version};
use super::versioned::Subject;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::{Generator, Randomness};

const NO_CONTEXT: &str = "missing 'context' for key derivation; the key was created using a derived key, which means \
                          additional, per-request information must be included in order to perform operations with the \
                          key";

/// Bytes of a subkey for nonces.
const NONCE_KEY_BYTES: usize = 32;

/// What is said besides what is encrypted.
#[derive(Default)]
pub struct Terms {
    /// What the key is derived for; none: nothing was said.
    pub context: Option<Zeroizing<Vec<u8>>>,
    /// What is authenticated and not encrypted.
    pub associated_data: Option<Zeroizing<Vec<u8>>>,
}

impl Terms {
    fn associated_data(&self) -> &[u8] {
        self.associated_data.as_deref().map_or(&[], Vec::as_slice)
    }
}

/// The nonce, the ciphertext and the tag; of RSA what OAEP with SHA-256 gives.
///
/// # Errors
/// The type of the key does not encrypt, or something that it needs was not said.
pub fn encrypt(
    key: &Key,
    version: &Version,
    terms: &Terms,
    plaintext: &[u8],
    randomness: &mut dyn Randomness,
) -> Result<Vec<u8>, Fault> {
    match &version.material {
        Material::Bytes(secret) => {
            let nonce_bytes = nonce_bytes(key, "encryption")?;
            let keys = Subkeys::new(key, &secret.0, terms.context.as_deref())?;
            let nonce = match &keys.nonce {
                Some(nonce_keys) => nonce_keys.nonce(terms.associated_data(), plaintext, nonce_bytes)?,
                None => randomness.bytes(nonce_bytes)?,
            };
            seal(key.kind, &keys.cipher, &nonce, terms.associated_data(), plaintext)
        }
        Material::Rsa(_) | Material::Public(PublicKey::Rsa(_)) => {
            no_associated_data(key.kind, terms)?;
            let Some(PublicKey::Rsa(public)) = version.material.public_key()? else {
                return Err(unsupported(key.kind, "encryption"));
            };
            let mut generator = Generator::new(randomness);
            let encrypted = public.encrypt(&mut generator, Hash::Sha256.oaep(), plaintext);
            generator.finish()?;
            encrypted.map_err(|_| {
                let name = key.kind.name();
                Fault::Invalid(format!(
                    "failed to encrypt: the plaintext is too long for a key of type {name}"
                ))
            })
        }
        _ => Err(unsupported(key.kind, "encryption")),
    }
}

/// What was encrypted.
///
/// # Errors
/// It was not, with this key and these terms.
pub fn decrypt(
    key: &Key,
    version: &Version,
    terms: &Terms,
    sealed: &[u8],
    randomness: &mut dyn Randomness,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let broken = || Subject::Ciphertext.invalid("unable to decrypt");
    match &version.material {
        Material::Bytes(secret) => {
            let nonce_bytes = nonce_bytes(key, "decryption")?;
            let keys = Subkeys::new(key, &secret.0, terms.context.as_deref())?;
            let parts = sealed.split_at_checked(nonce_bytes);
            let (nonce, rest) = parts.ok_or_else(|| Subject::Ciphertext.invalid("it is too short"))?;
            open(key.kind, &keys.cipher, nonce, terms.associated_data(), rest)?.ok_or_else(broken)
        }
        Material::Rsa(secret) => {
            no_associated_data(key.kind, terms)?;
            let mut generator = Generator::new(randomness);
            let opened = secret.decrypt_blinded(&mut generator, Hash::Sha256.oaep(), sealed);
            let opened = opened.map(Zeroizing::new);
            generator.finish()?;
            opened.map_err(|_| broken())
        }
        Material::Public(PublicKey::Rsa(_)) => Err(Fault::Invalid(
            "requested version for decryption does not contain a private part".to_owned(),
        )),
        _ => Err(unsupported(key.kind, "decryption")),
    }
}

fn nonce_bytes(key: &Key, action: &str) -> Result<usize, Fault> {
    key.kind
        .nonce_bytes()
        .ok_or_else(|| unsupported(key.kind, action))
}

fn unsupported(kind: KeyType, action: &str) -> Fault {
    Fault::Invalid(format!(
        "message {action} not supported for key type {}",
        kind.name()
    ))
}

fn no_associated_data(kind: KeyType, terms: &Terms) -> Result<(), Fault> {
    if terms.associated_data().is_empty() {
        return Ok(());
    }
    let name = kind.name();
    Err(Fault::Invalid(format!(
        "associated_data is not supported for key type {name}; leave it out"
    )))
}

/// What is used of a key: itself, or what is derived of it.
struct Subkeys {
    cipher: Zeroizing<Vec<u8>>,
    nonce: Option<NonceKeys>,
}

/// The keys of which the nonces of convergent encryption are made.
struct NonceKeys {
    plain: Zeroizing<Vec<u8>>,
    associated: Zeroizing<Vec<u8>>,
}

impl NonceKeys {
    fn nonce(
        &self,
        associated_data: &[u8],
        plaintext: &[u8],
        bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut hash = Zeroizing::new(if associated_data.is_empty() {
            Hash::Sha256.hmac(&self.plain, plaintext)
        } else {
            let length = u64::try_from(associated_data.len()).map_err(|_| too_long())?;
            let parts = [&length.to_be_bytes(), associated_data, plaintext];
            Hash::Sha256.hmac(&self.associated, &Zeroizing::new(parts.concat()))
        });
        hash.truncate(bytes);
        Ok(hash)
    }
}

impl Subkeys {
    fn new(key: &Key, secret: &[u8], context: Option<&Vec<u8>>) -> Result<Self, Fault> {
        if !key.derived {
            return Ok(Self {
                cipher: Zeroizing::new(secret.to_vec()),
                nonce: None,
            });
        }
        let mut derived = derive(secret, context, secret.len() + 2 * NONCE_KEY_BYTES)?;
        let associated = Zeroizing::new(derived.split_off(secret.len() + NONCE_KEY_BYTES));
        let plain = Zeroizing::new(derived.split_off(secret.len()));
        Ok(Self {
            cipher: derived,
            nonce: key.convergent.then_some(NonceKeys { plain, associated }),
        })
    }
}

/// Bytes derived of a secret for a context, by HKDF-SHA256 (RFC 5869) without salt.
///
/// # Errors
/// There is no context.
pub fn derive(secret: &[u8], context: Option<&Vec<u8>>, bytes: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let context = context.filter(|context| !context.is_empty());
    let context = context.ok_or_else(|| Fault::Invalid(NO_CONTEXT.to_owned()))?;
    let mut derived = Zeroizing::new(vec![0; bytes]);
    let expanded = Hkdf::<Sha256>::new(None, secret).expand(context, &mut derived);
    expanded.map_err(|_| too_long())?;
    Ok(derived)
}

fn too_long() -> Fault {
    Fault::Internal("more was to be derived than can be".to_owned())
}

/// The nonce, and behind it what it and the key encrypt, with the tag.
///
/// # Errors
/// The key or the nonce is of another type, or the plaintext too long for the cipher.
pub fn seal(
    kind: KeyType,
    key: &[u8],
    nonce: &[u8],
    associated_data: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Fault> {
    let sealed = match kind {
        KeyType::Aes128Gcm => seal_with::<Aes128Gcm>(key, nonce, associated_data, plaintext),
        KeyType::Aes256Gcm => seal_with::<Aes256Gcm>(key, nonce, associated_data, plaintext),
        KeyType::ChaCha20Poly1305 => seal_with::<ChaCha20Poly1305>(key, nonce, associated_data, plaintext),
        KeyType::XChaCha20Poly1305 => seal_with::<XChaCha20Poly1305>(key, nonce, associated_data, plaintext),
        _ => return Err(unsupported(kind, "encryption")),
    };
    sealed.ok_or_else(|| Fault::Internal("the cipher refused its key, nonce or plaintext".to_owned()))
}

/// What was sealed, of the ciphertext and its tag; none: it was not, with this key and nonce.
///
/// # Errors
/// The type is no cipher.
pub fn open(
    kind: KeyType,
    key: &[u8],
    nonce: &[u8],
    associated_data: &[u8],
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    Ok(match kind {
        KeyType::Aes128Gcm => open_with::<Aes128Gcm>(key, nonce, associated_data, sealed),
        KeyType::Aes256Gcm => open_with::<Aes256Gcm>(key, nonce, associated_data, sealed),
        KeyType::ChaCha20Poly1305 => open_with::<ChaCha20Poly1305>(key, nonce, associated_data, sealed),
        KeyType::XChaCha20Poly1305 => open_with::<XChaCha20Poly1305>(key, nonce, associated_data, sealed),
        _ => return Err(unsupported(kind, "decryption")),
    })
}

const TAG_BYTES: usize = 16;

fn seal_with<Cipher: AeadInPlace + KeyInit>(
    key: &[u8],
    nonce: &[u8],
    associated_data: &[u8],
    plaintext: &[u8],
) -> Option<Vec<u8>> {
    let cipher = Cipher::new_from_slice(key).ok()?;
    let nonce_of_cipher = GenericArray::from_exact_iter(nonce.iter().copied())?;
    let mut sealed = Vec::with_capacity(nonce.len() + plaintext.len() + TAG_BYTES);
    sealed.extend_from_slice(nonce);
    sealed.extend_from_slice(plaintext);
    let inside = sealed.get_mut(nonce.len()..)?;
    let tag = cipher
        .encrypt_in_place_detached(&nonce_of_cipher, associated_data, inside)
        .ok()?;
    sealed.extend_from_slice(&tag);
    Some(sealed)
}

fn open_with<Cipher: AeadInPlace + KeyInit>(
    key: &[u8],
    nonce: &[u8],
    associated_data: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Cipher::new_from_slice(key).ok()?;
    let nonce = GenericArray::from_exact_iter(nonce.iter().copied())?;
    let (inside, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
    let tag = GenericArray::from_exact_iter(tag.iter().copied())?;
    let mut plaintext = Zeroizing::new(inside.to_vec());
    cipher
        .decrypt_in_place_detached(&nonce, associated_data, &mut plaintext, &tag)
        .ok()?;
    Some(plaintext)
}
