//! Roots, intermediates and leaves: who signs whom, for how long, and how far down.

use x509_parser::prelude::Pem;

use super::*;

/// An intermediate in a mount of its own, signed by the root of another.
fn intermediate(parent: &mut Bench<Pki>, kind: &Value, more: Value) -> (Bench<Pki>, Value) {
    let mut child = bench();
    let request = write(&mut child, "intermediate/generate/internal", kind);
    let mut body = json!({"csr": request["csr"], "common_name": "Middle"});
    merge(&mut body, more);
    let signed = write(parent, "root/sign-intermediate", &body);
    let bundle = format!(
        "{}\n{}",
        text(&signed["certificate"]),
        text(&signed["issuing_ca"])
    );
    write(
        &mut child,
        "intermediate/set-signed",
        &json!({"certificate": bundle}),
    );
    (child, signed)
}

#[test]
fn a_chain_of_each_kind_of_key_verifies_up_to_its_root() {
    for (kind, bits) in [("rsa", 2048), ("ec", 256), ("ec", 384), ("ed25519", 0)] {
        let mut top = bench();
        let root = write(
            &mut top,
            "root/generate/internal",
            &json!({"common_name": "Root", "key_type": kind, "key_bits": bits, "ttl": "700h"}),
        );
        assert!(root.get("private_key").is_none());
        let (mut middle, _) = intermediate(
            &mut top,
            &json!({"common_name": "Middle", "key_type": "ec"}),
            json!({}),
        );
        role(&mut middle, json!({}));
        let leaf = write(&mut middle, "issue/web", &json!({"common_name": "a.example.com"}));
        let chain: Vec<String> = leaf["ca_chain"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(chain.len(), 2, "{kind}");
        assert_eq!(chain[1], text(&root["certificate"]));
        assert_eq!(chain[0], text(&leaf["issuing_ca"]));
        let both = chain.join("\n");
        assert_eq!(raw(&mut middle, "ca_chain"), both.as_bytes());
        let parsed: Vec<Vec<u8>> = Pem::iter_from_buffer(both.as_bytes())
            .map(|pem| pem.unwrap().contents)
            .collect();
        let of = |bytes| X509Certificate::from_der(bytes).unwrap().1;
        let (issuer, top) = (of(&parsed[0]), of(&parsed[1]));
        with_certificate(&leaf, |leaf| {
            leaf.verify_signature(Some(issuer.public_key())).unwrap();
            assert!(leaf.verify_signature(Some(top.public_key())).is_err());
            assert!(!leaf.is_ca());
        });
        issuer.verify_signature(Some(top.public_key())).unwrap();
        top.verify_signature(None).unwrap();
        assert!(issuer.is_ca() && top.is_ca());
        let leaf = write(
            &mut middle,
            "issue/web",
            &json!({"common_name": "a.example.com", "remove_roots_from_chain": true}),
        );
        assert_eq!(leaf["ca_chain"], json!([leaf["issuing_ca"]]));
    }
}

#[test]
fn a_chain_on_p_521_verifies() {
    let mut top = bench();
    root(&mut top, json!({"key_bits": 521}));
    let own = crate::service::secrets::engine::pki::issuers::need(&mut top.storage, "default").unwrap();
    let own = own.certificate().unwrap();
    assert!(super::super::certificate::is_signed_by(&own, &own));
    let mut tampered = own.clone();
    tampered.tbs_certificate.serial_number = x509_cert::serial_number::SerialNumber::new(&[1]).unwrap();
    assert!(!super::super::certificate::is_signed_by(&tampered, &tampered));
    intermediate(
        &mut top,
        &json!({"common_name": "Middle", "key_type": "ec", "key_bits": 521}),
        json!({}),
    );
}

#[test]
fn authorities_say_what_they_are_and_how_far_down() {
    let mut top = bench();
    let made = root(
        &mut top,
        json!({"max_path_length": 2, "permitted_dns_domains": "example.com"}),
    );
    with_certificate(&made, |root| {
        let usage = root.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
        assert!(!usage.value.digital_signature());
        let basic = root.basic_constraints().unwrap().unwrap();
        assert!(basic.critical);
        assert_eq!((basic.value.ca, basic.value.path_len_constraint), (true, Some(2)));
        let constraints = root.name_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        assert_eq!(constraints.value.permitted_subtrees.as_ref().unwrap().len(), 1);
    });
    let length = |data: &Value| {
        with_certificate(data, |one| {
            one.basic_constraints()
                .unwrap()
                .unwrap()
                .value
                .path_len_constraint
        })
    };
    let kind = json!({"common_name": "Middle", "key_type": "ec"});
    let (mut middle, signed) = intermediate(&mut top, &kind, json!({}));
    assert_eq!(length(&signed), Some(1));
    let (_, signed) = intermediate(&mut top, &kind, json!({"max_path_length": 0}));
    assert_eq!(length(&signed), Some(0));
    let request = write(&mut bench(), "intermediate/generate/internal", &kind);
    let body = json!({"csr": request["csr"], "common_name": "Deep", "max_path_length": 2});
    assert!(refused(&mut top, "root/sign-intermediate", &body).contains("is more than 1"));
    let (mut last, signed) = intermediate(&mut middle, &kind, json!({}));
    assert_eq!(length(&signed), Some(0));
    let body = json!({"csr": request["csr"], "common_name": "Too deep"});
    assert!(refused(&mut last, "root/sign-intermediate", &body).contains("max path length of zero"));
}

#[test]
fn nothing_outlasts_its_issuer() {
    let mut bench = with_root();
    let root_end = with_certificate(&read(&mut bench, "cert/ca"), |root| {
        root.validity().not_after.timestamp()
    });
    role(&mut bench, json!({"ttl": "700h", "max_ttl": "760h"}));
    let leaf = write(&mut bench, "issue/web", &json!({"common_name": "a.example.com"}));
    assert_eq!(leaf["expiration"], json!(root_end));
    let long = json!({"common_name": "a.example.com", "ttl": "701h"});
    assert!(refused(&mut bench, "issue/web", &long).contains("beyond the expiration of the CA certificate"));
    let late = json!({"common_name": "a.example.com", "not_after": "2199-01-01T00:00:00Z"});
    assert!(refused(&mut bench, "issue/web", &late).contains("beyond the expiration of the CA certificate"));
    write(
        &mut bench,
        "issuer/default",
        &json!({"leaf_not_after_behavior": "truncate"}),
    );
    for body in [&long, &late] {
        let leaf = write(&mut bench, "issue/web", body);
        with_certificate(&leaf, |leaf| {
            assert_eq!(leaf.validity().not_after.timestamp(), root_end)
        });
    }
    let (_, signed) = intermediate(
        &mut bench,
        &json!({"common_name": "Middle", "key_type": "ec"}),
        json!({"ttl": "760h"}),
    );
    with_certificate(&signed, |middle| {
        assert_eq!(middle.validity().not_after.timestamp(), root_end)
    });
    bench.now += std::time::Duration::from_secs(701 * 3_600);
    assert!(refused(&mut bench, "issue/web", &long).contains("the CA certificate has expired"));
    let fault = bench.ask(
        Operation::Update,
        "issuer/default",
        r#"{"leaf_not_after_behavior": "permit"}"#,
    );
    assert!(matches!(fault, Err(Fault::Unimplemented(_))));
}

#[test]
fn a_certificate_lasts_as_long_as_is_asked_for_within_the_role() {
    let mut bench = with_root();
    role(
        &mut bench,
        json!({"ttl": "1h", "max_ttl": "2h", "not_before_duration": "1m"}),
    );
    let now = i64::try_from(bench.now.as_secs()).unwrap();
    for (more, seconds, is_warned) in [
        (json!({}), 3_600, false),
        (json!({"ttl": "30m"}), 1_800, false),
        (json!({"ttl": 90}), 90, false),
        (json!({"ttl": "3h"}), 7_200, true),
        (json!({"not_after": "2023-11-14T22:30:00Z"}), 1_000, false),
        (json!({"not_after": "2024-01-01T00:00:00Z"}), 7_200, true),
    ] {
        let mut body = json!({"common_name": "a.example.com"});
        merge(&mut body, more);
        let answer = bench
            .ask(Operation::Update, "issue/web", &body.to_string())
            .unwrap();
        assert_eq!(
            answer.warnings.is_empty(),
            !is_warned,
            "{body}: {:?}",
            answer.warnings
        );
        let data = serde_json::to_value(answer.data).unwrap();
        with_certificate(&data, |leaf| {
            assert_eq!(leaf.validity().not_before.timestamp(), now - 60);
            assert_eq!(leaf.validity().not_after.timestamp(), now + seconds, "{body}");
        });
    }
    for (more, reason) in [
        (
            json!({"ttl": "1h", "not_after": "2030-01-01T00:00:00Z"}),
            "Both should not be provided",
        ),
        (
            json!({"not_after": "2020-01-01T00:00:00Z"}),
            "would have expired at 2020-01-01T00:00:00",
        ),
        (json!({"not_after": "tomorrow"}), "is no time"),
        (json!({"ttl": "-1h"}), "is no time"),
    ] {
        let mut body = json!({"common_name": "a.example.com"});
        merge(&mut body, more);
        let text = refused(&mut bench, "issue/web", &body);
        assert!(text.contains(reason), "{body}: {text}");
    }
}

#[test]
fn the_time_that_a_role_names_is_that_of_its_certificates() {
    let mut bench = bench();
    let root = write(
        &mut bench,
        "root/generate/internal",
        &json!({"common_name": "Root", "key_type": "ec", "not_after": "2033-01-01T00:00:00Z"}),
    );
    assert_eq!(
        root["expiration"],
        json!(1_988_150_400),
        "what is no role's is not cut"
    );
    role(&mut bench, json!({"not_after": "2024-01-31T00:00:00Z"}));
    for more in [
        json!({}),
        json!({"ttl": 0}),
        json!({"not_after": "2032-01-01T00:00:00Z"}),
        json!({"not_after": "2023-12-01T00:00:00Z"}),
    ] {
        let mut body = json!({"common_name": "a.example.com"});
        merge(&mut body, more);
        let leaf = write(&mut bench, "issue/web", &body);
        assert_eq!(leaf["expiration"], json!(1_706_659_200), "{body}");
    }
    let longer = json!({"common_name": "a.example.com", "ttl": "700h"});
    let refusal = refused(&mut bench, "issue/web", &longer);
    assert!(
        refusal.starts_with("Either ttl or not_after should be provided."),
        "{refusal}"
    );
    role(&mut bench, json!({}));
    let late = json!({"common_name": "a.example.com", "not_after": "2032-01-01T00:00:00Z"});
    let leaf = write(&mut bench, "issue/web", &late);
    assert_eq!(
        leaf["expiration"],
        json!(1_956_528_000),
        "the role has no maximum"
    );
}

#[test]
fn of_several_issuers_one_is_the_default_and_each_can_be_named() {
    let mut bench = with_root();
    let second = root(
        &mut bench,
        json!({"common_name": "Second", "issuer_name": "second"}),
    );
    assert_ne!(read(&mut bench, "config/issuers")["default"], second["issuer_id"]);
    role(&mut bench, json!({}));
    let body = json!({"common_name": "a.example.com"});
    let by = |data: &Value| with_certificate(data, |leaf| leaf.issuer().to_string());
    assert_eq!(by(&write(&mut bench, "issue/web", &body)), "CN=Root");
    assert_eq!(
        by(&write(&mut bench, "issuer/second/issue/web", &body)),
        "CN=Second"
    );
    role(&mut bench, json!({"issuer_ref": "second"}));
    assert_eq!(by(&write(&mut bench, "issue/web", &body)), "CN=Second");
    role(&mut bench, json!({}));
    write(&mut bench, "config/issuers", &json!({"default": "second"}));
    assert_eq!(by(&write(&mut bench, "issue/web", &body)), "CN=Second");
    assert!(
        refused(
            &mut bench,
            "root/generate/internal",
            &json!({"common_name": "x", "key_type": "ec", "issuer_name": "second"})
        )
        .contains("already in use")
    );
    let keys = bench.data(Operation::List, "issuers/", "").unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    bench.ask(Operation::Delete, "issuer/second", "").unwrap();
    assert!(refused(&mut bench, "issue/web", &body).contains("no default issuer currently configured"));
    let fault = bench.ask(Operation::Read, "issuer/second", "").unwrap_err();
    assert!(
        matches!(&fault, Fault::Internal(text) if text.starts_with("unable to find PKI issuer")),
        "{fault}"
    );
    bench.ask(Operation::Delete, "root", "").unwrap();
    assert!(bench.data(Operation::List, "keys/", "").is_err());
}

#[test]
fn a_bundle_of_certificate_and_key_becomes_an_issuer() {
    let mut other = bench();
    let made = write(
        &mut other,
        "root/generate/exported",
        &json!({"common_name": "Other", "key_type": "ec", "key_bits": 384}),
    );
    let bundle =
        json!({"pem_bundle": format!("{}\n{}", text(&made["private_key"]), text(&made["certificate"]))});
    let mut bench = bench();
    let imported = write(&mut bench, "config/ca", &bundle);
    assert_eq!(imported["imported_issuers"].as_array().unwrap().len(), 1);
    assert_eq!(imported["imported_keys"].as_array().unwrap().len(), 1);
    let again = write(&mut bench, "config/ca", &bundle);
    assert_eq!(again["imported_issuers"], Value::Null);
    assert_eq!(again["existing_issuers"], imported["imported_issuers"]);
    role(&mut bench, json!({}));
    write(&mut bench, "issue/web", &json!({"common_name": "a.example.com"}));
    assert_eq!(raw(&mut bench, "ca/pem"), text(&made["certificate"]).into_bytes());
    for (path, body, reason) in [
        (
            "config/ca",
            json!({"pem_bundle": "nothing"}),
            "no data found in PEM block",
        ),
        ("config/ca", json!({}), "\"pem_bundle\" is missing"),
        (
            "intermediate/set-signed",
            json!({"certificate": bundle["pem_bundle"]}),
            "private keys found in the PEM bundle",
        ),
    ] {
        let text = refused(&mut bench, path, &body);
        assert!(text.contains(reason), "{path}: {text}");
    }
    let foreign = root(&mut super::bench(), json!({}));
    let body = json!({"certificate": foreign["certificate"]});
    assert!(
        refused(&mut bench, "intermediate/set-signed", &body)
            .contains("the key of the given certificate is not here")
    );
    let leaf = write(&mut bench, "issue/web", &json!({"common_name": "a.example.com"}));
    let body = json!({"pem_bundle": leaf["certificate"]});
    assert!(
        refused(&mut bench, "issuers/import/cert", &body).contains("refusing to import non-CA certificate")
    );
}

#[test]
fn a_root_of_others_is_signed_under_its_own_key_and_name() {
    let mut other = bench();
    let theirs = root(&mut other, json!({"common_name": "Theirs"}));
    let mut bench = with_root();
    let crossed = write(
        &mut bench,
        "root/sign-self-issued",
        &json!({"certificate": theirs["certificate"]}),
    );
    with_certificate(&crossed, |one| {
        assert_eq!(one.subject().to_string(), "CN=Theirs");
        assert_eq!(one.issuer().to_string(), "CN=Root");
        assert!(one.is_ca());
        let root = der(&text(&crossed["issuing_ca"]));
        let root = X509Certificate::from_der(&root).unwrap().1;
        one.verify_signature(Some(root.public_key())).unwrap();
        with_certificate(&theirs, |theirs| {
            assert_eq!(one.public_key().raw, theirs.public_key().raw)
        });
    });
    role(&mut bench, json!({}));
    let leaf = write(&mut bench, "issue/web", &json!({"common_name": "a.example.com"}));
    for certificate in [&leaf["certificate"], &crossed["certificate"]] {
        refused(
            &mut bench,
            "root/sign-self-issued",
            &json!({"certificate": certificate}),
        );
    }
}

#[test]
fn a_root_is_replaced_by_the_next() {
    let mut bench = with_root();
    let body = json!({"common_name": "Next", "key_type": "ec"});
    let next = write(&mut bench, "root/rotate/internal", &body);
    assert_eq!(next["issuer_name"], json!("next"));
    assert_ne!(read(&mut bench, "config/issuers")["default"], next["issuer_id"]);
    write(&mut bench, "root/replace", &json!({}));
    assert_eq!(read(&mut bench, "config/issuers")["default"], next["issuer_id"]);
}
