use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::Certificates;
use super::chain::{certificates, is_trusted};
use super::facts::Facts;
use crate::base::limits::MAXIMUM_CLIENT_CERTIFICATES;
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::{Engine, Fault, Login};
use crate::service::secrets::policy::Operation::{self, Delete, List, Read, Update};

mod renewals;

const WRONG: &str = "invalid certificate or no client certificate supplied";
/// A text in UTF-8, as ASN.1 writes it.
const EXTENSION: (&[u64], &[u8]) = (&[1, 2, 3, 4], &[0x0c, 0x05, b'b', b'l', b'u', b'e', b'1']);

/// Whoever signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2023, 1, 1);
    params.not_after = date_time_ymd(2024, 1, 1);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn below(&self, name: &str) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        params.serial_number = Some(77_u64.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn sign(&self, params: &CertificateParams) -> Certificate {
        params
            .signed_by(&KeyPair::generate().unwrap(), &self.issuer)
            .unwrap()
    }

    fn revoking(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2023, 6, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2023, 6, 1),
            next_update: date_time_ymd(2023, 7, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn client_params() -> CertificateParams {
    let mut params = named("web-1");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(300_u64.into());
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, "shop");
    params.subject_alt_names = vec![
        SanType::DnsName("web-1.test".try_into().unwrap()),
        SanType::Rfc822Name("web@shop.test".try_into().unwrap()),
        SanType::URI("spiffe://shop/web".try_into().unwrap()),
    ];
    let extension = CustomExtension::from_oid_content(EXTENSION.0, EXTENSION.1.to_vec());
    params.custom_extensions = vec![extension];
    params
}

struct Certs(Bench<Certificates>);

impl Certs {
    fn new(trusted: &Certificate) -> Self {
        let mut bench = Self(Bench::new(Certificates, "cert", "auth/cert/", &[]));
        let role = json!({"certificate": trusted.pem(), "token_policies": "web"});
        bench.ask(Update, "certs/Web", &role).unwrap();
        bench
    }

    fn ask(&mut self, operation: Operation, path: &str, body: &Value) -> Result<Value, Fault> {
        self.0.data(operation, path, &body.to_string())
    }

    /// Has the client show these from now on.
    fn show(&mut self, shown: &[&Certificate]) {
        self.0.peer.certificates = shown
            .iter()
            .map(|certificate| certificate.der().to_vec())
            .collect();
    }

    fn login(&mut self, shown: &[&Certificate]) -> Result<Login, Fault> {
        self.show(shown);
        Ok(self.0.ask(Update, "login", "")?.login.unwrap())
    }

    fn is_refused(&mut self, shown: &[&Certificate]) -> bool {
        match self.login(shown) {
            Ok(_) => false,
            Err(error) => error.to_string() == WRONG,
        }
    }
}

#[test]
fn who_shows_a_certificate_of_a_trusted_authority_logs_in() {
    let authority = Authority::new("root");
    let mut bench = Certs::new(&authority.certificate);
    let login = bench.login(&[&authority.sign(&client_params())]).unwrap();
    assert_eq!(
        (login.alias.as_str(), login.display_name.as_str()),
        ("web-1", "web")
    );
    assert_eq!(login.policies, ["web"]);
    assert_eq!(
        (
            login.metadata["cert_name"].as_str(),
            login.metadata["common_name"].as_str()
        ),
        ("web", "web-1")
    );
    assert_eq!(login.metadata["serial_number"], "300");
    assert!(Certificates.is_open("login") && !Certificates.is_open("certs/web"));
}

#[test]
fn a_chain_needs_every_certificate_in_between() {
    let root = Authority::new("root");
    let middle = root.below("middle");
    let client = middle.sign(&client_params());
    let mut bench = Certs::new(&root.certificate);
    assert!(bench.is_refused(&[&client]));
    bench.login(&[&client, &middle.certificate]).unwrap();
    bench
        .login(&[&client, &root.certificate, &middle.certificate])
        .unwrap();
    let other = Authority::new("root").below("middle");
    assert!(bench.is_refused(&[&client, &other.certificate]));
    let mut bench = Certs::new(&middle.certificate);
    bench.login(&[&client]).unwrap();
}

#[test]
fn another_authority_of_the_same_name_is_not_trusted() {
    let (good, bad) = (Authority::new("root"), Authority::new("root"));
    let mut bench = Certs::new(&good.certificate);
    let client = bad.sign(&client_params());
    assert!(bench.is_refused(&[&client]));
    assert!(bench.is_refused(&[&client, &bad.certificate]));
    let own = client_params()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    assert!(bench.is_refused(&[&own]));
}

#[test]
fn a_client_signs_for_nobody() {
    let root = Authority::new("root");
    let (params, key) = (client_params(), KeyPair::generate().unwrap());
    let client = params.signed_by(&key, &root.issuer).unwrap();
    let below = Authority {
        issuer: Issuer::new(params, key),
        certificate: client,
    };
    let forged = below.sign(&client_params());
    let mut bench = Certs::new(&root.certificate);
    assert!(bench.is_refused(&[&forged, &below.certificate]));
    let mut bench = Certs::new(&below.certificate);
    assert!(
        bench.is_refused(&[&forged]),
        "nor where it is written down itself"
    );
}

#[test]
fn a_certificate_that_is_written_down_logs_in_by_itself() {
    let client = client_params()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    let same_names = client_params()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    let mut bench = Certs::new(&client);
    bench.login(&[&client]).unwrap();
    assert!(bench.is_refused(&[&same_names]));
    bench.0.now = Duration::from_secs(1_800_000_000);
    assert!(bench.is_refused(&[&client]), "it is over");
    let mut server = client_params();
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server = server.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut bench = Certs::new(&server);
    assert!(bench.is_refused(&[&server]), "it is not for clients");
}

#[test]
fn time_and_purpose_are_looked_at() {
    let authority = Authority::new("root");
    let mut bench = Certs::new(&authority.certificate);
    let mut over = client_params();
    over.not_after = date_time_ymd(2023, 11, 1);
    let mut early = client_params();
    early.not_before = date_time_ymd(2023, 12, 1);
    let mut server = client_params();
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for params in [over, early, server] {
        assert!(bench.is_refused(&[&authority.sign(&params)]));
    }
    let mut open = client_params();
    open.extended_key_usages.clear();
    bench.login(&[&authority.sign(&open)]).unwrap();
    let mut longer = client_params();
    longer.not_after = date_time_ymd(2034, 1, 1);
    let longer = authority.sign(&longer);
    bench.login(&[&longer]).unwrap();
    bench.0.now = Duration::from_secs(1_800_000_000);
    assert!(bench.is_refused(&[&longer]), "the authority is over");
}

#[test]
fn a_certificate_has_to_say_what_the_role_asks_for() {
    let authority = Authority::new("root");
    let client = authority.sign(&client_params());
    for (asked, is_good) in [
        (json!({"allowed_common_names": "web-*"}), true),
        (json!({"allowed_common_names": ["a", "web-1"]}), true),
        (json!({"allowed_common_names": "web-2"}), false),
        (json!({"allowed_dns_sans": "*.test"}), true),
        (json!({"allowed_dns_sans": "web-1"}), false),
        (json!({"allowed_email_sans": "*@shop.test"}), true),
        (json!({"allowed_email_sans": "*@test"}), false),
        (json!({"allowed_uri_sans": "spiffe://shop/*"}), true),
        (json!({"allowed_uri_sans": "spiffe://other/*"}), false),
        (json!({"allowed_organizational_units": "shop"}), true),
        (json!({"allowed_organizational_units": "other"}), false),
        (json!({"allowed_names": "web@shop.test"}), true),
        (json!({"allowed_names": "spiffe://*"}), false),
        (json!({"required_extensions": "1.2.3.4:blue*"}), true),
        (
            json!({"required_extensions": ["1.2.3.4:blue1", "1.2.3.5:*"]}),
            false,
        ),
        (json!({"required_extensions": "1.2.3.4:red"}), false),
        (json!({"required_extensions": "hex:1.2.3.4:0C05*"}), true),
        (json!({"required_extensions": "hex:1.2.3.4:0d*"}), false),
        (
            json!({"allowed_common_names": "web-1", "allowed_dns_sans": "x"}),
            false,
        ),
    ] {
        let mut bench = Certs::new(&authority.certificate);
        bench.ask(Update, "certs/web", &asked).unwrap();
        assert_eq!(bench.login(&[&client]).is_ok(), is_good, "{asked}");
    }
    let mut bench = Certs::new(&authority.certificate);
    bench
        .ask(
            Update,
            "certs/web",
            &json!({"allowed_metadata_extensions": "1.2.3.4"}),
        )
        .unwrap();
    assert_eq!(bench.login(&[&client]).unwrap().metadata["1-2-3-4"], "blue1");
}

#[test]
fn what_a_list_revokes_is_refused_until_the_list_is_gone() {
    let root = Authority::new("root");
    let middle = root.below("middle");
    let client = middle.sign(&client_params());
    for (list, is_good) in [
        (middle.revoking(300), false),
        (middle.revoking(301), true),
        (root.revoking(77), false),
        (root.revoking(300), true),
        (Authority::new("other").revoking(300), true),
    ] {
        let mut bench = Certs::new(&root.certificate);
        bench.ask(Update, "crls/one", &json!({"crl": list})).unwrap();
        assert_eq!(bench.login(&[&client, &middle.certificate]).is_ok(), is_good);
        bench.ask(Delete, "crls/one", &json!({})).unwrap();
        bench.login(&[&client, &middle.certificate]).unwrap();
    }
    let mut bench = Certs::new(&root.certificate);
    bench
        .ask(Update, "crls/one", &json!({"crl": root.revoking(77)}))
        .unwrap();
    assert_eq!(
        bench.ask(Read, "crls/one", &json!({})).unwrap(),
        json!({"serials": {"77": {}}})
    );
    assert_eq!(
        bench.ask(List, "crls/", &json!({})).unwrap(),
        json!({"keys": ["one"]})
    );
    let error = bench
        .ask(Update, "crls/two", &json!({"crl": "x"}))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("crl: failed to parse"), "{error}");
    let fetched = bench.ask(Update, "crls/two", &json!({"url": "https://a.test"}));
    assert!(matches!(fetched, Err(Fault::Unimplemented(_))));
}

#[test]
fn a_login_may_name_its_role() {
    let authority = Authority::new("root");
    let client = authority.sign(&client_params());
    let mut bench = Certs::new(&authority.certificate);
    let other = json!({"certificate": Authority::new("root").certificate.pem(), "display_name": "shown"});
    bench.ask(Update, "certs/other", &other).unwrap();
    bench.0.peer.certificates = vec![client.der().to_vec()];
    for (name, is_good) in [
        ("web", true),
        ("WEB", true),
        ("other", false),
        ("none", false),
        ("a/b", false),
    ] {
        let answer = bench.0.ask(Update, "login", &json!({"name": name}).to_string());
        assert_eq!(answer.is_ok(), is_good, "{name}");
    }
    bench
        .ask(Update, "certs/web", &json!({"token_bound_cidrs": "10.0.0.0/8"}))
        .unwrap();
    assert!(matches!(bench.login(&[&client]), Err(Fault::Denied)));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let authority = Authority::new("root");
    let mut bench = Certs::new(&authority.certificate);
    assert_eq!(
        bench.login(&[]).unwrap_err().to_string(),
        "client certificate must be supplied"
    );
    bench.0.peer.certificates = vec![vec![0x30, 0x00]];
    assert_eq!(bench.0.ask(Update, "login", "").unwrap_err().to_string(), WRONG);
    let many = vec![&authority.certificate; MAXIMUM_CLIENT_CERTIFICATES + 1];
    let error = bench.login(&many).unwrap_err().to_string();
    assert_eq!(error, "the client shows 17 certificates; the most is 16");
    let key = KeyPair::generate().unwrap().serialize_pem();
    for certificate in ["", "x", &key] {
        let error = bench
            .ask(Update, "certs/new", &json!({"certificate": certificate}))
            .unwrap_err();
        assert!(
            error.to_string().starts_with("failed to parse certificate"),
            "{error}"
        );
    }
    let extensions = json!({"certificate": authority.certificate.pem(), "required_extensions": "a:b"});
    let error = bench
        .ask(Update, "certs/new", &extensions)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("required_extensions: \"a:b\" is none"),
        "{error}"
    );
    let asked = json!({"certificate": authority.certificate.pem(), "ocsp_enabled": true});
    assert!(matches!(
        bench.ask(Update, "certs/new", &asked),
        Err(Fault::Unimplemented(_))
    ));
}

#[test]
fn a_role_and_the_settings_of_the_mount_are_shown() {
    let authority = Authority::new("root");
    let mut bench = Certs::new(&authority.certificate);
    let shown = bench.ask(Read, "certs/web", &json!({})).unwrap();
    assert_eq!(shown["display_name"], "web");
    assert_eq!(shown["certificate"], authority.certificate.pem());
    assert_eq!(shown["allowed_common_names"], json!([]));
    assert_eq!(
        bench.ask(List, "certs/", &json!({})).unwrap(),
        json!({"keys": ["web"]})
    );
    bench
        .ask(Update, "config", &json!({"disable_binding": true}))
        .unwrap();
    assert_eq!(
        bench.ask(Read, "config", &json!({})).unwrap()["disable_binding"],
        true
    );
    bench.ask(Delete, "certs/web", &json!({})).unwrap();
    assert!(matches!(
        bench.ask(List, "certs/", &json!({})),
        Err(Fault::Missing)
    ));
}

#[test]
fn a_certificate_with_any_byte_changed_is_refused_and_ends_nothing() {
    let authority = Authority::new("root");
    let client = authority.sign(&client_params()).der().to_vec();
    let trusted = authority.certificate.pem();
    let now = Duration::from_secs(1_700_000_000);
    assert!(is_trusted(&trusted, &client, &[], now, &[]));
    for index in 0..client.len() {
        for mask in [0x01, 0x10, 0x80, 0xff] {
            let mut changed = client.clone();
            changed[index] ^= mask;
            let _ = Facts::of(&changed);
            assert!(!is_trusted(&trusted, &changed, &[], now, &[]), "{index} {mask}");
            let _ = is_trusted(&trusted, &client, &[changed], now, &[]);
        }
        let _ = Facts::of(&client[..index]);
        assert!(!is_trusted(&trusted, &client[..index], &[], now, &[]), "{index}");
    }
}

/// Of version 1, without extensions, made by OpenSSL.
const OLD: &str = "-----BEGIN CERTIFICATE-----
MIIBHjCBxQIUJMRQg3MMqAd/Kjsn47UiqK+wMAcwCgYIKoZIzj0EAwIwETEPMA0G
A1UEAwwGY2xpZW50MCAXDTI2MTEyMjA3NTIwNFoYDzIxMjYxMDI5MDc1MjA0WjAR
MQ8wDQYDVQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZAzNc
+pwROQZePNfJWa2iFpSR37QElXyhg9V5kUoGsDSV1Qv06Hpx5yLQT4nIw3gSOjF/
lBvAYbTbpjaKUq/TMAoGCCqGSM49BAMCA0gAMEUCIHvzs6N97HQ+Wb3aGzmPds9K
V10M3/m0ReemAGSuqzvyAiEA/wuRmrfdeKUUzMTCqLgYnNSMCUZWec3HBkQ45e8K
CHE=
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_without_extensions_logs_in_if_it_is_written_down_and_signs_for_nobody() {
    let mut bench = Bench::new(Certificates, "cert", "auth/cert/", &[]);
    bench.now = Duration::from_secs(1_800_000_000);
    let role = json!({"certificate": OLD}).to_string();
    bench.ask(Update, "certs/old", &role).unwrap();
    bench.peer.certificates = certificates(OLD).unwrap();
    assert_eq!(
        bench.ask(Update, "login", "").unwrap().login.unwrap().alias,
        "client"
    );
    let authority = Authority::new("client");
    bench.peer.certificates = vec![authority.sign(&client_params()).der().to_vec()];
    assert_eq!(bench.ask(Update, "login", "").unwrap_err().to_string(), WRONG);
}
