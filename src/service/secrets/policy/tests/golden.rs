//! Scripts: policies, then questions and their answers.
//!
//! `policy` begins a policy, in the lines below that are indented; `value NAME VALUE` is known of who asks; `> OPERATION
//! PATH [JSON] [wrap=SECONDS]` asks, and the line below answers `allowed`, `allowed with sudo` or `denied`; `> capabilities
//! PATH` is answered with them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

fn operation(word: &str) -> Operation {
    match word {
        "create" => Operation::Create,
        "update" => Operation::Update,
        "read" => Operation::Read,
        "delete" => Operation::Delete,
        "list" => Operation::List,
        "patch" => Operation::Patch,
        "renew" => Operation::Renew,
        "revoke" => Operation::Revoke,
        "help" => Operation::Help,
        other => panic!("{other} is no operation"),
    }
}

fn answer(merged: &Merged, question: &str) -> String {
    let mut words = question.split_whitespace();
    let word = words.next().unwrap();
    let path = words.next().unwrap_or_default();
    if word == "capabilities" {
        return merged.capabilities(path).join(", ");
    }
    let mut parameters = Map::new();
    let mut wrap = None;
    for word in words {
        match word.strip_prefix("wrap=") {
            Some(seconds) => wrap = Some(Duration::from_secs(seconds.parse().unwrap())),
            None => parameters = serde_json::from_str(word).unwrap(),
        }
    }
    match merged.decide(operation(word), path, &parameters, wrap) {
        Decision::Allowed { is_privileged: false } => "allowed".into(),
        Decision::Allowed { is_privileged: true } => "allowed with sudo".into(),
        Decision::Denied => "denied".into(),
    }
}

/// What the script is with the answers that are given; and how many there are.
fn play(script: &str) -> (String, usize) {
    let mut texts: Vec<String> = Vec::new();
    let mut values = Vec::new();
    let mut played = String::new();
    let mut answers = 0;
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        played.push_str(line);
        played.push('\n');
        if line == "policy" {
            texts.push(String::new());
        } else if let Some(name) = line.strip_prefix("policy ") {
            texts.push(text(name).unwrap().to_owned());
        } else if let Some(value) = line.strip_prefix("value ") {
            values.push(value.split_once(' ').unwrap());
        } else if let Some(question) = line.strip_prefix("> ") {
            let policies: Vec<Policy> = texts.iter().map(|text| policy(text)).collect();
            let values = values.iter().copied().collect();
            let merged = Merged::new(&policies, &values).unwrap();
            played.push_str(&answer(&merged, question));
            played.push('\n');
            lines.next();
            answers += 1;
        } else if line.starts_with("    ") {
            let text = texts.last_mut().unwrap();
            text.push_str(line);
            text.push('\n');
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
        }
    }
    (played, answers)
}

#[test]
fn every_script_is_answered_as_it_says() {
    let folder = Path::new(file!()).with_file_name("scripts");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut answers = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = fs::read_to_string(&path).unwrap();
        let (played, count) = play(&script);
        assert_eq!(played, script, "{}", path.display());
        answers += count;
    }
    assert!(answers > 80, "only {answers} questions");
}
