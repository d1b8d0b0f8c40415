//! What TLS is made from: names of files and rules, as the flags give them. Reads nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::protocol::{CipherSuites, TlsVersion};

/// Whose connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those of clients.
    Client,
    /// Those of other members.
    Peer,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Client => "client",
            Self::Peer => "peer",
        })
    }
}

/// A certificate with its chain, and its key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by the authorities between it and a trusted one.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate that nobody has signed, made when it is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// Where it is kept, as `cert.pem` and `key.pem`.
    pub folder: PathBuf,
    /// Names and addresses it is for.
    pub hosts: Vec<String>,
    /// How long it is good for.
    pub validity_days: u32,
    /// Whose connections it is for.
    pub side: Side,
}

/// What a listener shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// What somebody has provided.
    Files(CertificateFiles),
    /// What is made here.
    SelfSigned(SelfSigned),
}

/// Whose certificates are accepted, of those that a trusted authority has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedNames {
    /// All.
    #[default]
    All,
    /// Those with one of these common names.
    CommonNames(Vec<String>),
    /// Those for one of these host names or addresses.
    Hosts(Vec<String>),
}

/// TLS for one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whose connections are protected.
    pub side: Side,
    /// What listeners show, and what is shown when dialling; none: this side does not listen.
    pub identity: Option<Identity>,
    /// What is shown when dialling instead.
    pub dialling_identity: Option<CertificateFiles>,
    /// Authorities in PEM that sign the certificates of the other side; none: those of the operating system.
    pub authorities: Option<PathBuf>,
    /// Revocation lists, PEM or DER.
    pub revocations: Option<PathBuf>,
    /// Whether who connects must show a certificate.
    pub requires_certificate: bool,
    /// Whether who connects is asked for a certificate and may show any, or none: that it has the key is proved, and nothing
    /// else. Without effect where one is required.
    pub asks_for_certificate: bool,
    /// Whether the common name of a client's certificate says who it is.
    pub names_callers: bool,
    /// Which certificates are accepted.
    pub allowed: AllowedNames,
    /// Whether a certificate with names or addresses must be for the address that its owner connects from, as etcd has
    /// it for peers.
    pub checks_address: bool,
    /// Whether anybody is dialled.
    pub dials: bool,
    /// Whether whom is dialled is asked for HTTP/1.1 instead of HTTP/2.
    pub dials_http1: bool,
    /// Whether any certificate will do for whom is dialled.
    pub trusts_any_server: bool,
    /// The oldest version spoken.
    pub minimum_version: TlsVersion,
    /// The newest version spoken.
    pub maximum_version: TlsVersion,
    /// The cipher suites of TLS 1.2; none: all that are safe.
    pub cipher_suites: Option<CipherSuites>,
}

impl TlsSettings {
    /// For `side`, with etcd's defaults and no file.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            side,
            identity: None,
            dialling_identity: None,
            authorities: None,
            revocations: None,
            requires_certificate: false,
            asks_for_certificate: false,
            names_callers: false,
            allowed: AllowedNames::All,
            checks_address: false,
            dials: true,
            dials_http1: false,
            trusts_any_server: false,
            minimum_version: TlsVersion::Tls12,
            maximum_version: TlsVersion::Tls13,
            cipher_suites: None,
        }
    }

    /// All files that exist before the first start, with what they are.
    pub(super) fn files(&self) -> Vec<(Part, &Path)> {
        let mut files = Vec::new();
        if let Some(Identity::Files(identity)) = &self.identity {
            files.push((Part::Certificate, identity.certificate.as_path()));
            files.push((Part::Key, identity.key.as_path()));
        }
        if let Some(identity) = &self.dialling_identity {
            files.push((Part::DiallingCertificate, identity.certificate.as_path()));
            files.push((Part::DiallingKey, identity.key.as_path()));
        }
        if let Some(authorities) = &self.authorities {
            files.push((Part::Authorities, authorities.as_path()));
        }
        if let Some(revocations) = &self.revocations {
            files.push((Part::Revocations, revocations.as_path()));
        }
        files
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate that is shown.
    Certificate,
    /// Its key.
    Key,
    /// The certificate that is shown when dialling.
    DiallingCertificate,
    /// Its key.
    DiallingKey,
    /// The trusted authorities.
    Authorities,
    /// The revocation lists.
    Revocations,
}

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {reason}", .path.display())]
pub struct TlsError {
    /// What the file is.
    pub part: Part,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong and what to do.
    pub reason: String,
}

impl TlsError {
    pub(super) fn new(part: Part, path: &Path, reason: impl Into<String>) -> Self {
        Self {
            part,
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
