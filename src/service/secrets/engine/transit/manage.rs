//! Keys: made, read, listed, configured, rotated, trimmed and deleted.
//!
//! Never shows a secret.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::cipher::derive;
use super::fields::Fields;
use super::kind::KeyType;
use super::material::{Material, signing_key};
use super::record::{KEYS, Key, Opened};
use crate::base::limits::{MAXIMUM_TRANSIT_HMAC_KEY_BYTES, MINIMUM_TRANSIT_HMAC_KEY_BYTES};
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, times};
use crate::service::secrets::randomness::Randomness;

/// Makes a key. One that is there already stays as it is.
///
/// # Errors
/// There can be no such key.
pub fn create(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let fields = Fields(call.body.fields());
    if let Some(there) = Opened::load(storage, name)? {
        let mut answer = Answer::data(described(&there, storage, None)?);
        answer.warnings.push(format!("key {name} already existed"));
        return Ok(answer);
    }
    let key = wanted(fields)?;
    let mut opened = Opened::new(name, key);
    opened.rotate(call.now, storage, randomness)?;
    Ok(Answer::data(described(&opened, storage, None)?))
}

/// The key that a request asks for, without versions.
///
/// # Errors
/// There can be no such key.
pub fn wanted(fields: Fields<'_>) -> Result<Key, Fault> {
    if fields.word("managed_key_name")?.is_some() || fields.word("managed_key_id")?.is_some() {
        return Err(Fault::Unimplemented(
            "a key that another system manages".to_owned(),
        ));
    }
    let mut key = Key::new(key_type(fields)?);
    key.derived = fields.switch("derived")?.unwrap_or(false);
    key.convergent = fields.switch("convergent_encryption")?.unwrap_or(false);
    key.exportable = fields.switch("exportable")?.unwrap_or(false);
    key.plaintext_backup = fields.switch("allow_plaintext_backup")?.unwrap_or(false);
    key.rotation_seconds = fields.rotation()?.unwrap_or(0);
    if let Some(bytes) = fields.integer("key_size")?.filter(|bytes| *bytes != 0) {
        if key.kind != KeyType::Hmac {
            return Err(Fault::Invalid(format!(
                "key_size is not valid for key type {}; leave it out",
                key.kind.name()
            )));
        }
        let allowed = MINIMUM_TRANSIT_HMAC_KEY_BYTES..=MAXIMUM_TRANSIT_HMAC_KEY_BYTES;
        let size = usize::try_from(bytes)
            .ok()
            .filter(|bytes| allowed.contains(bytes));
        key.hmac_bytes = size.ok_or_else(|| {
            Fault::Invalid(format!(
                "key_size is {bytes} bytes; it must be between {} and {}",
                allowed.start(),
                allowed.end()
            ))
        })?;
    }
    key.check()?;
    Ok(key)
}

/// The type that a request names.
///
/// # Errors
/// There is none of that name.
pub fn key_type(fields: Fields<'_>) -> Result<KeyType, Fault> {
    let Some(name) = fields.word("type")? else {
        return Ok(KeyType::Aes256Gcm);
    };
    if matches!(
        name,
        "managed_key" | "aes128-cmac" | "aes192-cmac" | "aes256-cmac"
    ) || name.starts_with("ml-dsa")
    {
        return Err(Fault::Unimplemented(format!("key type {name}")));
    }
    KeyType::from_name(name).ok_or_else(|| Fault::Invalid(format!("unknown key type {name}")))
}

/// What a key is like.
///
/// # Errors
/// It is not there, or the context is none.
pub fn read(call: &Call<'_>, storage: &mut dyn Storage, name: &str) -> Result<Answer, Fault> {
    let opened = Opened::load(storage, name)?.ok_or(Fault::Missing)?;
    let context = Fields(call.body.fields()).bytes("context")?;
    Ok(Answer::data(described(&opened, storage, context.as_deref())?))
}

/// A version in an answer: with a public key, or only when it was made.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Public {
        name: &'static str,
        public_key: String,
        certificate_chain: &'static str,
        creation_time: String,
    },
    Made(u64),
}

fn described(opened: &Opened, storage: &mut dyn Storage, context: Option<&Vec<u8>>) -> Result<Data, Fault> {
    let key = &opened.key;
    let mut shown = BTreeMap::new();
    for number in key.min_decryption.max(key.oldest())..=key.latest {
        let record = opened.record(storage, number)?;
        let version = match key.kind.public_name() {
            None => Shown::Made(record.made.as_secs()),
            Some(name) => Shown::Public {
                name,
                public_key: match context {
                    Some(_) if key.derived => derived_public(&record.secret.0, context)?,
                    _ => record.public,
                },
                certificate_chain: "",
                creation_time: times::rfc3339(record.made),
            },
        };
        shown.insert(number.to_string(), version);
    }
    let kind = key.kind;
    let mut data = Data::new()
        .with("name", &opened.name)?
        .with("type", kind.name())?
        .with("keys", &shown)?
        .with("latest_version", &key.latest)?
        .with("min_available_version", &key.min_available)?
        .with("min_decryption_version", &key.min_decryption)?
        .with("min_encryption_version", &key.min_encryption)?
        .with("deletion_allowed", &key.deletion_allowed)?
        .with("derived", &key.derived)?
        .with("exportable", &key.exportable)?
        .with("allow_plaintext_backup", &key.plaintext_backup)?
        .with("auto_rotate_period", &key.rotation_seconds)?
        .with("imported_key", &key.imported)?
        .with("supports_encryption", &kind.encrypts())?
        .with("supports_decryption", &kind.encrypts())?
        .with("supports_signing", &kind.signs())?
        .with("supports_derivation", &kind.derives())?;
    if kind == KeyType::Hmac {
        data.set("key_size", &key.hmac_bytes)?;
    }
    if key.imported {
        data.set("imported_key_allow_rotation", &key.rotates_imported)?;
    }
    if key.derived {
        data.set("kdf", "hkdf_sha256")?;
        data.set("convergent_encryption", &key.convergent)?;
        if key.convergent {
            data.set("convergent_encryption_version", &3)?;
        }
    }
    Ok(data)
}

fn derived_public(seed: &[u8], context: Option<&Vec<u8>>) -> Result<String, Fault> {
    let seed = derive(seed, context, seed.len())?;
    Ok(STANDARD.encode(signing_key(&seed)?.verifying_key().as_bytes()))
}

/// The names of the keys.
///
/// # Errors
/// There are none.
pub fn list(storage: &mut dyn Storage) -> Result<Answer, Fault> {
    Answer::list(storage.list(KEYS)?)
}

/// Deletes a key.
///
/// # Errors
/// It is not there, or must not be deleted.
pub fn delete(storage: &mut dyn Storage, name: &str) -> Result<Answer, Fault> {
    let refused = |reason: &str| Fault::Invalid(format!("error deleting policy {name}: {reason}"));
    let opened = Opened::load(storage, name)?;
    let opened = opened.ok_or_else(|| refused("could not delete key; not found"))?;
    if !opened.key.deletion_allowed {
        return Err(refused("deletion is not allowed for this key"));
    }
    opened.delete(storage)?;
    Ok(Answer::default())
}

/// Changes the settings of a key.
///
/// # Errors
/// It is not there, or cannot be like that.
pub fn configure(call: &Call<'_>, storage: &mut dyn Storage, name: &str) -> Result<Answer, Fault> {
    let fields = Fields(call.body.fields());
    let missing = format!("no existing key named {name} could be found");
    let mut opened = Opened::required(storage, name, &missing)?;
    let mut warnings = Vec::new();
    let key = &mut opened.key;
    if let Some(wanted) = fields.integer("min_decryption_version")? {
        key.min_decryption = minimum("decryption", wanted, key.latest)?;
        if key.min_decryption == 0 {
            key.min_decryption = 1;
            warnings
                .push("since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1".to_owned());
        }
    }
    if let Some(wanted) = fields.integer("min_encryption_version")? {
        key.min_encryption = minimum("encryption", wanted, key.latest)?;
    }
    if key.min_encryption > 0 && key.min_encryption < key.min_decryption {
        return Err(Fault::Invalid(format!(
            "cannot set min encryption/decryption values; min encryption version of {} must be greater than or equal to \
             min decryption version of {}",
            key.min_encryption, key.min_decryption
        )));
    }
    if key.min_decryption < key.min_available || key.min_encryption < key.min_available {
        return Err(Fault::Invalid(format!(
            "min decryption and min encryption version should not be less than min available version, which is {}: \
             what was trimmed is gone",
            key.min_available
        )));
    }
    if let Some(is_allowed) = fields.switch("deletion_allowed")? {
        key.deletion_allowed = is_allowed;
    }
    // Neither is ever taken back: who has the secret already keeps it.
    key.exportable |= fields.switch("exportable")?.unwrap_or(false);
    key.plaintext_backup |= fields.switch("allow_plaintext_backup")?.unwrap_or(false);
    if let Some(seconds) = fields.rotation()? {
        if seconds > 0 && key.imported && !key.rotates_imported {
            return Err(unrotated(name));
        }
        key.rotation_seconds = seconds;
    }
    opened.save(storage)?;
    let mut answer = Answer::data(described(&opened, storage, None)?);
    answer.warnings = warnings;
    Ok(answer)
}

fn minimum(name: &str, wanted: i64, latest: u32) -> Result<u32, Fault> {
    if wanted < 0 {
        return Err(Fault::Invalid(format!("min {name} version cannot be negative")));
    }
    let number = u32::try_from(wanted).ok().filter(|number| *number <= latest);
    number.ok_or_else(|| {
        Fault::Invalid(format!(
            "cannot set min {name} version of {wanted}, latest key version is {latest}"
        ))
    })
}

fn unrotated(name: &str) -> Fault {
    Fault::Invalid(format!(
        "imported key {name} does not allow rotation within Vault"
    ))
}

/// Adds a version to a key.
///
/// # Errors
/// It is not there, must not be rotated, or has too many.
pub fn rotate(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let mut opened = Opened::required(storage, name, "key not found")?;
    if opened.key.imported && !opened.key.rotates_imported {
        return Err(unrotated(name));
    }
    opened.rotate(call.now, storage, randomness)?;
    Ok(Answer::data(described(&opened, storage, None)?))
}

/// Removes versions of a key for good.
///
/// # Errors
/// It is not there, or they are still of use.
pub fn trim(call: &Call<'_>, storage: &mut dyn Storage, name: &str) -> Result<Answer, Fault> {
    let refused = |reason: String| {
        Err(Fault::Invalid(format!(
            "minimum available version cannot be {reason}"
        )))
    };
    let mut opened = Opened::required(storage, name, &format!("invalid key name {name:?}"))?;
    let wanted = Fields(call.body.fields()).integer("min_available_version")?;
    let wanted = wanted.ok_or_else(|| Fault::Invalid("missing min_available_version".to_owned()))?;
    let key = &opened.key;
    let Ok(oldest) = u32::try_from(wanted) else {
        return refused(if wanted < 0 {
            "negative".to_owned()
        } else {
            too_high("latest", key.latest)
        });
    };
    if oldest < key.min_available {
        return refused("decremented".to_owned());
    }
    if key.min_encryption == 0 {
        return refused("set when minimum encryption version is not set".to_owned());
    }
    for (name, most) in [
        ("latest", key.latest),
        ("minimum encryption", key.min_encryption),
        ("minimum decryption", key.min_decryption),
    ] {
        if oldest > most {
            return refused(too_high(name, most));
        }
    }
    opened.trim(storage, oldest)?;
    Ok(Answer::data(described(&opened, storage, None)?))
}

fn too_high(name: &str, most: u32) -> String {
    format!("higher than {name} version, which is {most}")
}

/// The public key that belongs to a version and a context; empty: there is none.
///
/// # Errors
/// The key is derived and there is no context.
pub fn public_key(key: &Key, material: &Material, context: Option<&Vec<u8>>) -> Result<String, Fault> {
    match material {
        Material::Ed25519(seed) if key.derived => derived_public(&seed.0, context),
        other => other.public(),
    }
}
