//! Lists of certificates that are not trusted any more (RFC 5280). Who may write them is trusted: their signatures are not
//! looked at, and they do not expire.
//!
//! Never fetches a list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509Certificate};

use super::facts::key_id;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::login::fields;
use crate::service::secrets::parameters::Body;

/// A list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct List {
    /// Whose certificates, as that name is encoded.
    issuer: Vec<u8>,
    /// The id of the key that signed the list, as [`Facts`](super::facts::Facts) write it; empty: the list does not say.
    #[serde(default)]
    authority_key_id: String,
    /// Their serial numbers, in decimal digits.
    serials: Vec<String>,
}

impl List {
    /// The list in a request, as PEM.
    pub fn of(body: &Body) -> Result<Self, Fault> {
        if fields::given(body, "url")?.is_some() {
            return Err(Fault::Unimplemented("url, a list that is fetched,".to_owned()));
        }
        let value = body
            .get("crl")
            .ok_or_else(|| Fault::Invalid("one of 'crl' or 'url' must be given".to_owned()))?;
        let text = fields::pem("crl", value)?;
        let broken = || Fault::Invalid("crl: failed to parse the list; write it as PEM".to_owned());
        let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).map_err(|_| broken())?;
        if block.label != "X509 CRL" {
            return Err(broken());
        }
        let (_, list) = CertificateRevocationList::from_der(&block.contents).map_err(|_| broken())?;
        let authority = list.extensions().iter().find_map(|extension| {
            let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() else {
                return None;
            };
            Some(key_id(id))
        });
        Ok(Self {
            authority_key_id: authority.unwrap_or_default(),
            issuer: list.issuer().as_raw().to_vec(),
            serials: list
                .iter_revoked_certificates()
                .map(|revoked| revoked.serial().to_string())
                .collect(),
        })
    }

    /// The serial numbers.
    pub fn show(&self) -> Result<Data, Fault> {
        let serials: Map<String, Value> = self
            .serials
            .iter()
            .map(|serial| (serial.clone(), json!({})))
            .collect();
        Data::new().with("serials", &serials)
    }

    /// Whether a certificate is on it.
    pub fn has(&self, certificate: &[u8]) -> bool {
        X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| {
            certificate.issuer().as_raw() == self.issuer
                && self.serials.contains(&certificate.serial.to_string())
        })
    }

    /// Whether the certificate is on it that gave a token this metadata. A certificate or a list that does not say whose key
    /// signed it is not known by them.
    pub fn is_of(&self, metadata: &BTreeMap<String, String>) -> bool {
        !self.authority_key_id.is_empty()
            && metadata.get("authority_key_id") == Some(&self.authority_key_id)
            && metadata
                .get("serial_number")
                .is_some_and(|serial| self.serials.contains(serial))
    }
}
