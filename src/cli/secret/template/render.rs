//! A template filled in. Never shows a value in an error, and never leaves one in memory that it need not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::language::{Filter, Piece, Source, Template};

/// What stays as it is in a part of a URL.
const URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where a template gets its values from.
pub(in super::super) trait Values {
    /// A field of a secret, or all of it, as text; none: it is not there.
    fn secret(&self, path: &str, field: Option<&str>) -> Option<Zeroizing<String>>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

impl Template {
    /// The text with all values filled in.
    ///
    /// # Errors
    /// Something that it names is not there.
    pub(in super::super) fn render(&self, values: &dyn Values) -> Result<Zeroizing<String>, String> {
        let mut out = Zeroizing::new(String::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value {
                    source,
                    filters,
                    line,
                } => {
                    let mut value =
                        value(source, values).map_err(|reason| format!("line {line}: {reason}"))?;
                    for filter in filters {
                        value = filtered(*filter, &value);
                    }
                    out.push_str(&value);
                }
            }
        }
        Ok(out)
    }
}

fn value(source: &Source, values: &dyn Values) -> Result<Zeroizing<String>, String> {
    match source {
        Source::Text(text) => Ok(Zeroizing::new(text.clone())),
        Source::Variable(name) => values
            .variable(name)
            .map(Zeroizing::new)
            .ok_or_else(|| format!("the variable {name} is not set")),
        Source::Secret(path, field) => {
            let found = values.secret(path, field.as_deref());
            found.ok_or_else(|| match field {
                Some(field) => format!("{path} has no field {field:?}, or is not there"),
                None => format!("{path} is not there"),
            })
        }
    }
}

fn filtered(filter: Filter, value: &str) -> Zeroizing<String> {
    Zeroizing::new(match filter {
        Filter::Json => serde_json::Value::from(value).to_string(),
        Filter::Shell => format!("'{}'", value.replace('\'', r"'\''")),
        Filter::Url => utf8_percent_encode(value, URL).to_string(),
        Filter::Base64 => STANDARD.encode(value),
        Filter::Trim => value.trim().to_owned(),
    })
}
