//! Keys: made, read, listed, configured, rotated, trimmed, deleted.

use std::time::Duration;

use super::*;
use crate::base::limits::{
    MAXIMUM_TRANSIT_HMAC_KEY_BYTES, MAXIMUM_TRANSIT_NAME_BYTES, MAXIMUM_TRANSIT_VERSIONS,
    MINIMUM_TRANSIT_HMAC_KEY_BYTES, MINIMUM_TRANSIT_ROTATION_SECONDS,
};

#[test]
fn a_key_says_what_it_is_good_for() {
    let mut mounted = mounted();
    for kind in QUICK {
        mounted.make(kind, kind);
        let key = mounted.read(&format!("keys/{kind}"));
        let is_cipher = CIPHERS.contains(&kind);
        let signs = !is_cipher && kind != "hmac";
        for (field, value) in [
            ("name", json!(kind)),
            ("type", json!(kind)),
            ("latest_version", json!(1)),
            ("min_decryption_version", json!(1)),
            ("min_encryption_version", json!(0)),
            ("min_available_version", json!(0)),
            ("deletion_allowed", json!(false)),
            ("exportable", json!(false)),
            ("allow_plaintext_backup", json!(false)),
            ("derived", json!(false)),
            ("imported_key", json!(false)),
            ("auto_rotate_period", json!(0)),
            ("supports_encryption", json!(is_cipher)),
            ("supports_decryption", json!(is_cipher)),
            ("supports_signing", json!(signs)),
            ("supports_derivation", json!(is_cipher || kind == "ed25519")),
        ] {
            assert_eq!(key[field], value, "{kind} {field}");
        }
        if signs {
            let version = &key["keys"]["1"];
            assert_eq!(version["creation_time"], "2023-11-14T22:13:20.000000000Z");
            assert!(
                version["public_key"].as_str().is_some_and(|key| !key.is_empty()),
                "{kind}"
            );
        } else {
            assert_eq!(key["keys"], json!({ "1": 1_700_000_000 }));
        }
    }
    assert_eq!(mounted.read("keys/ecdsa-p521")["keys"]["1"]["name"], "P-521");
    let listed = mounted.0.data(Operation::List, "keys/", "").unwrap();
    let mut names = QUICK;
    names.sort_unstable();
    assert_eq!(listed, json!({ "keys": names }));
}

#[test]
fn no_answer_and_no_record_but_the_secret_s_own_holds_it() {
    let mut mounted = mounted();
    let secret = [0x5a; 32];
    mounted.install("key", "aes256-gcm96", json!({}), &secret);
    mounted.rotate("key");
    assert!(!mounted.read("keys/key").to_string().contains(&b64(secret)));
    for path in ["export/encryption-key/key", "backup/key"] {
        assert!(
            matches!(mounted.fault(Operation::Read, path, json!({})), Fault::Invalid(_)),
            "{path}"
        );
    }
    let with_secret = mounted
        .0
        .storage
        .records
        .iter()
        .filter(|(_, (record, _))| String::from_utf8(record.clone()).unwrap().contains(&b64(secret)));
    let paths: Vec<&String> = with_secret.map(|(path, _)| path).collect();
    assert_eq!(paths, ["version/key/1"]);
    let version: super::super::record::VersionRecord =
        serde_json::from_slice(&mounted.0.storage.records["version/key/1"].0).unwrap();
    assert!(!format!("{version:?}").contains(&b64(secret)));
}

#[test]
fn a_key_that_is_there_stays_as_it_is() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    let ciphertext = mounted.encrypted("key", "a");
    let answer = mounted
        .ask(Operation::Update, "keys/key", &json!({ "type": "ed25519" }))
        .unwrap();
    assert_eq!(answer.warnings, ["key key already existed"]);
    assert_eq!(mounted.read("keys/key")["type"], "aes256-gcm96");
    assert_eq!(mounted.decrypted("key", &ciphertext), "a");
}

#[test]
fn there_is_no_key_that_cannot_be() {
    let mut mounted = mounted();
    let (fewest, most) = (MINIMUM_TRANSIT_HMAC_KEY_BYTES, MAXIMUM_TRANSIT_HMAC_KEY_BYTES);
    for (body, refusal) in [
        (json!({ "type": "des" }), "unknown key type des".to_owned()),
        (
            json!({ "convergent_encryption": true }),
            "convergent encryption requires derivation to be enabled".to_owned(),
        ),
        (
            json!({ "type": "ed25519", "derived": true, "convergent_encryption": true }),
            "convergent encryption not supported for keys of type ed25519".to_owned(),
        ),
        (
            json!({ "type": "ecdsa-p256", "derived": true }),
            "key derivation and convergent encryption not supported for keys of type ecdsa-p256".to_owned(),
        ),
        (
            json!({ "type": "hmac", "derived": true }),
            "key derivation and convergent encryption not supported for keys of type hmac".to_owned(),
        ),
        (
            json!({ "auto_rotate_period": MINIMUM_TRANSIT_ROTATION_SECONDS - 1 }),
            "auto rotate period must be 0 to disable or at least an hour".to_owned(),
        ),
        (
            json!({ "auto_rotate_period": "soon" }),
            "auto_rotate_period: \"soon\" is no time; write seconds, or a number with a unit: 30s, 15m, 1h, 7d"
                .to_owned(),
        ),
        (
            json!({ "key_size": 64 }),
            "key_size is not valid for key type aes256-gcm96; leave it out".to_owned(),
        ),
        (
            json!({ "type": "hmac", "key_size": fewest - 1 }),
            format!("key_size is 31 bytes; it must be between {fewest} and {most}"),
        ),
        (
            json!({ "type": "hmac", "key_size": most + 1 }),
            format!("key_size is 513 bytes; it must be between {fewest} and {most}"),
        ),
        (json!({ "exportable": "maybe" }), "exportable: \"maybe\" is no truth value; write true or false".to_owned()),
    ] {
        assert_eq!(mounted.refusal("keys/key", body.clone()), refusal, "{body}");
        assert!(mounted.0.storage.records.is_empty(), "{body}");
    }
    for body in [
        json!({ "type": "managed_key" }),
        json!({ "type": "ml-dsa-44" }),
        json!({ "managed_key_name": "a" }),
    ] {
        assert!(matches!(
            mounted.fault(Operation::Update, "keys/key", body),
            Fault::Unimplemented(_)
        ));
    }
    mounted.write("keys/large", json!({ "type": "hmac", "key_size": most }));
    assert_eq!(mounted.read("keys/large")["key_size"], most);
}

#[test]
fn the_name_of_a_key_has_the_characters_of_vault_s_and_an_end() {
    let mut mounted = mounted();
    for name in ["a", "_", "a-b.c", "A9", &"n".repeat(MAXIMUM_TRANSIT_NAME_BYTES)] {
        mounted.make(name, "aes256-gcm96");
    }
    for name in ["-a", "a-", ".a", "a b", "é", "a%"] {
        let fault = mounted.fault(Operation::Update, &format!("keys/{name}"), json!({}));
        assert!(matches!(fault, Fault::NoPath(_)), "{name}");
        let fault = mounted.fault(
            Operation::Update,
            &format!("encrypt/{name}"),
            json!({ "plaintext": "" }),
        );
        assert!(matches!(fault, Fault::NoPath(_)), "{name}");
    }
    let long = format!("keys/{}", "n".repeat(MAXIMUM_TRANSIT_NAME_BYTES + 1));
    assert_eq!(
        mounted.refusal(&long, json!({})),
        "the name of the key has 257 bytes; the most is 256"
    );
}

#[test]
fn settings_are_checked_all_together() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    mounted.rotate("key");
    mounted.rotate("key");
    for (body, refusal) in [
        (
            json!({ "min_decryption_version": -1 }),
            "min decryption version cannot be negative",
        ),
        (
            json!({ "min_encryption_version": -1 }),
            "min encryption version cannot be negative",
        ),
        (
            json!({ "min_decryption_version": 4 }),
            "cannot set min decryption version of 4, latest key version is 3",
        ),
        (
            json!({ "min_encryption_version": 4 }),
            "cannot set min encryption version of 4, latest key version is 3",
        ),
        (
            json!({ "min_decryption_version": 3, "min_encryption_version": 2 }),
            "cannot set min encryption/decryption values; min encryption version of 2 must be greater than or equal to \
             min decryption version of 3",
        ),
        (
            json!({ "deletion_allowed": true, "auto_rotate_period": "59m" }),
            "auto rotate period must be 0 to disable or at least an hour",
        ),
    ] {
        let before = mounted.read("keys/key");
        assert_eq!(
            mounted.refusal("keys/key/config", body.clone()),
            refusal,
            "{body}"
        );
        assert_eq!(mounted.read("keys/key"), before, "{body}");
    }
    let refusal = "no existing key named none could be found";
    assert_eq!(mounted.refusal("keys/none/config", json!({})), refusal);
    let body = json!({
        "min_decryption_version": 2, "min_encryption_version": 3, "deletion_allowed": true, "exportable": true,
        "allow_plaintext_backup": true, "auto_rotate_period": "24h",
    });
    let key = mounted.write("keys/key/config", body);
    assert_eq!(key["auto_rotate_period"], 86_400);
    assert_eq!(
        key["keys"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["2", "3"]
    );
    let key = mounted.write(
        "keys/key/config",
        json!({ "exportable": false, "allow_plaintext_backup": false }),
    );
    assert_eq!(
        (&key["exportable"], &key["allow_plaintext_backup"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(key["deletion_allowed"], true);
    let key = mounted.write("keys/key/config", json!({ "min_decryption_version": 0 }));
    assert_eq!(key["min_decryption_version"], 1);
}

#[test]
fn a_key_is_deleted_whole_and_only_if_that_is_allowed() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    mounted.make("key2", "aes256-gcm96");
    let delete = |mounted: &mut Mounted, name: &str| {
        mounted
            .ask(Operation::Delete, &format!("keys/{name}"), &json!({}))
            .map_err(|fault| fault.to_string())
    };
    assert_eq!(
        delete(&mut mounted, "key").unwrap_err(),
        "error deleting policy key: deletion is not allowed for this key"
    );
    assert_eq!(
        delete(&mut mounted, "none").unwrap_err(),
        "error deleting policy none: could not delete key; not found"
    );
    mounted.write("keys/key/config", json!({ "deletion_allowed": true }));
    assert!(delete(&mut mounted, "key").unwrap().data.is_none());
    assert!(matches!(
        mounted.fault(Operation::Read, "keys/key", json!({})),
        Fault::Missing
    ));
    let paths: Vec<&String> = mounted.0.storage.records.keys().collect();
    assert_eq!(paths, ["key/key2", "version/key2/1"]);
}

#[test]
fn what_was_trimmed_is_gone_and_cannot_be_allowed_again() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    let first = mounted.encrypted("key", "a");
    for _ in 0..4 {
        mounted.rotate("key");
    }
    let trim = |oldest: i64| json!({ "min_available_version": oldest });
    assert_eq!(
        mounted.refusal("keys/key/trim", json!({})),
        "missing min_available_version"
    );
    assert_eq!(
        mounted.refusal("keys/key/trim", trim(2)),
        "minimum available version cannot be set when minimum encryption version is not set"
    );
    mounted.write(
        "keys/key/config",
        json!({ "min_decryption_version": 3, "min_encryption_version": 4 }),
    );
    for (oldest, reason) in [
        (-1, "negative"),
        (6, "higher than latest version, which is 5"),
        (5, "higher than minimum encryption version, which is 4"),
        (4, "higher than minimum decryption version, which is 3"),
    ] {
        let refusal = format!("minimum available version cannot be {reason}");
        assert_eq!(mounted.refusal("keys/key/trim", trim(oldest)), refusal);
    }
    let key = mounted.write("keys/key/trim", trim(3));
    assert_eq!(key["min_available_version"], 3);
    let versions: Vec<&str> = mounted
        .0
        .storage
        .records
        .keys()
        .filter_map(|path| path.strip_prefix("version/key/"))
        .collect();
    assert_eq!(versions, ["3", "4", "5"]);
    assert_eq!(
        mounted.refusal("keys/key/trim", trim(2)),
        "minimum available version cannot be decremented"
    );
    for body in [
        json!({ "min_decryption_version": 1 }),
        json!({ "min_encryption_version": 0 }),
    ] {
        assert!(
            mounted
                .refusal("keys/key/config", body)
                .contains("what was trimmed is gone")
        );
    }
    let too_old = "ciphertext or signature version is disallowed by policy (too old)";
    assert_eq!(
        mounted.refusal("decrypt/key", json!({ "ciphertext": first })),
        too_old
    );
}

#[test]
fn a_use_rotates_a_key_that_is_due_and_a_look_does_not() {
    let mut mounted = mounted();
    mounted.write("keys/key", json!({ "auto_rotate_period": "1h" }));
    mounted.write(
        "keys/sign",
        json!({ "type": "ed25519", "auto_rotate_period": 3600 }),
    );
    let first = mounted.encrypted("key", "a");
    mounted.0.now += Duration::from_secs(3_599);
    assert!(mounted.encrypted("key", "a").starts_with("vault:v1:"));
    mounted.0.now += Duration::from_secs(1);
    assert_eq!(mounted.read("keys/key")["latest_version"], 1);
    assert!(mounted.encrypted("key", "a").starts_with("vault:v2:"));
    assert!(mounted.encrypted("key", "a").starts_with("vault:v2:"));
    let signature = mounted.text("sign/sign", "signature", json!({ "input": "" }));
    assert!(signature.starts_with("vault:v2:"));
    mounted.0.now += Duration::from_hours(10);
    assert_eq!(mounted.decrypted("key", &first), "a");
    assert_eq!(mounted.read("keys/key")["latest_version"], 3);
    mounted.write("keys/key/config", json!({ "auto_rotate_period": 0 }));
    mounted.0.now += Duration::from_hours(10);
    assert!(mounted.encrypted("key", "a").starts_with("vault:v3:"));
}

#[test]
fn a_key_with_all_the_versions_there_may_be_is_of_use_and_not_rotated() {
    let mut mounted = mounted();
    mounted.write("keys/key", json!({ "auto_rotate_period": "1h" }));
    let (mut record, _) = mounted.0.storage.records["key/key"].clone();
    let mut key: Value = serde_json::from_slice(&record).unwrap();
    key["latest"] = json!(MAXIMUM_TRANSIT_VERSIONS);
    record = serde_json::to_vec(&key).unwrap();
    mounted
        .0
        .storage
        .records
        .insert("key/key".to_owned(), (record, None));
    let (version, _) = mounted.0.storage.records["version/key/1"].clone();
    let newest = format!("version/key/{MAXIMUM_TRANSIT_VERSIONS}");
    mounted.0.storage.records.insert(newest, (version, None));
    let refusal = format!("it has {MAXIMUM_TRANSIT_VERSIONS} versions, which is the most; trim older ones");
    assert_eq!(mounted.refusal("keys/key/rotate", json!({})), refusal);
    mounted.0.now += Duration::from_hours(1);
    let answer = mounted
        .ask(Operation::Update, "encrypt/key", &json!({ "plaintext": "" }))
        .unwrap();
    assert_eq!(answer.warnings, [format!("the key was not rotated: {refusal}")]);
    let all = json!({
        "min_decryption_version": MAXIMUM_TRANSIT_VERSIONS, "min_encryption_version": MAXIMUM_TRANSIT_VERSIONS,
    });
    mounted.write("keys/key/config", all);
    mounted.write("keys/key/trim", json!({ "min_available_version": 2 }));
    mounted.rotate("key");
}

#[test]
fn paths_that_are_none_are_told_from_those_that_do_something_else() {
    let mut mounted = mounted();
    for (operation, path) in [
        (Operation::Read, "encrypt/key"),
        (Operation::Update, "wrapping_key"),
        (Operation::Delete, "keys/key/config"),
        (Operation::Update, "export/encryption-key/key"),
        (Operation::Patch, "keys/key"),
    ] {
        assert!(
            matches!(mounted.fault(operation, path, json!({})), Fault::Unsupported),
            "{path}"
        );
    }
    for (operation, path) in [
        (Operation::Read, "nothing"),
        (Operation::Update, "keys/key/other"),
        (Operation::Update, "encrypt"),
        (Operation::Update, "encrypt/a/b"),
        (Operation::Read, "config/other"),
        (Operation::List, ""),
        (Operation::Read, ""),
    ] {
        assert!(
            matches!(mounted.fault(operation, path, json!({})), Fault::NoPath(_)),
            "{path}"
        );
    }
    for path in ["byok-export/a/b", "keys/key/csr", "cmac/key"] {
        let fault = mounted.fault(Operation::Update, path, json!({}));
        assert!(matches!(fault, Fault::Unimplemented(_)), "{path}");
    }
    assert!(matches!(
        mounted.fault(Operation::List, "keys/", json!({})),
        Fault::Missing
    ));
    assert_eq!(mounted.refusal("keys/none/rotate", json!({})), "key not found");
}

#[test]
fn the_size_of_the_cache_is_told_back() {
    let mut mounted = mounted();
    assert_eq!(mounted.read("cache-config"), json!({ "size": 0 }));
    for size in [-1, 1, 9] {
        let refusal = "size must be 0 or a value greater or equal to 10";
        assert_eq!(mounted.refusal("cache-config", json!({ "size": size })), refusal);
    }
    for size in [10, 456, 0] {
        mounted.write("cache-config", json!({ "size": size }));
        assert_eq!(mounted.read("cache-config"), json!({ "size": size }));
    }
}
