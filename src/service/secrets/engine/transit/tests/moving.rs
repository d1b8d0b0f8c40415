//! Keys that leave the store, and come back from a backup.

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::traits::PublicKeyParts;

use super::*;
use crate::base::limits::MAXIMUM_TRANSIT_BACKUP_BYTES;

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
    // A backup says what the public key is, and is not believed.
    assert_eq!(
        mounted.read("keys/rsa")["keys"]["1"]["public_key"],
        fixtures::RSA_2048_PUBLIC
    );
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
