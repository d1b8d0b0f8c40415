//! Keys that were made elsewhere, and the key that they are wrapped with.

use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

use super::*;
use crate::service::secrets::engine::Engine;
use crate::service::secrets::engine::testing::Twin;
use crate::service::secrets::randomness::SystemRandomness;

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
fn a_public_key_alone_verifies_and_encrypts_until_its_secret_comes() {
    let mut mounted = with_wrapping_key();
    for (kind, hash, wrapped) in &fixtures::WRAPPED[3..] {
        let secret = json!({ "type": kind, "hash_function": hash, "ciphertext": wrapped });
        mounted.write("keys/whole/import", secret.clone());
        let path = "keys/whole";
        let shown = mounted.read(path)["keys"]["1"]["public_key"]
            .as_str()
            .unwrap()
            .to_owned();
        let pem = match *kind {
            // As RFC 8410 has it.
            "ed25519" => {
                let der = [
                    bytes("302a300506032b6570032100"),
                    STANDARD.decode(&shown).unwrap(),
                ]
                .concat();
                format!(
                    "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                    b64(der)
                )
            }
            _ => shown.clone(),
        };
        mounted.write("keys/half/import", json!({ "type": kind, "public_key": pem }));
        assert_eq!(mounted.read("keys/half")["keys"]["1"]["public_key"], shown);
        let signature = mounted.text("sign/whole", "signature", json!({ "input": "" }));
        let body = json!({ "input": "", "signature": signature });
        assert_eq!(mounted.write("verify/half", body)["valid"], true, "{kind}");
        let body = json!({ "input": b64("a"), "signature": signature });
        assert_eq!(mounted.write("verify/half", body)["valid"], false, "{kind}");
        let refusal = "requested version for signing does not contain a private part";
        assert_eq!(mounted.refusal("sign/half", json!({ "input": "" })), refusal);
        mounted.write(
            "keys/half/config",
            json!({ "exportable": true, "deletion_allowed": true }),
        );
        let fault = mounted.fault(Operation::Read, "export/signing-key/half", json!({}));
        assert_eq!(fault.to_string(), "the version has no private key");
        let mut sealed = None;
        if *kind == "rsa-2048" {
            let ciphertext = mounted.encrypted("half", "a");
            let refusal = "requested version for decryption does not contain a private part";
            assert_eq!(
                mounted.refusal("decrypt/half", json!({ "ciphertext": ciphertext })),
                refusal
            );
            sealed = Some(ciphertext);
        }
        let with_version = |version: i64, wrapped: &str, hash: &str| json!({ "hash_function": hash, "ciphertext": wrapped, "version": version });
        for version in [0, 2, -1] {
            let refusal = mounted.refusal("keys/half/import_version", with_version(version, wrapped, hash));
            assert_eq!(refusal, "there is no such version; leave version out to add one");
        }
        mounted.write("keys/half/import_version", with_version(1, wrapped, hash));
        mounted.text("sign/half", "signature", json!({ "input": "" }));
        if let Some(ciphertext) = sealed {
            assert_eq!(mounted.decrypted("half", &ciphertext), "a");
        }
        let refusal = mounted.refusal("keys/half/import_version", with_version(1, wrapped, hash));
        assert_eq!(refusal, "private key imported, key version cannot be updated");
        for name in ["whole", "half"] {
            mounted.write(
                &format!("keys/{name}/config"),
                json!({ "deletion_allowed": true }),
            );
            mounted
                .ask(Operation::Delete, &format!("keys/{name}"), &json!({}))
                .unwrap();
        }
    }
}

#[test]
fn a_public_key_is_imported_where_there_can_be_one() {
    let mut mounted = with_wrapping_key();
    let pem = fixtures::RSA_2048_PUBLIC;
    for (body, refusal) in [
        (
            json!({ "public_key": pem }),
            "a key of type aes256-gcm96 has no public key; give it wrapped, as ciphertext",
        ),
        (
            json!({ "public_key": pem, "type": "rsa-4096" }),
            "public_key is no key of type rsa-4096; give it as PEM",
        ),
        (
            json!({ "public_key": pem, "type": "ed25519" }),
            "public_key is no key of type ed25519; give it as PEM",
        ),
        (
            json!({ "public_key": "?", "type": "rsa-2048" }),
            "public_key is no key of type rsa-2048; give it as PEM",
        ),
        (
            json!({ "public_key": pem, "type": "ed25519", "derived": true }),
            "nothing can be derived of a public key; give the key wrapped, as ciphertext",
        ),
        (
            json!({ "public_key": pem, "ciphertext": "AAAA", "type": "rsa-2048" }),
            "only one of the following fields, ciphertext and public_key, can be set",
        ),
    ] {
        assert_eq!(
            mounted.refusal("keys/key/import", body.clone()),
            refusal,
            "{body}"
        );
    }
    // The secret of another key does not complete it.
    let (_, hash, wrapped) = fixtures::WRAPPED[4];
    mounted.make("other", "ecdsa-p256");
    let pem = mounted.read("keys/other")["keys"]["1"]["public_key"].clone();
    mounted.write(
        "keys/key/import",
        json!({ "type": "ecdsa-p256", "public_key": pem }),
    );
    let body = json!({ "hash_function": hash, "ciphertext": wrapped, "version": 1 });
    let refusal = "the private key is not that of the public key of the version";
    assert_eq!(mounted.refusal("keys/key/import_version", body), refusal);
    let body = json!({ "public_key": pem, "version": 1 });
    assert!(
        mounted
            .refusal("keys/key/import_version", body)
            .starts_with("the public key of the version is there")
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
    mounted.0.storage = Twin::default();
    let refusal = mounted.refusal("keys/key/import", json!({ "ciphertext": wrapped }));
    assert!(refusal.starts_with("there is no wrapping key yet"), "{refusal}");
}

#[test]
fn the_wrapping_key_is_made_once_and_keys_of_rsa_are_as_long_as_their_type_says() {
    let mut mounted = mounted();
    let body = crate::service::secrets::parameters::Body::default();
    let mut asked = |operation: Operation, path: &str| {
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
        let answer = Transit.handle(&call, &mut mounted.0.storage, &mut SystemRandomness);
        serde_json::to_value(answer.unwrap().data).unwrap()
    };
    let first = asked(Operation::Read, "wrapping_key");
    let second = asked(Operation::Read, "wrapping_key");
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
