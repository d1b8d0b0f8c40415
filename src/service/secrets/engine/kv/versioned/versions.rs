//! `delete/<path>`, `undelete/<path>` and `destroy/<path>`: versions of a secret that a request chooses. Numbers without a
//! version are passed over.
//!
//! Never brings back what was destroyed.

use serde_json::Value;

use super::config::Config;
use super::record::Metadata;
use super::settings;
use crate::service::secrets::engine::{Answer, Call, Fault, Storage};
use crate::service::secrets::parameters;

/// Deletes versions.
///
/// # Errors
/// No versions are named.
pub fn delete(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let numbers = numbers(call, "No version number provided")?;
    let Some(mut metadata) = Metadata::read(storage, path)? else {
        return Ok(Answer::default());
    };
    for number in numbers {
        if let Some(version) = metadata.version_mut(number) {
            version.delete(call.now);
        }
    }
    metadata.write(storage, path)?;
    Ok(Answer::default())
}

/// Brings versions back. How long they live counts anew.
///
/// # Errors
/// No versions are named.
pub fn undelete(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let numbers = numbers(call, "No version number provided")?;
    let Some(mut metadata) = Metadata::read(storage, path)? else {
        return Ok(Answer::default());
    };
    let life = Config::load(storage)?.version_life(&metadata);
    for number in numbers {
        if let Some(version) = metadata.version_mut(number) {
            version.undelete(call.now, life);
        }
    }
    metadata.write(storage, path)?;
    Ok(Answer::default())
}

/// Destroys versions: their values are removed.
///
/// # Errors
/// No versions are named.
pub fn destroy(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let numbers = numbers(call, "no version number provided")?;
    let Some(mut metadata) = Metadata::read(storage, path)? else {
        return Ok(Answer::default());
    };
    for number in numbers {
        if let Some(version) = metadata.version_mut(number)
            && !version.is_destroyed
        {
            version.is_destroyed = true;
            metadata.remove_value(storage, number)?;
        }
    }
    metadata.write(storage, path)?;
    Ok(Answer::default())
}

/// The versions that a request names: numbers in an array, one alone, or a text with commas.
fn numbers(call: &Call<'_>, without: &str) -> Result<Vec<u64>, Fault> {
    let name = "versions";
    let read = |value: &Value| {
        let number = parameters::integer(value).map_err(|error| settings::wrong(name, &error))?;
        // No version has a negative number.
        Ok::<_, Fault>(u64::try_from(number).unwrap_or(0))
    };
    let numbers = match call.body.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(numbers)) => numbers.iter().map(read).collect::<Result<_, _>>()?,
        Some(number @ Value::Number(_)) => vec![read(number)?],
        Some(text @ Value::String(_)) => parameters::list(text)?
            .into_iter()
            .map(|number| read(&Value::String(number)))
            .collect::<Result<_, _>>()?,
        Some(other) => {
            let wanted = "list; write an array of numbers, or one text with commas";
            return Err(settings::wrong(name, &parameters::wrong(other, wanted)));
        }
    };
    if numbers.is_empty() {
        return Err(Fault::Invalid(without.to_owned()));
    }
    Ok(numbers)
}
