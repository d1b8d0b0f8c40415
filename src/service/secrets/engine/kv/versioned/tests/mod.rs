//! Version 2.

mod limits;
mod merging;
mod model;

use std::path::Path;

use crate::service::secrets::engine::kv::Versioned;
use crate::service::secrets::engine::kv::tests::{exists, play_all};
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::{Answer, Call, Engine, Fault, Storage};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::SystemRandomness;

fn bench() -> Bench<Versioned> {
    Bench::new(Versioned, "kv", "secret/", &[("version", "2")])
}

/// Asks for what must succeed.
fn ask(bench: &mut Bench<Versioned>, operation: Operation, path: &str, body: &str) -> Answer {
    match bench.ask(operation, path, body) {
        Ok(answer) => answer,
        Err(fault) => panic!("{operation:?} {path}: {fault}"),
    }
}

fn write(bench: &mut Bench<Versioned>, path: &str, data: &str) {
    let body = format!(r#"{{"data":{data}}}"#);
    ask(bench, Operation::Update, &format!("data/{path}"), &body);
}

#[test]
fn every_script_of_version_2_is_answered_as_it_says() {
    let answers = play_all(&Path::new(file!()).with_file_name("scripts"), bench);
    assert!(answers > 200, "only {answers} answers");
}

#[test]
fn a_value_is_answered_as_it_was_written() {
    let mut bench = bench();
    let value = r#"{ "big" : 123456789012345678901234567890, "one":1.0, "e": 1E+2, "text":"\u0041\/é" }"#;
    write(&mut bench, "a", value);
    let data = ask(&mut bench, Operation::Read, "data/a", "").data.unwrap();
    assert_eq!(data.get("data"), Some(value));
}

#[test]
fn an_existing_secret_is_told_from_one_that_is_not_there() {
    let mut bench = bench();
    write(&mut bench, "a/b", r#"{"c":1}"#);
    ask(&mut bench, Operation::Delete, "data/a/b", "");
    for (path, exists_there) in [
        ("data/a/b", Some(true)),
        ("metadata/a/b", Some(true)),
        ("data/a", Some(false)),
        ("metadata/a/b/c", Some(false)),
        ("data", None),
        ("delete/a/b", None),
        ("undelete/x", None),
        ("destroy/a/b", None),
        ("config", None),
        ("a/b", None),
    ] {
        assert_eq!(exists(&mut bench, path), exists_there, "{path}");
    }
}

#[test]
fn the_newest_version_takes_two_records_to_read() {
    struct Counted<'storage>(&'storage mut dyn Storage, usize);
    impl Storage for Counted<'_> {
        fn get(&mut self, path: &str) -> Result<Option<crate::base::secret::Secret<Vec<u8>>>, Fault> {
            self.1 += 1;
            self.0.get(path)
        }
        fn has(&mut self, path: &str) -> Result<bool, Fault> {
            self.1 += 1;
            self.0.has(path)
        }
        fn put(
            &mut self,
            _path: &str,
            _record: crate::base::secret::Secret<Vec<u8>>,
            _ttl: Option<std::time::Duration>,
        ) -> Result<(), Fault> {
            unreachable!("a read writes nothing")
        }
        fn delete(&mut self, _path: &str) -> Result<(), Fault> {
            unreachable!("a read removes nothing")
        }
        fn list(&mut self, _directory: &str) -> Result<Vec<String>, Fault> {
            unreachable!("a read lists nothing")
        }
        fn delete_below(&mut self, _directory: &str) -> Result<(), Fault> {
            unreachable!("a read removes nothing")
        }
    }
    let mut bench = bench();
    for _ in 0..12 {
        write(&mut bench, "a", r#"{"b":1}"#);
    }
    let mut counted = Counted(&mut bench.storage, 0);
    let call = Call {
        operation: Operation::Read,
        path: "data/a",
        body: &Body::default(),
        mount: &bench.mount,
        caller: Some(&bench.caller),
        peer: &bench.peer,
        now: bench.now,
        is_privileged: false,
        fetched: &bench.fetched,
    };
    Versioned
        .handle(&call, &mut counted, &mut SystemRandomness)
        .unwrap();
    assert_eq!(counted.1, 2);
}

#[test]
fn where_as_many_versions_are_kept_as_may_be_a_write_changes_two_records() {
    let mut bench = bench();
    for number in 1..=30 {
        let before = bench.storage.records.clone();
        write(&mut bench, "a", &format!(r#"{{"number":{number}}}"#));
        let records = &bench.storage.records;
        let changed = records
            .iter()
            .filter(|(path, record)| before.get(*path) != Some(record));
        assert_eq!(changed.count(), 2, "{number}");
        assert!(before.keys().all(|path| records.contains_key(path)));
        assert_eq!(records.len(), number.min(10) + 1);
        for kept in (number + 1).saturating_sub(10).max(1)..=number {
            let version = format!(r#"{{"version":{kept}}}"#);
            let data = ask(&mut bench, Operation::Read, "data/a", &version).data.unwrap();
            let value = format!(r#"{{"number":{kept}}}"#);
            assert_eq!(data.get("data"), Some(value.as_str()));
        }
    }
}

#[test]
fn a_value_that_is_of_another_version_is_an_error_and_never_told() {
    let mut bench = bench();
    for number in 1..=2 {
        write(&mut bench, "a", &format!(r#"{{"number":{number}}}"#));
    }
    let records = &mut bench.storage.records;
    let places: Vec<String> = records
        .keys()
        .filter(|path| path.starts_with("versions/"))
        .cloned()
        .collect();
    let [one, other] = places.as_slice() else {
        panic!("{places:?}")
    };
    let (first, second) = (records[one].clone(), records[other].clone());
    records.insert(one.clone(), second);
    records.insert(other.clone(), first);
    for version in [r#"{"version":1}"#, r#"{"version":2}"#] {
        let answer = bench.ask(Operation::Read, "data/a", version);
        assert!(matches!(answer, Err(Fault::Internal(_))));
    }
}

#[test]
fn what_is_removed_leaves_no_record_behind() {
    let mut bench = bench();
    for path in ["a", "a/b"] {
        for _ in 0..12 {
            write(&mut bench, path, r#"{"c":1}"#);
        }
        ask(
            &mut bench,
            Operation::Update,
            &format!("destroy/{path}"),
            r#"{"versions":[5]}"#,
        );
    }
    assert_eq!(
        bench.storage.records.len(),
        2 * (1 + 9),
        "metadata, and ten values without one"
    );
    ask(&mut bench, Operation::Delete, "metadata/a", "");
    assert_eq!(bench.storage.records.len(), 10);
    ask(&mut bench, Operation::Delete, "metadata/a/b", "");
    assert!(bench.storage.records.is_empty());
}

#[test]
fn a_secret_that_is_written_again_shares_no_record_with_what_it_was() {
    let mut bench = bench();
    write(&mut bench, "a", r#"{"b":1}"#);
    let before = bench.storage.records.clone();
    ask(&mut bench, Operation::Delete, "metadata/a", "");
    write(&mut bench, "a", r#"{"b":2}"#);
    let shared: Vec<_> = bench
        .storage
        .records
        .keys()
        .filter(|path| before.contains_key(*path))
        .collect();
    assert_eq!(shared, ["metadata/a"]);
}

#[test]
fn a_record_of_another_program_is_an_error_and_never_a_secret() {
    for record in ["", "\u{2}", "\u{1}", "\u{1}abc"] {
        let mut bench = bench();
        write(&mut bench, "a", r#"{"b":1}"#);
        let entry = bench.storage.records.get_mut("metadata/a").unwrap();
        let whole = std::mem::replace(&mut entry.0, record.as_bytes().to_vec());
        let answer = bench.ask(Operation::Read, "data/a", "");
        assert!(matches!(answer, Err(Fault::Internal(_))), "{record:?}");
        let entry = bench.storage.records.get_mut("metadata/a").unwrap();
        entry.0 = [&whole[..], b"x"].concat();
        let answer = bench.ask(Operation::Read, "data/a", "");
        assert!(
            matches!(answer, Err(Fault::Internal(_))),
            "what is behind it is no part of it"
        );
        bench.storage.records.get_mut("metadata/a").unwrap().0 = whole;
        let value = bench
            .storage
            .records
            .iter_mut()
            .find(|(path, _)| path.starts_with("versions/"));
        value.unwrap().1.0 = record.as_bytes().to_vec();
        let answer = bench.ask(Operation::Read, "data/a", "");
        assert!(matches!(answer, Err(Fault::Internal(_))), "{record:?}");
    }
}
