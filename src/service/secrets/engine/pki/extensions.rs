//! Extensions of certificates: what keys may be used for, who signed, and where to ask.
//!
//! Never decides which of them a certificate gets.

use sha1::{Digest, Sha1};
use x509_cert::TbsCertificate;
use x509_cert::der::Encode;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::oids;
use super::subject::Names;
use crate::service::secrets::engine::Fault;

/// Where to ask about an issuer.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Where its certificate is.
    pub issuers: Vec<String>,
    /// Where its revocation list is.
    pub lists: Vec<String>,
    /// Where somebody answers for it.
    pub responders: Vec<String>,
}

/// An extension.
///
/// # Errors
/// It cannot be written.
pub fn extension<Value: AssociatedOid + Encode>(value: &Value, critical: bool) -> Result<Extension, Fault> {
    let written = value.to_der().and_then(OctetString::new);
    Ok(Extension {
        extn_id: Value::OID,
        critical,
        extn_value: written.map_err(|_| Fault::Internal("an extension cannot be written".to_owned()))?,
    })
}

/// What names a public key: the SHA-1 of its bits, as RFC 5280 has it. Nothing rests on it: it helps to find a key.
#[must_use]
pub fn key_id(key: &SubjectPublicKeyInfoOwned) -> Vec<u8> {
    Sha1::digest(key.subject_public_key.raw_bytes()).to_vec()
}

/// What names the key of a certificate, as it says itself, or as [`key_id`] does.
#[must_use]
pub fn subject_key_id(certificate: &TbsCertificate) -> Vec<u8> {
    match certificate.get::<SubjectKeyIdentifier>() {
        Ok(Some((_, SubjectKeyIdentifier(bytes)))) => bytes.as_bytes().to_vec(),
        _ => key_id(&certificate.subject_public_key_info),
    }
}

/// Whether a certificate is that of an authority, and how many may come between it and a leaf.
#[must_use]
pub fn authority(certificate: &TbsCertificate) -> Option<BasicConstraints> {
    let found = certificate.get::<BasicConstraints>().ok().flatten();
    found
        .map(|(_, constraints)| constraints)
        .filter(|constraints| constraints.ca)
}

/// The key of the subject.
///
/// # Errors
/// It cannot be written.
pub fn subject_key(key_id: &[u8]) -> Result<Extension, Fault> {
    extension(&SubjectKeyIdentifier(octets(key_id)?), false)
}

/// The key of the issuer.
///
/// # Errors
/// It cannot be written.
pub fn authority_key(key_id: &[u8]) -> Result<Extension, Fault> {
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(octets(key_id)?),
        ..AuthorityKeyIdentifier::default()
    };
    extension(&value, false)
}

fn octets(bytes: &[u8]) -> Result<OctetString, Fault> {
    OctetString::new(bytes).map_err(|_| Fault::Internal("the name of a key is too long".to_owned()))
}

/// Whether it is an authority, and how many may come between it and a leaf (none: as many as they like).
///
/// # Errors
/// It cannot be written.
pub fn basic(ca: bool, path_len_constraint: Option<u8>) -> Result<Extension, Fault> {
    extension(
        &BasicConstraints {
            ca,
            path_len_constraint,
        },
        true,
    )
}

/// What the key may be used for; none if it is nothing that is said.
///
/// # Errors
/// It cannot be written.
pub fn key_usage(usages: FlagSet<KeyUsages>) -> Result<Option<Extension>, Fault> {
    match usages.is_empty() {
        true => Ok(None),
        false => extension(&KeyUsage(usages), true).map(Some),
    }
}

/// What the certificate may be used for; none if it is nothing that is said.
///
/// # Errors
/// It cannot be written.
pub fn extended_key_usage(uses: Vec<ObjectIdentifier>) -> Result<Option<Extension>, Fault> {
    match uses.is_empty() {
        true => Ok(None),
        false => extension(&ExtendedKeyUsage(uses), false).map(Some),
    }
}

/// The other names of the subject; none if there are none. They are critical where there is no subject.
///
/// # Errors
/// A name cannot be written.
pub fn names(names: &Names, has_subject: bool) -> Result<Option<Extension>, Fault> {
    let general = names.general()?;
    match general.is_empty() {
        true => Ok(None),
        false => extension(&SubjectAltName(general), !has_subject).map(Some),
    }
}

/// Where to ask about the issuer.
///
/// # Errors
/// A place has characters that it cannot have.
pub fn places(places: &Places) -> Result<Vec<Extension>, Fault> {
    let uri = |text: &String| {
        let text = Ia5String::new(text)
            .map_err(|_| Fault::Invalid(format!("the URL {text:?} cannot be written into a certificate")))?;
        Ok::<_, Fault>(GeneralName::UniformResourceIdentifier(text))
    };
    let access = |access_method, texts: &[String]| -> Result<Vec<AccessDescription>, Fault> {
        let described = |text| {
            Ok(AccessDescription {
                access_method,
                access_location: uri(text)?,
            })
        };
        texts.iter().map(described).collect()
    };
    let mut extensions = Vec::new();
    let mut described = access(oids::OCSP, &places.responders)?;
    described.extend(access(oids::ISSUERS, &places.issuers)?);
    if !described.is_empty() {
        extensions.push(extension(&AuthorityInfoAccessSyntax(described), false)?);
    }
    let points = places.lists.iter().map(|text| {
        Ok(DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri(text)?])),
            reasons: None,
            crl_issuer: None,
        })
    });
    let points = points.collect::<Result<Vec<_>, Fault>>()?;
    if !points.is_empty() {
        extensions.push(extension(&CrlDistributionPoints(points), false)?);
    }
    Ok(extensions)
}

/// The host names below which an authority may sign; none if it may sign all.
///
/// # Errors
/// A name has characters that it cannot have.
pub fn permitted(domains: &[String]) -> Result<Option<Extension>, Fault> {
    if domains.is_empty() {
        return Ok(None);
    }
    let subtrees = domains.iter().map(|domain| {
        let name = Ia5String::new(domain)
            .map_err(|_| Fault::Invalid(format!("{domain:?} is no domain that can be permitted")))?;
        Ok(GeneralSubtree {
            base: GeneralName::DnsName(name),
            minimum: 0,
            maximum: None,
        })
    });
    let constraints = NameConstraints {
        permitted_subtrees: Some(subtrees.collect::<Result<_, Fault>>()?),
        excluded_subtrees: None,
    };
    extension(&constraints, true).map(Some)
}

/// The policies of these identifiers; none if there are none.
///
/// # Errors
/// One is no object identifier.
pub fn policies(identifiers: &[String]) -> Result<Option<Extension>, Fault> {
    if identifiers.is_empty() {
        return Ok(None);
    }
    let policies = identifiers.iter().map(|text| {
        Ok(PolicyInformation {
            policy_identifier: oid(text)?,
            policy_qualifiers: None,
        })
    });
    extension(
        &CertificatePolicies(policies.collect::<Result<_, Fault>>()?),
        false,
    )
    .map(Some)
}

fn oid(text: &str) -> Result<ObjectIdentifier, Fault> {
    ObjectIdentifier::new(text).map_err(|_| {
        Fault::Invalid(format!(
            "{text:?} could not be parsed as an object identifier: write 1.2.3.4"
        ))
    })
}

/// The uses of a key with these names.
///
/// # Errors
/// There is no such use.
pub fn usages(names: &[String]) -> Result<FlagSet<KeyUsages>, Fault> {
    let mut usages = FlagSet::default();
    for name in names {
        let lower = name.to_ascii_lowercase();
        usages |= match lower.strip_prefix("keyusage").unwrap_or(&lower) {
            "digitalsignature" => KeyUsages::DigitalSignature,
            "contentcommitment" => KeyUsages::NonRepudiation,
            "keyencipherment" => KeyUsages::KeyEncipherment,
            "dataencipherment" => KeyUsages::DataEncipherment,
            "keyagreement" => KeyUsages::KeyAgreement,
            "certsign" => KeyUsages::KeyCertSign,
            "crlsign" => KeyUsages::CRLSign,
            "encipheronly" => KeyUsages::EncipherOnly,
            "decipheronly" => KeyUsages::DecipherOnly,
            _ => {
                return Err(Fault::Invalid(format!(
                    "unknown key_usage {name:?}; write names as DigitalSignature or KeyEncipherment"
                )));
            }
        };
    }
    Ok(usages)
}

/// The uses of a certificate with these names and identifiers.
///
/// # Errors
/// There is no such use.
pub fn uses(names: &[String], identifiers: &[String]) -> Result<Vec<ObjectIdentifier>, Fault> {
    let mut uses: Vec<ObjectIdentifier> = Vec::new();
    for name in names {
        let lower = name.to_ascii_lowercase();
        let plain = lower.strip_prefix("extkeyusage").unwrap_or(&lower);
        let found = oids::NAMED_USES.iter().find(|(known, _)| *known == plain);
        let (_, oid) = found.ok_or_else(|| {
            Fault::Invalid(format!(
                "unknown ext_key_usage {name:?}; write names as ServerAuth, or ext_key_usage_oids"
            ))
        })?;
        uses.push(*oid);
    }
    for text in identifiers {
        uses.push(oid(text)?);
    }
    Ok(uses)
}
