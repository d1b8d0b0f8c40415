//! Roles: what is trusted, what a certificate has to say besides, and what is given for it.
//!
//! Never trusts what was not written down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::certificates;
use super::facts::Facts;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::login::settings::Settings;
use crate::service::secrets::login::{fields, glob};
use crate::service::secrets::parameters::Body;

/// The names that settings had in this method before.
const OLD: [&str; 5] = ["policies", "ttl", "max_ttl", "period", "bound_cidrs"];

/// A role. An empty list of patterns asks for nothing; of another, one has to fit.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// Certificates of authorities, or of clients, as PEM.
    pub certificate: String,
    /// The name that audit shows.
    pub display_name: String,
    /// Patterns, by the field.
    patterns: BTreeMap<String, Vec<String>>,
    /// What the tokens are like.
    pub settings: Settings,
}

/// The fields that are lists of texts.
const LISTS: [&str; 8] = [
    "allowed_common_names",
    "allowed_dns_sans",
    "allowed_email_sans",
    "allowed_metadata_extensions",
    "allowed_names",
    "allowed_organizational_units",
    "allowed_uri_sans",
    "required_extensions",
];

impl Role {
    /// Takes what a request says.
    pub fn update(&mut self, name: &str, body: &Body) -> Result<(), Fault> {
        let is_on = |name: &str| {
            body.get(name)
                .map_or(Ok(false), |value| fields::switch(name, value))
        };
        if is_on("ocsp_enabled")? {
            return Err(Fault::Unimplemented("ocsp_enabled".to_owned()));
        }
        self.settings.update(body, &OLD)?;
        if let Some(value) = body.get("certificate") {
            self.certificate = fields::pem("certificate", value)?;
        }
        certificates(&self.certificate)?;
        if let Some(given) = fields::given(body, "display_name")? {
            self.display_name = given;
        } else if self.display_name.is_empty() {
            name.clone_into(&mut self.display_name);
        }
        for field in LISTS {
            if let Some(value) = body.get(field) {
                self.patterns
                    .insert(field.to_owned(), fields::list(field, value)?);
            }
            // Before it was split, this had another name.
            if field == "allowed_organizational_units"
                && body.get(field).is_none()
                && let Some(value) = body.get("allowed_organization_units")
            {
                self.patterns
                    .insert(field.to_owned(), fields::list(field, value)?);
            }
        }
        for required in self.list("required_extensions") {
            extension(required).ok_or_else(|| {
                Fault::Invalid(format!(
                    "required_extensions: {required:?} is none; write <number with dots>:<pattern>, \
                     or hex:<number with dots>:<pattern>"
                ))
            })?;
        }
        Ok(())
    }

    fn list(&self, field: &str) -> &[String] {
        self.patterns.get(field).map_or(&[], Vec::as_slice)
    }

    /// All fields.
    pub fn show(&self) -> Result<Data, Fault> {
        let mut data = Data::new()
            .with("certificate", &self.certificate)?
            .with("display_name", &self.display_name)?
            .with("ocsp_enabled", &Value::Bool(false))?;
        for field in LISTS {
            data.set(field, &self.list(field))?;
        }
        self.settings.show(&mut data)?;
        Ok(data)
    }

    /// Whether it is for a certificate that says this.
    pub fn is_for(&self, facts: &Facts) -> bool {
        let fits = |field: &str, said: &[&[String]]| {
            let patterns = self.list(field);
            patterns.is_empty()
                || said
                    .iter()
                    .copied()
                    .flatten()
                    .any(|text| glob::is_any(patterns, text))
        };
        let name = std::slice::from_ref(&facts.common_name);
        fits("allowed_common_names", &[name])
            && fits("allowed_dns_sans", &[&facts.hosts])
            && fits("allowed_email_sans", &[&facts.emails])
            && fits("allowed_uri_sans", &[&facts.urls])
            && fits("allowed_organizational_units", &[&facts.units])
            && fits("allowed_names", &[name, &facts.hosts, &facts.emails])
            && self
                .list("required_extensions")
                .iter()
                .all(|required| has(facts, required))
    }

    /// What is said of who has the token.
    pub fn metadata(&self, facts: &Facts) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::from(facts.ids().map(|(name, id)| (name.to_owned(), id.clone())));
        metadata.insert("common_name".to_owned(), facts.common_name.clone());
        for number in self.list("allowed_metadata_extensions") {
            if let Some((Some(text), _)) = facts.extensions.get(number) {
                metadata.insert(number.replace('.', "-"), text.clone());
            }
        }
        metadata
    }
}

/// The number and the pattern of an extension that is asked for, and whether the pattern is for its bytes.
fn extension(required: &str) -> Option<(&str, &str, bool)> {
    let (is_bytes, rest) = match required.strip_prefix("hex:") {
        Some(rest) => (true, rest),
        None => (false, required),
    };
    let (number, pattern) = rest.split_once(':')?;
    let is_number = number
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    is_number.then_some((number, pattern, is_bytes))
}

fn has(facts: &Facts, required: &str) -> bool {
    let Some((number, pattern, is_bytes)) = extension(required) else {
        return false;
    };
    facts.extensions.get(number).is_some_and(|(text, bytes)| {
        if is_bytes {
            glob::is_match(&pattern.to_lowercase(), bytes)
        } else {
            text.as_deref().is_some_and(|text| glob::is_match(pattern, text))
        }
    })
}
