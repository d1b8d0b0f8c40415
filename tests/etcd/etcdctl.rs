//! `etcdctl ...`: the command line tool of etcd, as people's scripts call it. Lines below the command are its input.

use std::ops::RangeInclusive;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::words::Words;
use crate::support::Result;

/// With how many digits an id that a server chose is written: leading zeros may be missing, and there are seldom many.
const HEXADECIMAL_DIGITS: RangeInclusive<usize> = 13..=16;
const DECIMAL_DIGITS: RangeInclusive<usize> = 16..=20;

/// What differs from run to run in `-w fields`.
const CHANGING_FIELDS: [&str; 8] = [
    "\"ClusterID\"",
    "\"MemberID\"",
    "\"RaftTerm\"",
    "\"DBSize\"",
    "\"Leader\"",
    "\"RaftIndex\"",
    "\"RaftTerm\"",
    "\"RaftAppliedIndex\"",
];

/// The same of `-w json`, beside ids.
const CHANGING_NUMBERS: [&str; 6] = [
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
];

/// Runs `etcdctl` against `endpoints` (separated by commas). What it prints on the error output is marked `! `, an
/// exit code other than 0 is written last.
pub async fn command(endpoints: &str, words: Words, input: &[String]) -> Result<Vec<String>> {
    let mut child = Command::new("etcdctl")
        .args(words.rest()?)
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_ENDPOINTS", endpoints)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run etcdctl ({error}): run tests/clients/setup.sh"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let input: String = input
            .iter()
            .map(|line| format!("{}\n", line.trim_start()))
            .collect();
        // A tool that reads no input may have closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    let printed = |text: &[u8]| shown(&String::from_utf8_lossy(text).replace(endpoints, "<endpoint>"));
    let mut lines = printed(&output.stdout);
    lines.extend(printed(&output.stderr).iter().map(|line| format!("! {line}")));
    match output.status.code() {
        Some(0) => {}
        Some(code) => lines.push(format!("exit {code}")),
        None => lines.push(output.status.to_string()),
    }
    Ok(lines)
}

/// What etcdctl printed, as a script shows it: without the log of the client library, which has times in it, and without
/// what differs from run to run. An empty line would end the answer, so it has a name.
pub fn shown(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with("{\"level\""));
    lines
        .map(|line| match normalized(line.trim_end()) {
            line if line.is_empty() => "<empty line>".to_owned(),
            line => line,
        })
        .collect()
}

/// The line without ids that a server chose, terms, sizes and the numbers of log entries; and a line of a table without
/// its widths.
fn normalized(line: &str) -> String {
    if let Some((field, _)) = line.split_once(" : ")
        && CHANGING_FIELDS.contains(&field)
    {
        return format!("{field} : <number>");
    }
    let mut line = line.to_owned();
    if line.starts_with("+-") {
        return "+-".to_owned();
    }
    if line.starts_with('|') {
        line = line.split('|').map(str::trim).collect::<Vec<_>>().join("|");
    }
    for name in CHANGING_NUMBERS {
        line = without_number(&line, &format!("\"{name}\":"));
    }
    let is_id = |word: &str| {
        let is_hexadecimal = HEXADECIMAL_DIGITS.contains(&word.len())
            && word.chars().all(|digit| digit.is_ascii_hexdigit())
            && !word.starts_with("0000");
        let is_decimal =
            DECIMAL_DIGITS.contains(&word.len()) && word.chars().all(|digit| digit.is_ascii_digit());
        is_hexadecimal || is_decimal
    };
    let mut result = String::new();
    let mut word = String::new();
    for character in line.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        result += if is_id(&word) { "<id>" } else { &word };
        word.clear();
        result.push(character);
    }
    // Some are written with blanks in front, to have sixteen characters.
    result.trim_end_matches('\n').replace("  <id>", " <id>")
}

/// The line with `<number>` in place of every number behind `name`.
fn without_number(line: &str, name: &str) -> String {
    let mut parts = line.split(name);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit());
        result = format!("{result}{name}<number>{rest}");
    }
    result
}
