//! Requests for certificates, in PKCS #10: those of others, and our own for another authority.
//!
//! Never takes one that is not signed with its own key.

use x509_cert::attr::{Attribute, Attributes};
use x509_cert::der::asn1::{Any, SetOfVec};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};

use super::certificate::der;
use super::keys::PrivateKey;
use super::subject::Names;
use super::{oids, pem, verify};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::Randomness;

/// A request whose signature was found to be right.
pub struct Request {
    /// What it says.
    pub info: CertReqInfo,
    /// The extensions that it asks for.
    pub extensions: Extensions,
}

impl Request {
    /// Reads a request in PEM.
    ///
    /// # Errors
    /// It is none, or is not signed with its own key.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::Invalid(format!("certificate request could not be parsed: {what}"));
        let blocks = pem::decode(text, "csr")?;
        let [(label, bytes)] = blocks.as_slice() else {
            return Err(wrong("it has more than one block of PEM"));
        };
        if !matches!(label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
            return Err(wrong("its block of PEM is not called CERTIFICATE REQUEST"));
        }
        let request = CertReq::from_der(bytes).map_err(|error| wrong(&error.to_string()))?;
        let message = request.info.to_der().map_err(|error| wrong(&error.to_string()))?;
        let info = request.info;
        if !verify::is_signed(
            &info.public_key,
            request.algorithm.oid,
            &message,
            &request.signature,
        ) {
            return Err(Fault::Invalid(
                "request signature invalid: it must be made with the key of the request, by RSA, ECDSA or Ed25519 and \
                 SHA-2"
                    .to_owned(),
            ));
        }
        let mut extensions = Vec::new();
        for attribute in info
            .attributes
            .iter()
            .filter(|attribute| attribute.oid == oids::EXTENSION_REQUEST)
        {
            for value in attribute.values.iter() {
                let read = value.decode_as::<Extensions>();
                extensions.extend(read.map_err(|error| wrong(&error.to_string()))?);
            }
        }
        Ok(Self { info, extensions })
    }

    /// The other names that it asks for.
    ///
    /// # Errors
    /// They cannot be read, or are of a kind that is not offered.
    pub fn names(&self) -> Result<Names, Fault> {
        let mut extensions = self.extensions.iter();
        let Some(extension) =
            extensions.find(|extension| extension.extn_id == oids::SUBJECT_ALTERNATIVE_NAME)
        else {
            return Ok(Names::default());
        };
        let SubjectAltName(names) = SubjectAltName::from_der(extension.extn_value.as_bytes())
            .map_err(|error| Fault::Invalid(format!("the names of the request cannot be read: {error}")))?;
        Names::of(&names)
    }
}

/// Makes a request for our own key.
///
/// # Errors
/// There is no randomness to be had, or it says what cannot be written.
pub fn build(
    subject: Name,
    extensions: Vec<Extension>,
    key: &PrivateKey,
    randomness: &mut dyn Randomness,
) -> Result<String, Fault> {
    let broken = |_| Fault::Invalid("the request cannot be written".to_owned());
    let mut attributes = Attributes::new();
    if !extensions.is_empty() {
        let value = Any::encode_from(&extensions).map_err(broken)?;
        let values = SetOfVec::try_from(vec![value]).map_err(broken)?;
        attributes
            .insert(Attribute {
                oid: oids::EXTENSION_REQUEST,
                values,
            })
            .map_err(broken)?;
    }
    let info = CertReqInfo {
        version: Version::V1,
        subject,
        public_key: key.public()?,
        attributes,
    };
    let message = der(&info)?;
    let request = CertReq {
        signature: key.sign(&message, 0, randomness)?,
        algorithm: key.algorithm(0)?,
        info,
    };
    pem::encode("CERTIFICATE REQUEST", &der(&request)?)
}
