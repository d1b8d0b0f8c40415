//! Version 1.

use std::path::Path;
use std::time::Duration;

use super::{invalid, play_all};
use crate::base::limits::MAXIMUM_SECRET_VALUE_BYTES;
use crate::service::secrets::engine::kv::KeyValue;
use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::policy::Operation;

fn bench() -> Bench<KeyValue> {
    Bench::new(KeyValue, "kv", "secret/", &[("version", "1")])
}

#[test]
fn every_script_of_version_1_is_answered_as_it_says() {
    let answers = play_all(&Path::new(file!()).with_file_name("scripts"), bench);
    assert!(answers > 25, "only {answers} answers");
}

#[test]
fn a_value_is_answered_as_it_was_written() {
    let mut bench = bench();
    let body = r#"{"big":123456789012345678901234567890,"one":1.0,"e":1E+2,"text":"\u0041\/é","deep":{ "z" : [1.50] }}"#;
    bench.ask(Operation::Update, "a", body).unwrap();
    let data = bench.ask(Operation::Read, "a", "").unwrap().data.unwrap();
    for (name, text) in [
        ("big", "123456789012345678901234567890"),
        ("one", "1.0"),
        ("e", "1E+2"),
        ("text", r#""\u0041\/é""#),
        ("deep", r#"{ "z" : [1.50] }"#),
    ] {
        assert_eq!(data.get(name), Some(text));
    }
}

#[test]
fn advice_is_that_of_the_mount_where_the_secret_has_none() {
    let mut bench = bench();
    bench.mount.tuning.default_lease_seconds = 61;
    bench.ask(Operation::Update, "a", r#"{"b":1}"#).unwrap();
    let answer = bench.ask(Operation::Read, "a", "").unwrap();
    assert_eq!(answer.advice, Some(Duration::from_secs(61)));
}

#[test]
fn a_value_over_the_limit_is_refused_and_nothing_is_changed() {
    let mut bench = bench();
    let body = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - r#"{"a":""}"#.len()));
    bench
        .ask(Operation::Update, "a", &body(MAXIMUM_SECRET_VALUE_BYTES))
        .unwrap();
    let before = bench.storage.records.clone();
    let text = invalid(bench.ask(Operation::Update, "a", &body(MAXIMUM_SECRET_VALUE_BYTES + 1)));
    assert_eq!(text, "the secret has 1048577 bytes as JSON; the most is 1048576");
    assert_eq!(bench.storage.records, before);
}

#[test]
fn an_existing_secret_is_told_from_one_that_is_not_there() {
    let mut bench = bench();
    bench.ask(Operation::Update, "a/b", r#"{"c":1}"#).unwrap();
    for (path, exists) in [
        ("a/b", Some(true)),
        ("a", Some(false)),
        ("a/b/c", Some(false)),
        ("", None),
    ] {
        assert_eq!(super::exists(&mut bench, path), exists, "{path:?}");
    }
}
