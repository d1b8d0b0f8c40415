//! Shares and numbers of them, as they are written: in hexadecimal and in base64.
//!
//! Never says anything of a share but whether it can be read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::Refusal;
use crate::service::secrets::parameters::{Body, integer, switch};
use crate::service::secrets::seal::Share;
use crate::service::secrets::seal::shamir::SHARE_BYTES;
use crate::service::secrets::status::InitSettings;

/// Digits of a share of several, and of a single one, in hexadecimal; in base64 both have fewer.
const DIGITS: [usize; 2] = [2 * SHARE_BYTES, 2 * SHARE_BYTES - 2];

/// Shares in both ways to write them.
#[derive(Serialize)]
pub(super) struct Written {
    pub keys: Vec<Zeroizing<String>>,
    pub keys_base64: Vec<Zeroizing<String>>,
}

impl Written {
    /// Writes shares for who is to keep them.
    pub fn of(shares: &[Share]) -> Self {
        let base64 = |share: &Share| Zeroizing::new(STANDARD.encode(share.expose()));
        Self {
            keys: shares.iter().map(|share| hexadecimal(share.expose())).collect(),
            keys_base64: shares.iter().map(base64).collect(),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> Zeroizing<String> {
    let mut written = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            written.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    written
}

fn read_hexadecimal(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks(2) {
        let &[high, low] = pair else { return None };
        let digit = |letter: u8| u8::try_from(char::from(letter).to_digit(16)?).ok();
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(bytes)
}

/// The share that a body holds in `key`.
///
/// # Errors
/// There is none, or it cannot be read.
pub(super) fn share(body: &Body, missing: &str) -> Result<Share, Refusal> {
    let text = match body.get("key") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text.trim(),
        Some(_) => return Err(unreadable()),
    };
    if text.is_empty() {
        return Err(Refusal::invalid(missing));
    }
    let bytes = match DIGITS.contains(&text.len()) {
        true => read_hexadecimal(text),
        false => STANDARD.decode(text).ok().map(Zeroizing::new),
    };
    let bytes = bytes.ok_or_else(unreadable)?;
    Share::new(&bytes).map_err(|error| Refusal::invalid(error.to_string()))
}

fn unreadable() -> Refusal {
    Refusal::invalid("'key' must be a valid hex or base64 string")
}

/// The attempt that a share is for.
///
/// # Errors
/// It is none that can be.
pub(super) fn nonce(body: &Body) -> Result<Uuid, Refusal> {
    let nonce = body.get("nonce").and_then(Value::as_str);
    nonce
        .and_then(|text| Uuid::parse_str(text).ok())
        .ok_or_else(|| Refusal::invalid("incorrect nonce supplied; give the one that the attempt began with"))
}

/// How many shares there are to be, and how many are to be needed.
///
/// # Errors
/// A number that cannot be, or something that is not offered.
pub(super) fn numbers(body: &Body) -> Result<InitSettings, Refusal> {
    for name in ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"] {
        refuse_pgp(body, name)?;
    }
    Ok(InitSettings {
        shares: number(body, "secret_shares")?,
        threshold: number(body, "secret_threshold")?,
    })
}

/// Refuses to encrypt for the owner of a PGP key.
///
/// # Errors
/// One is given.
pub(super) fn refuse_pgp(body: &Body, name: &str) -> Result<(), Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if text.is_empty() => Ok(()),
        Some(Value::Array(items)) if items.is_empty() => Ok(()),
        Some(_) => Err(Refusal::unimplemented(&format!(
            "encryption with PGP keys ({name}) is"
        ))),
    }
}

/// Whether a body says so; what is not there says no.
///
/// # Errors
/// It is no truth value.
pub(super) fn says(body: &Body, name: &str) -> Result<bool, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => Ok(switch(value)?),
    }
}

fn number(body: &Body, name: &str) -> Result<u8, Refusal> {
    let wanted = || Refusal::invalid(format!("'{name}' must be a number from 1 to 255"));
    let value = body.get(name).ok_or_else(wanted)?;
    let number = integer(value).map_err(|_| wanted())?;
    u8::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(wanted)
}
