//! Keys that leave the store: exported by version, or as a backup that holds the whole key.
//!
//! Never lets out a secret whose key does not allow it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::fields::{Fields, decoded};
use super::material::Material;
use super::record::{Key, Opened, VersionRecord};
use crate::base::limits::{MAXIMUM_TRANSIT_BACKUP_BYTES, MAXIMUM_TRANSIT_VERSIONS};
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, storage};

/// What is exported of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Encryption,
    Signing,
    Hmac,
    Public,
}

/// The keys of one purpose, of all versions or one.
///
/// # Errors
/// There is no such key or version, or it must not be exported.
pub fn export(
    storage: &mut dyn Storage,
    part: &str,
    name: &str,
    wanted: Option<&str>,
) -> Result<Answer, Fault> {
    let invalid = |text: String| Err(Fault::Invalid(text));
    let part = match part {
        "encryption-key" => Part::Encryption,
        "signing-key" => Part::Signing,
        "hmac-key" => Part::Hmac,
        "public-key" => Part::Public,
        "certificate-chain" => {
            return Err(Fault::Unimplemented(
                "a chain of certificates of a key".to_owned(),
            ));
        }
        other => return invalid(format!("invalid export type: {other}")),
    };
    let mut opened = Opened::load(storage, name)?.ok_or(Fault::Missing)?;
    let kind = opened.key.kind;
    if part != Part::Public && !opened.key.exportable {
        return invalid("private key material is not exportable".to_owned());
    }
    match part {
        Part::Encryption if !kind.encrypts() => {
            return invalid("encryption not supported for the key".to_owned());
        }
        Part::Signing if !kind.signs() => return invalid("signing not supported for the key".to_owned()),
        Part::Public if !kind.signs() => {
            return invalid(format!(
                "unknown key type {} for export type public-key",
                kind.name()
            ));
        }
        Part::Public if opened.key.derived => {
            return invalid(
                "the public keys of a derived key depend on the context; read the key with one".to_owned(),
            );
        }
        _ => {}
    }
    let oldest = opened.key.min_decryption.max(opened.key.oldest());
    let numbers = match wanted {
        None => oldest..=opened.key.latest,
        Some("latest") => opened.key.latest..=opened.key.latest,
        Some(text) => {
            let number = text.parse::<u32>();
            let number = number.map_err(|_| Fault::Invalid("invalid key version".to_owned()))?;
            if number < oldest {
                return invalid("version for export is below minimum decryption version".to_owned());
            }
            if number > opened.key.latest {
                return invalid("version does not exist or cannot be found".to_owned());
            }
            number..=number
        }
    };
    let mut keys = BTreeMap::new();
    for number in numbers {
        let version = opened.version(storage, number)?;
        let text = match part {
            Part::Encryption | Part::Signing => version.material.exported()?,
            Part::Hmac => Zeroizing::new(STANDARD.encode(&*version.record.hmac.0)),
            Part::Public => Zeroizing::new(version.material.public()?),
        };
        keys.insert(number.to_string(), Zeroizing::new(text.trim_end().to_owned()));
    }
    let data = Data::new()
        .with("name", name)?
        .with("type", kind.name())?
        .with("keys", &keys)?;
    Ok(Answer::data(data))
}

/// A whole key.
#[derive(Serialize, Deserialize)]
struct Backup {
    /// The form of the backup.
    format: u32,
    name: String,
    key: Key,
    versions: BTreeMap<u32, VersionRecord>,
}

const FORMAT: u32 = 1;

/// A backup of a key, from which it can be restored.
///
/// # Errors
/// There is no such key, or it must not be backed up.
pub fn backup(storage: &mut dyn Storage, name: &str) -> Result<Answer, Fault> {
    let opened = Opened::required(storage, name, &format!("key {name:?} not found"))?;
    if !opened.key.exportable {
        return Err(Fault::Invalid("exporting is disallowed on the policy".to_owned()));
    }
    if !opened.key.plaintext_backup {
        return Err(Fault::Invalid(
            "plaintext backup is disallowed on the policy".to_owned(),
        ));
    }
    let mut versions = BTreeMap::new();
    for number in opened.key.oldest()..=opened.key.latest {
        versions.insert(number, opened.record(storage, number)?);
    }
    let whole = storage::encode(&Backup {
        format: FORMAT,
        name: name.to_owned(),
        key: opened.key,
        versions,
    })?;
    let text = Zeroizing::new(STANDARD.encode(whole.expose()));
    if text.len() > MAXIMUM_TRANSIT_BACKUP_BYTES {
        return Err(Fault::Invalid(format!(
            "the backup has {} bytes; the most is {MAXIMUM_TRANSIT_BACKUP_BYTES}: trim older versions",
            text.len()
        )));
    }
    Ok(Answer::data(Data::new().with("backup", text.as_str())?))
}

/// Restores a key, under the name of the path or its own. One that is there stays, unless `force` is said.
///
/// # Errors
/// It is no backup, or the key is there.
pub fn restore(call: &Call<'_>, storage: &mut dyn Storage, name: Option<&str>) -> Result<Answer, Fault> {
    let fields = Fields(call.body.fields());
    let text = fields.word("backup")?;
    let text = text.ok_or_else(|| Fault::Invalid("'backup' must be supplied".to_owned()))?;
    if text.len() > MAXIMUM_TRANSIT_BACKUP_BYTES {
        return Err(Fault::Invalid(format!(
            "the backup has {} bytes; the most is {MAXIMUM_TRANSIT_BACKUP_BYTES}",
            text.len()
        )));
    }
    let mut whole: Backup = storage::decode(&decoded("backup", text)?).map_err(|_| broken())?;
    check(&mut whole)?;
    let name = name.unwrap_or(&whole.name);
    if let Some(there) = Opened::load(storage, name)? {
        if !fields.switch("force")?.unwrap_or(false) {
            return Err(Fault::Invalid(format!("key {name:?} already exists")));
        }
        there.delete(storage)?;
    }
    let opened = Opened::new(name, whole.key);
    for (number, record) in &whole.versions {
        opened.write_version(storage, *number, record)?;
    }
    opened.save(storage)?;
    Ok(Answer::default())
}

fn broken() -> Fault {
    Fault::Invalid("the backup is none, or is broken; give what backup answered".to_owned())
}

/// Whether a backup is of a key that this engine could have made; what follows from the secrets is made of them anew.
fn check(whole: &mut Backup) -> Result<(), Fault> {
    let key = &whole.key;
    key.check()?;
    let is_numbered = whole.versions.keys().copied().eq(key.oldest()..=key.latest);
    let is_ordered = key.min_decryption >= key.oldest()
        && key.min_decryption <= key.latest
        && key.min_encryption <= key.latest
        && (key.min_encryption == 0 || key.min_encryption >= key.min_decryption)
        && key.min_encryption >= key.min_available;
    if whole.format != FORMAT
        || !is_numbered
        || !is_ordered
        || key.latest - key.oldest() >= MAXIMUM_TRANSIT_VERSIONS
    {
        return Err(broken());
    }
    for record in whole.versions.values_mut() {
        let material = Material::from_stored(key.kind, &record.secret, &record.public).ok_or_else(broken)?;
        if key.derived && matches!(material, Material::Public(_)) {
            return Err(broken());
        }
        *record = VersionRecord::new(key, &material, record.made, record.hmac.clone())?;
    }
    Ok(())
}
