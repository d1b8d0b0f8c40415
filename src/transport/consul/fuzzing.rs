//! For fuzzing: what clients of Consul's interface send, before a service sees it.

use bytes::Bytes;
use serde_json::json;

use super::catalog::{check_of, node_of};
use super::definition::{self, Otherwise};
use super::fields::Fields;
use super::parameters::{Parameters, ReadOptions, nanoseconds, shown};
use super::{registration, shapes, snapshot, txn};
use crate::base::Revision;
use crate::base::fuzzing::{choice, seed};
use crate::service::consul::Archive;
use crate::service::consul::filter::Filter;

/// Bodies, parameters, filter expressions and snapshots.
pub fn requests(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    let text = String::from_utf8_lossy(rest);
    match kind {
        0 => {
            if let Ok(fields) = Fields::parse(rest) {
                let _ = registration::parse(&fields, "Service", "n");
                let _ = definition::parse(&fields, Otherwise::Refused).map(|check| {
                    let kind = &check.definition.kind;
                    (definition::times(kind), definition::shown(kind))
                });
                let _ = check_of(&fields, "n");
                let _ = node_of(&fields, "n", "Meta");
            }
        }
        1 => {
            let _ = Fields::parse_list(rest).map(|all| all.iter().map(txn::operation).collect::<Vec<_>>());
        }
        2 => {
            let parameters = Parameters::parse(&text);
            let _ = ReadOptions::parse(&parameters);
            let _ = (parameters.number("flags"), parameters.all("tag"));
        }
        3 => {
            // What is shown of a time is a time.
            if let Some(time) = nanoseconds(&text) {
                assert!(nanoseconds(&shown(time)).is_some(), "{time}");
            }
        }
        4 => {
            if let Ok(filter) = Filter::parse(&text, shapes::HEALTH_ENTRY) {
                let service = json!({"Service": "web", "Tags": ["a"], "Meta": {"k": "v"}, "Port": 80});
                let _ = filter
                    .admits(&json!({"Node": {}, "Service": service, "Checks": [{"Status": "passing"}]}));
            }
        }
        _ => {
            let _ = snapshot::unpack(&Bytes::copy_from_slice(rest));
        }
    }
}

/// One of each.
#[must_use]
pub fn request_seeds() -> Vec<Vec<u8>> {
    let service =
        r#"{"ID":"w","Service":"web","Tags":["a"],"Port":80,"Meta":{"k":"v"},"Weights":{"Passing":2}}"#;
    let check = r#"{"CheckID":"c","Name":"n","Status":"passing","HTTP":"http://h/","Interval":"10s","Header":{"a":["b"]}}"#;
    let entries = format!(
        r#"[{{"Node":{{"Verb":"cas","Node":{{"Node":"n","Address":"a","ModifyIndex":7}}}}}},
        {{"Service":{{"Verb":"set","Node":"n","Service":{service}}}}},
        {{"Check":{{"Verb":"delete-cas","Check":{{"Node":"n","CheckID":"c","ServiceID":"w"}}}}}}]"#
    );
    let keys = r#"[{"KV":{"Verb":"cas","Key":"k","Value":"dg==","Index":1}},
        {"KV":{"Verb":"lock","Key":"k","Session":"adf4238a-882b-9ddc-4a9d-5b6758e4159e"}}]"#;
    let mut seeds = vec![
        seed(0, service),
        seed(0, check),
        seed(1, entries),
        seed(1, keys),
        seed(2, "index=7&wait=1m30s&stale=&max_stale=5s&tag=a&flags=1"),
        seed(3, "1h0m0.5s"),
        seed(
            4,
            r#"Service.Tags contains "a" and not (Checks.Status == passing or Service.Meta.k matches `v.*`)"#,
        ),
    ];
    let archive = Archive {
        content: Bytes::from_static(b"state"),
        revision: Revision(7),
    };
    seeds.extend(snapshot::pack(&archive).ok().map(|packed| seed(5, packed)));
    seeds
}
