//! `data/<path>`: the newest version of a secret is read, written, patched and deleted; older ones can be read.
//!
//! Never writes over a version: each write makes another.

use super::config::Config;
use super::merge::merge;
use super::record::{Metadata, Version};
use super::settings;
use super::view::{self, View};
use crate::service::secrets::engine::kv::check_size;
use crate::service::secrets::engine::{Answer, Call, Fault, Storage};
use crate::service::secrets::parameters::{self, Body};
use crate::service::secrets::randomness::Randomness;

/// Answers with the newest version, or the one that is asked for.
///
/// # Errors
/// There is none.
pub fn read(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    view::answer(path, call, storage, "data", |data, value| {
        data.set_text("data", value.json()?)
    })
}

/// Writes a version.
///
/// # Errors
/// It says no data, or replaces another version than it says.
pub fn write(
    path: &str,
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    let json = json(call.body)?;
    let config = Config::load(storage)?;
    let metadata = match Metadata::read(storage, path)? {
        Some(metadata) => metadata,
        None => Metadata::new(call.now, randomness)?,
    };
    check_and_set(call.body, &config, &metadata)?;
    add(path, call, storage, &config, metadata, json)
}

/// Writes a version that is the newest with a merge patch (RFC 7396).
///
/// # Errors
/// There is no version, and those of [`write()`].
pub fn patch(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let json = json(call.body)?;
    let metadata = Metadata::read(storage, path)?.ok_or(Fault::Missing)?;
    let config = Config::load(storage)?;
    check_and_set(call.body, &config, &metadata)?;
    let newest = metadata.version(metadata.current).ok_or(Fault::Missing)?;
    if newest.is_gone(call.now) {
        return view::gone(&metadata, metadata.current, newest);
    }
    let merged = merge(metadata.value(storage, metadata.current)?.json()?, json)?;
    add(path, call, storage, &config, metadata, &merged)
}

/// Deletes the newest version, if there is one.
///
/// # Errors
/// The store cannot be read.
pub fn delete(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let Some(mut metadata) = Metadata::read(storage, path)? else {
        return Ok(Answer::default());
    };
    let newest = metadata.version_mut(metadata.current);
    if newest.is_some_and(|version| version.delete(call.now)) {
        metadata.write(storage, path)?;
    }
    Ok(Answer::default())
}

/// The data of a write, as the client wrote them.
fn json(body: &Body) -> Result<&str, Fault> {
    let none = || Fault::Invalid("no data provided".to_owned());
    let value = body
        .get("data")
        .filter(|value| !value.is_null())
        .ok_or_else(none)?;
    if !value.is_object() {
        return Err(settings::wrong("data", &"it is no object of JSON"));
    }
    let json = body.text("data").ok_or_else(none)?;
    check_size(json.len())?;
    Ok(json)
}

fn check_and_set(body: &Body, config: &Config, metadata: &Metadata) -> Result<(), Fault> {
    let invalid = |text: &str| Err(Fault::Invalid(text.to_owned()));
    let options = match body.get("options").filter(|options| !options.is_null()) {
        None => None,
        Some(options) => match options.as_object() {
            Some(options) => Some(options),
            None => return Err(settings::wrong("options", &"it is no object of JSON")),
        },
    };
    match options.and_then(|options| options.get("cas")) {
        Some(expected) => match parameters::integer(expected) {
            Ok(expected) if u64::try_from(expected) == Ok(metadata.current) => Ok(()),
            Ok(_) => invalid("check-and-set parameter did not match the current version"),
            Err(_) => invalid("error parsing check-and-set parameter"),
        },
        None if config.is_cas_required() || metadata.is_cas_required => {
            invalid("check-and-set parameter required for this call")
        }
        None => Ok(()),
    }
}

/// Adds a version, removes those that are too many, and answers with what is said of it.
fn add(
    path: &str,
    call: &Call<'_>,
    storage: &mut dyn Storage,
    config: &Config,
    mut metadata: Metadata,
    json: &str,
) -> Result<Answer, Fault> {
    let version = Version::new(call.now, config.version_life(&metadata));
    metadata.add(storage, &version, config.maximum_versions(&metadata), json)?;
    metadata.write(storage, path)?;
    let view = View::new(&metadata, metadata.current, &version);
    Ok(Answer::data(view.fields()?))
}
