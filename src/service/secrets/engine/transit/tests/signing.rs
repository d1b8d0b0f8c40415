//! Signatures and HMAC.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

const SIGNING: [&str; 5] = ["ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048"];

fn with_key(kind: &str) -> Mounted {
    let mut mounted = mounted();
    if kind == "rsa-2048" {
        mounted.install(
            "key",
            kind,
            json!({}),
            &STANDARD.decode(fixtures::RSA_2048).unwrap(),
        );
    } else {
        mounted.make("key", kind);
    }
    mounted
}

/// The settings with the input and with what was signed.
fn with(settings: &Value, fields: Value) -> Value {
    let mut body = settings.clone();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn what_was_signed_is_verified_and_nothing_else_is() {
    for kind in SIGNING {
        let mut mounted = with_key(kind);
        for settings in [
            json!({}),
            json!({ "hash_algorithm": "sha2-224" }),
            json!({ "hash_algorithm": "sha2-512" }),
            json!({ "hash_algorithm": "sha1", "marshaling_algorithm": "jws" }),
            json!({ "hash_algorithm": "sha3-384", "signature_algorithm": "pkcs1v15" }),
            json!({ "signature_algorithm": "pss", "salt_length": "hash" }),
            json!({ "signature_algorithm": "pss", "salt_length": 20 }),
            json!({ "signature_algorithm": "pss", "salt_length": "0" }),
        ] {
            let input = b64("what is signed");
            let signature = mounted.text(
                "sign/key",
                "signature",
                with(&settings, json!({ "input": input })),
            );
            let mut is_valid = |settings: &Value, input: &str, signature: &str| {
                let fields = json!({ "input": input, "signature": signature });
                mounted
                    .ask(Operation::Update, "verify/key", &with(settings, fields))
                    .ok()
                    .is_some_and(|answer| serde_json::to_value(answer.data).unwrap()["valid"] == true)
            };
            assert!(is_valid(&settings, &input, &signature), "{kind} {settings}");
            assert!(
                !is_valid(&settings, &b64("what is signed."), &signature),
                "{kind} {settings}"
            );
            if kind != "ed25519" {
                let other = with(&settings, json!({ "hash_algorithm": "sha2-384" }));
                assert!(!is_valid(&other, &input, &signature), "{kind} {settings}");
            }
            let (prefix, encoded) = signature.rsplit_once(':').unwrap();
            let is_jws = settings.get("marshaling_algorithm").is_some();
            let bytes = if is_jws {
                URL_SAFE_NO_PAD.decode(encoded)
            } else {
                STANDARD.decode(encoded)
            }
            .unwrap();
            for place in (0..bytes.len()).step_by(7) {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                let encoded = if is_jws {
                    URL_SAFE_NO_PAD.encode(changed)
                } else {
                    STANDARD.encode(changed)
                };
                assert!(
                    !is_valid(&settings, &input, &format!("{prefix}:{encoded}")),
                    "{kind} {settings} {place}"
                );
            }
        }
    }
}

#[test]
fn a_hash_may_be_given_in_place_of_what_it_is_of() {
    for kind in &SIGNING[1..] {
        let mut mounted = with_key(kind);
        let hash = super::super::hash::Hash::Sha512.of(b"what is signed");
        let body = json!({ "input": b64(&hash), "prehashed": true, "hash_algorithm": "sha2-512" });
        let signature = mounted.text("sign/key", "signature", body);
        let body = json!({ "input": b64("what is signed"), "signature": signature });
        assert_eq!(
            mounted.write("verify/key/sha2-512", body)["valid"],
            true,
            "{kind}"
        );
        for hash in [vec![], vec![0; 65]] {
            let refusal = mounted.refusal("sign/key", json!({ "input": b64(hash), "prehashed": true }));
            assert!(refusal.contains("a hash has 1 to 64"), "{kind}: {refusal}");
        }
    }
    let mut mounted = with_key("rsa-2048");
    let refusal = "the input is prehashed and has 31 bytes; a hash of sha2-256 has 32";
    for algorithm in ["pss", "pkcs1v15"] {
        let body = json!({ "input": b64([0; 31]), "prehashed": true, "signature_algorithm": algorithm });
        assert_eq!(mounted.refusal("sign/key", body), refusal);
    }
    let body = json!({ "input": b64([7; 31]), "prehashed": true, "signature_algorithm": "pkcs1v15" });
    let signature = mounted.text("sign/key/none", "signature", body.clone());
    let body = with(&body, json!({ "signature": signature, "hash_algorithm": "none" }));
    assert_eq!(mounted.write("verify/key", body)["valid"], true);
}

#[test]
fn what_cannot_be_signed_like_that_is_refused() {
    let marks = "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15";
    for (kind, body, refusal) in [
        (
            "ecdsa-p256",
            json!({ "input": "?" }),
            "unable to decode input as base64",
        ),
        ("ecdsa-p256", json!({}), "missing input; give it in base64"),
        (
            "ecdsa-p256",
            json!({ "input": "", "hash_algorithm": "md5" }),
            "invalid hash algorithm \"md5\"",
        ),
        (
            "ecdsa-p256",
            json!({ "input": "", "algorithm": "md5" }),
            "invalid hash algorithm \"md5\"",
        ),
        (
            "ecdsa-p256",
            json!({ "input": "", "hash_algorithm": "none" }),
            marks,
        ),
        (
            "rsa-2048",
            json!({ "input": "", "hash_algorithm": "none", "prehashed": true }),
            marks,
        ),
        (
            "ecdsa-p256",
            json!({ "input": "", "marshaling_algorithm": "der" }),
            "invalid marshaling type \"der\", must be 'asn1' or 'jws'",
        ),
        (
            "rsa-2048",
            json!({ "input": "", "signature_algorithm": "raw" }),
            "unsupported rsa signature algorithm raw",
        ),
        (
            "rsa-2048",
            json!({ "input": "", "salt_length": "-1" }),
            "invalid salt length \"-1\"; write auto, hash or a number of bytes",
        ),
        (
            "rsa-2048",
            json!({ "input": "", "salt_length": 223 }),
            "salt_length is 223; the most for this key is 222",
        ),
        (
            "aes256-gcm96",
            json!({ "input": "" }),
            "key type aes256-gcm96 does not support signing",
        ),
        (
            "hmac",
            json!({ "input": "" }),
            "key type hmac does not support signing",
        ),
        (
            "ecdsa-p384",
            json!({ "input": "", "key_version": 2 }),
            "requested version for signing is higher than the latest key version",
        ),
    ] {
        assert_eq!(
            with_key(kind).refusal("sign/key", body.clone()),
            refusal,
            "{kind} {body}"
        );
    }
    assert_eq!(mounted().refusal("sign/none", json!({})), "signing key not found");
    let body = json!({ "signature": "" });
    assert_eq!(
        mounted().refusal("verify/none", body),
        "signature verification key not found"
    );
}

#[test]
fn what_has_not_the_form_of_a_signature_is_refused_by_its_part() {
    let mut mounted = with_key("ecdsa-p256");
    for (signature, refusal) in [
        ("AAAA", "invalid signature: no prefix"),
        ("vault:v1", "invalid signature: wrong number of fields"),
        (
            "vault:v?:AAAA",
            "invalid signature: version number could not be decoded",
        ),
        ("vault:v2:AAAA", "invalid signature: version is too new"),
        ("vault:v1:?", "invalid signature: could not decode base64"),
        ("vault:v1:AAAA", "invalid signature: it has not the form of one"),
    ] {
        let body = json!({ "input": "", "signature": signature });
        assert_eq!(mounted.refusal("verify/key", body), refusal, "{signature}");
    }
    let neither = "neither a 'signature' nor an 'hmac' was given to verify";
    assert_eq!(mounted.refusal("verify/key", json!({ "input": "" })), neither);
    let body = json!({ "input": "", "signature": "a", "hmac": "b" });
    assert_eq!(
        mounted.refusal("verify/key", body),
        "provide one of 'signature' or 'hmac'"
    );
    let body = json!({ "batch_input": [{ "input": "", "signature": "a" }, { "input": "", "hmac": "b" }] });
    let mixed = "elements of batch_input must all provide either 'signature' or 'hmac'";
    assert_eq!(mounted.refusal("verify/key", body), mixed);
    let mut short = with_key("ed25519");
    let body = json!({ "input": "", "signature": "vault:v1:AAAA" });
    assert_eq!(short.write("verify/key", body)["valid"], false);
}

#[test]
fn a_number_above_the_modulus_is_no_second_signature() {
    use rsa::BigUint;
    use rsa::pkcs1::DecodeRsaPrivateKey;
    use rsa::traits::PublicKeyParts;

    let der = STANDARD.decode(fixtures::RSA_2048).unwrap();
    let modulus = rsa::RsaPrivateKey::from_pkcs1_der(&der).unwrap().n().clone();
    let mut mounted = with_key("rsa-2048");
    let body = |input: u8| json!({ "input": b64([input]), "signature_algorithm": "pss" });
    // One in three signatures is small enough that the sum has no more bytes.
    let (input, sum) = (0..=255)
        .find_map(|input| {
            let signature = mounted.text("sign/key", "signature", body(input));
            let bytes = STANDARD
                .decode(signature.strip_prefix("vault:v1:").unwrap())
                .unwrap();
            let sum = (BigUint::from_bytes_be(&bytes) + &modulus).to_bytes_be();
            (sum.len() == 256).then_some((input, sum))
        })
        .unwrap();
    let fields = json!({ "signature": format!("vault:v1:{}", b64(sum)) });
    assert_eq!(
        mounted.write("verify/key", with(&body(input), fields))["valid"],
        false
    );
}

#[test]
fn a_derived_key_signs_for_its_context() {
    let mut mounted = mounted();
    mounted.write("keys/key", json!({ "type": "ed25519", "derived": true }));
    assert_eq!(mounted.read("keys/key")["keys"]["1"]["public_key"], "");
    let context = b64("user 1");
    let key = mounted
        .0
        .data(
            Operation::Read,
            "keys/key",
            &json!({ "context": context }).to_string(),
        )
        .unwrap();
    let signed = mounted.write("sign/key", json!({ "input": "", "context": context }));
    assert_eq!(signed["public_key"], key["keys"]["1"]["public_key"]);
    for (other, is_valid) in [("user 1", true), ("user 2", false)] {
        let body = json!({ "input": "", "context": b64(other), "signature": signed["signature"] });
        assert_eq!(mounted.write("verify/key", body)["valid"], is_valid);
    }
    assert!(
        mounted
            .refusal("sign/key", json!({ "input": "" }))
            .starts_with("missing 'context'")
    );
}

#[test]
fn signatures_of_old_versions_are_good_until_those_are_forbidden() {
    let mut mounted = with_key("ecdsa-p256");
    let first = mounted.text("sign/key", "signature", json!({ "input": "" }));
    mounted.rotate("key");
    let body = json!({ "input": "", "signature": first });
    assert_eq!(mounted.write("verify/key", body.clone())["valid"], true);
    let other = json!({ "input": "", "signature": first.replace("v1", "v2") });
    assert_eq!(mounted.write("verify/key", other)["valid"], false);
    let older = mounted.text("sign/key", "signature", json!({ "input": "", "key_version": 1 }));
    assert!(older.starts_with("vault:v1:"));
    mounted.write("keys/key/config", json!({ "min_decryption_version": 2 }));
    let too_old = "ciphertext or signature version is disallowed by policy (too old)";
    assert_eq!(mounted.refusal("verify/key", body), too_old);
}

#[test]
fn hmac_is_of_every_key_and_verified_like_a_signature() {
    for kind in QUICK {
        let mut mounted = mounted();
        mounted.make("key", kind);
        let input = b64("a");
        let hmac = mounted.text("hmac/key", "hmac", json!({ "input": input }));
        let again = mounted.text("hmac/key/sha2-256", "hmac", json!({ "input": input }));
        assert_eq!(hmac, again);
        mounted.rotate("key");
        assert!(
            mounted
                .text("hmac/key", "hmac", json!({ "input": input }))
                .starts_with("vault:v2:")
        );
        for (input, hmac, is_valid) in [
            ("a", hmac.clone(), true),
            ("b", hmac.clone(), false),
            ("a", hmac.replace("v1", "v2"), false),
            ("a", "vault:v1:".to_owned(), false),
        ] {
            let body = json!({ "input": b64(input), "hmac": hmac });
            assert_eq!(
                mounted.write("verify/key", body)["valid"],
                is_valid,
                "{kind} {hmac}"
            );
        }
        let body = json!({ "input": input, "hmac": "vault:v3:AAAA" });
        assert_eq!(
            mounted.refusal("verify/key", body),
            "invalid HMAC: version is too new"
        );
        let refusal = "unsupported algorithm \"md5\"";
        assert_eq!(
            mounted.refusal("hmac/key/md5", json!({ "input": input })),
            refusal
        );
    }
}

#[test]
fn batches_are_signed_and_verified_item_by_item() {
    let mut mounted = with_key("ecdsa-p256");
    let body = json!({ "batch_input": [{ "input": b64("a"), "reference": "r" }, { "input": "?" }] });
    let answer = mounted.ask(Operation::Update, "sign/key", &body).unwrap();
    assert_eq!(answer.status, Some(400));
    let signed = serde_json::to_value(answer.data).unwrap();
    let signature = &signed["batch_results"][0]["signature"];
    assert_eq!(
        signed["batch_results"][1],
        json!({ "error": "unable to decode input as base64" })
    );
    let body = json!({ "batch_input": [
        { "input": b64("a"), "signature": signature, "reference": "r" },
        { "input": b64("b"), "signature": signature },
    ] });
    let verified = mounted.write("verify/key", body);
    assert_eq!(
        verified["batch_results"],
        json!([{ "valid": true, "reference": "r" }, { "valid": false }])
    );
    let made = mounted.write("hmac/key", json!({ "batch_input": [{ "input": b64("a") }] }));
    let body = json!({ "batch_input": [{ "input": b64("a"), "hmac": made["batch_results"][0]["hmac"] }] });
    assert_eq!(
        mounted.write("verify/key", body)["batch_results"],
        json!([{ "valid": true }])
    );
}
