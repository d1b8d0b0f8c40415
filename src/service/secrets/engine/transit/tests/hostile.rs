//! Input of any form, and randomness that runs dry.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::service::secrets::engine::{Call, Engine};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::randomness::Randomness;

/// Text that has something of what it should be.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "vault:v[0-9]{0,11}:[A-Za-z0-9+/]{0,80}={0,2}",
        (1..3_u32, any::<Vec<u8>>()).prop_map(|(version, bytes)| format!("vault:v{version}:{}", b64(bytes))),
        any::<Vec<u8>>().prop_map(b64),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([])),
        1 => Just(json!({})),
    ]
}

const FIELDS: [&str; 22] = [
    "ciphertext",
    "plaintext",
    "context",
    "associated_data",
    "input",
    "signature",
    "hmac",
    "key_version",
    "hash_algorithm",
    "signature_algorithm",
    "marshaling_algorithm",
    "salt_length",
    "prehashed",
    "backup",
    "bits",
    "bytes",
    "format",
    "min_decryption_version",
    "min_encryption_version",
    "min_available_version",
    "auto_rotate_period",
    "key_size",
];

const PATHS: [&str; 16] = [
    "encrypt/key",
    "decrypt/key",
    "rewrap/key",
    "datakey/plaintext/key",
    "sign/key",
    "verify/key",
    "hmac/key",
    "keys/key/config",
    "keys/key/trim",
    "keys/key/import_version",
    "keys/other",
    "keys/other/import",
    "restore",
    "random",
    "hash",
    "cache-config",
];

proptest! {
    #[test]
    fn whatever_a_request_says_the_answer_is_an_answer_or_its_fault(
        kind in prop::sample::select(vec!["aes256-gcm96", "ed25519", "ecdsa-p256", "rsa-2048", "hmac"]),
        requests in prop::collection::vec(
            (
                prop::sample::select(PATHS.to_vec()),
                prop::collection::vec((prop::sample::select(FIELDS.to_vec()), value()), 0..5),
                any::<bool>(),
            ),
            1..5,
        ),
    ) {
        let mut mounted = with_wrapping_key();
        if kind == "rsa-2048" {
            mounted.install("key", kind, json!({}), &STANDARD.decode(fixtures::RSA_2048).unwrap());
        } else {
            mounted.make("key", kind);
        }
        for (path, fields, is_batch) in requests {
            let mut body: serde_json::Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            if is_batch {
                let items = json!([body, {}]);
                body.insert("batch_input".to_owned(), items);
            }
            match mounted.ask(Operation::Update, path, &Value::Object(body)) {
                Ok(_) | Err(Fault::Invalid(_) | Fault::InvalidWith { .. } | Fault::Unimplemented(_)) => {}
                Err(fault) => prop_assert!(false, "{path}: {fault:?}"),
            }
        }
    }
}

/// A generator that has nothing to give.
struct Dry;

impl Randomness for Dry {
    fn fill(&mut self, _bytes: &mut [u8]) -> io::Result<()> {
        Err(io::Error::other("dry"))
    }
}

#[test]
fn without_randomness_there_is_no_key_no_nonce_and_no_signature_of_a_guess() {
    let mut mounted = mounted();
    for kind in QUICK {
        mounted.make(kind, kind);
    }
    mounted.install(
        "rsa",
        "rsa-2048",
        json!({}),
        &STANDARD.decode(fixtures::RSA_2048).unwrap(),
    );
    for (operation, path, body) in [
        (Operation::Update, "keys/new", json!({})),
        (Operation::Update, "keys/new", json!({ "type": "ecdsa-p521" })),
        (Operation::Update, "keys/new", json!({ "type": "rsa-2048" })),
        (Operation::Update, "keys/hmac/rotate", json!({})),
        (
            Operation::Update,
            "encrypt/aes256-gcm96",
            json!({ "plaintext": "" }),
        ),
        (Operation::Update, "encrypt/rsa", json!({ "plaintext": "" })),
        (
            Operation::Update,
            "encrypt/xchacha20-poly1305",
            json!({ "batch_input": [{ "plaintext": "" }] }),
        ),
        (Operation::Update, "datakey/wrapped/aes256-gcm96", json!({})),
        (Operation::Update, "sign/ecdsa-p256", json!({ "input": "" })),
        (Operation::Update, "sign/rsa", json!({ "input": "" })),
        (Operation::Update, "random", json!({})),
        (Operation::Read, "wrapping_key", json!({})),
    ] {
        let body = Body::parse(body.to_string().as_bytes()).unwrap();
        let call = Call {
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
        let answer = Transit.handle(&call, &mut mounted.0.storage, &mut Dry);
        assert!(matches!(answer, Err(Fault::Internal(_))), "{path} {body:?}");
    }
}
