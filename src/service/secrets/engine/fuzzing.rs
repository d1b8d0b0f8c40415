//! For fuzzing: engines with storage in memory, any record and any request.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::fuzzing::{choice, seed};
use crate::service::secrets::engine::cubbyhole::Cubbyhole;
use crate::service::secrets::engine::kv::{KeyValue, Versioned};
use crate::service::secrets::engine::pki::Pki;
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::transit::Transit;
use crate::service::secrets::engine::{Engine, Fault};
use crate::service::secrets::login::{AppRole, Certificates, Jwt, Kubernetes, UserPass};
use crate::service::secrets::path;
use crate::service::secrets::policy::Operation;

/// Most lines of an input that are played.
const MAXIMUM_LINES: usize = 4;

/// Words of lines that are passed over: keys of RSA that take seconds to make.
const SLOW: [&str; 4] = ["3072", "4096", "8192", "wrapping_key"];

/// What is stored of each kind before an input is played.
const PREPARED: [&str; 10] = [
    "w a {\"value\": 1}",
    "w data/a {\"data\": {\"a\": 1, \"b\": {\"c\": null}}}\nw data/a {\"data\": {\"a\": 2}}",
    "w keys/a {\"exportable\": true}\nw keys/d {\"derived\": true}\nw keys/e {\"type\": \"ed25519\"}\nw keys/p {\"type\": \"ecdsa-p256\"}",
    "w root/generate/internal {\"common_name\": \"root\", \"key_type\": \"ec\"}\n\
     w roles/r {\"key_type\": \"ec\", \"allow_any_name\": true}\nw roles/any {\"key_type\": \"any\", \"allow_any_name\": true}",
    "w users/u {\"password\": \"p\"}",
    "w role/r {\"role_id\": \"i\", \"bind_secret_id\": false, \"token_bound_cidrs\": \"10.0.0.0/8\"}",
    "w config {\"jwks_url\": \"http://a/\"}\nw role/r {\"role_type\": \"jwt\", \"user_claim\": \"sub\", \"bound_audiences\": \"a\"}",
    "w certs/c {\"certificate\": \"\"}",
    "w config {\"kubernetes_host\": \"http://a\"}\n\
     w role/r {\"bound_service_account_names\": \"*\", \"bound_service_account_namespaces\": \"*\"}",
    "w a {\"value\": 1}",
];

type Records = BTreeMap<String, (Vec<u8>, Option<Duration>)>;

thread_local! {
    static STORED: Vec<Records> = (0..PREPARED.len()).map(|kind| on(kind, None, PREPARED[kind])).collect();
}

/// The kind of engine, then lines: `= PATH RECORD` for what is stored, and requests with `r`, `w`, `p`, `d`, `l`, a path and a
/// body.
pub fn secret_engines(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    let kind = usize::from(kind) % PREPARED.len();
    let stored = STORED.with(|stored| stored[kind].clone());
    on(kind, Some(stored), &String::from_utf8_lossy(rest));
}

fn on(kind: usize, stored: Option<Records>, script: &str) -> Records {
    let stored = stored.unwrap_or_default();
    match kind {
        0 => play(Bench::new(KeyValue, "kv", "kv/", &[]), stored, script),
        1 => play(
            Bench::new(Versioned, "kv", "kv/", &[("version", "2")]),
            stored,
            script,
        ),
        2 => play(Bench::new(Transit, "transit", "transit/", &[]), stored, script),
        3 => play(Bench::new(Pki, "pki", "pki/", &[]), stored, script),
        4 => play(
            Bench::new(UserPass, "userpass", "auth/userpass/", &[]),
            stored,
            script,
        ),
        5 => play(
            Bench::new(AppRole, "approle", "auth/approle/", &[]),
            stored,
            script,
        ),
        6 => play(Bench::new(Jwt, "jwt", "auth/jwt/", &[]), stored, script),
        7 => play(
            Bench::new(Certificates, "cert", "auth/cert/", &[]),
            stored,
            script,
        ),
        8 => play(
            Bench::new(Kubernetes, "kubernetes", "auth/kubernetes/", &[]),
            stored,
            script,
        ),
        _ => play(
            Bench::new(Cubbyhole, "cubbyhole", "cubbyhole/", &[]),
            stored,
            script,
        ),
    }
}

fn play<E: Engine>(mut bench: Bench<E>, stored: Records, script: &str) -> Records {
    bench.storage.records = stored;
    for line in script.lines().take(MAXIMUM_LINES) {
        let mut words = line.splitn(3, ' ');
        let (Some(what), Some(encoded)) = (words.next(), words.next()) else {
            continue;
        };
        let text = words.next().unwrap_or_default();
        let Ok(path) = path::normalise(encoded, what == "l") else {
            continue;
        };
        if SLOW.iter().any(|slow| line.contains(slow)) {
            continue;
        }
        let operation = match what {
            // The hash of a password says how long it takes; what is stored is one that was made here.
            "=" if bench.mount.kind != "userpass" && !path.is_empty() => {
                bench
                    .storage
                    .records
                    .insert(path, (text.as_bytes().to_vec(), None));
                continue;
            }
            "r" => Operation::Read,
            "w" => Operation::Update,
            "p" => Operation::Patch,
            "d" => Operation::Delete,
            "l" => Operation::List,
            _ => continue,
        };
        let fetched = match bench.ask(operation, &path, text) {
            Ok(answer) => {
                serde_json::to_value(answer.data).expect("data are JSON");
                None
            }
            Err(Fault::Fetch(errand)) => Some(errand),
            Err(_) => None,
        };
        if let Some(errand) = fetched {
            // What is fetched is the request once more: any bytes.
            bench.fetched.insert(errand, Ok(text.as_bytes().to_vec()));
            let _ = bench.ask(operation, &path, text);
        }
    }
    bench.storage.records
}

/// Some requests to each.
#[must_use]
pub fn secret_engine_seeds() -> Vec<Vec<u8>> {
    let mut pki = Bench::new(Pki, "pki", "pki/", &[]);
    let asked =
        "{\"common_name\": \"a\", \"key_type\": \"ec\", \"alt_names\": \"b.c\", \"ip_sans\": \"1.2.3.4\"}";
    let request = pki
        .data(Operation::Update, "intermediate/generate/internal", asked)
        .expect("a request is made");
    let signed = format!(
        "w sign/any {{\"common_name\": \"a.b\", \"csr\": {}}}",
        request["csr"]
    );
    let scripts = [
        "w a {\"value\": [1, 2.50]}\nr a {}\nl / {}\nd a {}",
        "p data/a {\"data\": {\"b\": {\"c\": 1, \"d\": null}}, \"options\": {\"cas\": 2}}\nr data/a {\"version\": 1}\n\
         w metadata/a {\"custom_metadata\": {\"o\": \"x\"}, \"delete_version_after\": \"1h\"}\nw undelete/a {\"versions\": \"1\"}",
        "w encrypt/a {\"plaintext\": \"YQ==\"}\nw decrypt/a {\"ciphertext\": \"vault:v1:abcd\"}\n\
         w sign/e/sha2-256 {\"batch_input\": [{\"input\": \"YQ==\"}]}\nw encrypt/d {\"plaintext\": \"\", \"context\": \"YQ==\"}",
        "w issue/r {\"common_name\": \"a.b\", \"alt_names\": \"*.a,b@c\", \"uri_sans\": \"spiffe://a/b\", \"other_sans\": \"1.3.6.1;utf8:x\"}\n\
         w roles/r {\"allowed_domains\": \"a.b\", \"key_usage\": [], \"ext_key_usage_oids\": \"1.2.3\", \"ttl\": \"1h\"}\n\
         r cert/crl {}\nw config/urls {\"crl_distribution_points\": \"http://a\"}",
        "w login/u {\"password\": \"p\"}\nw login/n {\"password\": \"p\"}\nw users/u {\"token_policies\": [\"a\"]}",
        "w role/r/secret-id {\"metadata\": \"{\\\"a\\\": \\\"b\\\"}\", \"cidr_list\": \"10.0.0.0/8\"}\nw login {\"role_id\": \"i\", \"secret_id\": \"s\"}",
        "w login {\"role\": \"r\", \"jwt\": \"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln\"}\n\
         = role/r {\"user_claim\": \"/sub\", \"bound_claims\": {\"a\": [\"b\"]}}",
        "w login {\"name\": \"c\"}\nw certs/c {\"certificate\": \"-----BEGIN CERTIFICATE-----\", \"allowed_names\": \"*.a\"}",
        "w login {\"role\": \"r\", \"jwt\": \"{\\\"status\\\": {\\\"authenticated\\\": true}}\"}",
        "w a {\"value\": 1}\nl / {}",
    ];
    let seeds = (0..).zip(scripts).map(|(kind, script)| seed(kind, script));
    seeds.chain([seed(3, signed)]).collect()
}
