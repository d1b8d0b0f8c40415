//! Signatures and HMAC, on their paths.
//!
//! Never says more of what is wrong with a signature than its form and its version.

use serde_json::Value;
use subtle::ConstantTimeEq;

use super::batch;
use super::encrypt::MISSING;
use super::fields::Fields;
use super::hash::Hash;
use super::manage::public_key;
use super::record::Opened;
use super::signature::{self, Marshaling, Padding, Salt, Scheme};
use super::versioned::{self, Subject};
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage};
use crate::service::secrets::randomness::Randomness;

/// Signs.
///
/// # Errors
/// There is no key, or none that signs like that.
pub fn sign(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
    algorithm: Option<&str>,
) -> Result<Answer, Fault> {
    let mut opened = Opened::used(call, storage, randomness, name, "signing key not found")?;
    if !opened.key.kind.signs() {
        let kind = opened.key.kind.name();
        return Err(Fault::Invalid(format!(
            "key type {kind} does not support signing"
        )));
    }
    let whole = Fields(call.body.fields());
    let scheme = scheme(whole, algorithm, opened.key.kind.signs_hashes())?;
    let number = opened.key.chosen(whole.integer("key_version")?, "signing")?;
    let version = opened.version(storage, number)?;
    let answer = batch::answer(call.body, |fields| {
        let input = input(fields)?;
        let context = fields.bytes("context")?;
        let context = context.as_deref();
        let signed = signature::sign(&opened.key, &version, context, &scheme, &input, randomness)?;
        let written = match scheme.marshaling {
            Marshaling::Asn1 => versioned::write(number, &signed),
            Marshaling::Jws => versioned::write_url_safe(number, &signed),
        };
        let mut data = Data::new()
            .with("signature", &written)?
            .with("key_version", &number)?;
        if opened.key.derived {
            data.set(
                "public_key",
                &public_key(&opened.key, &version.material, context)?,
            )?;
        }
        Ok(data)
    })?;
    Ok(opened.warned(answer))
}

/// Verifies signatures, or HMAC.
///
/// # Errors
/// There is no key, or nothing to verify.
pub fn verify(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
    algorithm: Option<&str>,
) -> Result<Answer, Fault> {
    let whole = Fields(call.body.fields());
    for other in ["cmac", "signature_context"] {
        if whole.get(other).is_some() {
            return Err(Fault::Unimplemented(format!("verification with {other}")));
        }
    }
    if has_hmac(call)? {
        return verify_hmac(call, storage, randomness, name, algorithm);
    }
    let mut opened = Opened::used(
        call,
        storage,
        randomness,
        name,
        "signature verification key not found",
    )?;
    if !opened.key.kind.signs() {
        let kind = opened.key.kind.name();
        return Err(Fault::Invalid(format!(
            "key type {kind} does not support verification"
        )));
    }
    let scheme = scheme(whole, algorithm, opened.key.kind.signs_hashes())?;
    let answer = batch::answer(call.body, |fields| {
        let (number, encoded) = versioned::split(Subject::Signature, text(fields, "signature")?)?;
        opened.key.admit(number, Subject::Signature)?;
        let bytes = match scheme.marshaling {
            Marshaling::Asn1 => versioned::decode(Subject::Signature, encoded)?,
            Marshaling::Jws => versioned::decode_url_safe(Subject::Signature, encoded)?,
        };
        let context = fields.bytes("context")?;
        let version = opened.version(storage, number)?;
        let input = input(fields)?;
        let context = context.as_deref();
        let is_valid = signature::verify(&opened.key, &version, context, &scheme, &input, &bytes)?;
        Data::new().with("valid", &is_valid)
    })?;
    Ok(opened.warned(answer))
}

/// Whether what is to be verified is HMAC: all of it, or nothing.
fn has_hmac(call: &Call<'_>) -> Result<bool, Fault> {
    let mixed = "elements of batch_input must all provide either 'signature' or 'hmac'";
    let given = |fields: Fields<'_>| -> Result<bool, Fault> {
        match (fields.get("signature").is_some(), fields.get("hmac").is_some()) {
            (true, true) => Err(Fault::Invalid("provide one of 'signature' or 'hmac'".to_owned())),
            (_, has_hmac) => Ok(has_hmac),
        }
    };
    let Some(items) = batch::items(call.body)? else {
        let whole = Fields(call.body.fields());
        if whole.get("signature").is_none() && whole.get("hmac").is_none() {
            return Err(Fault::Invalid(
                "neither a 'signature' nor an 'hmac' was given to verify".to_owned(),
            ));
        }
        return given(whole);
    };
    let kinds = items
        .iter()
        .map(|item| given(*item))
        .collect::<Result<Vec<_>, _>>()?;
    let first = kinds.first().copied().unwrap_or(false);
    if kinds.iter().any(|kind| *kind != first) {
        return Err(Fault::Invalid(mixed.to_owned()));
    }
    Ok(first)
}

/// Makes HMAC.
///
/// # Errors
/// There is no key, or no such hash function.
pub fn hmac(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
    algorithm: Option<&str>,
) -> Result<Answer, Fault> {
    let mut opened = Opened::used(call, storage, randomness, name, MISSING)?;
    let whole = Fields(call.body.fields());
    let hash = hash_of_hmac(whole, algorithm)?;
    let number = opened.key.chosen(whole.integer("key_version")?, "HMAC")?;
    let version = opened.version(storage, number)?;
    let answer = batch::answer(call.body, |fields| {
        let hmac = hash.hmac(&version.record.hmac.0, &input(fields)?);
        Data::new().with("hmac", &versioned::write(number, &hmac))
    })?;
    Ok(opened.warned(answer))
}

fn verify_hmac(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
    algorithm: Option<&str>,
) -> Result<Answer, Fault> {
    let mut opened = Opened::used(call, storage, randomness, name, MISSING)?;
    let hash = hash_of_hmac(Fields(call.body.fields()), algorithm)?;
    let answer = batch::answer(call.body, |fields| {
        let (number, encoded) = versioned::split(Subject::Hmac, text(fields, "hmac")?)?;
        opened.key.admit(number, Subject::Hmac)?;
        let given = versioned::decode(Subject::Hmac, encoded)?;
        let version = opened.version(storage, number)?;
        let made = hash.hmac(&version.record.hmac.0, &input(fields)?);
        Data::new().with("valid", &bool::from(made.ct_eq(&given)))
    })?;
    Ok(opened.warned(answer))
}

fn text<'body>(fields: Fields<'body>, name: &str) -> Result<&'body str, Fault> {
    let text = fields.text(name)?;
    text.ok_or_else(|| Fault::Invalid(format!("missing {name} to verify")))
}

fn input(fields: Fields<'_>) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
    let Some(text) = fields.text("input")? else {
        return Err(Fault::Invalid("missing input; give it in base64".to_owned()));
    };
    super::fields::decoded("input", text)
        .map_err(|_| Fault::Invalid("unable to decode input as base64".to_owned()))
}

/// What names the hash function: the path, else a field, of old also called `algorithm`.
fn hash_name<'name>(fields: Fields<'name>, algorithm: Option<&'name str>) -> Result<&'name str, Fault> {
    if let Some(name) = algorithm {
        return Ok(name);
    }
    let name = fields.word("hash_algorithm")?;
    let name = name.or(fields.word("algorithm")?);
    Ok(name.unwrap_or("sha2-256"))
}

fn hash_of_hmac(fields: Fields<'_>, algorithm: Option<&str>) -> Result<Hash, Fault> {
    let name = hash_name(fields, algorithm)?;
    Hash::from_name(name).ok_or_else(|| Fault::Invalid(format!("unsupported algorithm {name:?}")))
}

fn scheme(fields: Fields<'_>, algorithm: Option<&str>, signs_hashes: bool) -> Result<Scheme, Fault> {
    let invalid = |text: String| Fault::Invalid(text);
    let name = hash_name(fields, algorithm)?;
    let hash = match name {
        "none" => None,
        name => {
            let hash = Hash::from_name(name);
            Some(hash.ok_or_else(|| invalid(format!("invalid hash algorithm {name:?}")))?)
        }
    };
    let is_hashed = fields.switch("prehashed")?.unwrap_or(false);
    let padding = match fields.word("signature_algorithm")? {
        None | Some("pss") => Padding::Pss(salt(fields.get("salt_length"))?),
        Some("pkcs1v15") => Padding::Pkcs1,
        Some(other) => return Err(invalid(format!("unsupported rsa signature algorithm {other}"))),
    };
    let is_marked = hash.is_some() || is_hashed && padding == Padding::Pkcs1;
    if signs_hashes && !is_marked {
        return Err(invalid(
            "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15".to_owned(),
        ));
    }
    let marshaling = match fields.word("marshaling_algorithm")? {
        None | Some("asn1") => Marshaling::Asn1,
        Some("jws") => Marshaling::Jws,
        Some(other) => {
            return Err(invalid(format!(
                "invalid marshaling type {other:?}, must be 'asn1' or 'jws'"
            )));
        }
    };
    Ok(Scheme {
        hash,
        is_hashed,
        padding,
        marshaling,
    })
}

fn salt(value: Option<&Value>) -> Result<Salt, Fault> {
    let length = |value: &Value| match value.as_str() {
        Some("" | "auto") => Some(Salt::Auto),
        Some("hash") => Some(Salt::Hash),
        Some(text) => text.parse().ok().map(Salt::Bytes),
        None => value
            .as_u64()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Salt::Bytes),
    };
    let Some(value) = value else {
        return Ok(Salt::Auto);
    };
    length(value).ok_or_else(|| {
        Fault::Invalid(format!(
            "invalid salt length {value}; write auto, hash or a number of bytes"
        ))
    })
}
