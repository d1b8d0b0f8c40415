//! Signatures of others: of requests, of certificates.
//!
//! Never takes one that is made with SHA-1 or MD5.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::RsaPublicKey;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::DecodePublicKey;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::der::Encode;
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::keys::Shape;
use super::oids;

/// Whether a signature of a message is that of a key.
#[must_use]
pub fn is_signed(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &BitString,
) -> bool {
    check(key, algorithm, message, signature).is_some()
}

fn check(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &BitString,
) -> Option<()> {
    let signature = signature.as_bytes()?;
    let der = key.to_der().ok()?;
    let digest = match algorithm {
        oids::RSA_SHA256 | oids::ECDSA_SHA256 => Sha256::digest(message).to_vec(),
        oids::RSA_SHA384 | oids::ECDSA_SHA384 => Sha384::digest(message).to_vec(),
        oids::RSA_SHA512 | oids::ECDSA_SHA512 => Sha512::digest(message).to_vec(),
        oids::ED25519 => Vec::new(),
        _ => return None,
    };
    let is_ecdsa = matches!(
        algorithm,
        oids::ECDSA_SHA256 | oids::ECDSA_SHA384 | oids::ECDSA_SHA512
    );
    match Shape::of(key).ok()? {
        Shape::Rsa(_) => {
            let padding = match algorithm {
                oids::RSA_SHA256 => Pkcs1v15Sign::new::<Sha256>(),
                oids::RSA_SHA384 => Pkcs1v15Sign::new::<Sha384>(),
                oids::RSA_SHA512 => Pkcs1v15Sign::new::<Sha512>(),
                _ => return None,
            };
            let key = RsaPublicKey::from_public_key_der(&der).ok()?;
            key.verify(padding, &digest, signature).ok()
        }
        Shape::P256 if is_ecdsa => {
            let key = p256::PublicKey::from_public_key_der(&der).ok()?;
            let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
            p256::ecdsa::VerifyingKey::from(key)
                .verify_prehash(&digest, &signature)
                .ok()
        }
        Shape::P384 if is_ecdsa => {
            let key = p384::PublicKey::from_public_key_der(&der).ok()?;
            let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
            p384::ecdsa::VerifyingKey::from(key)
                .verify_prehash(&digest, &signature)
                .ok()
        }
        Shape::P521 if is_ecdsa => {
            let key = p521::PublicKey::from_public_key_der(&der).ok()?;
            let signature = p521::ecdsa::Signature::from_der(signature).ok()?;
            let key = p521::ecdsa::VerifyingKey::from_affine(*key.as_affine()).ok()?;
            key.verify_prehash(&digest, &signature).ok()
        }
        Shape::Ed25519 if algorithm == oids::ED25519 => {
            let key = ed25519_dalek::VerifyingKey::from_public_key_der(&der).ok()?;
            let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
            key.verify(message, &signature).ok()
        }
        _ => None,
    }
}
