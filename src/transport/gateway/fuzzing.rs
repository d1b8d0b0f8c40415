//! For fuzzing: the translation between JSON and messages.

use std::collections::VecDeque;

use super::json::Objects;
use super::routes::Routes;
use crate::base::fuzzing::seed;

/// Longest object in a stream.
const MAXIMUM_BYTES: usize = 1_000;
/// A path for each message that differs in the kinds of its fields, in the order of the seeds.
const PATHS: [&str; 12] = [
    "/kv/txn",
    "/kv/range",
    "/kv/put",
    "/watch",
    "/lease/grant",
    "/maintenance/alarm",
    "/cluster/member/add",
    "/auth/user/add",
    "/auth/role/grant",
    "/election/campaign",
    "/lock/lock",
    "/maintenance/downgrade",
];

/// The gateway's routes.
pub struct Gateway(Routes);

impl Gateway {
    /// Reads the descriptors.
    #[must_use]
    pub fn new() -> Self {
        Self(Routes::new())
    }

    /// Translates in both directions. A message that JSON was made of is the one that the JSON makes.
    pub fn translate(&self, kind: u8, bytes: &[u8]) {
        let Some(path) = PATHS.get(usize::from(kind)) else {
            return objects(bytes);
        };
        let route = self.0.at(path).expect("the path exists");
        if let Ok(message) = route.request.to_message(bytes) {
            let text = route.request.to_json(&message).expect("it is a message");
            let again = route.request.to_message(&text).expect("it is JSON");
            assert_eq!(again, message, "{}", String::from_utf8_lossy(&text));
        }
        let _ = route.request.to_json(bytes);
        let _ = route.answer.to_json(bytes);
    }
}

/// A stream is cut into the same objects however it arrives, and each is no larger than it may be.
fn objects(bytes: &[u8]) {
    let cut = |length: usize| {
        let mut objects = Objects::new(MAXIMUM_BYTES);
        let mut complete = VecDeque::new();
        let outcome = bytes
            .chunks(length)
            .try_for_each(|chunk| objects.pass(chunk, &mut complete))
            .and_then(|()| objects.end());
        assert!(complete.iter().all(|object| object.len() <= MAXIMUM_BYTES));
        (complete, outcome.map_err(|status| status.code()))
    };
    assert_eq!(cut(bytes.len().max(1)), cut(7));
}

/// JSON for each of the paths.
#[must_use]
pub fn gateway_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"compare":[{"result":"GREATER","target":"VALUE","key":"YQ==","value":"Yg=="}],"success":[{"request_put":{"key":"YQ==","value":"Yg==","lease":"7"}},{"requestRange":{"key":"YQ","limit":3}}],"failure":[{"request_txn":{}}]}"#,
        r#"{"key":"YQ==","range_end":"+/8=","limit":"7","sort_order":"DESCEND","min_mod_revision":9223372036854775807,"keys_only":null}"#,
        r#"{"key":"YQ","value":"-_8","lease":-1,"prev_kv":true}"#,
        r#"{"create_request":{"key":"YQ==","range_end":"AA==","filters":["NOPUT",1]}} {"cancel_request":{"watch_id":"1"}}"#,
        r#"{"TTL":"60","ID":7}"#,
        r#"{"action":"ACTIVATE","memberID":"18446744073709551615","alarm":"NOSPACE"}"#,
        r#"{"peerURLs":["http://a:1","http:\/\/b\u003a2"],"isLearner":true}"#,
        r#"{"name":"root","password":"hunter2","options":{"no_password":false}}"#,
        r#"{"name":"r","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
        r#"{"name":"YQ==","lease":7e0,"value":"Yg=="}"#,
        r#"{"name":"YQ==","lease":"7"}"#,
        r#"{"action":"VALIDATE","version":"3.6.0"}"#,
        "{\"a\":\"}\\\"{\"}\n {\"b\":{\"c\":[{}]}}{}",
    ];
    (0..).zip(texts).map(|(kind, text)| seed(kind, text)).collect()
}
