//! Encryption, decryption, data keys and batches.

use std::collections::BTreeSet;

use super::*;
use crate::base::limits::MAXIMUM_TRANSIT_BATCH_ITEMS;

#[test]
fn what_was_encrypted_is_decrypted_and_nothing_is_encrypted_the_same_way_twice() {
    for kind in CIPHERS {
        let mut mounted = mounted();
        mounted.make("key", kind);
        for plaintext in ["", "a", &"long ".repeat(10_000)] {
            let ciphertext = mounted.encrypted("key", plaintext);
            assert!(ciphertext.starts_with("vault:v1:"));
            assert_eq!(mounted.decrypted("key", &ciphertext), plaintext, "{kind}");
            assert_ne!(mounted.encrypted("key", plaintext), ciphertext);
        }
        let data = mounted.write("encrypt/key", json!({ "plaintext": b64("a") }));
        assert_eq!(data["key_version"], 1);
    }
    let mut mounted = mounted();
    mounted.install(
        "key",
        "rsa-2048",
        json!({}),
        &STANDARD.decode(fixtures::RSA_2048).unwrap(),
    );
    let ciphertext = mounted.encrypted("key", "short");
    assert_eq!(mounted.decrypted("key", &ciphertext), "short");
    let long = json!({ "plaintext": b64([0; 191]) });
    assert!(
        mounted
            .refusal("encrypt/key", long)
            .contains("too long for a key of type rsa-2048")
    );
    mounted.write("encrypt/key", json!({ "plaintext": b64([0; 190]) }));
}

#[test]
fn a_ciphertext_of_which_any_part_was_changed_is_refused() {
    for kind in CIPHERS {
        let mut mounted = mounted();
        mounted.make("key", kind);
        let ciphertext = mounted.encrypted("key", "attack at dawn");
        let sealed = STANDARD
            .decode(ciphertext.strip_prefix("vault:v1:").unwrap())
            .unwrap();
        // The nonce, the ciphertext and the tag, every byte of them.
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 0x80;
            let body = json!({ "ciphertext": format!("vault:v1:{}", b64(changed)) });
            let refusal = mounted.refusal("decrypt/key", body);
            assert_eq!(refusal, "invalid ciphertext: unable to decrypt", "{kind} {place}");
        }
        for length in 0..sealed.len() {
            let body = json!({ "ciphertext": format!("vault:v1:{}", b64(&sealed[..length])) });
            assert!(
                mounted
                    .refusal("decrypt/key", body)
                    .starts_with("invalid ciphertext: ")
            );
        }
    }
}

#[test]
fn what_has_not_the_form_of_a_ciphertext_is_refused_by_its_part() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    for (ciphertext, refusal) in [
        ("vault", "invalid ciphertext: no prefix"),
        ("Vault:v1:AAAA", "invalid ciphertext: no prefix"),
        ("vault:v1", "invalid ciphertext: wrong number of fields"),
        ("vault:v1:AAAA:AAAA", "invalid ciphertext: wrong number of fields"),
        (
            "vault:vx:AAAA",
            "invalid ciphertext: version number could not be decoded",
        ),
        (
            "vault:v:AAAA",
            "invalid ciphertext: version number could not be decoded",
        ),
        (
            "vault:v+1:AAAA",
            "invalid ciphertext: version number could not be decoded",
        ),
        (
            "vault:v0:AAAA",
            "invalid ciphertext: version number could not be decoded",
        ),
        (
            "vault:v4294967296:AAAA",
            "invalid ciphertext: version number could not be decoded",
        ),
        ("vault:v2:AAAA", "invalid ciphertext: version is too new"),
        ("vault:v1:A!", "invalid ciphertext: could not decode base64"),
        ("", "missing ciphertext to decrypt"),
    ] {
        assert_eq!(
            mounted.refusal("decrypt/key", json!({ "ciphertext": ciphertext })),
            refusal,
            "{ciphertext}"
        );
        assert_eq!(
            mounted.refusal("rewrap/key", json!({ "ciphertext": ciphertext })),
            refusal,
            "{ciphertext}"
        );
    }
    for (body, refusal) in [
        (json!({}), "missing plaintext to encrypt"),
        (
            json!({ "plaintext": "hunter2!" }),
            "failed to base64-decode plaintext",
        ),
        (json!({ "plaintext": 5 }), "plaintext is no text"),
        (
            json!({ "plaintext": "", "context": "?" }),
            "failed to base64-decode context",
        ),
        (
            json!({ "plaintext": "", "associated_data": "?" }),
            "failed to base64-decode associated_data",
        ),
        (
            json!({ "plaintext": "", "nonce": b64([0; 12]) }),
            "provided nonce not allowed for this key; leave nonce out",
        ),
        (
            json!({ "plaintext": "", "key_version": -1 }),
            "requested version for encryption is negative",
        ),
        (
            json!({ "plaintext": "", "key_version": 2 }),
            "requested version for encryption is higher than the latest key version",
        ),
    ] {
        assert_eq!(mounted.refusal("encrypt/key", body.clone()), refusal, "{body}");
    }
    for kind in ["ed25519", "ecdsa-p256", "hmac"] {
        mounted.make(kind, kind);
        let body = json!({ "plaintext": "" });
        let refusal = format!("message encryption not supported for key type {kind}");
        assert_eq!(mounted.refusal(&format!("encrypt/{kind}"), body), refusal);
        let body = json!({ "ciphertext": "vault:v1:AAAA" });
        let refusal = format!("message decryption not supported for key type {kind}");
        assert_eq!(mounted.refusal(&format!("decrypt/{kind}"), body), refusal);
    }
}

#[test]
fn associated_data_must_be_the_same() {
    let mut mounted = mounted();
    mounted.make("key", "chacha20-poly1305");
    let body = json!({ "plaintext": b64("a"), "associated_data": b64("row 4") });
    let ciphertext = mounted.text("encrypt/key", "ciphertext", body);
    let mut decrypt = |data: Value| {
        mounted.ask(
            Operation::Update,
            "decrypt/key",
            &json!({ "ciphertext": ciphertext, "associated_data": data }),
        )
    };
    assert!(decrypt(json!(b64("row 4"))).is_ok());
    for other in [json!(b64("row 5")), json!(""), Value::Null] {
        assert!(decrypt(other).is_err());
    }
    mounted.install(
        "rsa",
        "rsa-2048",
        json!({}),
        &STANDARD.decode(fixtures::RSA_2048).unwrap(),
    );
    let body = json!({ "plaintext": b64("a"), "associated_data": b64("row 4") });
    assert!(
        mounted
            .refusal("encrypt/rsa", body)
            .contains("associated_data is not supported")
    );
}

#[test]
fn a_derived_key_needs_its_context_and_no_other_opens() {
    for kind in CIPHERS {
        let mut mounted = mounted();
        mounted.write("keys/key", json!({ "type": kind, "derived": true }));
        let body = json!({ "plaintext": b64("a"), "context": b64("user 1") });
        let ciphertext = mounted.text("encrypt/key", "ciphertext", body);
        let right = json!({ "ciphertext": ciphertext, "context": b64("user 1") });
        assert_eq!(unb64(&mounted.text("decrypt/key", "plaintext", right)), "a");
        let wrong = json!({ "ciphertext": ciphertext, "context": b64("user 2") });
        assert_eq!(
            mounted.refusal("decrypt/key", wrong),
            "invalid ciphertext: unable to decrypt"
        );
        for body in [
            json!({ "ciphertext": ciphertext }),
            json!({ "ciphertext": ciphertext, "context": "" }),
        ] {
            assert!(
                mounted
                    .refusal("decrypt/key", body)
                    .starts_with("missing 'context' for key derivation;")
            );
        }
        assert!(
            mounted
                .refusal("encrypt/key", json!({ "plaintext": "" }))
                .starts_with("missing 'context'")
        );
    }
}

#[test]
fn convergent_encryption_is_the_same_for_the_same_and_for_nothing_else() {
    for kind in CIPHERS {
        let mut mounted = mounted();
        mounted.write(
            "keys/key",
            json!({ "type": kind, "derived": true, "convergent_encryption": true }),
        );
        let mut encrypt = |plaintext: &str, context: &str, data: &str| {
            let body = json!({
                "plaintext": b64(plaintext), "context": b64(context), "associated_data": b64(data),
            });
            mounted.text("encrypt/key", "ciphertext", body)
        };
        let variants = [
            ("a", "1", ""),
            ("b", "1", ""),
            ("a", "2", ""),
            ("a", "1", "x"),
            ("a", "1", "y"),
            ("xa", "1", ""),
        ];
        let first: Vec<String> = variants.iter().map(|(a, b, c)| encrypt(a, b, c)).collect();
        let second: Vec<String> = variants.iter().map(|(a, b, c)| encrypt(a, b, c)).collect();
        assert_eq!(first, second, "{kind}");
        // One nonce for two messages would give away the key of the tags.
        let nonce = |ciphertext: &String| ciphertext["vault:v1:".len()..][..16].to_owned();
        let nonces: BTreeSet<String> = first.iter().map(nonce).collect();
        assert_eq!(nonces.len(), variants.len(), "{kind}");
        mounted.rotate("key");
        let body = json!({ "plaintext": b64("a"), "context": b64("1") });
        let rotated = mounted.text("encrypt/key", "ciphertext", body);
        assert!(rotated.starts_with("vault:v2:") && rotated[9..] != first[0][9..]);
    }
}

#[test]
fn encryption_makes_a_key_for_who_may_create_one() {
    let mut mounted = mounted();
    let plain = mounted.encrypted("plain", "a");
    assert_eq!(mounted.decrypted("plain", &plain), "a");
    let key = mounted.read("keys/plain");
    assert_eq!(
        (&key["type"], &key["derived"]),
        (&json!("aes256-gcm96"), &json!(false))
    );
    let body = json!({
        "plaintext": "", "context": b64("c"), "type": "chacha20-poly1305", "convergent_encryption": true,
    });
    mounted.write("encrypt/derived", body);
    let key = mounted.read("keys/derived");
    assert_eq!(
        (&key["type"], &key["derived"]),
        (&json!("chacha20-poly1305"), &json!(true))
    );
    assert_eq!(key["convergent_encryption"], true);
    for (body, refusal) in [
        (
            json!({ "plaintext": "", "convergent_encryption": true }),
            "convergent encryption requires derivation to be enabled, so context is required",
        ),
        (
            json!({ "plaintext": "", "type": "ed25519" }),
            "key type ed25519 not supported for this operation",
        ),
        (
            json!({ "plaintext": "", "type": "rot13" }),
            "unknown key type rot13",
        ),
        (
            json!({ "batch_input": [{ "plaintext": "", "context": b64("c") }, { "plaintext": "" }] }),
            "context should be set either in all the request blocks or in none",
        ),
        (json!({ "plaintext": "?" }), "failed to base64-decode plaintext"),
    ] {
        assert_eq!(mounted.refusal("encrypt/none", body.clone()), refusal, "{body}");
        assert!(
            matches!(
                mounted.fault(Operation::Read, "keys/none", json!({})),
                Fault::Missing
            ),
            "{body}"
        );
    }
    for path in ["decrypt/none", "rewrap/none", "datakey/wrapped/none", "hmac/none"] {
        assert_eq!(
            mounted.refusal(path, json!({})),
            "encryption key not found",
            "{path}"
        );
    }
    mounted.write("config/keys", json!({ "disable_upsert": true }));
    assert_eq!(
        mounted.refusal("encrypt/none", json!({ "plaintext": "" })),
        "encryption key not found"
    );
    assert_eq!(mounted.read("config/keys"), json!({ "disable_upsert": true }));
}

#[test]
fn versions_that_are_too_old_or_too_new_are_refused() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    let first = mounted.encrypted("key", "a");
    mounted.rotate("key");
    mounted.rotate("key");
    let body = json!({ "plaintext": "", "key_version": 2 });
    assert!(
        mounted
            .text("encrypt/key", "ciphertext", body)
            .starts_with("vault:v2:")
    );
    assert!(mounted.encrypted("key", "a").starts_with("vault:v3:"));
    assert_eq!(mounted.decrypted("key", &first), "a");
    // A ciphertext is of one version, whatever it says.
    let body = json!({ "ciphertext": first.replace("v1", "v2") });
    assert_eq!(
        mounted.refusal("decrypt/key", body),
        "invalid ciphertext: unable to decrypt"
    );
    let rewrapped = mounted.write("rewrap/key", json!({ "ciphertext": first }));
    assert_eq!(rewrapped["key_version"], 3);
    assert_eq!(
        mounted.decrypted("key", rewrapped["ciphertext"].as_str().unwrap()),
        "a"
    );
    mounted.write(
        "keys/key/config",
        json!({ "min_decryption_version": 2, "min_encryption_version": 3 }),
    );
    let too_old = "ciphertext or signature version is disallowed by policy (too old)";
    assert_eq!(
        mounted.refusal("decrypt/key", json!({ "ciphertext": first })),
        too_old
    );
    assert_eq!(
        mounted.refusal("encrypt/key", json!({ "plaintext": "", "key_version": 2 })),
        "requested version for encryption is less than the minimum encryption key version"
    );
    mounted.write("keys/key/config", json!({ "min_decryption_version": 1 }));
    assert_eq!(mounted.decrypted("key", &first), "a");
}

#[test]
fn a_data_key_is_given_plain_only_where_that_is_asked_for() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    for (bits, length) in [
        (json!(128), 16),
        (json!(256), 32),
        (json!(512), 64),
        (Value::Null, 32),
    ] {
        let data = mounted.write("datakey/plaintext/key", json!({ "bits": bits }));
        let plaintext = STANDARD.decode(data["plaintext"].as_str().unwrap()).unwrap();
        assert_eq!(plaintext.len(), length);
        assert_eq!(data["key_version"], 1);
        let body = json!({ "ciphertext": data["ciphertext"] });
        assert_eq!(mounted.write("decrypt/key", body)["plaintext"], data["plaintext"]);
        let data = mounted.write("datakey/wrapped/key", json!({ "bits": bits }));
        assert_eq!(data.get("plaintext"), None);
        let body = json!({ "ciphertext": data["ciphertext"] });
        let opened = mounted.text("decrypt/key", "plaintext", body);
        assert_eq!(STANDARD.decode(opened).unwrap().len(), length);
    }
    for bits in [0, 64, 255, -256] {
        assert!(
            mounted
                .refusal("datakey/plaintext/key", json!({ "bits": bits }))
                .starts_with("invalid bit length")
        );
    }
    let refusal = "Invalid path, must be 'plaintext' or 'wrapped'";
    assert_eq!(mounted.refusal("datakey/other/key", json!({})), refusal);
}

#[test]
fn an_item_of_a_batch_that_fails_stops_no_other() {
    let mut mounted = mounted();
    let items = json!([
        { "plaintext": b64("a"), "reference": "first" },
        { "plaintext": "?", "reference": "second" },
        { "plaintext": b64("c") },
    ]);
    let ask = |mounted: &mut Mounted, code: Value| {
        let body = json!({ "batch_input": items, "partial_failure_response_code": code });
        let answer = mounted.ask(Operation::Update, "encrypt/key", &body).unwrap();
        (
            answer.status,
            answer.warnings.len(),
            serde_json::to_value(answer.data).unwrap(),
        )
    };
    let (status, _, data) = ask(&mut mounted, Value::Null);
    assert_eq!(status, Some(400));
    let results = &data["batch_results"];
    assert_eq!(results[0]["reference"], "first");
    let second = json!({ "error": "failed to base64-decode plaintext", "reference": "second" });
    assert_eq!(results[1], second);
    // The key that was made for the batch is there.
    let batch = json!([results[0], { "ciphertext": "vault:v1:AAAA" }, results[2]]);
    for (code, status, warnings) in [
        (json!(207), 207, 0),
        (json!("200"), 200, 0),
        (json!(0), 400, 1),
        (json!(600), 400, 1),
    ] {
        let (given, warned, _) = ask(&mut mounted, code);
        assert_eq!((given, warned), (Some(status), warnings));
    }
    for (path, field) in [("decrypt/key", "plaintext"), ("rewrap/key", "ciphertext")] {
        let answer = mounted
            .ask(Operation::Update, path, &json!({ "batch_input": batch }))
            .unwrap();
        assert_eq!(answer.status, Some(400));
        let results = serde_json::to_value(answer.data).unwrap();
        let results = &results["batch_results"];
        assert_eq!(
            results[1]["error"], "invalid ciphertext: it is too short",
            "{path}"
        );
        assert!(
            results[0][field].is_string() && results[2][field].is_string() && results[1].get(field).is_none()
        );
        assert_eq!(results[0]["reference"], "first");
    }
    let good = json!({ "batch_input": [items[0], items[2]] });
    let answer = mounted.ask(Operation::Update, "encrypt/key", &good).unwrap();
    assert_eq!((answer.status, answer.warnings.len()), (None, 0));
}

#[test]
fn a_batch_of_which_nothing_succeeds_changes_nothing_and_says_why() {
    let mut mounted = mounted();
    let body = json!({ "batch_input": [{ "plaintext": "?" }], "partial_failure_response_code": 200 });
    let Fault::InvalidWith { data, .. } = mounted.fault(Operation::Update, "encrypt/key", body) else {
        panic!("it is no fault of the batch");
    };
    let data = serde_json::to_value(data).unwrap();
    assert_eq!(
        data["batch_results"][0]["error"],
        "failed to base64-decode plaintext"
    );
    assert!(mounted.0.storage.records.is_empty());
}

#[test]
fn a_batch_has_items_and_not_too_many() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    let item = json!({ "plaintext": "" });
    for (batch, refusal) in [
        (json!([]), "missing batch input to process".to_owned()),
        (json!("x"), "batch_input is no array".to_owned()),
        (json!(["x"]), "an item of batch_input is no object".to_owned()),
        (
            json!(vec![item.clone(); MAXIMUM_TRANSIT_BATCH_ITEMS + 1]),
            format!("batch_input has 10001 items; the most is {MAXIMUM_TRANSIT_BATCH_ITEMS}"),
        ),
    ] {
        assert_eq!(
            mounted.refusal("encrypt/key", json!({ "batch_input": batch })),
            refusal
        );
    }
    let most = mounted.write(
        "encrypt/key",
        json!({ "batch_input": vec![item; MAXIMUM_TRANSIT_BATCH_ITEMS] }),
    );
    assert_eq!(
        most["batch_results"].as_array().unwrap().len(),
        MAXIMUM_TRANSIT_BATCH_ITEMS
    );
}
