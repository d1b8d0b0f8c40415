//! `etcdctl ...`: the command line tool of etcd, as people's scripts call it. Lines below the command are its input.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::words::Words;
use crate::support::Result;

const HEX_DIGITS_OF_ID: usize = 16;

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
    let mut lines = Vec::new();
    for (mark, text) in [("", &output.stdout), ("! ", &output.stderr)] {
        for line in String::from_utf8_lossy(text).lines() {
            // The retries of the client library are logged with their times.
            if !line.starts_with("{\"level\"") {
                lines.push(format!(
                    "{mark}{}",
                    normalized(&line.replace(endpoints, "<endpoint>"))
                ));
            }
        }
    }
    // An empty line ends an answer in a script.
    lines
        .iter_mut()
        .filter(|line| line.is_empty())
        .for_each(|line| *line = "<empty line>".to_owned());
    match output.status.code() {
        Some(0) => {}
        Some(code) => lines.push(format!("exit {code}")),
        None => lines.push(output.status.to_string()),
    }
    Ok(lines)
}

/// The line without what differs from run to run: ids that a server chose, written with sixteen hexadecimal digits, and
/// the fields of the header other than the revision.
fn normalized(line: &str) -> String {
    if let Some((field, _)) = line.split_once(" : ")
        && ["\"ClusterID\"", "\"MemberID\"", "\"RaftTerm\""].contains(&field)
    {
        return format!("{field} : <number>");
    }
    let is_id = |word: &str| {
        word.len() == HEX_DIGITS_OF_ID
            && word.chars().all(|digit| digit.is_ascii_hexdigit())
            && !word.starts_with("0000")
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
    result.trim_end_matches('\n').to_owned()
}
