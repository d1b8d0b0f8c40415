//! The engine against its twin, its certificates read by another library.

mod amounts;
mod chains;
mod forms;
mod names;
mod revocation;
mod routes;

use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Pki;
use super::pem;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::policy::Operation;

fn bench() -> Bench<Pki> {
    Bench::new(Pki, "pki", "pki/", &[])
}

/// A mount with a root on P-256, which is quickly made.
fn with_root() -> Bench<Pki> {
    let mut bench = bench();
    root(&mut bench, json!({}));
    bench
}

fn root(bench: &mut Bench<Pki>, more: Value) -> Value {
    let mut body = json!({"common_name": "Root", "key_type": "ec", "ttl": "700h"});
    merge(&mut body, more);
    write(bench, "root/generate/internal", &body)
}

fn merge(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

fn role(bench: &mut Bench<Pki>, more: Value) {
    let mut body = json!({"key_type": "ec", "allow_any_name": true, "ttl": "1h"});
    merge(&mut body, more);
    write(bench, "roles/web", &body);
}

fn write(bench: &mut Bench<Pki>, path: &str, body: &Value) -> Value {
    match bench.data(Operation::Update, path, &body.to_string()) {
        Ok(data) => data,
        Err(fault) => panic!("{path} {body}: {fault}"),
    }
}

fn read(bench: &mut Bench<Pki>, path: &str) -> Value {
    match bench.data(Operation::Read, path, "") {
        Ok(data) => data,
        Err(fault) => panic!("{path}: {fault}"),
    }
}

fn raw(bench: &mut Bench<Pki>, path: &str) -> Vec<u8> {
    bench.ask(Operation::Read, path, "").unwrap().raw.unwrap().bytes
}

/// Why a write is refused as wrong.
fn refused(bench: &mut Bench<Pki>, path: &str, body: &Value) -> String {
    match bench.ask(Operation::Update, path, &body.to_string()) {
        Err(Fault::Invalid(text)) => text,
        other => panic!("{path} {body}: {other:?}"),
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

fn der(pem_text: &str) -> Vec<u8> {
    pem::decode(pem_text, "it").unwrap()[0].1.to_vec()
}

/// What another library reads in the certificate of an answer.
fn with_certificate<Answer>(data: &Value, check: impl FnOnce(&X509Certificate<'_>) -> Answer) -> Answer {
    let bytes = der(&text(&data["certificate"]));
    let (rest, certificate) = X509Certificate::from_der(&bytes).unwrap();
    assert!(rest.is_empty());
    check(&certificate)
}
