//! Fields of requests by name, and records that are made of them.
//!
//! Never knows what a field is for.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::service::secrets::engine::Fault;
use crate::service::secrets::parameters::{self, Body};

/// Of which kind a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A truth value.
    Switch,
    /// A list of texts.
    List,
    /// A span of time, kept in seconds.
    Seconds,
    /// A whole number.
    Integer,
}

/// A record with the fields of a request in it, those of these names.
///
/// # Errors
/// A field is not of its kind.
pub fn merge<Record: Serialize + DeserializeOwned>(
    record: &Record,
    body: &Body,
    fields: &[(&str, Kind)],
) -> Result<Record, Fault> {
    let broken = |_| Fault::Internal("a record cannot be changed".to_owned());
    let mut map: Map<String, Value> = match serde_json::to_value(record).map_err(broken)? {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (name, kind) in fields {
        let Some(value) = body.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let read = match kind {
            Kind::Text => value
                .as_str()
                .map(|text| Value::from(text.trim()))
                .ok_or_else(|| Fault::Invalid("write it as text".to_owned())),
            Kind::Switch => parameters::switch(value).map(Value::from).map_err(Fault::from),
            Kind::List => parameters::list(value).map(Value::from).map_err(Fault::from),
            Kind::Seconds => parameters::span(value)
                .map(|span| Value::from(span.as_secs()))
                .map_err(Fault::from),
            Kind::Integer => parameters::integer(value).map(Value::from).map_err(Fault::from),
        };
        let read = read
            .map_err(|error| Fault::Invalid(format!("error converting input for field {name:?}: {error}")))?;
        map.insert((*name).to_owned(), read);
    }
    serde_json::from_value(Value::Object(map)).map_err(broken)
}

/// The text of a field; none if it is missing or empty.
///
/// # Errors
/// It is no text. What it is instead is not repeated.
pub fn text<'body>(body: &'body Body, name: &str) -> Result<Option<&'body str>, Fault> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.trim().is_empty())),
        Some(_) => Err(Fault::Invalid(format!(
            "error converting input for field {name:?}: write it as text"
        ))),
    }
}

/// The text of a field that must be there.
///
/// # Errors
/// It is missing, empty or no text.
pub fn required<'body>(body: &'body Body, name: &str) -> Result<&'body str, Fault> {
    text(body, name)?
        .ok_or_else(|| Fault::Invalid(format!("{name:?} is missing: it must be given and not empty")))
}

/// The list of a field; empty if it is missing.
///
/// # Errors
/// It is no list.
pub fn list(body: &Body, name: &str) -> Result<Vec<String>, Fault> {
    Ok(body
        .get(name)
        .map(parameters::list)
        .transpose()?
        .unwrap_or_default())
}

/// The truth value of a field; false if it is missing.
///
/// # Errors
/// It is none.
pub fn switch(body: &Body, name: &str) -> Result<bool, Fault> {
    Ok(body
        .get(name)
        .map(parameters::switch)
        .transpose()?
        .unwrap_or_default())
}

/// The number of a field.
///
/// # Errors
/// It is none.
pub fn integer(body: &Body, name: &str) -> Result<Option<i64>, Fault> {
    Ok(body.get(name).map(parameters::integer).transpose()?)
}

/// The seconds of a field.
///
/// # Errors
/// It is no span of time.
pub fn seconds(body: &Body, name: &str) -> Result<Option<u64>, Fault> {
    let span = body.get(name).map(parameters::span).transpose()?;
    Ok(span.map(|span| span.as_secs()))
}
