//! Fields of a request, or of one item of a batch.
//!
//! Never puts what it cannot decode into an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::service::secrets::engine::Fault;
use crate::service::secrets::parameters;

/// Fields by name. One that is `null` is not there.
#[derive(Clone, Copy)]
pub struct Fields<'body>(pub &'body Map<String, Value>);

impl<'body> Fields<'body> {
    /// A field as it is.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'body Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(self, name: &str) -> Result<Option<&'body str>, Fault> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(Fault::Invalid(format!("{name} is no text"))),
        }
    }

    /// A text; none where it is empty too.
    ///
    /// # Errors
    /// It is something else.
    pub fn word(self, name: &str) -> Result<Option<&'body str>, Fault> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// A truth value.
    ///
    /// # Errors
    /// It is something else.
    pub fn switch(self, name: &str) -> Result<Option<bool>, Fault> {
        let read = self.get(name).map(parameters::switch).transpose();
        read.map_err(|error| named(name, &error))
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is something else.
    pub fn integer(self, name: &str) -> Result<Option<i64>, Fault> {
        let read = self.get(name).map(parameters::integer).transpose();
        read.map_err(|error| named(name, &error))
    }

    /// Bytes in base64.
    ///
    /// # Errors
    /// They are not.
    pub fn bytes(self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        self.text(name)?.map(|text| decoded(name, text)).transpose()
    }

    /// Seconds between two rotations; 0: there are none.
    ///
    /// # Errors
    /// It is no span of time, or a shorter one than is allowed.
    pub fn rotation(self) -> Result<Option<u64>, Fault> {
        let name = "auto_rotate_period";
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let span = parameters::span(value).map_err(|error| named(name, &error))?;
        let is_short = span.as_secs() < crate::base::limits::MINIMUM_TRANSIT_ROTATION_SECONDS;
        if is_short && !span.is_zero() {
            return Err(Fault::Invalid(
                "auto rotate period must be 0 to disable or at least an hour".to_owned(),
            ));
        }
        Ok(Some(span.as_secs()))
    }
}

/// What base64 stands for.
///
/// # Errors
/// It is none.
pub fn decoded(name: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let bytes = STANDARD.decode(text).map(Zeroizing::new);
    bytes.map_err(|_| Fault::Invalid(format!("failed to base64-decode {name}")))
}

fn named(name: &str, error: &parameters::ParameterError) -> Fault {
    Fault::Invalid(format!("{name}: {error}"))
}
