//! The secret of one version of a key: made, read from what is stored, imported, shown to whoever exports it.
//!
//! Never shows itself, and is wiped when it is dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use p256::elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, SecretKey};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::der::SecretDocument;
use rsa::pkcs8::{AssociatedOid, DecodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use sec1::{EcParameters, EcPrivateKey};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::kind::KeyType;
use super::public::PublicKey;
use crate::base::limits::{MAXIMUM_TRANSIT_HMAC_KEY_BYTES, MINIMUM_TRANSIT_HMAC_KEY_BYTES};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::{Generator, Randomness};

/// Bytes of a secret, as they are stored: in base64.
#[derive(Clone)]
pub struct KeyBytes(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for KeyBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Serialize for KeyBytes {
    fn serialize<Writer: Serializer>(&self, serializer: Writer) -> Result<Writer::Ok, Writer::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<Reader: Deserializer<'de>>(deserializer: Reader) -> Result<Self, Reader::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = KeyBytes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes in base64")
            }

            fn visit_str<Failure: Error>(self, text: &str) -> Result<KeyBytes, Failure> {
                let bytes = STANDARD.decode(text).map(Zeroizing::new);
                bytes
                    .map(KeyBytes)
                    .map_err(|_| Failure::custom("it is no base64"))
            }
        }

        deserializer.deserialize_str(Base64)
    }
}

/// The secret of a version.
pub enum Material {
    /// Random bytes, of which a cipher or HMAC needs nothing else.
    Bytes(KeyBytes),
    /// The seed of a key of Ed25519, of which others may be derived.
    Ed25519(KeyBytes),
    /// A key on P-256.
    P256(p256::SecretKey),
    /// A key on P-384.
    P384(p384::SecretKey),
    /// A key on P-521.
    P521(p521::SecretKey),
    /// A key of RSA.
    Rsa(Box<RsaPrivateKey>),
    /// A public key alone, which was imported without its secret.
    Public(PublicKey),
}

impl Material {
    /// A new one; `hmac_bytes` long if it is for HMAC alone.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn generate(
        kind: KeyType,
        hmac_bytes: usize,
        randomness: &mut dyn Randomness,
    ) -> Result<Self, Fault> {
        if let Some(bits) = kind.modulus_bits() {
            return Self::rsa(bits, randomness);
        }
        let mut generator = Generator::new(randomness);
        let made = match kind {
            KeyType::EcdsaP256 => Self::P256(p256::SecretKey::random(&mut generator)),
            KeyType::EcdsaP384 => Self::P384(p384::SecretKey::random(&mut generator)),
            KeyType::EcdsaP521 => Self::P521(p521::SecretKey::random(&mut generator)),
            _ => {
                let count = kind.secret_bytes().unwrap_or(hmac_bytes);
                return Ok(Self::of_bytes(kind, KeyBytes(randomness.bytes(count)?)));
            }
        };
        generator.finish()?;
        Ok(made)
    }

    /// A new key of RSA.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn rsa(bits: usize, randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        let mut generator = Generator::new(randomness);
        let made = RsaPrivateKey::new(&mut generator, bits);
        generator.finish()?;
        let made = made.map_err(|error| Fault::Internal(format!("no key of RSA could be made: {error}")))?;
        Ok(Self::Rsa(Box::new(made)))
    }

    fn of_bytes(kind: KeyType, bytes: KeyBytes) -> Self {
        match kind {
            KeyType::Ed25519 => Self::Ed25519(bytes),
            _ => Self::Bytes(bytes),
        }
    }

    /// What is stored of it; nothing, of a public key alone.
    ///
    /// # Errors
    /// It cannot be encoded, which is so for none.
    pub fn stored(&self) -> Result<KeyBytes, Fault> {
        let scalar = |bytes: &[u8]| KeyBytes(Zeroizing::new(bytes.to_vec()));
        Ok(match self {
            Self::Bytes(bytes) | Self::Ed25519(bytes) => bytes.clone(),
            Self::P256(key) => scalar(&Zeroizing::new(key.to_bytes())),
            Self::P384(key) => scalar(&Zeroizing::new(key.to_bytes())),
            Self::P521(key) => scalar(&Zeroizing::new(key.to_bytes())),
            Self::Public(_) => scalar(&[]),
            Self::Rsa(key) => scalar(key.to_pkcs1_der().map_err(unencoded)?.as_bytes()),
        })
    }

    /// What was stored, with the public key that was; none: it is no secret of that type.
    #[must_use]
    pub fn from_stored(kind: KeyType, bytes: &KeyBytes, public: &str) -> Option<Self> {
        if bytes.0.is_empty() && kind.signs() {
            return PublicKey::from_written(kind, public).map(Self::Public);
        }
        Self::of_secret(kind, bytes)
    }

    fn of_secret(kind: KeyType, bytes: &KeyBytes) -> Option<Self> {
        let raw = bytes.0.as_slice();
        match kind {
            KeyType::EcdsaP256 => p256::SecretKey::from_slice(raw).ok().map(Self::P256),
            KeyType::EcdsaP384 => p384::SecretKey::from_slice(raw).ok().map(Self::P384),
            KeyType::EcdsaP521 => p521::SecretKey::from_slice(raw).ok().map(Self::P521),
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                Self::sized(kind, RsaPrivateKey::from_pkcs1_der(raw).ok()?)
            }
            KeyType::Hmac => {
                let lengths = MINIMUM_TRANSIT_HMAC_KEY_BYTES..=MAXIMUM_TRANSIT_HMAC_KEY_BYTES;
                lengths.contains(&raw.len()).then(|| Self::Bytes(bytes.clone()))
            }
            _ => (kind.secret_bytes() == Some(raw.len())).then(|| Self::of_bytes(kind, bytes.clone())),
        }
    }

    /// What is imported: the bytes of a key, or an asymmetric one as PKCS #8 has it; none: it is no secret of that type.
    #[must_use]
    pub fn from_import(kind: KeyType, bytes: &KeyBytes) -> Option<Self> {
        let der = bytes.0.as_slice();
        match kind {
            KeyType::EcdsaP256 => p256::SecretKey::from_pkcs8_der(der).ok().map(Self::P256),
            KeyType::EcdsaP384 => p384::SecretKey::from_pkcs8_der(der).ok().map(Self::P384),
            KeyType::EcdsaP521 => p521::SecretKey::from_pkcs8_der(der).ok().map(Self::P521),
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                Self::sized(kind, RsaPrivateKey::from_pkcs8_der(der).ok()?)
            }
            KeyType::Ed25519 => {
                let key = SigningKey::from_pkcs8_der(der).ok()?;
                Some(Self::Ed25519(KeyBytes(Zeroizing::new(key.as_bytes().to_vec()))))
            }
            _ => Self::of_secret(kind, bytes),
        }
    }

    fn sized(kind: KeyType, key: RsaPrivateKey) -> Option<Self> {
        (kind.modulus_bits() == Some(key.n().bits())).then(|| Self::Rsa(Box::new(key)))
    }

    /// The public key; none: there is none.
    ///
    /// # Errors
    /// A stored key is broken.
    pub fn public_key(&self) -> Result<Option<PublicKey>, Fault> {
        Ok(Some(match self {
            Self::Bytes(_) => return Ok(None),
            Self::Ed25519(seed) => PublicKey::Ed25519(signing_key(&seed.0)?.verifying_key()),
            Self::P256(key) => PublicKey::P256(key.public_key()),
            Self::P384(key) => PublicKey::P384(key.public_key()),
            Self::P521(key) => PublicKey::P521(key.public_key()),
            Self::Rsa(key) => PublicKey::Rsa(Box::new(key.to_public_key())),
            Self::Public(key) => key.clone(),
        }))
    }

    /// The public key as it is shown; empty: there is none.
    ///
    /// # Errors
    /// It cannot be encoded, which is so for none.
    pub fn public(&self) -> Result<String, Fault> {
        self.public_key()?.map_or(Ok(String::new()), |key| key.written())
    }

    /// The secret as it is exported: PEM, or bytes in base64, those of Ed25519 with the public key behind them.
    ///
    /// # Errors
    /// There is none.
    pub fn exported(&self) -> Result<Zeroizing<String>, Fault> {
        match self {
            Self::Bytes(bytes) => Ok(Zeroizing::new(STANDARD.encode(&*bytes.0))),
            Self::Ed25519(seed) => {
                let pair = Zeroizing::new(signing_key(&seed.0)?.to_keypair_bytes());
                Ok(Zeroizing::new(STANDARD.encode(pair.as_slice())))
            }
            Self::P256(key) => curve_pem(key),
            Self::P384(key) => curve_pem(key),
            Self::P521(key) => curve_pem(key),
            Self::Rsa(key) => key.to_pkcs1_pem(LineEnding::LF).map_err(unencoded),
            Self::Public(_) => Err(Fault::Invalid("the version has no private key".to_owned())),
        }
    }
}

/// The key of Ed25519 of a seed.
///
/// # Errors
/// The seed has another length, which none that is stored has.
pub fn signing_key(seed: &[u8]) -> Result<SigningKey, Fault> {
    SigningKey::try_from(seed).map_err(|_| Fault::Internal("a stored key of Ed25519 is broken".to_owned()))
}

/// A key on a curve as SEC 1 has it, with the name of the curve, without which nobody could tell which it is.
fn curve_pem<Curve>(key: &SecretKey<Curve>) -> Result<Zeroizing<String>, Fault>
where
    Curve: CurveArithmetic + AssociatedOid,
    AffinePoint<Curve>: FromEncodedPoint<Curve> + ToEncodedPoint<Curve>,
    FieldBytesSize<Curve>: ModulusSize,
{
    let scalar = Zeroizing::new(key.to_bytes());
    let public = key.public_key().to_encoded_point(false);
    let document = SecretDocument::encode_msg(&EcPrivateKey {
        private_key: &scalar,
        parameters: Some(EcParameters::NamedCurve(Curve::OID)),
        public_key: Some(public.as_bytes()),
    });
    let pem = document.and_then(|document| document.to_pem("EC PRIVATE KEY", LineEnding::LF));
    pem.map_err(unencoded)
}

/// Why a key could not be encoded.
pub fn unencoded(error: impl fmt::Display) -> Fault {
    Fault::Internal(format!("a key cannot be encoded: {error}"))
}
