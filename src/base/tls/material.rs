//! What handshakes use: certificates, keys, authorities and rules, all read from files at one time.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::anybody::Anybody;
use super::certificate::RevokedCertificates;
use super::protocol;
use super::settings::{CertificateFiles, Identity, Part, Side, TlsError, TlsSettings};
use super::verify::{Callers, Dialled, Rules};

/// Bytes of the largest file that is read.
pub(super) const MAXIMUM_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// HTTP/2, by its name in a handshake.
const HTTP2: &[u8] = b"h2";
/// HTTP/1.1, by its name in a handshake.
const HTTP1: &[u8] = b"http/1.1";

/// What handshakes use.
pub(super) struct Material {
    /// For who connects; none if there is no certificate to show.
    pub(super) accepting: Option<Arc<ServerConfig>>,
    /// For who is dialled; none if nobody is.
    pub(super) dialling: Option<Arc<ClientConfig>>,
    /// Who must not be spoken with.
    pub(super) revoked: Arc<RevokedCertificates>,
}

impl Material {
    /// Reads all files of `settings`, but for a self-signed certificate, which must be files by now.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(super) fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = protocol::provider(settings.cipher_suites.as_ref());
        let identity = match &settings.identity {
            Some(Identity::Files(files)) => {
                Some(read_identity(files, [Part::Certificate, Part::Key], &provider)?)
            }
            Some(Identity::SelfSigned(_)) | None => None,
        };
        let dialling_identity = match &settings.dialling_identity {
            Some(files) => Some(read_identity(
                files,
                [Part::DiallingCertificate, Part::DiallingKey],
                &provider,
            )?),
            None => identity.clone(),
        };
        let revoked = Arc::new(match &settings.revocations {
            Some(path) => RevokedCertificates::read(&read(Part::Revocations, path)?)
                .map_err(|reason| TlsError::new(Part::Revocations, path, reason))?,
            None => RevokedCertificates::default(),
        });
        let authorities = match &settings.authorities {
            Some(path) => read_certificates(Part::Authorities, path)?,
            None => Vec::new(),
        };
        let rules = || Rules {
            authorities: authorities.clone(),
            revoked: Arc::clone(&revoked),
            allowed: settings.allowed.clone(),
        };
        let checks_callers = settings.requires_certificate && identity.is_some();
        let needs_roots = checks_callers || (settings.dials && !settings.trusts_any_server);
        let roots = Arc::new(match &settings.authorities {
            Some(path) => roots(&authorities, path)?,
            None if needs_roots => roots_of_system()?,
            None => RootCertStore::empty(),
        });
        let accepting = match identity {
            Some(identity) => Some(accepting(settings, identity, &roots, rules(), &provider)?),
            None => None,
        };
        let dialling = if settings.dials {
            Some(dialling(settings, dialling_identity, &roots, rules(), &provider)?)
        } else {
            None
        };
        Ok(Self {
            accepting: accepting.map(Arc::new),
            dialling: dialling.map(Arc::new),
            revoked,
        })
    }
}

fn accepting(
    settings: &TlsSettings,
    identity: Arc<CertifiedKey>,
    roots: &Arc<RootCertStore>,
    rules: Rules,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let versions = protocol::versions(settings.minimum_version, settings.maximum_version);
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions)
        .map_err(|error| no_file(Part::Certificate, &error))?;
    let builder = if settings.requires_certificate {
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| no_file(Part::Authorities, &error))?;
        builder.with_client_cert_verifier(Arc::new(Callers { chains, rules }))
    } else if settings.asks_for_certificate {
        let provider = Arc::clone(provider);
        builder.with_client_cert_verifier(Arc::new(Anybody { rules, provider }))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
    config.alpn_protocols = match settings.side {
        Side::Client => vec![HTTP2.to_vec(), HTTP1.to_vec()],
        Side::Peer => vec![HTTP2.to_vec()],
    };
    // A resumed session would skip the check of a certificate that has been revoked since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn dialling(
    settings: &TlsSettings,
    identity: Option<Arc<CertifiedKey>>,
    roots: &Arc<RootCertStore>,
    rules: Rules,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let versions = protocol::versions(settings.minimum_version, settings.maximum_version);
    let chains = if settings.trusts_any_server {
        None
    } else {
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider)).build();
        Some(builder.map_err(|error| no_file(Part::Authorities, &error))?)
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions)
        .map_err(|error| no_file(Part::Certificate, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Dialled {
            chains,
            rules,
            provider: Arc::clone(provider),
        }));
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)))
        }
        None => builder.with_no_client_auth(),
    };
    let protocol = if settings.dials_http1 { HTTP1 } else { HTTP2 };
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What is wrong with the settings as a whole.
fn no_file(part: Part, error: &impl ToString) -> TlsError {
    TlsError::new(part, Path::new(""), error.to_string())
}

fn roots(authorities: &[CertificateDer<'static>], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| {
            let reason = format!("has a certificate that cannot be used: {error}");
            TlsError::new(Part::Authorities, path, reason)
        })?;
    }
    Ok(roots)
}

/// What the machine trusts: read once, and again with the files.
fn roots_of_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = "this machine has no list of trusted authorities; name a file with one";
        return Err(TlsError::new(Part::Authorities, Path::new(""), reason));
    }
    Ok(roots)
}

/// The bytes of a file, wiped when they are dropped, since they may be a key.
pub(super) fn read(part: Part, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |cause: std::io::Error| {
        let reason = format!("cannot be read: {cause}; check the path and its permissions");
        TlsError::new(part, path, reason)
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    // One more than is allowed tells that there is more.
    file.take(MAXIMUM_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAXIMUM_FILE_BYTES {
        let reason = format!("has more than {MAXIMUM_FILE_BYTES} bytes, which none of these files needs");
        return Err(TlsError::new(part, path, reason));
    }
    Ok(bytes)
}

fn read_certificates(part: Part, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(part, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::new(part, path, format!("is no valid PEM: {error}")))?;
    if certificates.is_empty() {
        let reason = "has no certificate; write it in PEM, beginning with -----BEGIN CERTIFICATE-----";
        return Err(TlsError::new(part, path, reason));
    }
    Ok(certificates)
}

fn read_identity(
    files: &CertificateFiles,
    [certificate_part, key_part]: [Part; 2],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let certificates = read_certificates(certificate_part, &files.certificate)?;
    let refuse = |reason: String| TlsError::new(key_part, &files.key, reason);
    let key = PrivateKeyDer::from_pem_slice(&read(key_part, &files.key)?).map_err(|error| {
        refuse(format!(
            "has no private key: {error}; write it in PEM, without a password"
        ))
    })?;
    match CertifiedKey::from_der(certificates, key, provider) {
        Ok(identity) => Ok(Arc::new(identity)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(refuse(format!(
            "is not the key of the certificate in {}; give the two that belong together",
            files.certificate.display()
        ))),
        Err(error) => Err(refuse(format!(
            "cannot be used with {}: {error}; use a key for RSA, ECDSA (P-256, P-384) or Ed25519",
            files.certificate.display()
        ))),
    }
}
