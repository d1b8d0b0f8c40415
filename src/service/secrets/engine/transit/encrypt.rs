//! Encryption, decryption and data keys, on their paths.
//!
//! Never says why a ciphertext could not be opened, beyond its form and its version.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::cipher::{self, Terms};
use super::fields::Fields;
use super::record::{Key, Opened};
use super::versioned::{self, Subject};
use super::{batch, manage, settings};
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

/// What is said of a key that is not there.
pub const MISSING: &str = "encryption key not found";

/// Encrypts, with a key that is made if there is none and the caller may.
///
/// # Errors
/// There is no key, or nothing that can be encrypted with it.
pub fn encrypt(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let mut opened = if call.operation == Operation::Create && Opened::load(storage, name)?.is_none() {
        made(call, storage, randomness, name)?
    } else {
        Opened::used(call, storage, randomness, name, MISSING)?
    };
    let answer = batch::answer(call.body, |fields| {
        let plaintext = fields.bytes("plaintext")?;
        let plaintext = plaintext.ok_or_else(|| invalid("missing plaintext to encrypt"))?;
        sealed(
            &mut opened,
            storage,
            randomness,
            fields,
            &terms(fields)?,
            &plaintext,
        )
    })?;
    Ok(opened.warned(answer))
}

/// A key that is made because something is to be encrypted with it: derived, if there is a context.
fn made(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Opened, Fault> {
    if settings::disables_upsert(storage)? {
        return Err(invalid(MISSING));
    }
    let fields = Fields(call.body.fields());
    let kind = manage::key_type(fields)?;
    if !kind.is_cipher() {
        let name = kind.name();
        return Err(Fault::Invalid(format!(
            "key type {name} not supported for this operation"
        )));
    }
    let has_context = |fields: Fields<'_>| fields.word("context").map(|context| context.is_some());
    let mut key = Key::new(kind);
    key.derived = has_context(Fields(batch::first(call.body)?))?;
    for item in batch::items(call.body)?.iter().flatten() {
        if has_context(*item)? != key.derived {
            return Err(invalid(
                "context should be set either in all the request blocks or in none",
            ));
        }
    }
    key.convergent = fields.switch("convergent_encryption")?.unwrap_or(false);
    if key.convergent && !key.derived {
        return Err(invalid(
            "convergent encryption requires derivation to be enabled, so context is required",
        ));
    }
    let mut opened = Opened::new(name, key);
    opened.rotate(call.now, storage, randomness)?;
    Ok(opened)
}

/// Decrypts.
///
/// # Errors
/// There is no key, or the ciphertext is not of it.
pub fn decrypt(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let mut opened = Opened::used(call, storage, randomness, name, MISSING)?;
    let answer = batch::answer(call.body, |fields| {
        let plaintext = unsealed(&mut opened, storage, randomness, fields, &terms(fields)?)?;
        Data::new().with("plaintext", Zeroizing::new(STANDARD.encode(&*plaintext)).as_str())
    })?;
    Ok(opened.warned(answer))
}

/// Decrypts and encrypts anew, with the newest version or the one that is asked for.
///
/// # Errors
/// Those of both.
pub fn rewrap(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let mut opened = Opened::used(call, storage, randomness, name, MISSING)?;
    let answer = batch::answer(call.body, |fields| {
        let terms = terms(fields)?;
        let plaintext = unsealed(&mut opened, storage, randomness, fields, &terms)?;
        sealed(&mut opened, storage, randomness, fields, &terms, &plaintext)
    })?;
    Ok(opened.warned(answer))
}

/// Makes a key for the client, and encrypts it.
///
/// # Errors
/// There is no key to encrypt it with, or the length is none of a key.
pub fn data_key(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    form: &str,
    name: &str,
) -> Result<Answer, Fault> {
    if !matches!(form, "plaintext" | "wrapped") {
        return Err(invalid("Invalid path, must be 'plaintext' or 'wrapped'"));
    }
    let mut opened = Opened::used(call, storage, randomness, name, MISSING)?;
    let fields = Fields(call.body.fields());
    let bytes = match fields.integer("bits")? {
        Some(128) => 16,
        None | Some(256) => 32,
        Some(512) => 64,
        Some(_) => return Err(invalid("invalid bit length; write 128, 256 or 512")),
    };
    let new = randomness.bytes(bytes)?;
    let mut data = sealed(&mut opened, storage, randomness, fields, &terms(fields)?, &new)?;
    if form == "plaintext" {
        data.set("plaintext", Zeroizing::new(STANDARD.encode(&*new)).as_str())?;
    }
    Ok(opened.warned(Answer::data(data)))
}

fn terms(fields: Fields<'_>) -> Result<Terms, Fault> {
    if fields.word("nonce")?.is_some() {
        return Err(invalid(
            "provided nonce not allowed for this key; leave nonce out",
        ));
    }
    if fields
        .word("padding_scheme")?
        .is_some_and(|scheme| scheme != "oaep")
    {
        return Err(Fault::Unimplemented(
            "a padding_scheme other than oaep".to_owned(),
        ));
    }
    Ok(Terms {
        context: fields.bytes("context")?,
        associated_data: fields.bytes("associated_data")?,
    })
}

fn sealed(
    opened: &mut Opened,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    fields: Fields<'_>,
    terms: &Terms,
    plaintext: &[u8],
) -> Result<Data, Fault> {
    let number = opened.key.chosen(fields.integer("key_version")?, "encryption")?;
    let version = opened.version(storage, number)?;
    let sealed = cipher::encrypt(&opened.key, &version, terms, plaintext, randomness)?;
    Data::new()
        .with("ciphertext", &versioned::write(number, &sealed))?
        .with("key_version", &number)
}

fn unsealed(
    opened: &mut Opened,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    fields: Fields<'_>,
    terms: &Terms,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let ciphertext = fields.word("ciphertext")?;
    let ciphertext = ciphertext.ok_or_else(|| invalid("missing ciphertext to decrypt"))?;
    let (number, encoded) = versioned::split(Subject::Ciphertext, ciphertext)?;
    opened.key.admit(number, Subject::Ciphertext)?;
    let bytes = versioned::decode(Subject::Ciphertext, encoded)?;
    let version = opened.version(storage, number)?;
    cipher::decrypt(&opened.key, &version, terms, &bytes, randomness)
}

fn invalid(text: &str) -> Fault {
    Fault::Invalid(text.to_owned())
}
