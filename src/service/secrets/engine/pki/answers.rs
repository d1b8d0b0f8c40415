//! Certificates and keys in the forms that clients ask for.
//!
//! Never shows a key that was not asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use super::certificate::{self, der};
use super::fields;
use super::keys::PrivateKey;
use super::pem;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::parameters::Body;

/// In which form certificates and keys are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    kind: Kind,
    is_pkcs8: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pem,
    Der,
    Bundle,
}

impl Form {
    /// The form that a request wants.
    ///
    /// # Errors
    /// There is no such form.
    pub fn of(body: &Body) -> Result<Self, Fault> {
        let kind = match fields::text(body, "format")?.unwrap_or("pem") {
            "pem" => Kind::Pem,
            "der" => Kind::Der,
            "pem_bundle" => Kind::Bundle,
            other => {
                return Err(Fault::Invalid(format!(
                    "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\", not {other:?}"
                )));
            }
        };
        let is_pkcs8 = match fields::text(body, "private_key_format")?.unwrap_or("der") {
            "der" | "pem" => false,
            "pkcs8" => true,
            other => {
                return Err(Fault::Invalid(format!(
                    "the \"private_key_format\" must be \"der\" or \"pkcs8\", not {other:?}"
                )));
            }
        };
        Ok(Self { kind, is_pkcs8 })
    }

    /// A private key.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn key(self, data: &mut Data, key: &PrivateKey) -> Result<(), Fault> {
        data.set("private_key_type", key.shape().kind())?;
        let text = match self.kind {
            Kind::Der => {
                let bytes = match self.is_pkcs8 {
                    true => key.pkcs8()?,
                    false => key.traditional()?.1,
                };
                Zeroizing::new(STANDARD.encode(bytes.as_slice()))
            }
            Kind::Pem | Kind::Bundle => key.pem(self.is_pkcs8)?,
        };
        data.set("private_key", text.as_str())
    }

    /// A request for a certificate, given as PEM.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn request(self, data: &mut Data, request: &str, key: Option<&PrivateKey>) -> Result<(), Fault> {
        match (self.kind, key) {
            (Kind::Der, _) => data.set("csr", &binary(request)?),
            (Kind::Bundle, Some(key)) => {
                let text = Zeroizing::new(format!("{}\n{request}", key.pem(self.is_pkcs8)?.as_str()));
                data.set("csr", text.as_str())
            }
            _ => data.set("csr", request),
        }
    }

    /// A certificate, who issued it, and its key if there is one to be shown.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn certificate(
        self,
        data: &mut Data,
        certificate: &Certificate,
        chain: &[String],
        key: Option<&PrivateKey>,
    ) -> Result<(), Fault> {
        let text = pem::encode("CERTIFICATE", &der(certificate)?)?;
        let issuing = chain.first().map(String::as_str).unwrap_or_default();
        match self.kind {
            Kind::Pem => {
                data.set("certificate", &text)?;
                data.set("issuing_ca", issuing)?;
                data.set("ca_chain", chain)?;
            }
            Kind::Bundle => {
                let mut bundle = Zeroizing::new(String::new());
                if let Some(key) = key {
                    let key = key.pem(self.is_pkcs8)?;
                    // Once and large enough: what grows leaves copies behind.
                    bundle.reserve_exact(
                        key.len() + 1 + text.len() + chain.iter().map(|one| one.len() + 1).sum::<usize>(),
                    );
                    bundle.push_str(&key);
                    bundle.push('\n');
                }
                bundle.push_str(&text);
                for one in chain.iter().filter(|one| **one != text) {
                    bundle.push('\n');
                    bundle.push_str(one);
                }
                data.set("certificate", bundle.as_str())?;
                data.set("issuing_ca", issuing)?;
                data.set("ca_chain", chain)?;
            }
            Kind::Der => {
                data.set("certificate", &STANDARD.encode(der(certificate)?))?;
                data.set("issuing_ca", &binary(issuing)?)?;
                let chain = chain
                    .iter()
                    .map(|one| binary(one))
                    .collect::<Result<Vec<_>, _>>()?;
                data.set("ca_chain", &chain)?;
            }
        }
        data.set("serial_number", &certificate::serial_text(certificate))?;
        data.set("expiration", &certificate::end(certificate).as_secs())?;
        match key {
            Some(key) => self.key(data, key),
            None => Ok(()),
        }
    }
}

fn binary(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let blocks = pem::decode(text, "a certificate")?;
    Ok(blocks
        .first()
        .map(|(_, bytes)| STANDARD.encode(bytes.as_slice()))
        .unwrap_or_default())
}
