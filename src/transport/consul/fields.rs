//! The body of a request: JSON whose names have no case, and may be written with underscores.
//!
//! `CheckID`, `checkid` and `check_id` are one name. Names that are not asked for are ignored, as Consul does; of one that
//! is there twice, the last counts. `null` is as good as nothing. A value of another kind is an error that names it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::parameters::nanoseconds;
use crate::service::consul::ConsulError;

/// An object of a body.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Reads a body; an empty one has no fields.
    ///
    /// # Errors
    /// It is no object in JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ConsulError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match value(body)? {
            Value::Object(object) => Ok(Self::of(object)),
            Value::Null => Ok(Self::default()),
            other => Err(wrong("the body", "an object", &other)),
        }
    }

    /// Reads a body that is a list of objects.
    ///
    /// # Errors
    /// It is none.
    pub fn parse_list(body: &[u8]) -> Result<Vec<Self>, ConsulError> {
        match value(body)? {
            Value::Array(items) => items.into_iter().map(|item| object("the body", item)).collect(),
            other => Err(wrong("the body", "a list of objects", &other)),
        }
    }

    fn of(object: Map<String, Value>) -> Self {
        Self(
            object
                .into_iter()
                .map(|(name, value)| (folded(&name), value))
                .collect(),
        )
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(&folded(name)).filter(|value| !value.is_null())
    }

    /// Whether the name is there, even with `null`.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(&folded(name))
    }

    /// A text; none if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, ConsulError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(name, "a text", other)),
        }
    }

    /// A whole number that is not negative; none if it is not there. A text that is one is one.
    ///
    /// # Errors
    /// It is something else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ConsulError> {
        let number = match self.value(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        match (number, self.value(name)) {
            (None, Some(other)) => Err(wrong(name, "a whole number that is not negative", other)),
            (number, _) => Ok(number),
        }
    }

    /// A switch; off if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn switch(&self, name: &str) -> Result<bool, ConsulError> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(other) => Err(wrong(name, "true or false", other)),
        }
    }

    /// A time in nanoseconds, written as Go does (`10s`) or as a number of them; none if it is not there, or empty.
    ///
    /// # Errors
    /// It is something else.
    pub fn nanoseconds(&self, name: &str) -> Result<Option<i64>, ConsulError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => nanoseconds(text)
                .map(Some)
                .ok_or_else(|| wrong(name, "a time such as 10s", &Value::from(text.as_str()))),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Ok(Some(whole)),
                #[expect(clippy::cast_possible_truncation, reason = "a time in nanoseconds is whole")]
                (None, Some(other)) => Ok(Some(other as i64)),
                (None, None) => Err(wrong(name, "a time", &Value::Null)),
            },
            Some(other) => Err(wrong(name, "a time such as 10s", other)),
        }
    }

    /// A list of texts; none if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ConsulError> {
        let items = match self.value(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong(name, "a list of texts", other)),
        };
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(wrong(name, "a list of texts", other)),
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// Texts by names of the client's own, which are taken as they are; none if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn text_map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, ConsulError> {
        let pairs = match self.value(name) {
            None => return Ok(None),
            Some(Value::Object(pairs)) => pairs,
            Some(other) => return Err(wrong(name, "an object of texts", other)),
        };
        let text = |(key, item): (&String, &Value)| match item {
            Value::String(text) => Ok((key.clone(), text.clone())),
            other => Err(wrong(&format!("{name}.{key}"), "a text", other)),
        };
        pairs.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Value::is_null)
    }

    /// Lists of texts by names of the client's own, which are taken as they are, a text alone as a list of it; none if it is
    /// not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn text_lists(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<String>>>, ConsulError> {
        let pairs = match self.value(name) {
            None => return Ok(None),
            Some(Value::Object(pairs)) => pairs,
            Some(other) => return Err(wrong(name, "an object of lists of texts", other)),
        };
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(wrong(name, "an object of lists of texts", other)),
        };
        let list = |(key, item): (&String, &Value)| {
            let items = match item {
                Value::Array(items) => items.as_slice(),
                single => std::slice::from_ref(single),
            };
            Ok((key.clone(), items.iter().map(text).collect::<Result<_, _>>()?))
        };
        pairs.iter().map(list).collect::<Result<_, _>>().map(Some)
    }

    /// An object; none if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&self, name: &str) -> Result<Option<Self>, ConsulError> {
        self.value(name)
            .map(|value| object(name, value.clone()))
            .transpose()
    }

    /// A list of objects; none if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, ConsulError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| object(name, item.clone()))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(name, "a list of objects", other)),
        }
    }

    /// Objects by names of the client's own, which are taken as they are; none if it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn object_map(&self, name: &str) -> Result<Option<BTreeMap<String, Self>>, ConsulError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(pairs)) => pairs
                .iter()
                .map(|(key, item)| Ok((key.clone(), object(name, item.clone())?)))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(name, "an object of objects", other)),
        }
    }
}

fn value(body: &[u8]) -> Result<Value, ConsulError> {
    serde_json::from_slice(body)
        .map_err(|error| ConsulError::Invalid(format!("Request decode failed: {error}")))
}

fn object(name: &str, value: Value) -> Result<Fields, ConsulError> {
    match value {
        Value::Object(object) => Ok(Fields::of(object)),
        other => Err(wrong(name, "an object", &other)),
    }
}

fn folded(name: &str) -> String {
    name.chars()
        .filter(|letter| *letter != '_')
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

fn wrong(name: &str, wanted: &str, found: &Value) -> ConsulError {
    const SHOWN_LETTERS: usize = 100;
    let found: String = found.to_string().chars().take(SHOWN_LETTERS).collect();
    ConsulError::Invalid(format!(
        "Request decode failed: {name} must be {wanted}, not {found}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn names_have_no_case_and_no_underscores() {
        for body in [r#"{"CheckID":"a"}"#, r#"{"checkid":"a"}"#, r#"{"check_id":"a"}"#] {
            assert_eq!(
                fields(body).text("CheckID").unwrap().as_deref(),
                Some("a"),
                "{body}"
            );
        }
        let meta = fields(r#"{"meta":{"Some_Key":"v"}}"#)
            .text_map("Meta")
            .unwrap()
            .unwrap();
        assert_eq!(meta.get("Some_Key").map(String::as_str), Some("v"));
    }

    #[test]
    fn times_are_texts_or_nanoseconds() {
        let time = |body: &str| fields(body).nanoseconds("TTL").unwrap();
        assert_eq!(time(r#"{"TTL":"15s"}"#), Some(15_000_000_000));
        assert_eq!(time(r#"{"TTL":15}"#), Some(15));
        assert_eq!(time(r#"{"TTL":1e9}"#), Some(1_000_000_000));
        assert_eq!(
            (time(r#"{"TTL":""}"#), time(r#"{"TTL":null}"#), time("")),
            (None, None, None)
        );
        assert!(fields(r#"{"TTL":"soon"}"#).nanoseconds("TTL").is_err());
    }

    #[test]
    fn a_value_of_another_kind_is_named() {
        let error = fields(r#"{"Name":7}"#).text("Name").unwrap_err().to_string();
        assert_eq!(error, "Request decode failed: Name must be a text, not 7");
        assert!(Fields::parse(b"[]").is_err());
        assert!(Fields::parse(b"{").is_err());
        assert_eq!(fields(r#"{"Checks":[]}"#).texts("checks").unwrap(), Some(vec![]));
        assert!(fields(r#"{"Checks":null}"#).has("checks"));
    }
}
