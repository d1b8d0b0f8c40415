//! What is read: certificates, chains and revocation lists. All of it is public.
//!
//! Never shows a key.

use std::time::Duration;

use x509_cert::Certificate;

use super::certificate::{self, der};
use super::issuers::{self, Issuer};
use super::{Work, pem, revocation};
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Answer, Data, Fault, Raw, Storage};

/// The type of certificates in PEM.
const PEM_CHAIN: &str = "application/pem-certificate-chain";

/// The form of an answer that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it is signed.
    Der,
    /// As PEM.
    Pem,
    /// As fields of JSON, in PEM.
    Data,
}

fn raw(content_type: &'static str, bytes: Vec<u8>) -> Answer {
    Answer {
        raw: Some(Raw { content_type, bytes }),
        ..Answer::default()
    }
}

/// The certificate of the default issuer; nothing if there is none.
///
/// # Errors
/// It cannot be read.
pub fn authority(work: &mut Work<'_>, shown: Shown) -> Result<Answer, Fault> {
    let Some(issuer) = issuers::find(work.storage, "default")? else {
        return match shown {
            Shown::Data => Err(Fault::Missing),
            Shown::Der | Shown::Pem => Ok(Answer::default()),
        };
    };
    show(work.storage, &issuer.certificate()?, Some(&issuer), shown)
}

/// The certificates from the default issuer up to its root; nothing if there is none.
///
/// # Errors
/// They cannot be read.
pub fn chain(work: &mut Work<'_>, shown: Shown) -> Result<Answer, Fault> {
    let Some(issuer) = issuers::find(work.storage, "default")? else {
        return match shown {
            Shown::Data => Err(Fault::Missing),
            Shown::Der | Shown::Pem => Ok(Answer::default()),
        };
    };
    let text = issuers::chain(work.storage, &issuer)?.join("\n");
    match shown {
        Shown::Data => Ok(Answer::data(
            Data::new().with("certificate", &text)?.with("ca_chain", &text)?,
        )),
        Shown::Der | Shown::Pem => Ok(raw(PEM_CHAIN, text.into_bytes())),
    }
}

/// The revocation list of an issuer; nothing if there is none.
///
/// # Errors
/// It cannot be read or signed.
pub fn list(work: &mut Work<'_>, issuer: Option<Issuer>, shown: Shown) -> Result<Answer, Fault> {
    let list = match issuer {
        Some(issuer) => revocation::refresh(work, &issuer)?,
        None => None,
    };
    let Some(bytes) = list else {
        return match shown {
            Shown::Data => Err(Fault::Missing),
            Shown::Der | Shown::Pem => Ok(Answer::default()),
        };
    };
    match shown {
        Shown::Der => Ok(raw("application/pkix-crl", bytes)),
        Shown::Pem => Ok(raw(
            "application/x-pem-file",
            pem::encode("X509 CRL", &bytes)?.into_bytes(),
        )),
        Shown::Data => {
            let data = Data::new()
                .with("certificate", &pem::encode("X509 CRL", &bytes)?)?
                .with("revocation_time", &0)?;
            Ok(Answer::data(data))
        }
    }
}

/// A certificate by its serial number.
///
/// # Errors
/// There is none.
pub fn certificate(work: &mut Work<'_>, serial: &str, shown: Shown) -> Result<Answer, Fault> {
    let serial = certificate::stored_serial(serial)?;
    let mut found = revocation::stored(work.storage, &serial)?;
    if found.is_none() {
        for issuer in issuers::issuers(work.storage)? {
            let own = issuer.certificate()?;
            if certificate::stored_serial(&certificate::serial_text(&own))? == serial {
                found = Some(own);
            }
        }
    }
    show(work.storage, &found.ok_or(Fault::Missing)?, None, shown)
}

/// A certificate, which is that of an issuer if one is given.
///
/// # Errors
/// It cannot be written.
pub fn show(
    storage: &mut dyn Storage,
    certificate: &Certificate,
    issuer: Option<&Issuer>,
    shown: Shown,
) -> Result<Answer, Fault> {
    let bytes = der(certificate)?;
    match shown {
        Shown::Der => Ok(raw("application/pkix-cert", bytes)),
        Shown::Pem => Ok(raw(PEM_CHAIN, pem::encode("CERTIFICATE", &bytes)?.into_bytes())),
        Shown::Data => described(storage, certificate, issuer),
    }
}

fn described(
    storage: &mut dyn Storage,
    certificate: &Certificate,
    issuer: Option<&Issuer>,
) -> Result<Answer, Fault> {
    let serial = certificate::stored_serial(&certificate::serial_text(certificate))?;
    let revoked = revocation::find(storage, &serial)?;
    let mut data = Data::new()
        .with("certificate", &pem::encode("CERTIFICATE", &der(certificate)?)?)?
        .with(
            "revocation_time",
            &revoked.as_ref().map_or(0, |revoked| revoked.at),
        )?
        .with("revocation_time_rfc3339", "")?
        .with("issuer_id", "")?;
    if let Some(revoked) = revoked {
        data.set(
            "revocation_time_rfc3339",
            &rfc3339(Duration::from_secs(revoked.at)),
        )?;
        data.set("issuer_id", &revoked.issuer)?;
    }
    if let Some(issuer) = issuer {
        data.set("issuer_id", &issuer.id)?;
        data.set("ca_chain", &issuers::chain(storage, issuer)?.join("\n"))?;
    }
    Ok(Answer::data(data))
}

/// The serial numbers below a directory of storage.
///
/// # Errors
/// There is none.
pub fn serials(storage: &mut dyn Storage, directory: &str) -> Result<Answer, Fault> {
    let serials = storage.list(directory)?;
    Answer::list(
        serials
            .into_iter()
            .map(|serial| serial.replace('-', ":"))
            .collect(),
    )
}
