//! Fields of requests to login methods. What is wrong is said with the name of the field.
//!
//! Never shows the value of a field that is read as text: it may be a secret.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use crate::base::limits::{MAXIMUM_LEASE_TTL_SECONDS, MAXIMUM_LOGIN_PEM_BYTES};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::parameters::{self, Body, ParameterError};

fn named(name: &str) -> impl FnOnce(ParameterError) -> Fault {
    move |error| Fault::Invalid(format!("{name}: {error}"))
}

/// A text.
///
/// # Errors
/// It is none.
pub fn text(name: &str, value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Fault::Invalid(format!("{name} is no text; write it in quotes"))),
    }
}

/// The text in a field of a body; none: it is not there, or empty.
///
/// # Errors
/// It is no text.
pub fn given(body: &Body, name: &str) -> Result<Option<String>, Fault> {
    let Some(value) = body.get(name) else {
        return Ok(None);
    };
    Ok(Some(text(name, value)?).filter(|text| !text.is_empty()))
}

/// The text in a field of a body that has to be there.
///
/// # Errors
/// It is not, or is no text.
pub fn needed(body: &Body, name: &str) -> Result<String, Fault> {
    given(body, name)?.ok_or_else(|| Fault::Invalid(format!("missing {name}")))
}

/// A span of time, in whole seconds.
///
/// # Errors
/// It is none, negative, or longer than a lease may last.
pub fn span(name: &str, value: &Value) -> Result<Duration, Fault> {
    if value.as_str() == Some("") {
        return Ok(Duration::ZERO);
    }
    let span = parameters::span(value).map_err(named(name))?;
    let seconds = span.as_secs();
    if i64::try_from(seconds).is_ok_and(|seconds| seconds <= MAXIMUM_LEASE_TTL_SECONDS) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Fault::Invalid(format!(
        "{name} is {seconds} seconds; the most is {MAXIMUM_LEASE_TTL_SECONDS}"
    )))
}

/// A list of texts.
///
/// # Errors
/// It is none.
pub fn list(name: &str, value: &Value) -> Result<Vec<String>, Fault> {
    parameters::list(value).map_err(named(name))
}

/// A truth value.
///
/// # Errors
/// It is none.
pub fn switch(name: &str, value: &Value) -> Result<bool, Fault> {
    parameters::switch(value).map_err(named(name))
}

/// How many.
///
/// # Errors
/// It is no number, or negative.
pub fn count(name: &str, value: &Value) -> Result<u64, Fault> {
    let number = parameters::integer(value).map_err(named(name))?;
    u64::try_from(number).map_err(|_| Fault::Invalid(format!("'{name}' cannot be negative")))
}

/// Ranges of addresses; one address is a range of one.
///
/// # Errors
/// One of them is none.
pub fn cidrs(name: &str, value: &Value) -> Result<Vec<IpNet>, Fault> {
    let texts = list(name, value)?;
    let range = |text: &String| {
        let range = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        range.ok_or_else(|| {
            let text = text.escape_debug();
            Fault::Invalid(format!(
                "{name}: {text} is no range of addresses; write 10.0.0.0/8"
            ))
        })
    };
    texts.iter().map(range).collect()
}

/// Names with texts: an object, the text of one, or texts of the form `name=text`.
///
/// # Errors
/// It is none of these.
pub fn pairs(name: &str, value: &Value) -> Result<BTreeMap<String, String>, Fault> {
    let wrong = || {
        Fault::Invalid(format!(
            "{name} is no object of texts; write {{\"name\": \"text\"}}"
        ))
    };
    if let Value::Object(fields) = value {
        let pair = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((key.clone(), value.to_string())),
            _ => Err(wrong()),
        };
        return fields.iter().map(pair).collect();
    }
    if let Value::String(text) = value
        && text.trim_start().starts_with('{')
    {
        return serde_json::from_str(text).map_err(|_| wrong());
    }
    let texts = parameters::list(value).map_err(|_| wrong())?;
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// A text of PEM; empty: none.
///
/// # Errors
/// It is no text, or too long.
pub fn pem(name: &str, value: &Value) -> Result<String, Fault> {
    let text = text(name, value)?;
    if text.len() > MAXIMUM_LOGIN_PEM_BYTES {
        return Err(Fault::Invalid(format!(
            "{name} has {} bytes; the most is {MAXIMUM_LOGIN_PEM_BYTES}",
            text.len()
        )));
    }
    Ok(text)
}

/// Several texts of PEM. One text is not cut at its commas.
///
/// # Errors
/// They are none, or too long.
pub fn pems(name: &str, value: &Value) -> Result<Vec<String>, Fault> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut texts = values
        .iter()
        .map(|value| pem(name, value))
        .collect::<Result<Vec<_>, _>>()?;
    texts.retain(|text| !text.trim().is_empty());
    if texts.iter().map(String::len).sum::<usize>() > MAXIMUM_LOGIN_PEM_BYTES {
        return Err(Fault::Invalid(format!(
            "{name} has more than {MAXIMUM_LOGIN_PEM_BYTES} bytes"
        )));
    }
    Ok(texts)
}
