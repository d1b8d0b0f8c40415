//! Parameters of a query, and fields of a form, as the fields of a body that they stand for.

use std::collections::BTreeMap;

use serde_json::Value;
use url::form_urlencoded;

use super::error::Refusal;
use crate::base::limits::MAXIMUM_JSON_VALUES;
use crate::service::secrets::parameters::Body;

/// Parameters in their order, decoded.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads what follows the question mark, or a form; of what is too long for a body only so much that this shows.
    pub fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text).into_owned();
        Self(pairs.take(MAXIMUM_JSON_VALUES + 1).collect())
    }

    /// The first value of a name, even an empty one.
    pub fn first(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().find(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Whether it is there, and says yes; one without a value says neither.
    ///
    /// # Errors
    /// Its value is no truth value.
    pub fn switch(&self, name: &str) -> Result<bool, Refusal> {
        match self.first(name).unwrap_or_default() {
            "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
            _ => Err(Refusal::invalid(format!(
                "the parameter {name:?} is no truth value; write true or false"
            ))),
        }
    }

    /// As the fields of a body: a text each, or a list where a name is said more than once.
    ///
    /// # Errors
    /// They are too many or too large for a body.
    pub fn into_body(self, without: &str) -> Result<Body, Refusal> {
        if self.0.len() > MAXIMUM_JSON_VALUES {
            let text = format!("there are more than {MAXIMUM_JSON_VALUES} parameters");
            return Err(Refusal::invalid(text));
        }
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in self.0 {
            if name != without {
                fields.entry(name).or_default().push(value);
            }
        }
        let fields = fields.into_iter().map(|(name, mut values)| {
            let value = match (values.len(), values.pop()) {
                (1, Some(only)) => Value::String(only),
                (_, last) => values.into_iter().chain(last).collect(),
            };
            (name, value)
        });
        let text = Value::Object(fields.collect()).to_string();
        Ok(Body::parse(text.as_bytes())?)
    }
}
