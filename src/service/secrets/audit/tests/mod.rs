//! Tests of the audit.

mod broker;
mod chain;
mod device;
mod entry;
mod files;
mod sinks;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Auth, Entry, Fields, Mounted, Reply, Request};
use crate::service::secrets::memory::Key;
use crate::service::secrets::policy::Operation;

/// The key of the bytes 0, 1, 2 and so on.
fn key() -> Key {
    Key::copied_from(&std::array::from_fn(|number| u8::try_from(number).unwrap()))
}

/// 2026-01-02T03:04:05.000000006Z.
const NOW: Duration = Duration::new(1_767_323_045, 6);

fn options(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(options) => options,
        other => panic!("{other} is no object"),
    }
}

/// A request to write, with `data`.
fn request<'a>(data: Fields<'a>, mount: Option<Mounted<'a>>) -> Request<'a> {
    Request {
        id: "11111111-2222-4333-8444-555555555555",
        client_id: "",
        operation: Operation::Update,
        mount,
        client_token: "",
        client_token_accessor: "",
        path: "secret/data/a",
        data,
        remote_address: "192.0.2.1",
        remote_port: 4711,
        headers: &[],
        wrap_ttl: None,
        policy_override: false,
        client_certificate_serial_number: "",
    }
}

fn entry<'a>(
    request: &'a Request<'a>,
    auth: Option<&'a Auth<'a>>,
    reply: Option<&'a Reply<'a>>,
) -> Entry<'a> {
    Entry {
        time: NOW,
        auth,
        request,
        reply,
        error: "",
    }
}

/// Metadata of one name.
fn metadata(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

/// A map for the data of an entry.
fn numbered(number: usize) -> Map<String, Value> {
    options(json!({"number": number}))
}
