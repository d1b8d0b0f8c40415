//! `metadata/<path>`: the settings of a secret and what is said of its versions; what is in a directory; and how a secret is
//! removed with all of its versions.
//!
//! Never tells a value.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::config::{self, Config};
use super::record::{self, Metadata};
use super::settings;
use super::view::{self, Entry};
use crate::base::limits::{
    MAXIMUM_CUSTOM_METADATA_KEY_BYTES, MAXIMUM_CUSTOM_METADATA_PAIRS, MAXIMUM_CUSTOM_METADATA_VALUE_BYTES,
};
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::randomness::Randomness;

const CUSTOM: &str = "custom_metadata";
const SETTINGS: [&str; 4] = ["max_versions", "cas_required", "delete_version_after", CUSTOM];

/// The names in a directory, whose path has a slash at its end or is empty.
///
/// # Errors
/// [`Fault::Missing`] where there are none.
pub fn list(directory: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let directory = record::at(directory);
    Answer::list(storage.list(directory.trim_end_matches('/'))?)
}

/// Answers with all that is said of a secret.
///
/// # Errors
/// [`Fault::Missing`] where there is none.
pub fn read(path: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let metadata = Metadata::read(storage, path)?.ok_or(Fault::Missing)?;
    let versions: BTreeMap<u64, Entry> = metadata
        .versions()
        .map(|(number, version)| (number, Entry::new(version)))
        .collect();
    let data = Data::new()
        .with("versions", &versions)?
        .with("current_version", &metadata.current)?
        .with("oldest_version", &metadata.oldest)?
        .with("created_time", &rfc3339(metadata.created))?
        .with("updated_time", &rfc3339(metadata.updated))?
        .with("max_versions", &metadata.maximum_versions)?
        .with("cas_required", &metadata.is_cas_required)?
        .with(
            "delete_version_after",
            &config::shown(metadata.version_life_seconds),
        )?
        .with(CUSTOM, &view::custom(&metadata))?;
    Ok(Answer::data(data))
}

/// Changes the settings that a request names; a secret that is not there yet is made, without a version.
///
/// # Errors
/// One is not what it should be.
pub fn write(
    path: &str,
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    if !SETTINGS.iter().any(|name| call.body.get(name).is_some()) {
        return Ok(Answer::default());
    }
    let mut metadata = match Metadata::read(storage, path)? {
        Some(metadata) => metadata,
        None => Metadata::new(call.now, randomness)?,
    };
    if let Some(pairs) = custom(call.body)? {
        metadata.custom = pairs
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect();
    }
    change(path, call, storage, &mut metadata)
}

/// The same for a secret that is there; custom metadata are merged, and those that are `null` removed.
///
/// # Errors
/// [`Fault::Missing`] where there is none, and those of [`write()`].
pub fn patch(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let mut metadata = Metadata::read(storage, path)?.ok_or(Fault::Missing)?;
    if call.body.get(CUSTOM).is_some_and(Value::is_null) {
        metadata.custom.clear();
    }
    for (key, value) in custom(call.body)?.unwrap_or_default() {
        match value {
            Some(value) => metadata.custom.insert(key, value),
            None => metadata.custom.remove(&key),
        };
    }
    change(path, call, storage, &mut metadata)
}

/// Removes a secret with all of its versions, if there is one.
///
/// # Errors
/// The store cannot be read.
pub fn delete(path: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    if let Some(metadata) = Metadata::read(storage, path)? {
        metadata.remove(storage, path)?;
    }
    Ok(Answer::default())
}

fn change(
    path: &str,
    call: &Call<'_>,
    storage: &mut dyn Storage,
    metadata: &mut Metadata,
) -> Result<Answer, Fault> {
    check(&metadata.custom)?;
    let mut answer = Answer::default();
    if let Some(maximum) = settings::maximum_versions(call.body)? {
        metadata.maximum_versions = maximum;
    }
    if let Some(is_required) = settings::is_cas_required(call.body)? {
        metadata.is_cas_required = is_required;
        if !is_required && Config::load(storage)?.is_cas_required() {
            answer.warnings.push(
                "\"cas_required\" set to false, but is mandated by backend config. This value will \
                 be ignored."
                    .to_owned(),
            );
        }
    }
    if let Some(seconds) = settings::version_life(call.body)? {
        metadata.version_life_seconds = seconds;
    }
    metadata.write(storage, path)?;
    Ok(answer)
}

/// The pairs that a request names, with the text of each value, which is none for `null`.
fn custom(body: &Body) -> Result<Option<BTreeMap<String, Option<String>>>, Fault> {
    let fields = match body.get(CUSTOM) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(BTreeMap::new())),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(settings::wrong(CUSTOM, &"it is no object of JSON")),
    };
    let texts: BTreeMap<String, &RawValue> = body
        .text(CUSTOM)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    pairs(fields, &texts).map(Some)
}

fn pairs(
    fields: &Map<String, Value>,
    texts: &BTreeMap<String, &RawValue>,
) -> Result<BTreeMap<String, Option<String>>, Fault> {
    let mut pairs = BTreeMap::new();
    for (key, value) in fields {
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            // As Vault's servers turn a truth value into text.
            Value::Bool(truth) => Some(if *truth { "1" } else { "0" }.to_owned()),
            Value::Number(number) => Some(match texts.get(key) {
                Some(text) => text.get().to_owned(),
                None => number.to_string(),
            }),
            Value::Array(_) | Value::Object(_) => {
                return Err(failed(&format_args!("the value for key {key:?} is no text")));
            }
        };
        pairs.insert(key.clone(), text);
    }
    Ok(pairs)
}

fn check(pairs: &BTreeMap<String, String>) -> Result<(), Fault> {
    if pairs.len() > MAXIMUM_CUSTOM_METADATA_PAIRS {
        return Err(failed(&format_args!(
            "payload must contain at most {MAXIMUM_CUSTOM_METADATA_PAIRS} keys, provided {}",
            pairs.len()
        )));
    }
    for (key, value) in pairs {
        let bytes = key.len();
        if !(1..=MAXIMUM_CUSTOM_METADATA_KEY_BYTES).contains(&bytes) {
            return Err(failed(&format_args!(
                "length of key {key:?} is {bytes} but must be 0 < len(key) <= \
                 {MAXIMUM_CUSTOM_METADATA_KEY_BYTES}"
            )));
        }
        let bytes = value.len();
        if !(1..=MAXIMUM_CUSTOM_METADATA_VALUE_BYTES).contains(&bytes) {
            return Err(failed(&format_args!(
                "length of value for key {key:?} is {bytes} but must be 0 < len(value) <= \
                 {MAXIMUM_CUSTOM_METADATA_VALUE_BYTES}"
            )));
        }
        if !is_printable(key) {
            return Err(failed(&format_args!(
                "key {key:?} contains unprintable characters"
            )));
        }
        if !is_printable(value) {
            return Err(failed(&format_args!(
                "value for key {key:?} contains unprintable characters"
            )));
        }
    }
    Ok(())
}

fn is_printable(text: &str) -> bool {
    text.chars()
        .all(|character| character == ' ' || !(character.is_control() || character.is_whitespace()))
}

fn failed(what: &dyn std::fmt::Display) -> Fault {
    Fault::Invalid(format!("{CUSTOM} validation failed: {what}"))
}
