//! The cubbyhole.

use std::path::Path;

use super::*;
use crate::base::limits::MAXIMUM_SECRET_VALUE_BYTES;
use crate::service::secrets::engine::kv::tests::{exists, invalid, play_all};
use crate::service::secrets::engine::twin::Bench;

fn bench() -> Bench<Cubbyhole> {
    Bench::new(Cubbyhole, "cubbyhole", "cubbyhole/", &[])
}

#[test]
fn every_script_is_answered_as_it_says() {
    let answers = play_all(&Path::new(file!()).with_file_name("scripts"), bench);
    assert!(answers > 10, "only {answers} answers");
}

#[test]
fn a_token_sees_only_its_own() {
    let mut bench = bench();
    let mine = bench.caller.id.clone();
    bench.ask(Operation::Update, "a", r#"{"b":1}"#).unwrap();
    bench.caller.id = "cd".repeat(32);
    let missing = |answer| assert!(matches!(answer, Err(Fault::Missing)));
    missing(bench.ask(Operation::Read, "a", ""));
    missing(bench.ask(Operation::Read, &format!("{mine}/a"), ""));
    missing(bench.ask(Operation::List, "", ""));
    assert_eq!(exists(&mut bench, "a"), Some(false));
    bench.ask(Operation::Delete, "a", "").unwrap();
    bench.caller.id = mine.clone();
    bench.ask(Operation::Read, "a", "").unwrap();
    assert_eq!(exists(&mut bench, "a"), Some(true));
    bench.storage.delete_below(&mine).unwrap();
    assert!(
        bench.storage.records.is_empty(),
        "all is below the id of the token"
    );
}

#[test]
fn a_token_that_is_not_stored_has_no_place() {
    let text = "cubbyhole operations are only supported by \"service\" type tokens";
    let mut bench = bench();
    bench.caller.is_batch = true;
    for operation in [
        Operation::Read,
        Operation::Update,
        Operation::List,
        Operation::Delete,
    ] {
        assert_eq!(invalid(bench.ask(operation, "a", r#"{"b":1}"#)), text);
    }
    bench.caller.is_batch = false;
    bench.caller.id.clear();
    let answer = bench.ask(Operation::Read, "a", "");
    assert!(matches!(answer, Err(Fault::Denied)), "no id, no place");
}

#[test]
fn what_is_kept_has_the_limit_of_secrets() {
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAXIMUM_SECRET_VALUE_BYTES));
    let text = invalid(bench().ask(Operation::Update, "a", &body));
    assert!(text.starts_with("the secret has 1048584 bytes"), "{text}");
}
