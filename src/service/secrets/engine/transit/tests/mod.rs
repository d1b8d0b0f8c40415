//! Transit against a twin of storage.

mod encrypting;
mod fixtures;
mod hostile;
mod importing;
mod keys;
mod moving;
mod signing;
mod tools;
mod vectors;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Transit;
use super::kind::KeyType;
use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::engine::{Answer, Fault};
use crate::service::secrets::policy::Operation;

/// The types whose keys are made at once.
const QUICK: [&str; 9] = [
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "xchacha20-poly1305",
    "ed25519",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "hmac",
];

const CIPHERS: [&str; 4] = [
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "xchacha20-poly1305",
];

struct Mounted(Bench<Transit>);

fn mounted() -> Mounted {
    Mounted(Bench::new(Transit, "transit", "transit/", &[]))
}

impl Mounted {
    fn ask(&mut self, operation: Operation, path: &str, body: &Value) -> Result<Answer, Fault> {
        self.0.ask(operation, path, &body.to_string())
    }

    /// What a write is answered.
    fn write(&mut self, path: &str, body: Value) -> Value {
        let answer = self.ask(Operation::Update, path, &body);
        let answer = answer.unwrap_or_else(|fault| panic!("{path}: {fault}"));
        serde_json::to_value(answer.data).unwrap()
    }

    /// The text of one field of what a write is answered.
    fn text(&mut self, path: &str, field: &str, body: Value) -> String {
        self.write(path, body)[field].as_str().unwrap().to_owned()
    }

    fn read(&mut self, path: &str) -> Value {
        self.0
            .data(Operation::Read, path, "")
            .unwrap_or_else(|fault| panic!("{path}: {fault}"))
    }

    /// Why a write is refused.
    fn refusal(&mut self, path: &str, body: Value) -> String {
        match self.ask(Operation::Update, path, &body) {
            Err(Fault::Invalid(text)) => text,
            other => panic!("{path} {body}: {other:?}"),
        }
    }

    fn fault(&mut self, operation: Operation, path: &str, body: Value) -> Fault {
        self.ask(operation, path, &body).expect_err(path)
    }

    fn make(&mut self, name: &str, kind: &str) {
        self.write(&format!("keys/{name}"), json!({ "type": kind }));
    }

    fn rotate(&mut self, name: &str) {
        self.write(&format!("keys/{name}/rotate"), json!({}));
    }

    /// Puts a key in whose secret is known, by way of a backup.
    fn install(&mut self, name: &str, kind: &str, settings: Value, secret: &[u8]) {
        let key = super::record::Key::new(KeyType::from_name(kind).unwrap());
        let mut key = serde_json::to_value(key).unwrap();
        key["latest"] = json!(1);
        for (field, value) in settings.as_object().unwrap() {
            key[field] = value.clone();
        }
        let made = json!({ "secs": 1, "nanos": 0 });
        let version = json!({ "made": made, "secret": b64(secret), "hmac": b64(secret), "public": "" });
        let backup = json!({ "format": 1, "name": name, "key": key, "versions": { "1": version } });
        self.write("restore", json!({ "backup": b64(backup.to_string()) }));
    }

    fn encrypted(&mut self, name: &str, plaintext: &str) -> String {
        self.text(
            &format!("encrypt/{name}"),
            "ciphertext",
            json!({ "plaintext": b64(plaintext) }),
        )
    }

    fn decrypted(&mut self, name: &str, ciphertext: &str) -> String {
        let path = format!("decrypt/{name}");
        unb64(&self.text(&path, "plaintext", json!({ "ciphertext": ciphertext })))
    }
}

fn with_wrapping_key() -> Mounted {
    let mut mounted = mounted();
    let record = serde_json::to_vec(fixtures::WRAPPING_KEY).unwrap();
    mounted
        .0
        .storage
        .records
        .insert("wrapping_key".to_owned(), (record, None));
    mounted
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn unb64(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

/// The bytes of hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|digit| !digit.is_ascii_whitespace())
        .collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
