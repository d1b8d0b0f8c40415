//! Certificates: what is signed, and the form in which clients get it.
//!
//! Never decides what a certificate says.

use std::fmt::Write;
use std::time::Duration;

use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Validity;
use x509_cert::{Certificate, TbsCertificate, Version};

use super::keys::PrivateKey;
use super::validity;
use super::verify;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::Randomness;

/// What a certificate is to say.
pub struct Template {
    /// Who it is for.
    pub subject: Name,
    /// Whose key it is about.
    pub public: SubjectPublicKeyInfoOwned,
    /// From when it is valid, since 1970.
    pub start: Duration,
    /// Until when.
    pub end: Duration,
    /// What else it says.
    pub extensions: Vec<Extension>,
}

/// Who signs.
pub struct Signer<'key> {
    /// The key.
    pub key: &'key PrivateKey,
    /// The name of the authority.
    pub name: Name,
    /// The bits of the hash, where the key is RSA.
    pub bits: i64,
}

/// Bytes of a serial number: 158 random bits.
const SERIAL_BYTES: usize = 20;

/// A new serial number: random, positive, and always of the same length.
///
/// # Errors
/// There is no randomness to be had.
pub fn serial(randomness: &mut dyn Randomness) -> Result<SerialNumber, Fault> {
    let mut bytes = [0; SERIAL_BYTES];
    randomness.fill(&mut bytes)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::new(&bytes).map_err(|_| Fault::Internal("a serial number cannot be written".to_owned()))
}

impl Template {
    /// Signs it, under a new serial number.
    ///
    /// # Errors
    /// There is no randomness to be had, or it says what cannot be written.
    pub fn sign(self, signer: &Signer<'_>, randomness: &mut dyn Randomness) -> Result<Certificate, Fault> {
        let algorithm = signer.key.algorithm(signer.bits)?;
        let tbs_certificate = TbsCertificate {
            version: Version::V3,
            serial_number: serial(randomness)?,
            signature: algorithm.clone(),
            issuer: signer.name.clone(),
            validity: Validity {
                not_before: validity::time(self.start)?,
                not_after: validity::time(self.end)?,
            },
            subject: self.subject,
            subject_public_key_info: self.public,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions),
        };
        let message = der(&tbs_certificate)?;
        Ok(Certificate {
            signature: signer.key.sign(&message, signer.bits, randomness)?,
            tbs_certificate,
            signature_algorithm: algorithm,
        })
    }
}

/// The bytes of something.
///
/// # Errors
/// It cannot be written.
pub fn der(value: &impl Encode) -> Result<Vec<u8>, Fault> {
    value
        .to_der()
        .map_err(|_| Fault::Invalid("the certificate cannot be written".to_owned()))
}

/// Reads a certificate.
///
/// # Errors
/// It is none.
pub fn parse(der: &[u8]) -> Result<Certificate, Fault> {
    Certificate::from_der(der)
        .map_err(|error| Fault::Invalid(format!("the certificate cannot be read: {error}")))
}

/// Whether a certificate is signed by the key of another, whose name it gives as that of its issuer.
#[must_use]
pub fn is_signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let Ok(message) = certificate.tbs_certificate.to_der() else {
        return false;
    };
    certificate.tbs_certificate.issuer == issuer.tbs_certificate.subject
        && certificate.signature_algorithm == certificate.tbs_certificate.signature
        && verify::is_signed(
            &issuer.tbs_certificate.subject_public_key_info,
            certificate.signature_algorithm.oid,
            &message,
            &certificate.signature,
        )
}

/// Until when a certificate is valid, since 1970.
#[must_use]
pub fn end(certificate: &Certificate) -> Duration {
    certificate.tbs_certificate.validity.not_after.to_unix_duration()
}

/// The serial number of a certificate, as clients know it: `0a:1b:2c`.
#[must_use]
pub fn serial_text(certificate: &Certificate) -> String {
    hexadecimal(certificate.tbs_certificate.serial_number.as_bytes())
}

/// Bytes as clients know them: `0a:1b:2c`, without zeros in front.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len().saturating_sub(1));
    let mut text = String::new();
    for byte in bytes.iter().skip(start) {
        if !text.is_empty() {
            text.push(':');
        }
        // Into a text, which takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A serial number in the form of storage, `0a-1b-2c`, out of what a client writes.
///
/// # Errors
/// It is none.
pub fn stored_serial(text: &str) -> Result<String, Fault> {
    let serial = text.trim().to_ascii_lowercase().replace(':', "-");
    let is_byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    if serial.split('-').count() > SERIAL_BYTES + 1 || !serial.split('-').all(is_byte) {
        return Err(Fault::Invalid(format!(
            "{text:?} is no serial number; write bytes in hexadecimal with colons between them"
        )));
    }
    Ok(serial)
}
