//! Values of requests, in all the forms that Vault's clients give them.
//!
//! Never knows what a value is for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::base::duration;
use crate::base::limits::{MAXIMUM_SECRET_BODY_BYTES, MAXIMUM_SECRET_BODY_DEPTH};
use crate::service::document;

const SECONDS_OF_A_DAY: u64 = 86_400;

/// Bytes of a text that an error shows: enough for a slip of the pen, and fewer than a token or a share has.
const MAXIMUM_SHOWN_BYTES: usize = 24;

/// What a request says that it should not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParameterError {
    /// A value that is not what its place needs.
    #[error("{value} is no {wanted}")]
    Value {
        /// The value, as JSON; only of what kind it is, where it may be a secret that came to the wrong place.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A body with too many bytes.
    #[error("the body has {0} bytes; the most is {MAXIMUM_SECRET_BODY_BYTES}")]
    Large(usize),
    /// A body that cannot be read. Holds nothing of it but names.
    #[error("failed to parse JSON input: {0}")]
    Json(String),
}

/// What is said of a value that is not what its place needs.
#[must_use]
pub fn wrong(value: &Value, wanted: &'static str) -> ParameterError {
    let value = match value {
        Value::String(text) if text.len() > MAXIMUM_SHOWN_BYTES => format!("a text of {} bytes", text.len()),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        shown => shown.to_string(),
    };
    ParameterError::Value { value, wanted }
}

/// The body of a request: an object of JSON. Its texts are wiped when it is dropped, those that were copied out of it are not.
#[derive(Debug, Default)]
pub struct Body {
    fields: Map<String, Value>,
    texts: BTreeMap<String, Box<RawValue>>,
}

impl Body {
    /// Reads a body. One of nothing, or of `null`, has no fields.
    ///
    /// # Errors
    /// It is too large, nested too deep, of too many values, no object, or says something twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParameterError> {
        let invalid = |reason: &str| ParameterError::Json(reason.to_owned());
        if bytes.len() > MAXIMUM_SECRET_BODY_BYTES {
            return Err(ParameterError::Large(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is no UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let fields = match document::json(text, MAXIMUM_SECRET_BODY_DEPTH).map_err(ParameterError::Json)? {
            Value::Object(fields) => fields,
            Value::Null => return Ok(Self::default()),
            _ => return Err(invalid("it is no object")),
        };
        let texts = serde_json::from_str(text).map_err(|error| invalid(&error.to_string()))?;
        Ok(Self { fields, texts })
    }

    /// The fields, as policies judge them.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The field of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The field of that name as the client wrote it: every number in its own form.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| text.get())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.fields.values_mut().for_each(wipe);
        for text in std::mem::take(&mut self.texts).into_values() {
            Box::<str>::from(text).into_string().zeroize();
        }
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
    read.ok_or_else(|| {
        wrong(
            value,
            "time; write seconds, or a number with a unit: 30s, 15m, 1h, 7d",
        )
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

/// A list of texts: an array, or one text with commas. Spaces around each are cut, and what is empty is left out.
///
/// # Errors
/// It is neither, or something in it is no text.
pub fn list(value: &Value) -> Result<Vec<String>, ParameterError> {
    let wanted = "list; write an array of texts, or one text with commas";
    let texts: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.split(',').collect(),
        Value::Array(items) => {
            let texts = items
                .iter()
                .map(|item| item.as_str().ok_or_else(|| wrong(value, wanted)));
            texts.collect::<Result<_, _>>()?
        }
        _ => return Err(wrong(value, wanted)),
    };
    let texts = texts.into_iter().map(str::trim).filter(|text| !text.is_empty());
    Ok(texts.map(str::to_owned).collect())
}

/// A truth value, as itself, as text or as 0 or 1.
///
/// # Errors
/// It is none.
pub fn switch(value: &Value) -> Result<bool, ParameterError> {
    let read = match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            _ => None,
        },
        _ => None,
    };
    read.ok_or_else(|| wrong(value, "truth value; write true or false"))
}

/// A whole number, as itself or as text.
///
/// # Errors
/// It is none, or takes more than 64 bits.
pub fn integer(value: &Value) -> Result<i64, ParameterError> {
    let read = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| wrong(value, "whole number of at most 64 bits"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::limits::{MAXIMUM_JSON_VALUES, MAXIMUM_SECRET_VALUE_BYTES, MAXIMUM_TRANSIT_BATCH_ITEMS};

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
        ] {
            let error = span(&value).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{value} is no time; write")),
                "{error}"
            );
        }
    }

    #[test]
    fn what_may_be_a_secret_in_the_wrong_place_is_not_shown() {
        let token = "hvs.CAESIJRM8sXyCXIsAExs7mNp";
        for value in [json!(token), json!([token]), json!({"token": token})] {
            for error in [
                span(&value).unwrap_err(),
                switch(&value).unwrap_err(),
                integer(&value).unwrap_err(),
                list(&json!([{"token": value}])).unwrap_err(),
            ] {
                let text = error.to_string();
                assert!(text.starts_with("a") && !text.contains(token), "{text}");
            }
        }
        let error = integer(&json!(token)).unwrap_err().to_string();
        assert_eq!(error, "a text of 28 bytes is no whole number of at most 64 bits");
    }

    #[test]
    fn a_list_is_an_array_or_one_text_with_commas() {
        for value in [
            json!("a,b c"),
            json!(["a", "b c"]),
            json!(" a , ,b c,"),
            json!(["a ", "", "b c"]),
        ] {
            assert_eq!(list(&value).unwrap(), ["a", "b c"], "{value}");
        }
        for value in [json!(""), json!([]), json!(null), json!(",")] {
            assert!(list(&value).unwrap().is_empty(), "{value}");
        }
        assert_eq!(list(&json!(["a,b"])).unwrap(), ["a,b"], "only one text is split");
        for value in [json!(1), json!(true), json!({}), json!(["a", 1]), json!([["a"]])] {
            assert!(list(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn truth_and_whole_numbers_may_be_text() {
        for value in [json!(true), json!("true"), json!("T"), json!(1), json!("1")] {
            assert_eq!(switch(&value), Ok(true), "{value}");
        }
        for value in [json!(false), json!("False"), json!("0"), json!(0)] {
            assert_eq!(switch(&value), Ok(false), "{value}");
        }
        for value in [json!(2), json!("yes"), json!(""), json!(null), json!(-1)] {
            assert!(switch(&value).is_err(), "{value}");
        }
        for (value, number) in [
            (json!(5), 5),
            (json!("5"), 5),
            (json!("-7"), -7),
            (json!(i64::MIN), i64::MIN),
        ] {
            assert_eq!(integer(&value), Ok(number), "{value}");
        }
        for value in [
            json!(1.5),
            json!("1.5"),
            json!(u64::MAX),
            json!(""),
            json!(null),
            json!(true),
        ] {
            assert!(integer(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn numbers_of_a_body_keep_their_form() {
        let text =
            r#" {"data": {"big": 123456789012345678901234567890, "one": 1.0, "e": 1E+2}, "b": "\u0041"} "#;
        let body = Body::parse(text.as_bytes()).unwrap();
        let data = r#"{"big": 123456789012345678901234567890, "one": 1.0, "e": 1E+2}"#;
        assert_eq!(body.text("data"), Some(data));
        assert_eq!(body.get("b"), Some(&json!("A")));
        assert_eq!(body.fields().len(), 2);
        assert_eq!((body.get("none"), body.text("none")), (None, None));
        for empty in ["", " \n", "{}", "null"] {
            assert!(
                Body::parse(empty.as_bytes()).unwrap().fields().is_empty(),
                "{empty:?}"
            );
        }
    }

    #[test]
    fn texts_are_wiped_however_deep_they_are() {
        let mut value = json!({"a": "hunter2", "b": [1, "hunter2", {"c": ["hunter2"]}], "d": null});
        wipe(&mut value);
        assert_eq!(value, json!({"a": "", "b": [1, "", {"c": [""]}], "d": null}));
    }

    #[test]
    fn a_body_has_room_for_a_batch_and_for_a_secret_and_not_for_values_without_end() {
        let item = json!({"plaintext": "YQ==", "context": "YQ==", "nonce": "YQ==", "key_version": 1, "reference": "a"});
        let batch = json!({"batch_input": vec![item; MAXIMUM_TRANSIT_BATCH_ITEMS]});
        Body::parse(batch.to_string().as_bytes()).unwrap();
        let secret = json!({"data": {"a": "b".repeat(MAXIMUM_SECRET_VALUE_BYTES)}});
        Body::parse(secret.to_string().as_bytes()).unwrap();

        let items = "{\"\":0},".repeat(MAXIMUM_JSON_VALUES / 2);
        let error = Body::parse(format!("{{\"a\":[{items}0]}}").as_bytes()).unwrap_err();
        let wanted = format!("failed to parse JSON input: it has more than {MAXIMUM_JSON_VALUES} values");
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }

    #[test]
    fn what_is_no_body_is_refused_without_repeating_it() {
        for (text, reason) in [
            ("[1]", "it is no object"),
            ("\"hunter2\"", "it is no object"),
            ("{\"a\": hunter2}", "expected value at line 1 column 7"),
            ("{\"a\": \"hunter2", "EOF while parsing a string"),
            ("{\"a\": 1} hunter2", "trailing characters"),
            ("{\"a\": 1, \"a\": \"hunter2\"}", "\"a\" is said twice"),
            ("{\"a\": {\"b\": 1, \"b\": \"hunter2\"}}", "\"b\" is said twice"),
            ("{\"a\": 1e999}", "number out of range"),
        ] {
            let error = Body::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("failed to parse JSON input: "), "{error}");
            assert!(
                error.contains(reason) && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
        assert!(Body::parse(b"{\"a\": \"\xff\"}").is_err());
        let nested = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        Body::parse(nested(MAXIMUM_SECRET_BODY_DEPTH - 1).as_bytes()).unwrap();
        for depth in [MAXIMUM_SECRET_BODY_DEPTH, 127, 1_000_000] {
            Body::parse(nested(depth).as_bytes()).unwrap_err();
        }
        let large = vec![b' '; MAXIMUM_SECRET_BODY_BYTES + 1];
        let error = Body::parse(&large).unwrap_err();
        assert_eq!(error, ParameterError::Large(MAXIMUM_SECRET_BODY_BYTES + 1));
    }
}
