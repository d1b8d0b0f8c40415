//! The form of what transit gives away: `vault:v<version>:<base64>`.
//!
//! Never knows a key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::service::secrets::engine::Fault;

const PREFIX: &str = "vault:v";

/// What is given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A ciphertext.
    Ciphertext,
    /// A signature.
    Signature,
    /// An HMAC.
    Hmac,
}

impl Subject {
    /// As errors call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ciphertext => "ciphertext",
            Self::Signature => "signature",
            Self::Hmac => "HMAC",
        }
    }

    /// What is wrong with one.
    #[must_use]
    pub fn invalid(self, reason: &str) -> Fault {
        Fault::Invalid(format!("invalid {}: {reason}", self.name()))
    }
}

/// Bytes that were made with a version of a key.
#[must_use]
pub fn write(version: u32, bytes: &[u8]) -> String {
    format!("{PREFIX}{version}:{}", STANDARD.encode(bytes))
}

/// The same in the alphabet of JSON Web Signatures.
#[must_use]
pub fn write_url_safe(version: u32, bytes: &[u8]) -> String {
    format!("{PREFIX}{version}:{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The version of the key, and what is behind it.
///
/// # Errors
/// It has another form.
pub fn split(subject: Subject, text: &str) -> Result<(u32, &str), Fault> {
    let rest = text
        .strip_prefix(PREFIX)
        .ok_or_else(|| subject.invalid("no prefix"))?;
    let (version, encoded) = rest
        .split_once(':')
        .ok_or_else(|| subject.invalid("wrong number of fields"))?;
    if encoded.contains(':') {
        return Err(subject.invalid("wrong number of fields"));
    }
    let has_digits_only = version.bytes().all(|byte| byte.is_ascii_digit());
    let number = version
        .parse::<u32>()
        .ok()
        .filter(|number| has_digits_only && *number > 0);
    let number = number.ok_or_else(|| subject.invalid("version number could not be decoded"))?;
    Ok((number, encoded))
}

/// The bytes behind the version.
///
/// # Errors
/// They are not in base64.
pub fn decode(subject: Subject, encoded: &str) -> Result<Vec<u8>, Fault> {
    let bytes = STANDARD.decode(encoded);
    bytes.map_err(|_| subject.invalid("could not decode base64"))
}

/// The bytes behind the version, in the alphabet of JSON Web Signatures.
///
/// # Errors
/// They are not.
pub fn decode_url_safe(subject: Subject, encoded: &str) -> Result<Vec<u8>, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded);
    bytes.map_err(|_| subject.invalid("could not decode base64"))
}
