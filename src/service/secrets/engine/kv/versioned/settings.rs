//! Values of settings, of a secret as of its mount. `null` is what a setting is without anybody saying.
//!
//! Never knows what a setting is for.

use serde_json::Value;

use crate::base::limits::{MAXIMUM_SECRET_VERSIONS, MAXIMUM_VERSION_LIFE_SECONDS};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::parameters::{self, Body};

/// The number of versions that is asked for; none: the request does not say.
///
/// # Errors
/// It is no number, negative, or more than there may be.
pub fn maximum_versions(body: &Body) -> Result<Option<u32>, Fault> {
    let name = "max_versions";
    let Some(value) = body.get(name) else {
        return Ok(None);
    };
    if value.is_null() {
        return Ok(Some(0));
    }
    let number = parameters::integer(value).map_err(|error| wrong(name, &error))?;
    match u32::try_from(number) {
        Ok(number) if number <= MAXIMUM_SECRET_VERSIONS => Ok(Some(number)),
        _ => Err(wrong(
            name,
            &format_args!("{number} is not between 0 and {MAXIMUM_SECRET_VERSIONS}"),
        )),
    }
}

/// Whether each write is to say what it replaces; none: the request does not say.
///
/// # Errors
/// It is no truth value.
pub fn is_cas_required(body: &Body) -> Result<Option<bool>, Fault> {
    let name = "cas_required";
    match body.get(name) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(false)),
        Some(value) => parameters::switch(value)
            .map(Some)
            .map_err(|error| wrong(name, &error)),
    }
}

/// After how many seconds versions are to be deleted; none: the request does not say.
///
/// # Errors
/// It is no span of whole seconds, negative, or too long.
pub fn version_life(body: &Body) -> Result<Option<u64>, Fault> {
    body.get(VERSION_LIFE).map(seconds).transpose()
}

/// How long versions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// For ever, whatever else is said.
    Endless,
    /// So many seconds; zero: nothing is said.
    Seconds(u64),
}

/// How long versions are to live, where any negative span is for ever; none: the request does not say.
///
/// # Errors
/// As [`version_life`].
pub fn life(body: &Body) -> Result<Option<Life>, Fault> {
    let Some(value) = body.get(VERSION_LIFE) else {
        return Ok(None);
    };
    let amount = match value {
        Value::Number(number) => number
            .as_i64()
            .filter(|number| *number < 0)
            .map(|number| Value::from(number.unsigned_abs())),
        Value::String(text) => text.trim().strip_prefix('-').map(Value::from),
        _ => None,
    };
    match amount {
        Some(amount) => parameters::span(&amount)
            .map(|_| Some(Life::Endless))
            .map_err(|error| wrong(VERSION_LIFE, &error)),
        None => Ok(Some(Life::Seconds(seconds(value)?))),
    }
}

const VERSION_LIFE: &str = "delete_version_after";

fn seconds(value: &Value) -> Result<u64, Fault> {
    if value.is_null() {
        return Ok(0);
    }
    let span = parameters::span(value).map_err(|error| wrong(VERSION_LIFE, &error))?;
    if span.subsec_nanos() != 0 {
        let error = format_args!("{value} has a part of a second; write whole ones");
        return Err(wrong(VERSION_LIFE, &error));
    }
    if span.as_secs() > MAXIMUM_VERSION_LIFE_SECONDS {
        let error = format_args!("{value} is longer than {MAXIMUM_VERSION_LIFE_SECONDS} seconds");
        return Err(wrong(VERSION_LIFE, &error));
    }
    Ok(span.as_secs())
}

/// A field that is not what it should be.
pub fn wrong(name: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::Invalid(format!("error converting input for field {name:?}: {error}"))
}
