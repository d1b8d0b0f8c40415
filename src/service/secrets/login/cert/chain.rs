//! Whether a certificate is trusted: it is one that was written down, or one that was written down signed it, with others in
//! between.
//!
//! Never has cryptography of its own, and never asks anybody.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::revoked::List;
use crate::service::secrets::engine::Fault;

/// The certificates in a text of PEM, as DER.
///
/// # Errors
/// There is something else, or nothing.
pub(super) fn certificates(text: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let broken = || Fault::Invalid("failed to parse certificate; write one or more as PEM".to_owned());
    let mut found = Vec::new();
    for block in Pem::iter_from_buffer(text.as_bytes()) {
        let block = block.map_err(|_| broken())?;
        if block.label != "CERTIFICATE" || block.parse_x509().is_err() {
            return Err(broken());
        }
        found.push(block.contents);
    }
    if found.is_empty() {
        Err(broken())
    } else {
        Ok(found)
    }
}

fn is_valid(certificate: &X509Certificate<'_>, now: Duration) -> bool {
    let now = i64::try_from(now.as_secs()).map(ASN1Time::from_timestamp);
    matches!(now, Ok(Ok(now)) if certificate.validity().is_valid_at(now))
}

/// Whether a client may show it: it says so, or does not say for what it is.
fn is_for_clients(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.any || usage.value.client_auth),
        Err(_) => false,
    }
}

/// Whether `own`, with those `above` it that came along, is trusted by who trusts `trusted` (PEM).
pub(super) fn is_trusted(
    trusted: &str,
    own: &[u8],
    above: &[Vec<u8>],
    now: Duration,
    lists: &[List],
) -> bool {
    let Ok(trusted) = certificates(trusted) else {
        return false;
    };
    let is_revoked = |certificate: &[u8]| lists.iter().any(|list| list.has(certificate));
    if is_revoked(own) {
        return false;
    }
    let Ok((_, leaf)) = X509Certificate::from_der(own) else {
        return false;
    };
    if trusted.iter().any(|trusted| trusted == own) {
        return is_valid(&leaf, now) && is_for_clients(&leaf);
    }
    let mut roots = RootCertStore::empty();
    for trusted in trusted.into_iter().filter(|trusted| !is_revoked(trusted)) {
        let is_authority = X509Certificate::from_der(&trusted)
            .is_ok_and(|(_, certificate)| certificate.is_ca() && is_valid(&certificate, now));
        if is_authority {
            // One that cannot be used signs nothing.
            let _ = roots.add(CertificateDer::from(trusted));
        }
    }
    if roots.is_empty() {
        return false;
    }
    // Without those that are revoked no chain goes through them.
    let between = above.iter().filter(|certificate| !is_revoked(certificate));
    let between: Vec<CertificateDer<'_>> = between
        .map(|certificate| CertificateDer::from(certificate.as_slice()))
        .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .is_ok_and(|verifier| {
            let now = UnixTime::since_unix_epoch(now);
            let own = CertificateDer::from(own);
            verifier.verify_client_cert(&own, &between, now).is_ok()
        })
}
