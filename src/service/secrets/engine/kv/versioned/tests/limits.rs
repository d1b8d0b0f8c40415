//! Limits.

use super::*;
use crate::base::limits::{
    DEFAULT_MAXIMUM_REQUEST_BYTES, DEFAULT_SECRET_VERSIONS, MAXIMUM_CUSTOM_METADATA_KEY_BYTES,
    MAXIMUM_CUSTOM_METADATA_PAIRS, MAXIMUM_CUSTOM_METADATA_VALUE_BYTES, MAXIMUM_SECRET_VALUE_BYTES,
    MAXIMUM_SECRET_VERSIONS, MAXIMUM_VERSION_LIFE_SECONDS,
};
use crate::service::secrets::engine::kv::tests::invalid;

fn value(bytes: usize) -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - r#"{"a":""}"#.len()))
}

#[test]
fn a_value_over_the_limit_is_refused_when_written_and_when_patched() {
    let mut bench = bench();
    write(&mut bench, "a", &value(MAXIMUM_SECRET_VALUE_BYTES));
    let before = bench.storage.records.clone();
    let body = |data: &str| format!(r#"{{"data":{data}}}"#);
    let large = body(&value(MAXIMUM_SECRET_VALUE_BYTES + 1));
    for operation in [Operation::Update, Operation::Patch] {
        let text = invalid(bench.ask(operation, "data/a", &large));
        assert_eq!(text, "the secret has 1048577 bytes as JSON; the most is 1048576");
    }
    let text = invalid(bench.ask(Operation::Patch, "data/a", &body(r#"{"b":1}"#)));
    assert_eq!(text, "the secret has 1048582 bytes as JSON; the most is 1048576");
    assert_eq!(bench.storage.records, before);
}

#[test]
fn ten_versions_are_kept_where_nobody_says_another_number() {
    let mut bench = bench();
    for _ in 0..=DEFAULT_SECRET_VERSIONS {
        write(&mut bench, "a", r#"{"b":1}"#);
    }
    let data = bench.data(Operation::Read, "metadata/a", "").unwrap();
    assert_eq!(data["versions"].as_object().unwrap().len(), 10);
    assert_eq!(
        (&data["oldest_version"], &data["current_version"]),
        (&2.into(), &11.into())
    );
}

#[test]
fn custom_metadata_have_limits_and_a_patch_cannot_pass_them() {
    let pair = |key: usize, value: usize| format!(r#"{{"{}":"{}"}}"#, "k".repeat(key), "v".repeat(value));
    let body = |pairs: &str| format!(r#"{{"custom_metadata":{pairs}}}"#);
    let pairs = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|number| format!(r#""{number}":"v""#)).collect();
        format!("{{{}}}", pairs.join(","))
    };
    let most = pair(
        MAXIMUM_CUSTOM_METADATA_KEY_BYTES,
        MAXIMUM_CUSTOM_METADATA_VALUE_BYTES,
    );
    for operation in [Operation::Update, Operation::Patch] {
        let mut bench = bench();
        write(&mut bench, "a", "{}");
        ask(&mut bench, operation, "metadata/a", &body(&most));
        for (wrong, text) in [
            (
                pair(MAXIMUM_CUSTOM_METADATA_KEY_BYTES + 1, 1),
                "is 129 but must be 0 < len(key) <= 128",
            ),
            (
                pair(1, MAXIMUM_CUSTOM_METADATA_VALUE_BYTES + 1),
                "is 513 but must be 0 < len(value) <= 512",
            ),
            (
                pairs(MAXIMUM_CUSTOM_METADATA_PAIRS + 1),
                "payload must contain at most 64 keys, provided 6",
            ),
        ] {
            let error = invalid(bench.ask(operation, "metadata/a", &body(&wrong)));
            assert!(
                error.starts_with("custom_metadata validation failed: "),
                "{error}"
            );
            assert!(error.contains(text), "{error}");
            assert!(!error.contains("vv"), "the value is not repeated: {error}");
        }
    }
    let mut bench = bench();
    ask(
        &mut bench,
        Operation::Update,
        "metadata/a",
        &body(&pairs(MAXIMUM_CUSTOM_METADATA_PAIRS)),
    );
    let error = invalid(bench.ask(Operation::Patch, "metadata/a", &body(r#"{"one more":"v"}"#)));
    assert!(error.ends_with("at most 64 keys, provided 65"), "{error}");
}

#[test]
fn the_record_that_each_read_reads_stays_small() {
    let mut bench = bench();
    let settings = format!(
        r#"{{"max_versions":{MAXIMUM_SECRET_VERSIONS},"delete_version_after":{MAXIMUM_VERSION_LIFE_SECONDS}}}"#
    );
    ask(&mut bench, Operation::Update, "metadata/a", &settings);
    // The longest times that can be.
    bench.now = std::time::Duration::new(1 << 33, 999_999_999);
    for _ in 0..=MAXIMUM_SECRET_VERSIONS {
        write(&mut bench, "a", "{}");
    }
    let metadata = super::super::Metadata::read(&mut bench.storage, "a")
        .unwrap()
        .unwrap();
    assert_eq!(metadata.versions().count(), 1_000);
    let bytes = bench.storage.records["metadata/a"].0.len();
    assert!(bytes < 33 * 1_000 + 64, "{bytes}");
    let custom = MAXIMUM_CUSTOM_METADATA_PAIRS
        * (MAXIMUM_CUSTOM_METADATA_KEY_BYTES + MAXIMUM_CUSTOM_METADATA_VALUE_BYTES + 6);
    let request = usize::try_from(DEFAULT_MAXIMUM_REQUEST_BYTES).unwrap();
    let removed = 1_000 * 256;
    assert!(
        MAXIMUM_SECRET_VALUE_BYTES + bytes + custom + removed < request,
        "the largest write fits into a request of the log"
    );
    let data = bench.data(Operation::Read, "metadata/a", "").unwrap();
    assert_eq!(data["delete_version_after"], "878400h0m0s");
}
