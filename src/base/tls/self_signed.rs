//! Certificates that nobody has signed, for `--auto-tls` and `--peer-auto-tls`: made once, then kept.
//!
//! They hide what is said from who only listens. Who can stand in between is not kept out: nobody checks them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::settings::{CertificateFiles, Part, SelfSigned, Side, TlsError};
use crate::base::clock;

const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// The certificate that is there, or a new one.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn obtain(wanted: &SelfSigned) -> Result<CertificateFiles, TlsError> {
    let files = CertificateFiles {
        certificate: wanted.folder.join(CERTIFICATE_FILE),
        key: wanted.folder.join(KEY_FILE),
    };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let failed = |reason: String| TlsError::new(Part::Certificate, &files.certificate, reason);
    let (certificate, key) =
        make(wanted).map_err(|error| failed(format!("cannot be made: {error}; check the host names")))?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&wanted.folder)
        // The key first: a certificate without its key would look as if both were there.
        .and_then(|()| write(&wanted.folder, &files.key, &key))
        .and_then(|()| write(&wanted.folder, &files.certificate, &certificate))
        .map_err(|error| {
            failed(format!(
                "cannot be written: {error}; check the folder's permissions"
            ))
        })?;
    tracing::warn!(
        certificate = %files.certificate.display(),
        validity_days = wanted.validity_days,
        side = %wanted.side,
        "made a certificate that nobody has signed"
    );
    Ok(files)
}

/// The certificate and its key, in PEM.
fn make(wanted: &SelfSigned) -> Result<(String, String), rcgen::Error> {
    let mut parameters = CertificateParams::new(wanted.hosts.clone())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "stead");
    parameters.distinguished_name = name;
    parameters.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    parameters.extended_key_usages = match wanted.side {
        Side::Client => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Side::Peer => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
    };
    let now = rcgen::date_time_ymd(1970, 1, 1) + clock::unix_time();
    parameters.not_before = now;
    parameters.not_after = now + Duration::from_secs(u64::from(wanted.validity_days) * 24 * 3_600);
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file that is whole or not there, and nobody else's to read.
fn write(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    // A crash may have left one with other permissions.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(folder)?.sync_all()
}
