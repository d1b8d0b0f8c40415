//! Keys that leave the store and come to it.

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

use super::super::Transit;
use super::*;
use crate::base::limits::MAXIMUM_TRANSIT_BACKUP_BYTES;
use crate::service::secrets::engine::Engine;
use crate::service::secrets::engine::twin::Twin;
use crate::service::secrets::randomness::Counting;

#[test]
fn what_is_exported_is_the_key() {
    let mut mounted = mounted();
    let secret = [0x5a; 32];
    let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let exportable = json!({ "exportable": true });
    mounted.install("aes", "aes256-gcm96", exportable.clone(), &secret);
    mounted.install("hmac", "hmac", exportable.clone(), &secret);
    mounted.install("ed25519", "ed25519", exportable.clone(), &seed);
    mounted.install(
        "rsa",
        "rsa-2048",
        exportable,
        &STANDARD.decode(fixtures::RSA_2048).unwrap(),
    );
    for (path, key) in [
        ("encryption-key/aes", b64(secret)),
        ("hmac-key/aes", b64(secret)),
        ("hmac-key/hmac", b64(secret)),
        ("signing-key/ed25519", b64([seed, public.clone()].concat())),
        ("public-key/ed25519", b64(public)),
        ("public-key/rsa", fixtures::RSA_2048_PUBLIC.trim_end().to_owned()),
    ] {
        for version in ["", "/1", "/latest"] {
            let exported = mounted.read(&format!("export/{path}{version}"));
            assert_eq!(exported["keys"], json!({ "1": key }), "{path}{version}");
        }
    }
    for path in ["encryption-key/rsa", "signing-key/rsa"] {
        let pem = mounted.read(&format!("export/{path}"))["keys"]["1"]
            .as_str()
            .unwrap()
            .to_owned();
        let key = rsa::RsaPrivateKey::from_pkcs1_pem(&pem).unwrap();
        assert_eq!(key.to_public_key().size(), 256);
    }
    for (path, refusal) in [
        ("other-key/aes", "invalid export type: other-key"),
        ("signing-key/aes", "signing not supported for the key"),
        (
            "public-key/aes",
            "unknown key type aes256-gcm96 for export type public-key",
        ),
        ("encryption-key/ed25519", "encryption not supported for the key"),
        (
            "encryption-key/aes/2",
            "version does not exist or cannot be found",
        ),
        (
            "encryption-key/aes/0",
            "version for export is below minimum decryption version",
        ),
        ("encryption-key/aes/x", "invalid key version"),
    ] {
        let fault = mounted.fault(Operation::Read, &format!("export/{path}"), json!({}));
        assert_eq!(fault.to_string(), refusal, "{path}");
    }
    assert!(matches!(
        mounted.fault(Operation::Read, "export/hmac-key/none", json!({})),
        Fault::Missing
    ));
    mounted.make("kept", "ecdsa-p256");
    let fault = mounted.fault(Operation::Read, "export/signing-key/kept", json!({}));
    assert_eq!(fault.to_string(), "private key material is not exportable");
    assert!(
        mounted.read("export/public-key/kept")["keys"]["1"]
            .as_str()
            .unwrap()
            .contains("PUBLIC KEY")
    );
}

#[test]
fn an_exported_key_on_a_curve_names_its_curve() {
    for (kind, length) in [("ecdsa-p256", 32), ("ecdsa-p384", 48), ("ecdsa-p521", 66)] {
        let mut mounted = mounted();
        mounted.write("keys/key", json!({ "type": kind, "exportable": true }));
        let pem = mounted.read("export/signing-key/key")["keys"]["1"]
            .as_str()
            .unwrap()
            .to_owned();
        let (label, der) = sec1::der::pem::decode_vec(pem.as_bytes()).unwrap();
        assert_eq!(label, "EC PRIVATE KEY");
        let key = sec1::EcPrivateKey::try_from(der.as_slice()).unwrap();
        assert_eq!(key.private_key.len(), length);
        assert!(key.parameters.is_some() && key.public_key.is_some(), "{kind}");
    }
}

#[test]
fn a_restored_key_does_what_the_key_did() {
    for kind in QUICK {
        let mut first = mounted();
        first.write(
            "keys/key",
            json!({ "type": kind, "exportable": true, "allow_plaintext_backup": true }),
        );
        let hmac = first.write("hmac/key", json!({ "input": "" }));
        first.rotate("key");
        let backup = first.read("backup/key")["backup"].clone();
        let mut second = mounted();
        for (path, name) in [("restore", "key"), ("restore/other", "other")] {
            second.write(path, json!({ "backup": backup }));
            let mut restored = second.read(&format!("keys/{name}"));
            assert_eq!(restored["name"], name);
            restored["name"] = json!("key");
            assert_eq!(restored, first.read("keys/key"), "{kind}");
            let body = json!({ "input": "", "hmac": hmac["hmac"] });
            assert_eq!(
                second.write(&format!("verify/{name}"), body)["valid"],
                true,
                "{kind}"
            );
            let refusal = format!("key {name:?} already exists");
            assert_eq!(second.refusal(path, json!({ "backup": backup })), refusal);
            second.rotate(name);
            second.write(path, json!({ "backup": backup, "force": true }));
            assert_eq!(second.read(&format!("keys/{name}"))["latest_version"], 2);
        }
        let versions = second
            .0
            .storage
            .records
            .keys()
            .filter(|path| path.starts_with("version/"))
            .count();
        assert_eq!(versions, 4, "what was there before is gone");
    }
}

#[test]
fn a_key_is_backed_up_only_if_it_says_so() {
    let mut mounted = mounted();
    mounted.make("key", "aes256-gcm96");
    let refused = |mounted: &mut Mounted| {
        mounted
            .fault(Operation::Read, "backup/key", json!({}))
            .to_string()
    };
    assert_eq!(refused(&mut mounted), "exporting is disallowed on the policy");
    mounted.write("keys/key/config", json!({ "exportable": true }));
    assert_eq!(
        refused(&mut mounted),
        "plaintext backup is disallowed on the policy"
    );
    mounted.write("keys/key/config", json!({ "allow_plaintext_backup": true }));
    assert!(mounted.read("backup/key")["backup"].is_string());
}

#[test]
fn what_is_no_backup_is_refused() {
    let mut mounted = mounted();
    mounted.write(
        "keys/key",
        json!({ "exportable": true, "allow_plaintext_backup": true }),
    );
    let backup = unb64(mounted.read("backup/key")["backup"].as_str().unwrap());
    let whole: Value = serde_json::from_str(&backup).unwrap();
    let broken = "the backup is none, or is broken; give what backup answered";
    let with = |pointer: &str, value: Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        json!(b64(changed.to_string()))
    };
    for (backup, refusal) in [
        (Value::Null, "'backup' must be supplied"),
        (json!("?"), "failed to base64-decode backup"),
        (json!(b64("{}")), broken),
        (with("/format", json!(2)), broken),
        (with("/key/latest", json!(0)), broken),
        (with("/key/latest", json!(2)), broken),
        (with("/key/latest", json!(4_294_967_295_u32)), broken),
        (with("/key/min_available", json!(2)), broken),
        (with("/key/min_decryption", json!(0)), broken),
        (with("/key/min_decryption", json!(2)), broken),
        (with("/key/min_encryption", json!(2)), broken),
        (with("/key/kind", json!("rsa-2048")), broken),
        (with("/key/kind", json!("aes128-gcm96")), broken),
        (with("/versions/1/secret", json!("AAAA")), broken),
        (
            with("/key/convergent", json!(true)),
            "convergent encryption requires derivation to be enabled",
        ),
        (
            json!("A".repeat(MAXIMUM_TRANSIT_BACKUP_BYTES + 1)),
            "the backup has 16777217 bytes; the most is 16777216",
        ),
    ] {
        assert_eq!(
            mounted.refusal("restore/other", json!({ "backup": backup })),
            refusal
        );
    }
    let fault = mounted.fault(
        Operation::Update,
        "restore",
        json!({ "backup": with("/name", json!("a/../b")) }),
    );
    assert!(matches!(fault, Fault::NoPath(_)));
}

#[test]
fn keys_that_another_library_wrapped_are_imported() {
    let mut mounted = with_wrapping_key();
    for (kind, hash, wrapped) in fixtures::WRAPPED {
        let body = json!({ "type": kind, "hash_function": hash, "ciphertext": wrapped, "exportable": true });
        assert_eq!(
            mounted.write(&format!("keys/{kind}/import"), body.clone()),
            Value::Null
        );
        let key = mounted.read(&format!("keys/{kind}"));
        assert_eq!(
            (&key["imported_key"], &key["imported_key_allow_rotation"]),
            (&json!(true), &json!(false))
        );
        let refusal = mounted.refusal(&format!("keys/{kind}/rotate"), json!({}));
        assert_eq!(
            refusal,
            format!("imported key {kind} does not allow rotation within Vault")
        );
        let refusal = mounted.refusal(&format!("keys/{kind}/import"), body.clone());
        assert!(
            refusal.starts_with("the import path cannot be used with an existing key"),
            "{refusal}"
        );
        mounted.write(&format!("keys/{kind}/import_version"), body);
        assert_eq!(mounted.read(&format!("keys/{kind}"))["latest_version"], 2);
    }
    let exported = |mounted: &mut Mounted, path: &str| mounted.read(path)["keys"]["1"].clone();
    let secret: Vec<u8> = (0..32).collect();
    assert_eq!(
        exported(&mut mounted, "export/encryption-key/aes256-gcm96"),
        b64(&secret)
    );
    assert_eq!(
        exported(&mut mounted, "export/encryption-key/aes128-gcm96"),
        b64(&secret[..16])
    );
    assert_eq!(exported(&mut mounted, "export/hmac-key/hmac"), b64([0; 40]));
    let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_eq!(exported(&mut mounted, "export/public-key/ed25519"), b64(public));
    let pem = fixtures::RSA_2048_PUBLIC.trim_end();
    assert_eq!(exported(&mut mounted, "export/public-key/rsa-2048"), pem);
    // The key of RFC 6979, A.2.5, signs as that one does.
    let body = json!({
        "input": b64("sample"), "marshaling_algorithm": "jws",
        "signature": "vault:v1:79SLKqy2qP0RQN2c1F6B1p0sh3tWqvmRw00OqE6vNxb3yxyULWV8QdQ2x6G24p9l8-kA27mv9AZNxKsvhDrNqA",
    });
    assert_eq!(mounted.write("verify/ecdsa-p256", body)["valid"], true);
}

#[test]
fn an_imported_key_is_rotated_if_that_was_allowed() {
    let mut mounted = with_wrapping_key();
    let (kind, hash, wrapped) = fixtures::WRAPPED[2];
    let body = |fields: Value| {
        let mut body = json!({ "type": kind, "hash_function": hash, "ciphertext": wrapped });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let refusal = mounted.refusal("keys/key/import", body(json!({ "auto_rotate_period": "1h" })));
    assert_eq!(
        refusal,
        "allow_rotation must be set to true if auto-rotation is enabled"
    );
    mounted.write(
        "keys/key/import",
        body(json!({ "allow_rotation": true, "auto_rotate_period": "1h" })),
    );
    mounted.rotate("key");
    let key = mounted.read("keys/key");
    assert_eq!(
        (&key["latest_version"], &key["key_size"]),
        (&json!(2), &json!(40))
    );
    mounted.write("keys/fixed/import", body(json!({})));
    let refusal = mounted.refusal("keys/fixed/config", json!({ "auto_rotate_period": "1h" }));
    assert_eq!(refusal, "imported key fixed does not allow rotation within Vault");
    mounted.make("made", "hmac");
    let refusal = mounted.refusal("keys/made/import_version", body(json!({})));
    assert_eq!(
        refusal,
        "the import_version endpoint can only be used with an imported key"
    );
    let refusal = mounted.refusal("keys/none/import_version", body(json!({})));
    assert_eq!(
        refusal,
        "no key found with name none; to import a new key, use the import/ endpoint"
    );
}

#[test]
fn what_was_not_wrapped_for_the_mount_is_refused_without_saying_where_it_failed() {
    let mut mounted = with_wrapping_key();
    let (kind, _, wrapped) = fixtures::WRAPPED[0];
    let good = STANDARD.decode(wrapped).unwrap();
    let changed = |place: usize| {
        let mut changed = good.clone();
        changed[place] ^= 1;
        b64(changed)
    };
    let mut refusals = Vec::new();
    for wrapped in [
        changed(0),
        changed(100),
        changed(511),
        changed(512),
        changed(good.len() - 1),
        b64(&good[..512]),
        b64(&good[..511]),
        b64(&good[..good.len() - 1]),
        b64([&good[..], &[0; 8]].concat()),
        fixtures::WRAPPED_BADLY.to_owned(),
    ] {
        refusals.push(mounted.refusal("keys/key/import", json!({ "type": kind, "ciphertext": wrapped })));
    }
    let other_hash = json!({ "type": kind, "ciphertext": wrapped, "hash_function": "SHA1" });
    refusals.push(mounted.refusal("keys/key/import", other_hash));
    refusals.dedup();
    assert!(
        refusals.len() == 1 && refusals[0].starts_with("the ciphertext cannot be opened"),
        "{refusals:?}"
    );
    for (body, refusal) in [
        (
            json!({}),
            "missing ciphertext; give the key wrapped for this mount, in base64",
        ),
        (
            json!({ "ciphertext": "" }),
            "missing ciphertext; give the key wrapped for this mount, in base64",
        ),
        (
            json!({ "ciphertext": wrapped, "hash_function": "MD5" }),
            "unsupported hash function \"MD5\"; write SHA1, SHA224, SHA256, SHA384 or SHA512",
        ),
        (
            json!({ "ciphertext": wrapped, "type": "rsa-2048" }),
            "what was wrapped is no key of type rsa-2048; an asymmetric key has to be in PKCS #8, as DER",
        ),
        (
            json!({ "ciphertext": wrapped, "type": "aes128-gcm96" }),
            "what was wrapped is no key of type aes128-gcm96; an asymmetric key has to be in PKCS #8, as DER",
        ),
        (
            json!({ "ciphertext": fixtures::WRAPPED[7].2, "type": "rsa-4096" }),
            "what was wrapped is no key of type rsa-4096; an asymmetric key has to be in PKCS #8, as DER",
        ),
    ] {
        assert_eq!(mounted.refusal("keys/key/import", body.clone()), refusal);
    }
    let body = json!({ "type": "rsa-2048", "public_key": fixtures::RSA_2048_PUBLIC });
    assert!(matches!(
        mounted.fault(Operation::Update, "keys/key/import", body),
        Fault::Unimplemented(_)
    ));
    mounted.0.storage = Twin::default();
    let refusal = mounted.refusal("keys/key/import", json!({ "ciphertext": wrapped }));
    assert!(refusal.starts_with("there is no wrapping key yet"), "{refusal}");
}

#[test]
fn keys_of_rsa_are_made_of_the_given_randomness_and_the_wrapping_key_once() {
    let mut mounted = mounted();
    let body = crate::service::secrets::parameters::Body::default();
    let mut asked = |start: u8, operation: Operation, path: &str| {
        let call = crate::service::secrets::engine::Call {
            operation,
            path,
            body: &body,
            mount: &mounted.0.mount,
            caller: None,
            peer: &mounted.0.peer,
            now: mounted.0.now,
            is_privileged: false,
            fetched: &mounted.0.fetched,
        };
        let answer = Transit.handle(&call, &mut mounted.0.storage, &mut Counting(start));
        serde_json::to_value(answer.unwrap().data).unwrap()
    };
    let first = asked(0, Operation::Read, "wrapping_key");
    let second = asked(1, Operation::Read, "wrapping_key");
    assert_eq!(first, second);
    let public = rsa::RsaPublicKey::from_public_key_pem(first["public_key"].as_str().unwrap()).unwrap();
    assert_eq!(public.n().bits(), 4_096);
    mounted.make("key", "rsa-2048");
    let pem = mounted.read("keys/key")["keys"]["1"]["public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let public = rsa::RsaPublicKey::from_public_key_pem(&pem).unwrap();
    assert_eq!(public.n().bits(), 2_048);
    let ciphertext = mounted.encrypted("key", "a");
    assert_eq!(mounted.decrypted("key", &ciphertext), "a");
}
