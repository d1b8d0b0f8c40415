//! For fuzzing: certificates as peers and clients show them, and the files of certificates, keys and revocations.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::certificate::{Details, RevokedCertificates};
use super::material::Material;
use super::protocol::{CipherSuites, TlsVersion};
use super::settings::{AllowedNames, CertificateFiles, Identity, Side, TlsSettings};
use super::verify::Rules;
use crate::base::fuzzing::{Scratch, choice, seed};

thread_local! {
    static FILES: RefCell<[Scratch; 4]> = RefCell::default();
}

/// Certificates, lists of revoked ones, and files of TLS.
pub fn certificates(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    match kind {
        0 => {
            let shown = CertificateDer::from(rest);
            let _ = Details::of(&shown);
            let rules = |allowed| Rules {
                authorities: vec![shown.clone().into_owned()],
                revoked: Arc::default(),
                allowed,
            };
            let names = vec!["localhost".to_owned()];
            let _ = rules(AllowedNames::CommonNames(names.clone())).check(&shown, &[]);
            let _ = rules(AllowedNames::Hosts(names)).check(&shown, std::slice::from_ref(&shown));
            if let Ok(parsed) = ParsedCertificate::try_from(&shown) {
                let name = ServerName::try_from("localhost").expect("it is a name");
                let _ = verify_server_name(&parsed, &name);
            }
        }
        1 => {
            if let Ok(revoked) = RevokedCertificates::read(rest) {
                assert!(revoked.len() <= rest.len());
            }
        }
        2 => {
            let text = String::from_utf8_lossy(rest);
            let _ = TlsVersion::parse(&text);
            let _ = CipherSuites::parse(&text);
        }
        _ => files(rest),
    }
}

/// All four files, one behind the other with a line of `#` between two.
fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\n#\n");
    FILES.with_borrow(|files| {
        let mut path = |file: &Scratch| {
            file.fill(parts.next().unwrap_or_default().as_bytes())
                .1
                .to_owned()
        };
        let [certificate, key, authorities, revocations] = files;
        let mut settings = TlsSettings::new(Side::Peer);
        settings.identity = Some(Identity::Files(CertificateFiles {
            certificate: path(certificate),
            key: path(key),
        }));
        settings.authorities = Some(path(authorities));
        settings.revocations = Some(path(revocations));
        settings.requires_certificate = true;
        settings.dials = true;
        let _ = Material::load(&settings);
    });
}

/// A certificate with all that is looked at, a list that revokes one, and a set of files.
#[must_use]
pub fn certificate_seeds() -> Vec<Vec<u8>> {
    use rcgen::{CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair};
    let key = KeyPair::generate().expect("there is chance");
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("they are names");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::CrlSign,
        rcgen::KeyUsagePurpose::KeyCertSign,
    ];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("the key fits");
    let revoked = rcgen::RevokedCertParams {
        serial_number: 300_u64.into(),
        revocation_time: rcgen::date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2034, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list
        .signed_by(&Issuer::from_params(&params, &key))
        .expect("the key fits");
    let list_text = list.pem().expect("it was encoded");
    let files = [
        certificate.pem(),
        key.serialize_pem(),
        certificate.pem(),
        list_text.clone(),
    ];
    vec![
        seed(0, certificate.der()),
        seed(1, list.der()),
        seed(1, list_text),
        seed(2, "TLS1.3"),
        seed(
            2,
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
        seed(3, files.join("\n#\n")),
    ]
}
