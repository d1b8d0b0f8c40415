//! What is read from certificates and revocation lists beyond what a handshake needs: common names, addresses, serial
//! numbers.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{
    CertificateRevocationList, FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name,
};

/// The common name of the certificate that a client has shown and that was found good. Where `--client-cert-auth` is on
/// it says who the client is; it is in the extensions of the client's requests, those excepted that come through the JSON
/// gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName(pub Arc<str>);

/// Which certificate: serial numbers are unique for one authority only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CertificateKey {
    /// The authority's name, as it is encoded.
    issuer: Vec<u8>,
    /// Without zeros in front.
    serial: Vec<u8>,
}

impl CertificateKey {
    fn new(issuer: &X509Name<'_>, serial: &[u8]) -> Self {
        let significant = serial.iter().skip_while(|byte| **byte == 0);
        Self {
            issuer: issuer.as_raw().to_owned(),
            serial: significant.copied().collect(),
        }
    }
}

/// What the rules for certificates look at.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) key: CertificateKey,
    pub(super) common_name: Option<String>,
    pub(super) host_names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    /// Whether it may be shown by who dials; a certificate that does not say may.
    pub(super) is_for_clients: bool,
    /// Whether it may be shown by who is dialled.
    pub(super) is_for_servers: bool,
    /// Seconds since the Unix epoch.
    pub(super) valid_seconds: std::ops::RangeInclusive<i64>,
}

impl Details {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let (mut host_names, mut addresses) = (Vec::new(), Vec::new());
        let (mut is_for_clients, mut is_for_servers) = (true, true);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        match name {
                            GeneralName::DNSName(name) => host_names.push((*name).to_owned()),
                            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                            _ => {}
                        }
                    }
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    is_for_clients = usage.any || usage.client_auth;
                    is_for_servers = usage.any || usage.server_auth;
                }
                _ => {}
            }
        }
        let common_name = parsed.subject().iter_common_name().last();
        let validity = parsed.validity();
        Ok(Self {
            key: CertificateKey::new(parsed.issuer(), parsed.raw_serial()),
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            host_names,
            addresses,
            is_for_clients,
            is_for_servers,
            valid_seconds: validity.not_before.timestamp()..=validity.not_after.timestamp(),
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// The certificates that must not be accepted any more.
#[derive(Debug, Default)]
pub(super) struct RevokedCertificates(HashSet<CertificateKey>);

impl RevokedCertificates {
    /// Reads revocation lists: any number in PEM, or one in DER. Whoever may write the file is trusted, as in etcd: the
    /// lists' signatures and dates are not looked at.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let is_pem = bytes.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN);
        let mut lists = Vec::new();
        if is_pem {
            for list in CertificateRevocationListDer::pem_slice_iter(bytes) {
                lists.push(list.map_err(|error| format!("is no valid PEM: {error}"))?);
            }
        } else {
            lists.push(CertificateRevocationListDer::from(bytes.to_vec()));
        }
        if lists.is_empty() {
            return Err("has no revocation list; write one in PEM or DER".to_owned());
        }
        let mut revoked = HashSet::new();
        for list in &lists {
            let (rest, list) = CertificateRevocationList::from_der(list)
                .map_err(|error| format!("is no revocation list in PEM or DER: {error}"))?;
            if !rest.is_empty() {
                return Err("has bytes behind its revocation list; write it anew".to_owned());
            }
            revoked.extend(
                list.iter_revoked_certificates()
                    .map(|entry| CertificateKey::new(list.issuer(), entry.raw_serial())),
            );
        }
        Ok(Self(revoked))
    }

    /// Whether `certificate` is one of them.
    pub(super) fn contains(&self, certificate: &CertificateKey) -> bool {
        self.0.contains(certificate)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

const PEM_BEGIN: &[u8] = b"-----BEGIN";
