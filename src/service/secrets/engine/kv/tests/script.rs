//! Scripts: requests to one engine, and their answers.
//!
//! `> OPERATION PATH [JSON]` asks, and the line below is the answer: a status, and then the data or the text of the refusal;
//! `advice SECONDS` and `warning TEXT` in lines of their own. `after SECONDS` lets time go by. A path of nothing is written
//! `.`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::engine::{Answer, Engine, Fault};
use crate::service::secrets::policy::Operation;

fn operation(word: &str) -> Operation {
    match word {
        "write" => Operation::Update,
        "read" => Operation::Read,
        "delete" => Operation::Delete,
        "list" => Operation::List,
        "patch" => Operation::Patch,
        other => panic!("{other} is no operation"),
    }
}

fn shown(answer: Result<Answer, Fault>) -> String {
    match answer {
        Ok(answer) => {
            let status = match (&answer.data, answer.is_gone) {
                (_, true) => "404",
                (None, false) if answer.warnings.is_empty() => "204",
                _ => "200",
            };
            let mut shown = status.to_owned();
            if let Some(data) = &answer.data {
                write!(shown, " {}", serde_json::to_string(data).unwrap()).unwrap();
            }
            for warning in &answer.warnings {
                write!(shown, "\nwarning {warning}").unwrap();
            }
            if let Some(advice) = answer.advice {
                write!(shown, "\nadvice {}", advice.as_secs()).unwrap();
            }
            shown
        }
        Err(Fault::Invalid(text)) => format!("400 {text}"),
        Err(Fault::Denied) => "403".to_owned(),
        Err(Fault::Missing) => "404".to_owned(),
        Err(Fault::NoPath(text)) => format!("404\nwarning {text}"),
        Err(Fault::Unsupported) => "405".to_owned(),
        Err(other) => panic!("{other:?}"),
    }
}

/// What the script is with the answers that are given; and how many there are.
fn play<E: Engine>(bench: &mut Bench<E>, script: &str) -> (String, usize) {
    let mut played = String::new();
    let mut answers = 0;
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(played, "{line}").unwrap();
        if let Some(seconds) = line.strip_prefix("after ") {
            bench.now += Duration::from_secs(seconds.parse().unwrap());
        } else if let Some(question) = line.strip_prefix("> ") {
            let mut words = question.splitn(3, ' ');
            let operation = operation(words.next().unwrap());
            let path = words.next().filter(|path| *path != ".").unwrap_or_default();
            let answer = bench.ask(operation, path, words.next().unwrap_or_default());
            writeln!(played, "{}", shown(answer)).unwrap();
            while lines
                .next_if(|line| {
                    !line.is_empty() && !line.starts_with(['>', '#']) && !line.starts_with("after")
                })
                .is_some()
            {}
            answers += 1;
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
        }
    }
    (played, answers)
}

/// Plays the scripts in a folder of the package, each with a bench of its own; how many answers they have. With
/// `WRITE_SCRIPTS` in the environment the answers are written down instead.
pub fn play_all<E: Engine>(folder: &Path, bench: impl Fn() -> Bench<E>) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut answers = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = fs::read_to_string(&path).unwrap();
        let (played, count) = play(&mut bench(), &script);
        if std::env::var_os("WRITE_SCRIPTS").is_some() {
            fs::write(&path, &played).unwrap();
        } else {
            assert_eq!(played, script, "{}", path.display());
        }
        answers += count;
    }
    answers
}
