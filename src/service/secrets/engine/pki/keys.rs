//! Private keys of authorities and certificates: RSA, the curves of NIST and Ed25519.
//!
//! Never shows one but in the form that a client asked for, and draws nothing but from the source it is given.

use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use p256::ecdsa::signature::{RandomizedSigner, Signer};
use rand_core::RngCore;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use sec1::{EcParameters, EcPrivateKey};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::oids;
use super::pem;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::{Generator, Randomness};

/// Which key: its type and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// RSA, with so many bits.
    Rsa(usize),
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// The curve P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

impl Shape {
    /// Which key a type and a number of bits mean; 0 bits: those that are usual.
    ///
    /// # Errors
    /// There is no such key here.
    pub fn parse(kind: &str, bits: i64) -> Result<Self, Fault> {
        match (kind, bits) {
            ("rsa", 0 | 2048) => Ok(Self::Rsa(2048)),
            ("rsa", 3072) => Ok(Self::Rsa(3072)),
            ("rsa", 4096) => Ok(Self::Rsa(4096)),
            ("ec", 0 | 256) => Ok(Self::P256),
            ("ec", 384) => Ok(Self::P384),
            ("ec", 521) => Ok(Self::P521),
            ("ed25519", _) => Ok(Self::Ed25519),
            ("rsa", bits) => Err(Fault::Invalid(format!(
                "unsupported bit length for RSA key: {bits}; it can be 2048, 3072 or 4096"
            ))),
            ("ec", bits) => Err(Fault::Invalid(format!(
                "unsupported bit length for EC key: {bits}; it can be 256, 384 or 521"
            ))),
            (kind, _) => Err(Fault::Invalid(format!(
                "unknown key type {kind:?}; it can be rsa, ec or ed25519"
            ))),
        }
    }

    /// What clients call its type.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::P256 | Self::P384 | Self::P521 => "ec",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Its bits; 0 where clients expect none to be named.
    #[must_use]
    pub fn bits(self) -> usize {
        match self {
            Self::Rsa(bits) => bits,
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
            Self::Ed25519 => 0,
        }
    }

    /// The shape of a public key.
    ///
    /// # Errors
    /// It is none of those that are known here.
    pub fn of(key: &SubjectPublicKeyInfoOwned) -> Result<Self, Fault> {
        let unknown =
            || Fault::Invalid("the public key is neither RSA, nor P-256, P-384, P-521 or Ed25519".to_owned());
        match key.algorithm.oid {
            oids::RSA => {
                let der = key.to_der().map_err(|_| unknown())?;
                let key = <RsaPublicKey as rsa::pkcs8::DecodePublicKey>::from_public_key_der(&der)
                    .map_err(|_| unknown())?;
                Ok(Self::Rsa(key.n().bits()))
            }
            oids::ED25519 => Ok(Self::Ed25519),
            oids::EC => {
                let curve = key.algorithm.parameters.as_ref().ok_or_else(unknown)?;
                match curve.decode_as::<ObjectIdentifier>().map_err(|_| unknown())? {
                    oids::P256 => Ok(Self::P256),
                    oids::P384 => Ok(Self::P384),
                    oids::P521 => Ok(Self::P521),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}

/// A private key. Each of the libraries wipes its own.
pub enum PrivateKey {
    /// RSA.
    Rsa(Box<RsaPrivateKey>),
    /// The curve P-256.
    P256(p256::SecretKey),
    /// The curve P-384.
    P384(p384::SecretKey),
    /// The curve P-521.
    P521(p521::SecretKey),
    /// Ed25519.
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl PrivateKey {
    /// A new key.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn generate(shape: Shape, randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        let mut generator = Generator::new(randomness);
        let key = match shape {
            Shape::Rsa(bits) => Self::Rsa(Box::new(
                RsaPrivateKey::new(&mut generator, bits).map_err(broken)?,
            )),
            Shape::P256 => Self::P256(p256::SecretKey::random(&mut generator)),
            Shape::P384 => Self::P384(p384::SecretKey::random(&mut generator)),
            Shape::P521 => Self::P521(p521::SecretKey::random(&mut generator)),
            Shape::Ed25519 => {
                let mut bytes = Zeroizing::new([0; 32]);
                generator.fill_bytes(bytes.as_mut_slice());
                Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&bytes)))
            }
        };
        generator.finish()?;
        Ok(key)
    }

    /// Reads a key in PKCS #8.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        if let Ok(key) = RsaPrivateKey::from_pkcs8_der(der) {
            return Some(Self::Rsa(Box::new(key)));
        }
        if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
            return Some(Self::P256(key));
        }
        if let Ok(key) = p384::SecretKey::from_pkcs8_der(der) {
            return Some(Self::P384(key));
        }
        if let Ok(key) = p521::SecretKey::from_pkcs8_der(der) {
            return Some(Self::P521(key));
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).ok()?;
        Some(Self::Ed25519(Box::new(key)))
    }

    /// Reads what stands between the lines of PEM with this label; none if it is no key.
    #[must_use]
    pub fn from_block(label: &str, der: &[u8]) -> Option<Self> {
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(der),
            "RSA PRIVATE KEY" => Some(Self::Rsa(Box::new(RsaPrivateKey::from_pkcs1_der(der).ok()?))),
            "EC PRIVATE KEY" => match EcPrivateKey::from_der(der).ok()?.parameters?.named_curve()? {
                oids::P256 => p256::SecretKey::from_sec1_der(der).ok().map(Self::P256),
                oids::P384 => p384::SecretKey::from_sec1_der(der).ok().map(Self::P384),
                oids::P521 => p521::SecretKey::from_sec1_der(der).ok().map(Self::P521),
                _ => None,
            },
            _ => None,
        }
    }

    /// Its type and size.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Self::Rsa(key) => Shape::Rsa(key.n().bits()),
            Self::P256(_) => Shape::P256,
            Self::P384(_) => Shape::P384,
            Self::P521(_) => Shape::P521,
            Self::Ed25519(_) => Shape::Ed25519,
        }
    }

    /// As PKCS #8.
    ///
    /// # Errors
    /// It cannot be written, which every key can.
    pub fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let document = match self {
            Self::Rsa(key) => key.to_pkcs8_der(),
            Self::P256(key) => key.to_pkcs8_der(),
            Self::P384(key) => key.to_pkcs8_der(),
            Self::P521(key) => key.to_pkcs8_der(),
            // Without the public key, which not every program reads there.
            Self::Ed25519(key) => ed25519_dalek::pkcs8::KeypairBytes {
                secret_key: key.to_bytes(),
                public_key: None,
            }
            .to_pkcs8_der(),
        };
        Ok(Zeroizing::new(document.map_err(broken)?.as_bytes().to_vec()))
    }

    /// In the older form of its type, with the label that PEM has for it.
    ///
    /// # Errors
    /// As [`PrivateKey::pkcs8`].
    pub fn traditional(&self) -> Result<(&'static str, Zeroizing<Vec<u8>>), Fault> {
        match self {
            Self::Rsa(key) => {
                let document = key.to_pkcs1_der().map_err(broken)?;
                Ok(("RSA PRIVATE KEY", Zeroizing::new(document.as_bytes().to_vec())))
            }
            Self::P256(key) => sec1(&key.to_bytes(), oids::P256, &key.public_key().to_sec1_bytes()),
            Self::P384(key) => sec1(&key.to_bytes(), oids::P384, &key.public_key().to_sec1_bytes()),
            Self::P521(key) => sec1(&key.to_bytes(), oids::P521, &key.public_key().to_sec1_bytes()),
            Self::Ed25519(_) => Ok(("PRIVATE KEY", self.pkcs8()?)),
        }
    }

    /// As PEM, in the older form or as PKCS #8.
    ///
    /// # Errors
    /// As [`PrivateKey::pkcs8`].
    pub fn pem(&self, is_pkcs8: bool) -> Result<Zeroizing<String>, Fault> {
        let (label, der) = match is_pkcs8 {
            true => ("PRIVATE KEY", self.pkcs8()?),
            false => self.traditional()?,
        };
        pem::encode(label, &der).map(Zeroizing::new)
    }

    /// Its public key.
    ///
    /// # Errors
    /// It cannot be written, which every key can.
    pub fn public(&self) -> Result<SubjectPublicKeyInfoOwned, Fault> {
        let document = match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der(),
            Self::P256(key) => key.public_key().to_public_key_der(),
            Self::P384(key) => key.public_key().to_public_key_der(),
            Self::P521(key) => key.public_key().to_public_key_der(),
            Self::Ed25519(key) => key.verifying_key().to_public_key_der(),
        };
        let document = document.map_err(broken)?;
        SubjectPublicKeyInfoOwned::from_der(document.as_bytes()).map_err(broken)
    }

    /// The algorithm that [`PrivateKey::sign`] signs with. `bits` is that of the hash where the key is RSA, 0 being 256.
    ///
    /// # Errors
    /// There is no such hash.
    pub fn algorithm(&self, bits: i64) -> Result<AlgorithmIdentifierOwned, Fault> {
        let (oid, parameters) = match (self, bits) {
            (Self::Rsa(_), 0 | 256) => (oids::RSA_SHA256, Some(Any::null())),
            (Self::Rsa(_), 384) => (oids::RSA_SHA384, Some(Any::null())),
            (Self::Rsa(_), 512) => (oids::RSA_SHA512, Some(Any::null())),
            (Self::Rsa(_), bits) => return Err(unknown_hash(bits)),
            (Self::P256(_), _) => (oids::ECDSA_SHA256, None),
            (Self::P384(_), _) => (oids::ECDSA_SHA384, None),
            (Self::P521(_), _) => (oids::ECDSA_SHA512, None),
            (Self::Ed25519(_), _) => (oids::ED25519, None),
        };
        Ok(AlgorithmIdentifierOwned { oid, parameters })
    }

    /// Signs. RSA draws random bytes to blind what it computes, P-521 for its nonce; the others need none.
    ///
    /// # Errors
    /// There is no randomness to be had, or no such hash.
    pub fn sign(
        &self,
        message: &[u8],
        bits: i64,
        randomness: &mut dyn Randomness,
    ) -> Result<BitString, Fault> {
        let signature = match self {
            Self::Rsa(key) => {
                let (padding, digest) = match bits {
                    0 | 256 => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
                    384 => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
                    512 => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
                    bits => return Err(unknown_hash(bits)),
                };
                let mut generator = Generator::new(randomness);
                let signature = key
                    .sign_with_rng(&mut generator, padding, &digest)
                    .map_err(broken)?;
                generator.finish()?;
                signature
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key)
                    .try_sign(message)
                    .map_err(broken)?;
                signature.to_der().as_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = p384::ecdsa::SigningKey::from(key)
                    .try_sign(message)
                    .map_err(broken)?;
                signature.to_der().as_bytes().to_vec()
            }
            Self::P521(key) => {
                let bytes = Zeroizing::new(key.to_bytes());
                let key = p521::ecdsa::SigningKey::from_bytes(&bytes).map_err(broken)?;
                let mut generator = Generator::new(randomness);
                let signed = key.try_sign_with_rng(&mut generator, message);
                generator.finish()?;
                let signature: p521::ecdsa::Signature = signed.map_err(broken)?;
                signature.to_der().as_bytes().to_vec()
            }
            Self::Ed25519(key) => key.try_sign(message).map_err(broken)?.to_bytes().to_vec(),
        };
        BitString::from_bytes(&signature).map_err(broken)
    }
}

fn sec1(
    private: &[u8],
    curve: ObjectIdentifier,
    public: &[u8],
) -> Result<(&'static str, Zeroizing<Vec<u8>>), Fault> {
    let key = EcPrivateKey {
        private_key: private,
        parameters: Some(EcParameters::NamedCurve(curve)),
        public_key: Some(public),
    };
    Ok(("EC PRIVATE KEY", Zeroizing::new(key.to_der().map_err(broken)?)))
}

fn unknown_hash(bits: i64) -> Fault {
    Fault::Invalid(format!(
        "unknown signature_bits {bits}; it can be 0, 256, 384 or 512"
    ))
}

/// What a library says that should not happen. Its text is not told: it may be about a key.
fn broken<Error>(_error: Error) -> Fault {
    Fault::Internal("a key cannot be used".to_owned())
}
