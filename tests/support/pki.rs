//! Authorities, certificates and revocation lists, made as tests need them. Used from outside and by the tests of the
//! module that reads them.

// Each target that includes this module uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// An authority that signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    next_serial: AtomicU64,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
    serial: u64,
}

/// Where an [`Issued`] was written.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = common_name(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?,
            next_serial: AtomicU64::new(1_000),
        })
    }

    /// The authority's own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for servers and clients, good for `hosts`, which are names or addresses.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Result<Issued> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.sign(name, CertificateParams::new(hosts)?)
    }

    /// A certificate whose time is over.
    pub fn issue_expired(&self, name: &str, hosts: &[&str]) -> Result<Issued> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts)?;
        parameters.not_after = date_time_ymd(2000, 1, 1);
        self.sign(name, parameters)
    }

    fn sign(&self, name: &str, mut parameters: CertificateParams) -> Result<Issued> {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        parameters.distinguished_name = common_name(name);
        parameters.serial_number = Some(serial.into());
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
        })
    }

    /// The list, in PEM, that revokes these and no others.
    pub fn revoke(&self, revoked: &[&Issued]) -> Result<String> {
        Ok(self.revocations(revoked)?.pem()?)
    }

    /// As [`Authority::revoke`], in DER.
    pub fn revoke_der(&self, revoked: &[&Issued]) -> Result<Vec<u8>> {
        Ok(self.revocations(revoked)?.der().to_vec())
    }

    fn revocations(&self, revoked: &[&Issued]) -> Result<rcgen::CertificateRevocationList> {
        let date = date_time_ymd(2020, 1, 1);
        let parameters = CertificateRevocationListParams {
            this_update: date,
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|issued| RevokedCertParams {
                    serial_number: SerialNumber::from(issued.serial),
                    revocation_time: date,
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(parameters.signed_by(&self.issuer)?)
    }
}

impl Issued {
    /// Writes both as `name.pem` and `name.key`.
    pub fn write(&self, folder: &Path, name: &str) -> Result<Pair> {
        let pair = Pair {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        // The key first, as in a careful rotation: the pair fits as soon as the certificate is there.
        replace(&pair.key, self.key.as_bytes())?;
        replace(&pair.certificate, self.certificate.as_bytes())?;
        Ok(pair)
    }
}

/// Replaces a file at once: who reads it sees the old bytes or the new ones.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    fs::write(&unfinished, bytes)?;
    Ok(fs::rename(&unfinished, path)?)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A self-signed certificate that is an authority as well, as `openssl req -x509` makes them.
pub fn self_signed(name: &str, hosts: &[&str]) -> Result<Issued> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts)?;
    parameters.distinguished_name = common_name(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    Ok(Issued {
        certificate: parameters.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
        serial: 0,
    })
}
