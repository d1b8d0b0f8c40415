//! The rules for the source that no compiler checks: the direction of the layers, the size and the opening of every
//! file, what must not stand on a request path, what must not stand in the state machine, and that every command of
//! the README is run by a test.
//!
//! Reads the source as text, line by line: a rule that cannot be checked that way is not in here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the lowest to the highest; those in one row may name each other.
const LAYERS: [&[&str]; 8] = [
    &["base"],
    &["storage"],
    &["state"],
    &["replication"],
    &["service"],
    &["transport"],
    &["client"],
    &["config", "node", "cli"],
];

/// Most lines of a file, unless its opening says why it is longer.
const MAXIMUM_LINES: usize = 500;

/// How the opening of a longer file says why.
const LONGER_BECAUSE: &str = "longer than 500 lines because";

/// What ends the process, or prints past the log, and must not stand outside tests.
const FORBIDDEN: [&str; 9] = [
    ".unwrap()",
    ".expect(",
    "todo!",
    "unimplemented!",
    "dbg!",
    "println!",
    "eprintln!",
    "print!(",
    "panic!(",
];

/// What could make two nodes differ, and must not stand in the state machine.
const FORBIDDEN_IN_STATE: [&str; 9] = [
    "std::time",
    "SystemTime",
    "Instant",
    "HashMap",
    "HashSet",
    "rand::",
    "std::thread",
    "tokio::",
    ".await",
];

struct Source {
    path: PathBuf,
    lines: Vec<String>,
}

impl Source {
    /// The lines of the program: without tests and comments, numbered from 1.
    fn program_lines(&self) -> Vec<(usize, &str)> {
        let is_test_file = self.path.components().any(|part| {
            let name = part.as_os_str().to_string_lossy();
            name == "tests"
                || name == "tests.rs"
                || name.ends_with("_tests.rs")
                || name == "testing.rs"
                || name == "fuzzing.rs"
        });
        if is_test_file {
            return Vec::new();
        }
        let mut lines = Vec::new();
        let mut skip_until: Option<String> = None;
        let mut next_is_test = false;
        for (number, line) in (1..).zip(&self.lines) {
            let text = line.trim();
            if let Some(end) = &skip_until {
                if line == end {
                    skip_until = None;
                }
                continue;
            }
            if text.starts_with("#[cfg(") && text.contains("test") {
                next_is_test = true;
                continue;
            }
            if next_is_test && !text.starts_with("#[") && !text.starts_with("//") {
                next_is_test = false;
                if text.ends_with('{') {
                    // The item ends where a brace stands as far left as the item.
                    let indent = line.len() - line.trim_start().len();
                    skip_until = Some(format!("{}}}", " ".repeat(indent)));
                }
                continue;
            }
            if !next_is_test && !text.starts_with("//") {
                lines.push((number, line.as_str()));
            }
        }
        lines
    }

    fn layer(&self) -> Option<String> {
        let first = self
            .path
            .strip_prefix(root().join("src"))
            .ok()?
            .components()
            .next()?;
        let name = first.as_os_str().to_string_lossy().into_owned();
        Some(name.trim_end_matches(".rs").to_owned())
    }

    fn shown(&self, number: usize) -> String {
        let path = self.path.strip_prefix(root()).unwrap_or(&self.path);
        format!("{}:{number}", path.display())
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source {
                    lines: text.lines().map(str::to_owned).collect(),
                    path,
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "{} has no source", folder.display());
    found
}

/// All of the project's own source.
fn all_sources() -> Vec<Source> {
    ["src", "tests", "jepsen", "benches", "proto"]
        .iter()
        .map(|folder| root().join(folder))
        .filter(|folder| folder.is_dir() && has_rust(folder))
        .flat_map(|folder| sources(&folder))
        .collect()
}

fn has_rust(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|extension| extension == "rs")
    })
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&layer))
}

/// The modules at the root that a program names: behind `crate::`, grouped or not.
fn named_layers(lines: &[(usize, &str)]) -> Vec<(usize, String)> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut named = Vec::new();
    let mut group: Option<usize> = None;
    for (number, line) in lines {
        let mut rest = *line;
        loop {
            if let Some(depth) = &mut group {
                // Inside `crate::{...}`: words at depth one are modules.
                let mut word = String::new();
                let mut closed = None;
                let mut path_tail = false;
                for (position, character) in rest.char_indices() {
                    if is_word(character) {
                        word.push(character);
                        continue;
                    }
                    if !word.is_empty() && *depth == 1 && !path_tail {
                        named.push((*number, std::mem::take(&mut word)));
                    }
                    word.clear();
                    path_tail = character == ':';
                    match character {
                        '{' => *depth += 1,
                        '}' => *depth -= 1,
                        _ => {}
                    }
                    if *depth == 0 {
                        closed = Some(position + 1);
                        break;
                    }
                }
                match closed {
                    Some(end) => {
                        group = None;
                        rest = &rest[end..];
                    }
                    None => break,
                }
            }
            let Some(start) = rest.find("crate::") else { break };
            rest = &rest[start + "crate::".len()..];
            if let Some(inner) = rest.strip_prefix('{') {
                group = Some(1);
                rest = inner;
                continue;
            }
            named.push((
                *number,
                rest.chars().take_while(|character| is_word(*character)).collect(),
            ));
        }
    }
    named
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn a_layer_names_only_lower_ones() {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources(&root().join("src")) {
        let Some(layer) = source.layer() else { continue };
        let Some(own) = rank(&layer) else {
            assert!(
                ["lib", "main"].contains(&layer.as_str()),
                "{layer} has no place among the layers"
            );
            continue;
        };
        seen.insert(layer.clone());
        for (number, named) in named_layers(&source.program_lines()) {
            if rank(&named).is_some_and(|other| other > own) {
                problems.push(format!(
                    "{}: {layer} names {named}, a higher layer",
                    source.shown(number)
                ));
            }
            let is_of_the_server = rank(&named).is_some_and(|other| other > 0) && named != layer;
            if layer == "client" && is_of_the_server {
                problems.push(format!("{}: client names {named}", source.shown(number)));
            }
            if named == "proto" && ["base", "storage", "state", "service"].contains(&layer.as_str()) {
                problems.push(format!("{}: {layer} names a wire format", source.shown(number)));
            }
        }
    }
    assert!(seen.len() >= 8, "layers were found: {seen:?}");
    check(&problems);
}

#[test]
fn only_replication_names_openraft_and_only_storage_names_rocksdb() {
    let mut problems = Vec::new();
    for source in sources(&root().join("src")) {
        let layer = source.layer().unwrap_or_default();
        for (number, line) in source.program_lines() {
            for (crate_name, owner) in [("openraft::", "replication"), ("rocksdb::", "storage")] {
                if line.contains(crate_name) && layer != owner {
                    problems.push(format!(
                        "{}: {crate_name} belongs to {owner} alone",
                        source.shown(number)
                    ));
                }
            }
        }
    }
    check(&problems);
}

#[test]
fn a_file_is_short_or_says_why_not_and_opens_with_what_it_is() {
    let mut problems = Vec::new();
    for source in all_sources() {
        let opening: Vec<&String> = source
            .lines
            .iter()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        // A module of tests is described by the module it tests.
        let is_tests = source.path.file_name().is_some_and(|name| name == "tests.rs");
        if opening.is_empty() && !is_tests {
            problems.push(format!("{}: no //! at the top", source.shown(1)));
        }
        let says_why = opening
            .iter()
            .any(|line| line.to_lowercase().contains(LONGER_BECAUSE));
        if source.lines.len() > MAXIMUM_LINES && !says_why {
            problems.push(format!(
                "{}: more than {MAXIMUM_LINES} lines; split it, or say \"{LONGER_BECAUSE} ...\" in its opening",
                source.shown(source.lines.len())
            ));
        }
    }
    check(&problems);
}

#[test]
fn nothing_on_a_request_path_ends_the_process_or_prints_past_the_log() {
    let mut problems = Vec::new();
    for source in sources(&root().join("src")) {
        for (number, line) in source.program_lines() {
            for forbidden in FORBIDDEN {
                if line.contains(forbidden) {
                    problems.push(format!("{}: {forbidden}", source.shown(number)));
                }
            }
        }
    }
    check(&problems);
}

#[test]
fn the_state_machine_has_no_clock_no_chance_no_unordered_map_and_no_threads() {
    let mut problems = Vec::new();
    for source in sources(&root().join("src/state")) {
        for (number, line) in source.program_lines() {
            for forbidden in FORBIDDEN_IN_STATE {
                if line.contains(forbidden) {
                    problems.push(format!("{}: {forbidden}", source.shown(number)));
                }
            }
        }
    }
    check(&problems);
}

/// Every block of the README says in what language it is; those in `sh` are run by `tests/e2e/readme.rs`.
#[test]
fn every_command_of_the_readme_is_in_a_block_that_a_test_runs() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut inside = false;
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(readme.lines()) {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            let text = line.trim_start();
            if !inside
                && ["$ ", "stead ", "make ", "cargo ", "etcdctl "]
                    .iter()
                    .any(|start| text.starts_with(start))
            {
                problems.push(format!("README.md:{number}: a command outside of a block"));
            }
            continue;
        };
        if !inside && !["sh", "text", "json", "yaml"].contains(&language) {
            problems.push(format!(
                "README.md:{number}: a block in {language:?}; write sh, text, json or yaml"
            ));
        }
        inside = !inside;
    }
    assert!(!inside, "a block is not closed");
    check(&problems);
}

/// What has a decoder of what comes from the network or the disk is fuzzed, and every target is run.
#[test]
fn every_decoder_that_is_open_to_fuzzing_has_a_target() {
    let mut targets = String::new();
    let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    let mut problems = Vec::new();
    for target in sources(&root().join("tests/fuzz/targets")) {
        let name = target.path.file_stem().unwrap().to_string_lossy().into_owned();
        if !manifest.contains(&format!("path = \"targets/{name}.rs\"")) {
            problems.push(format!("{}: not in tests/fuzz/Cargo.toml", target.shown(1)));
        }
        targets.push_str(&target.lines.join("\n"));
    }
    let mut seen = 0;
    for source in sources(&root().join("src")) {
        if source.path.file_name().is_none_or(|name| name != "fuzzing.rs") {
            continue;
        }
        for (number, line) in (1..).zip(&source.lines) {
            let function = line
                .strip_prefix("pub fn ")
                .and_then(|rest| rest.split_once("(bytes: &[u8])"));
            let Some((name, "{" | " {")) = function else {
                continue;
            };
            seen += 1;
            if !targets.contains(&format!("fuzzing::{name},")) {
                problems.push(format!("{}: {name} has no target", source.shown(number)));
            }
        }
    }
    assert!(seen >= 12, "decoders that were found: {seen}");
    check(&problems);
}

mod the_rules_themselves {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            path: root().join("src/state/example.rs"),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn tests_and_comments_are_no_program() {
        let source = source(
            "use a;\n// .unwrap()\n#[cfg(test)]\nmod tests {\n    fn a() {\n    }\n}\n    #[cfg(test)]\n    fn b() {\n        c\n    }\nfn d() {}\n\
             #[cfg(test)]\nmod tests;\nfn e() {}",
        );
        let lines: Vec<&str> = source.program_lines().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["use a;", "fn d() {}", "fn e() {}"]);
    }

    #[test]
    fn every_way_to_name_a_layer_is_seen() {
        let source = source(
            "use crate::base::ids;\nuse crate::{storage::{View, Batch}, replication,\n    service::x};\nlet a = crate::cli::B;\n",
        );
        let named: Vec<String> = named_layers(&source.program_lines())
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(named, ["base", "storage", "replication", "service", "cli"]);
        assert_eq!(source.layer().as_deref(), Some("state"));
    }
}
