//! Paths and roles.

use super::*;
use crate::service::secrets::engine::Engine;

#[test]
fn a_role_is_written_read_changed_listed_and_deleted() {
    let mut bench = bench();
    assert!(matches!(
        bench.ask(Operation::List, "roles/", ""),
        Err(Fault::Missing)
    ));
    write(
        &mut bench,
        "roles/Web",
        &json!({"allowed_domains": "a.com,b.com", "ttl": "6h", "max_ttl": "12h"}),
    );
    let role = read(&mut bench, "roles/Web");
    for (name, value) in [
        ("allowed_domains", json!(["a.com", "b.com"])),
        ("ttl", json!(21_600)),
        ("max_ttl", json!(43_200)),
        ("key_type", json!("rsa")),
        ("key_bits", json!(2_048)),
        ("allow_ip_sans", json!(true)),
        ("server_flag", json!(true)),
        ("not_before_duration", json!(30)),
        ("issuer_ref", json!("default")),
        (
            "key_usage",
            json!(["DigitalSignature", "KeyAgreement", "KeyEncipherment"]),
        ),
    ] {
        assert_eq!(role[name], value, "{name}");
    }
    bench
        .ask(Operation::Patch, "roles/Web", r#"{"ttl": "1h"}"#)
        .unwrap();
    let role = read(&mut bench, "roles/Web");
    assert_eq!((&role["ttl"], &role["max_ttl"]), (&json!(3_600), &json!(43_200)));
    write(&mut bench, "roles/Web", &json!({"ttl": "1h"}));
    assert_eq!(
        read(&mut bench, "roles/Web")["max_ttl"],
        json!(0),
        "a write says all of it"
    );
    assert_eq!(
        bench.data(Operation::List, "roles/", "").unwrap()["keys"],
        json!(["Web"])
    );
    bench.ask(Operation::Delete, "roles/Web", "").unwrap();
    assert!(matches!(
        bench.ask(Operation::Read, "roles/Web", ""),
        Err(Fault::Missing)
    ));
}

#[test]
fn a_role_that_says_what_cannot_be_is_refused() {
    let mut bench = bench();
    for (body, reason) in [
        (json!({"key_type": "dsa"}), "unknown key type \"dsa\""),
        (
            json!({"key_bits": 1024}),
            "unsupported bit length for RSA key: 1024",
        ),
        (json!({"ttl": "2h", "max_ttl": "1h"}), "must be less than"),
        (json!({"ttl": "soon"}), "field \"ttl\""),
        (json!({"allow_any_name": "perhaps"}), "field \"allow_any_name\""),
        (
            json!({"key_usage": "Everything"}),
            "unknown key_usage \"Everything\"",
        ),
        (json!({"ext_key_usage": "Everything"}), "unknown ext_key_usage"),
        (json!({"ext_key_usage_oids": "1.x"}), "object identifier"),
        (json!({"policy_identifiers": "policy"}), "object identifier"),
        (json!({"signature_bits": 160}), "unknown signature_bits"),
        (json!({"not_after": "later"}), "is no time"),
        (json!({"cn_validations": "phone"}), "unknown value \"phone\""),
        (json!({"cn_validations": "disabled,email"}), "stands alone"),
    ] {
        let text = refused(&mut bench, "roles/web", &body);
        assert!(text.contains(reason), "{body}: {text}");
    }
    for body in [
        json!({"use_pss": true}),
        json!({"allowed_other_sans": "*"}),
        json!({"allowed_domains_template": true}),
        json!({"allowed_user_ids": "me"}),
    ] {
        let fault = bench.ask(Operation::Update, "roles/web", &body.to_string());
        assert!(matches!(fault, Err(Fault::Unimplemented(_))), "{body}");
    }
}

#[test]
fn what_is_public_needs_no_token_and_nothing_else_is_public() {
    for path in [
        "ca",
        "ca/pem",
        "ca_chain",
        "crl",
        "crl/pem",
        "cert/ca",
        "cert/crl",
        "cert/01:02",
        "cert/01:02/raw/pem",
        "issuers/",
        "issuer/default/pem",
        "issuer/default/der",
        "issuer/default/json",
        "issuer/default/crl/pem",
    ] {
        assert!(Pki.is_open(path), "{path}");
    }
    for path in [
        "",
        "certs/",
        "config/ca",
        "issue/web",
        "issuer/default",
        "keys/",
        "revoke",
        "roles/web",
        "root",
        "crl/rotate",
        "cert",
        "issuer/default/issue/pem",
        "issuer/default/revoke",
        "issuers/import/bundle",
        "sign-verbatim",
    ] {
        assert!(!Pki.is_open(path), "{path}");
    }
    assert!(Pki.needs_sudo("root") && Pki.needs_sudo("root/sign-self-issued"));
    assert!(!Pki.needs_sudo("root/generate/internal") && !Pki.needs_sudo("roles/web"));
}

#[test]
fn what_is_not_offered_says_so_and_what_is_unknown_is_not_found() {
    let mut bench = with_root();
    for path in [
        "acme/directory",
        "ocsp",
        "config/acme",
        "unified-crl",
        "tidy-status",
        "issuer/default/resign-crls",
    ] {
        for operation in [Operation::Read, Operation::Update] {
            let fault = bench.ask(operation, path, "");
            assert!(matches!(fault, Err(Fault::Unimplemented(_))), "{path}: {fault:?}");
        }
    }
    for path in ["nothing", "nothing/at/all"] {
        assert!(
            matches!(bench.ask(Operation::Read, path, ""), Err(Fault::NoPath(_))),
            "{path}"
        );
    }
    for path in ["issue/web", "revoke", "tidy", "root"] {
        assert!(
            matches!(bench.ask(Operation::Read, path, ""), Err(Fault::Unsupported)),
            "{path}"
        );
    }
    let fault = bench.ask(Operation::Update, "root/generate/kms", r#"{"common_name": "x"}"#);
    assert!(matches!(fault, Err(Fault::Unimplemented(_))));
    assert!(refused(&mut bench, "issue/web", &json!({"common_name": "x"})).contains("unknown role: web"));
}

#[test]
fn a_mount_without_an_issuer_has_nothing_to_show() {
    let mut bench = bench();
    for path in ["ca", "ca/pem", "ca_chain", "crl", "crl/pem"] {
        let answer = bench.ask(Operation::Read, path, "").unwrap();
        assert!(answer.data.is_none() && answer.raw.is_none(), "{path}");
    }
    for path in ["cert/ca", "cert/crl", "cert/01:02"] {
        assert!(
            matches!(bench.ask(Operation::Read, path, ""), Err(Fault::Missing)),
            "{path}"
        );
    }
    role(&mut bench, json!({}));
    let refusal = refused(&mut bench, "issue/web", &json!({"common_name": "a.example.com"}));
    assert!(
        refusal.contains("could not fetch the CA certificate"),
        "{refusal}"
    );
}

#[test]
fn an_issuer_is_named_and_keeps_the_rest() {
    let mut bench = with_root();
    let before = read(&mut bench, "issuer/default");
    assert_eq!(
        before["usage"],
        json!("read-only,issuing-certificates,crl-signing")
    );
    let after = write(&mut bench, "issuer/default", &json!({"issuer_name": "first"}));
    assert_eq!(
        (&after["issuer_name"], &after["usage"]),
        (&json!("first"), &before["usage"])
    );
    assert_eq!(
        write(&mut bench, "issuer/first", &json!({}))["issuer_name"],
        json!("first")
    );
    for body in [
        json!({"issuer_name": "default"}),
        json!({"issuer_name": "a b"}),
        json!({"usage": "everything"}),
        json!({"leaf_not_after_behavior": "later"}),
        json!({"crl_distribution_points": "here"}),
    ] {
        refused(&mut bench, "issuer/first", &body);
    }
    write(&mut bench, "issuer/first", &json!({"usage": "read-only"}));
    role(&mut bench, json!({}));
    assert!(
        refused(&mut bench, "issue/web", &json!({"common_name": "a.example.com"})).contains("must not issue")
    );
    let shown = raw(&mut bench, "issuer/first/pem");
    assert_eq!(shown, text(&before["certificate"]).into_bytes());
    assert_eq!(
        bench.data(Operation::Read, "issuer/first/json", "").unwrap()["certificate"],
        before["certificate"]
    );
}

#[test]
fn private_keys_are_in_no_answer_but_that_which_made_them() {
    let mut bench = bench();
    let made = write(
        &mut bench,
        "root/generate/exported",
        &json!({"common_name": "Root", "key_type": "ed25519"}),
    );
    let key = text(&made["private_key"]).replace("-----BEGIN PRIVATE KEY-----", "");
    let key = key.trim().lines().next().unwrap().to_owned();
    for path in [
        "issuer/default",
        "key/default",
        "cert/ca",
        "config/keys",
        "config/issuers",
    ] {
        assert!(!read(&mut bench, path).to_string().contains(&key), "{path}");
    }
    let keys = bench.data(Operation::List, "keys/", "").unwrap();
    assert!(!keys.to_string().contains(&key));
    assert!(bench.storage.records.iter().all(|(path, (bytes, _))| {
        path.starts_with("key/") || !String::from_utf8_lossy(bytes).contains(&key)
    }));
}

#[test]
fn a_mount_has_only_so_many_issuers_and_keys() {
    use crate::base::limits::{MAXIMUM_PKI_ISSUERS, MAXIMUM_PKI_KEYS};
    let mut bench = with_root();
    for (directory, most) in [("issuer", MAXIMUM_PKI_ISSUERS), ("key", MAXIMUM_PKI_KEYS)] {
        let records = bench.storage.records.iter();
        let mut own = records.filter(|(path, _)| path.starts_with(&format!("{directory}/")));
        let record = own.next().unwrap().1.clone();
        for number in 1..most {
            let path = format!("{directory}/copy-{number}");
            bench.storage.records.insert(path, record.clone());
        }
    }
    let key = json!({"key_type": "ed25519"});
    assert!(refused(&mut bench, "keys/generate/internal", &key).contains("has 256 keys, which is the most"));
    let again = json!({"common_name": "Second"});
    let refusal = refused(&mut bench, "root/generate/existing", &again);
    assert!(
        refusal.contains("has 256 issuers, which is the most"),
        "{refusal}"
    );
    bench.storage.records.remove("issuer/copy-1");
    write(&mut bench, "root/generate/existing", &again);
}

#[test]
fn each_of_several_issuers_is_shown_as_it_is() {
    let mut bench = with_root();
    let second = root(&mut bench, json!({"issuer_name": "second"}));
    let shown = raw(&mut bench, "issuer/second/pem");
    assert_eq!(shown, text(&second["certificate"]).into_bytes());
    let own = bench.data(Operation::Read, "issuer/default", "").unwrap();
    assert_eq!(
        raw(&mut bench, "issuer/default/der"),
        der(&text(&own["certificate"]))
    );
}
