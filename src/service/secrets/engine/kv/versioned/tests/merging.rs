//! Merge patches.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::merge::merge;

/// The examples of RFC 7396, appendix A, and some for the form of numbers.
#[test]
fn patches_do_what_the_standard_says() {
    for (target, patch, merged) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (
            r#"{"a":1.0,"b":[ 1E+2 ]}"#,
            r#"{"c": 2.50}"#,
            r#"{"a":1.0,"b":[ 1E+2 ],"c":2.50}"#,
        ),
        (r#"{"a\n\u0041":1}"#, r#"{"a\nA":null,"\"":0}"#, r#"{"\"":0}"#),
    ] {
        assert_eq!(merge(target, patch).unwrap().as_str(), merged, "{target} {patch}");
    }
}

/// As the standard has it in words.
pub(super) fn slow(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(&name);
            }
            value => {
                let old = fields.remove(&name).unwrap_or(Value::Null);
                fields.insert(name, slow(old, value));
            }
        }
    }
    Value::Object(fields)
}

pub(super) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a\"\\\\\n\u{7f}é]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab\"\n\u{1}]", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #[test]
    fn text_is_merged_as_values_are_and_never_grows(target in values(), patch in values()) {
        let (old, change) = (target.to_string(), patch.to_string());
        let merged = merge(&old, &change).unwrap();
        prop_assert!(merged.len() <= old.len() + change.len(), "room was made for both");
        let merged: Value = serde_json::from_str(&merged).unwrap();
        prop_assert_eq!(merged, slow(target, patch));
    }
}
