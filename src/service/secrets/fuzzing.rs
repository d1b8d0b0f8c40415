//! For fuzzing: what a request to the secret store says, its path and its body; what engines make of requests and of what they
//! stored; and records as they are read.

mod engines;
mod records;

use super::parameters::{self, Body};
use super::path;
pub use engines::{secret_engine_seeds, secret_engines};
pub use records::{secret_record_seeds, secret_records};

/// A path, and behind the first line end a body.
pub fn secret_requests(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (encoded, rest) = bytes.split_at(end);
    let encoded = String::from_utf8_lossy(encoded);
    for is_list in [false, true] {
        if let Ok(path) = path::normalise(&encoded, is_list) {
            assert_eq!(path::normalise(&path.replace('%', "%25"), is_list), Ok(path));
        }
    }
    let Ok(body) = Body::parse(rest) else { return };
    for (name, value) in body.fields() {
        let text = body.text(name).expect("a field has a text");
        assert_eq!(serde_json::from_str(text).ok().as_ref(), Some(value));
        let _ = parameters::span(value);
        let _ = parameters::list(value);
        let _ = parameters::switch(value);
        let _ = parameters::integer(value);
    }
}

/// Requests to write and to list.
#[must_use]
pub fn secret_request_seeds() -> Vec<Vec<u8>> {
    vec![
        b"secret/data/a%2Fb//c/\n{\"data\": {\"n\": 1.0}, \"options\": {\"cas\": 0}}".to_vec(),
        b"sys/wrapping/wrap\n{\"ttl\": \"1h30m\", \"policies\": \"a,b\", \"renewable\": \"true\", \"uses\": 7}".to_vec(),
    ]
}
