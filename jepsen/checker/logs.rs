//! What the servers printed: a panic or a fatal error is a violation even if no client noticed.

use std::path::PathBuf;

use super::Finding;

/// What a server prints when it gives up on itself. The text is that of Rust, of Go, and of etcd's logger.
const MARKERS: [&str; 6] = [
    "panicked at",
    "panic:",
    "fatal error:",
    "\"level\":\"panic\"",
    "\"level\":\"fatal\"",
    "data corruption",
];

/// How much of a line is shown.
const MAXIMUM_LINE_CHARACTERS: usize = 300;

/// Every line of the given files that tells of a panic.
pub fn scan(logs: &[PathBuf]) -> Vec<Finding> {
    logs.iter()
        .flat_map(|log| match std::fs::read(log) {
            Ok(bytes) => String::from_utf8_lossy(&bytes)
                .lines()
                .filter(|line| MARKERS.iter().any(|marker| line.contains(marker)))
                .map(|line| {
                    let shown: String = line.chars().take(MAXIMUM_LINE_CHARACTERS).collect();
                    Finding::Violation(format!("{}: {shown}", log.display()))
                })
                .collect(),
            Err(error) => vec![Finding::Undecided(format!("{}: {error}", log.display()))],
        })
        .collect()
}
