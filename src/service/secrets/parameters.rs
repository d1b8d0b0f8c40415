//! Values of requests, in all the forms that Vault's clients give them.
//!
//! Never knows what a value is for.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::base::duration;

const SECONDS_OF_A_DAY: u64 = 86_400;

/// A value that is not what its place needs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value} is no {wanted}")]
pub struct ParameterError {
    /// The value, as JSON.
    value: String,
    /// What it should be.
    wanted: &'static str,
}

/// A span of time: seconds as a number or as text, or text with units (`30s`, `1h30m`, `7d`).
///
/// # Errors
/// It is none of these, is negative or has no end.
pub fn span(value: &Value) -> Result<Duration, ParameterError> {
    let read = match value {
        Value::Number(seconds) => seconds.as_u64().map(Duration::from_secs),
        Value::String(text) => span_text(text.trim()),
        _ => None,
    };
    read.ok_or_else(|| ParameterError {
        value: value.to_string(),
        wanted: "time; write seconds, or a number with a unit: 30s, 15m, 1h, 7d",
    })
}

fn span_text(text: &str) -> Option<Duration> {
    let number = |text: &str| {
        let has_digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
        has_digits_only.then(|| text.parse::<u64>().ok()).flatten()
    };
    if let Some(seconds) = number(text) {
        return Some(Duration::from_secs(seconds));
    }
    match text.strip_suffix('d') {
        Some(days) => number(days)?
            .checked_mul(SECONDS_OF_A_DAY)
            .map(Duration::from_secs),
        None => duration::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_span_is_seconds_or_text_with_units() {
        for (value, seconds) in [
            (json!(30), 30),
            (json!("30"), 30),
            (json!("0"), 0),
            (json!("30s"), 30),
            (json!("1h"), 3_600),
            (json!(" 1h30m "), 5_400),
            (json!("7d"), 604_800),
        ] {
            assert_eq!(span(&value), Ok(Duration::from_secs(seconds)), "{value}");
        }
        for value in [
            json!(-1),
            json!(1.5),
            json!("-1"),
            json!("+1"),
            json!(""),
            json!("d"),
            json!("-1d"),
            json!("1w"),
            json!("99999999999999999999"),
            json!("999999999999999999d"),
            json!(true),
            json!(null),
            json!([30]),
        ] {
            let error = span(&value).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{value} is no time; write")),
                "{error}"
            );
        }
    }
}
