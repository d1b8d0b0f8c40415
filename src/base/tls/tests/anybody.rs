//! Listeners that ask for a certificate of anybody.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;

use super::*;

impl Site {
    /// One that asks, and trusts nobody for it.
    fn asking() -> Self {
        let mut site = Self::new();
        site.settings.requires_certificate = false;
        site.settings.names_callers = false;
        site.settings.asks_for_certificate = true;
        site.settings.authorities = None;
        site
    }
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// The certificates that a server is shown by who has this certificate and that key; none: it is not let in.
async fn shown(
    site: &Site,
    certificate: &Issued,
    key: &Issued,
    version: &'static SupportedProtocolVersion,
) -> Option<Vec<Vec<u8>>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(key.key.as_bytes()).unwrap();
    let key = CryptoProvider::clone(&provider)
        .key_provider
        .load_private_key(key)
        .unwrap();
    let identity = CertifiedKey::new(vec![der(certificate)], key);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(site.authority.pem().as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    let (dialled, accepted) = pair_of_streams().await;
    let entrance = Entrance::new(Side::Client, Some(site.load()));
    let connector = TlsConnector::from(Arc::new(config));
    let connect = connector.connect("127.0.0.1".try_into().unwrap(), dialled);
    let (admitted, _connected) = tokio::join!(entrance.admit(accepted), connect);
    admitted.map(|socket| {
        assert_eq!(
            socket.certificate_name(),
            None,
            "nobody says that the name is right"
        );
        socket.certificates()
    })
}

#[tokio::test]
async fn who_is_asked_may_show_any_certificate_or_none() {
    let site = Site::asking();
    let (admitted, dialled) = admit(&site.load(), &site.client(None)).await;
    dialled.unwrap();
    assert!(admitted.unwrap().certificates().is_empty());

    let stranger = Authority::new("stranger").unwrap();
    for issued in [
        site.authority.issue("alice", &[]).unwrap(),
        stranger.issue("alice", &[]).unwrap(),
        stranger.issue_expired("alice", &[]).unwrap(),
        pki::self_signed("alice", &["10.0.0.1"]).unwrap(),
    ] {
        for version in [&TLS12, &TLS13] {
            let found = shown(&site, &issued, &issued, version).await;
            assert_eq!(found, Some(vec![der(&issued).to_vec()]), "{version:?}");
        }
    }
}

#[tokio::test]
async fn who_has_not_the_key_of_the_certificate_that_he_shows_is_not_let_in() {
    let site = Site::asking();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let mallory = site.authority.issue("mallory", &[]).unwrap();
    for version in [&TLS12, &TLS13] {
        assert_eq!(shown(&site, &alice, &mallory, version).await, None, "{version:?}");
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_not_taken_of_anybody_either() {
    let site = Site::asking();
    let alice = site.authority.issue("alice", &[]).unwrap();
    site.replace("crl.pem", &site.authority.revoke(&[&alice]).unwrap());
    for version in [&TLS12, &TLS13] {
        assert_eq!(shown(&site, &alice, &alice, version).await, None, "{version:?}");
    }
}
