//! Keys, requests and the forms in which clients get certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::certificate::{hexadecimal, stored_serial};
use super::super::keys::{PrivateKey, Shape};
use super::super::request::Request;
use super::*;
use crate::service::secrets::randomness::{Randomness, SystemRandomness};

const SHAPES: [(&str, i64); 5] = [
    ("rsa", 2048),
    ("ec", 256),
    ("ec", 384),
    ("ec", 521),
    ("ed25519", 0),
];

#[test]
fn keys_keep_their_public_half_in_every_form() {
    for (kind, bits) in SHAPES {
        let shape = Shape::parse(kind, bits).unwrap();
        let key = PrivateKey::generate(shape, &mut SystemRandomness).unwrap();
        assert_eq!(
            (key.shape().kind(), Shape::of(&key.public().unwrap()).unwrap()),
            (kind, shape)
        );
        let public = key.public().unwrap();
        for is_pkcs8 in [false, true] {
            let blocks = pem::decode(&key.pem(is_pkcs8).unwrap(), "it").unwrap();
            let (label, bytes) = &blocks[0];
            let again = PrivateKey::from_block(label, bytes).unwrap();
            assert!(again.public().unwrap() == public, "{kind} {bits} {label}");
        }
    }
    for (kind, bits) in [
        ("rsa", 1024),
        ("rsa", 2047),
        ("ec", 224),
        ("dsa", 0),
        ("any", 0),
        ("", 0),
        ("rsa", -1),
    ] {
        assert!(
            matches!(Shape::parse(kind, bits), Err(Fault::Invalid(_))),
            "{kind} {bits}"
        );
    }
}

/// A source that gives so many bytes and no more.
struct Short(usize);

impl Randomness for Short {
    fn fill(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        SystemRandomness.fill(bytes)
    }
}

#[test]
fn without_randomness_there_is_no_key_and_no_certificate() {
    for (kind, bits) in SHAPES {
        let shape = Shape::parse(kind, bits).unwrap();
        assert!(
            PrivateKey::generate(shape, &mut Short(0)).is_err(),
            "{kind} {bits}"
        );
    }
    assert!(super::super::certificate::serial(&mut Short(19)).is_err());
}

#[test]
fn serial_numbers_are_long_random_and_positive() {
    let draw = || super::super::certificate::serial(&mut SystemRandomness).unwrap();
    let (one, other) = (draw(), draw());
    assert_ne!(one, other);
    assert_eq!(one.as_bytes().len(), 20);
    assert!(one.as_bytes()[0] & 0xc0 == 0x40);
    assert_eq!(hexadecimal(&[0, 0, 10, 0, 255]), "0a:00:ff");
    assert_eq!(hexadecimal(&[0]), "00");
    assert_eq!(stored_serial("0A:00-ff").unwrap(), "0a-00-ff");
    for text in ["", "0", "0a:", "0a:0", "0a:0g", "a/b", "..", &"00:".repeat(21)] {
        assert!(stored_serial(text).is_err(), "{text}");
    }
}

#[test]
fn the_uses_of_a_key_are_those_of_the_role() {
    for (more, usage, uses) in [
        (json!({}), 0b1_0101, vec!["server", "client"]),
        (
            json!({"key_usage": ["DigitalSignature"], "server_flag": false}),
            0b1,
            vec!["client"],
        ),
        (
            json!({"key_usage": "keyusagecontentcommitment, DataEncipherment,CRLSign", "client_flag": false}),
            0b100_1010,
            vec!["server"],
        ),
        (
            json!({"key_usage": "DecipherOnly"}),
            0b1_0000_0000,
            vec!["server", "client"],
        ),
        (
            json!({"key_usage": [], "server_flag": false, "client_flag": false, "code_signing_flag": true}),
            0,
            vec!["code"],
        ),
        (
            json!({
                "email_protection_flag": true, "ext_key_usage": ["TimeStamping", "ExtKeyUsageOCSPSigning", "ServerAuth"],
                "ext_key_usage_oids": "1.2.3.4",
            }),
            0b1_0101,
            vec!["server", "client", "email", "time", "ocsp", "other"],
        ),
    ] {
        let mut bench = with_root();
        role(&mut bench, more.clone());
        let data = write(&mut bench, "issue/web", &json!({"common_name": "a.example.com"}));
        with_certificate(&data, |leaf| {
            let found = leaf.key_usage().unwrap().map_or(0, |one| {
                assert!(one.critical);
                one.value.flags
            });
            assert_eq!(found, usage, "{more}");
            let found = leaf.extended_key_usage().unwrap().unwrap().value;
            for (name, is_set) in [
                ("server", found.server_auth),
                ("client", found.client_auth),
                ("code", found.code_signing),
                ("email", found.email_protection),
                ("time", found.time_stamping),
                ("ocsp", found.ocsp_signing),
                ("other", !found.other.is_empty()),
            ] {
                assert_eq!(is_set, uses.contains(&name), "{more} {name}");
            }
            assert!(!leaf.is_ca());
        });
    }
}

#[test]
fn a_certificate_comes_in_the_form_that_was_asked_for() {
    let mut bench = with_root();
    role(
        &mut bench,
        json!({"key_type": "rsa", "policy_identifiers": "1.2.3.4", "basic_constraints_valid_for_non_ca": true}),
    );
    write(
        &mut bench,
        "config/urls",
        &json!({
            "issuing_certificates": "http://a/ca", "crl_distribution_points": ["http://a/crl"], "ocsp_servers": "http://a/ocsp",
        }),
    );
    let ask = |bench: &mut Bench<Pki>, format: &str, private: &str| {
        write(
            bench,
            "issue/web",
            &json!({
                "common_name": "a.example.com", "format": format, "private_key_format": private,
            }),
        )
    };
    let data = ask(&mut bench, "pem", "der");
    assert!(text(&data["private_key"]).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert!(text(&data["certificate"]).ends_with("-----END CERTIFICATE-----"));
    assert_eq!(data["private_key_type"], json!("rsa"));
    with_certificate(&data, |leaf| {
        let oids: Vec<String> = leaf
            .extensions()
            .iter()
            .map(|one| one.oid.to_id_string())
            .collect();
        for oid in [
            "1.3.6.1.5.5.7.1.1",
            "2.5.29.31",
            "2.5.29.32",
            "2.5.29.19",
            "2.5.29.14",
            "2.5.29.35",
        ] {
            assert_eq!(
                oids.iter().filter(|other| *other == oid).count(),
                1,
                "{oid} of {oids:?}"
            );
        }
    });
    let data = ask(&mut bench, "pem", "pkcs8");
    assert!(text(&data["private_key"]).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let data = ask(&mut bench, "der", "pkcs8");
    let bytes = STANDARD.decode(text(&data["certificate"])).unwrap();
    X509Certificate::from_der(&bytes).unwrap();
    assert!(PrivateKey::from_pkcs8(&STANDARD.decode(text(&data["private_key"])).unwrap()).is_some());
    X509Certificate::from_der(&STANDARD.decode(text(&data["issuing_ca"])).unwrap()).unwrap();
    let data = ask(&mut bench, "pem_bundle", "der");
    let labels: Vec<String> = pem::decode(&text(&data["certificate"]), "it")
        .unwrap()
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(labels, ["RSA PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"]);
    for body in [
        json!({"common_name": "a.b", "format": "xml"}),
        json!({"common_name": "a.b", "private_key_format": "xml"}),
    ] {
        refused(&mut bench, "issue/web", &body);
    }
    let stored = bench
        .storage
        .records
        .iter()
        .filter(|(path, _)| path.starts_with("certificate/"));
    assert!(
        stored
            .into_iter()
            .all(|(_, (bytes, _))| X509Certificate::from_der(bytes).is_ok())
    );
}

/// A request for a new key, made by another mount.
fn csr(kind: &str, bits: i64, more: Value) -> Value {
    let mut body = json!({"common_name": "a.example.com", "key_type": kind, "key_bits": bits});
    merge(&mut body, more);
    write(&mut bench(), "intermediate/generate/internal", &body)["csr"].clone()
}

#[test]
fn requests_of_every_kind_of_key_are_signed() {
    let mut bench = with_root();
    role(&mut bench, json!({"key_type": "any"}));
    for (kind, bits) in SHAPES {
        let request = csr(
            kind,
            bits,
            json!({"alt_names": "b.example.com", "ip_sans": "10.0.0.1"}),
        );
        let data = write(
            &mut bench,
            "sign/web",
            &json!({"csr": request, "common_name": "ignored.example.com"}),
        );
        assert!(data.get("private_key").is_none());
        let public = Request::parse(&text(&request)).unwrap().info.public_key;
        with_certificate(&data, |leaf| {
            assert_eq!(leaf.subject().to_string(), "CN=a.example.com");
            assert_eq!(
                leaf.public_key().raw,
                x509_cert::der::Encode::to_der(&public).unwrap()
            );
            let names = leaf.subject_alternative_name().unwrap().unwrap();
            assert_eq!(names.value.general_names.len(), 3);
        });
    }
    assert!(refused(&mut bench, "issue/web", &json!({"common_name": "a.b"})).contains("only signing"));
}

#[test]
fn a_request_is_held_to_the_role() {
    let mut bench = with_root();
    let ours = csr("ec", 256, json!({}));
    for (more, reason) in [
        (json!({"key_type": "rsa"}), "role requires keys of type rsa"),
        (
            json!({"key_type": "ec", "key_bits": 384}),
            "role requires a minimum of a 384-bit key",
        ),
        (
            json!({"allow_any_name": false}),
            "common name a.example.com not allowed by this role",
        ),
        (
            json!({"use_csr_common_name": false}),
            "the common_name field is required",
        ),
    ] {
        role(&mut bench, more);
        let text = refused(&mut bench, "sign/web", &json!({"csr": ours}));
        assert!(text.contains(reason), "{text}");
    }
    role(
        &mut bench,
        json!({"allow_any_name": false, "allowed_domains": "example.com", "allow_subdomains": true}),
    );
    let sneaky = csr("ec", 256, json!({"alt_names": "evil.org"}));
    assert!(refused(&mut bench, "sign/web", &json!({"csr": sneaky})).contains("evil.org not allowed"));
    let sneaky = csr("ec", 256, json!({"add_basic_constraints": true}));
    let data = write(&mut bench, "sign/web", &json!({"csr": sneaky}));
    with_certificate(&data, |leaf| assert!(!leaf.is_ca()));
    let data = write(&mut bench, "sign-verbatim/web", &json!({"csr": sneaky}));
    with_certificate(&data, |leaf| assert!(!leaf.is_ca()));
    role(
        &mut bench,
        json!({"use_csr_common_name": false, "use_csr_sans": false}),
    );
    let body = json!({"csr": ours, "common_name": "b.example.com", "alt_names": "c.example.com"});
    let data = write(&mut bench, "sign/web", &body);
    with_certificate(&data, |leaf| {
        assert_eq!(leaf.subject().to_string(), "CN=b.example.com");
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 2);
    });
}

#[test]
fn what_is_no_request_is_refused() {
    let mut bench = with_root();
    role(&mut bench, json!({}));
    let good = text(&csr("ec", 256, json!({})));
    let mut bytes = der(&good);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = pem::encode("CERTIFICATE REQUEST", &bytes).unwrap();
    let mut renamed = der(&good);
    let at = renamed
        .windows(9)
        .position(|window| window == b"a.example")
        .unwrap();
    renamed[at] = b'b';
    let renamed = pem::encode("CERTIFICATE REQUEST", &renamed).unwrap();
    let ca = text(&read(&mut bench, "cert/ca")["certificate"]);
    for (csr, reason) in [
        (json!(null), "\"csr\" is missing"),
        (json!(""), "\"csr\" is missing"),
        (json!("hello"), "no data found in PEM block"),
        (json!("-----BEGIN CERTIFICATE REQUEST-----"), "cannot be read"),
        (json!(ca), "is not called CERTIFICATE REQUEST"),
        (
            json!(pem::encode("CERTIFICATE REQUEST", &[0x30, 0]).unwrap()),
            "could not be parsed",
        ),
        (json!(forged), "request signature invalid"),
        (json!(renamed), "request signature invalid"),
        (json!(format!("{good}\n{good}")), "more than one block"),
        (json!("x".repeat(300_000)), "the most is 262144"),
    ] {
        for path in ["sign/web", "sign-verbatim", "root/sign-intermediate"] {
            let text = refused(&mut bench, path, &json!({"csr": csr, "common_name": "x"}));
            assert!(text.contains(reason), "{path}: {text}");
        }
    }
}

#[test]
fn a_request_is_signed_as_it_stands_where_that_is_asked_for() {
    let mut bench = with_root();
    let request = csr(
        "ec",
        256,
        json!({"organization": "Theirs", "alt_names": "b.example.com"}),
    );
    let data = write(
        &mut bench,
        "sign-verbatim",
        &json!({"csr": request, "ttl": "1h", "ext_key_usage": "ClientAuth"}),
    );
    with_certificate(&data, |leaf| {
        assert_eq!(leaf.subject().to_string(), "O=Theirs, CN=a.example.com");
        let uses = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(uses.client_auth && !uses.server_auth);
        assert_eq!(leaf.validity().not_after.timestamp(), 1_700_003_600);
        assert!(leaf.subject_alternative_name().unwrap().is_some());
    });
    assert!(
        refused(&mut bench, "sign-verbatim/none", &json!({"csr": request})).contains("unknown role: none")
    );
}
