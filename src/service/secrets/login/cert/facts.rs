//! What a certificate says of whose it is.
//!
//! Never says whether that is true.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::{AuthorityKeyIdentifier, FromDer, GeneralName, ParsedExtension, X509Certificate};

/// What metadata of tokens name the number of a certificate by.
const SERIAL_NUMBER: &str = "serial_number";

/// What rules look at.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub common_name: String,
    pub units: Vec<String>,
    pub hosts: Vec<String>,
    pub emails: Vec<String>,
    pub urls: Vec<String>,
    /// The values of extensions, by the number of each with dots: its text if it is one, and its bytes in hexadecimal.
    pub extensions: BTreeMap<String, (Option<String>, String)>,
    /// In decimal digits.
    pub serial_number: String,
    pub key_id: String,
    pub authority_key_id: String,
}

fn hexadecimal(bytes: &[u8], between: &str) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = write!(text, "{}{byte:02x}", if index == 0 { "" } else { between });
    }
    text
}

/// The text that a value of ASN.1 is; none: it is none.
fn text(value: &[u8]) -> Option<String> {
    let (_, value) = Any::from_der(value).ok()?;
    let is_text = matches!(
        value.tag(),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString
    );
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    is_text.then(|| text.to_owned())
}

/// The id of the key of who signed; empty: it is not said.
pub(super) fn key_id(authority: &AuthorityKeyIdentifier<'_>) -> String {
    let id = authority.key_identifier.as_ref();
    id.map(|id| hexadecimal(id.0, ":")).unwrap_or_default()
}

impl Facts {
    /// Those of a certificate; none: it cannot be read.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut facts = Self {
            serial_number: certificate.serial.to_string(),
            ..Self::default()
        };
        let subject = certificate.subject();
        let first = subject.iter_common_name().next();
        let name = first.and_then(|name| name.as_str().ok());
        name.unwrap_or_default().clone_into(&mut facts.common_name);
        let units = subject.iter_organizational_unit();
        facts.units = units
            .filter_map(|unit| unit.as_str().ok().map(str::to_owned))
            .collect();
        for extension in certificate.extensions() {
            let text = text(extension.value);
            let value = (text, hexadecimal(extension.value, ""));
            facts.extensions.insert(extension.oid.to_id_string(), value);
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        match name {
                            GeneralName::DNSName(name) => facts.hosts.push((*name).to_owned()),
                            GeneralName::RFC822Name(name) => facts.emails.push((*name).to_owned()),
                            GeneralName::URI(name) => facts.urls.push((*name).to_owned()),
                            _ => {}
                        }
                    }
                }
                ParsedExtension::SubjectKeyIdentifier(id) => facts.key_id = hexadecimal(id.0, ":"),
                ParsedExtension::AuthorityKeyIdentifier(id) => facts.authority_key_id = key_id(id),
                _ => {}
            }
        }
        Some(facts)
    }

    /// What tells one certificate from others, by the names of that in the metadata of tokens.
    pub fn ids(&self) -> [(&'static str, &String); 3] {
        [
            (SERIAL_NUMBER, &self.serial_number),
            ("subject_key_id", &self.key_id),
            ("authority_key_id", &self.authority_key_id),
        ]
    }

    /// Whether they are of the certificate that gave a token this metadata, or of one of the same key and the same authority
    /// where it names its key.
    pub fn are_of(&self, metadata: &BTreeMap<String, String>) -> bool {
        let names_key = !self.key_id.is_empty();
        self.ids()
            .into_iter()
            .filter(|(name, _)| !(names_key && *name == SERIAL_NUMBER))
            .all(|(name, id)| metadata.get(name) == Some(id))
    }
}
