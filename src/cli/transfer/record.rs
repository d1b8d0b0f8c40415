//! A line of an export: one key with its value and revisions, as JSON, byte strings in base64.
//!
//! The text of a record is fixed, spaces included, so that equal records are equal bytes:
//! `{"key": "..", "value": "..", "create_revision": 2, "mod_revision": 2, "version": 1, "lease": 0}`

use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::super::exit::CliError;
use crate::proto::mvccpb::KeyValue;

/// Longest line: a value of 64 MiB in base64, far above what a server takes by default.
const MAXIMUM_LINE_BYTES: u64 = 96 * 1024 * 1024;

#[derive(Debug, Deserialize)]
struct Line {
    key: String,
    value: String,
    #[serde(default)]
    create_revision: i64,
    #[serde(default)]
    mod_revision: i64,
    #[serde(default)]
    version: i64,
    #[serde(default)]
    lease: i64,
}

/// Reads one line of text into `line`; false at the end.
///
/// # Errors
/// The file cannot be read, or the line is too long.
pub(in super::super) fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, CliError> {
    line.clear();
    let length = source.take(MAXIMUM_LINE_BYTES).read_until(b'\n', line)?;
    if u64::try_from(length).is_ok_and(|length| length == MAXIMUM_LINE_BYTES) {
        return Err(CliError::invalid(format!(
            "a line has {MAXIMUM_LINE_BYTES} bytes or more; the file is no export of keys"
        )));
    }
    Ok(length > 0)
}

/// Reads a record from a line of text.
///
/// # Errors
/// What is wrong with the line.
pub(in super::super) fn parse(line: &[u8]) -> Result<KeyValue, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| format!("is no record: {error}"))?;
    let decode = |name: &str, text: &str| {
        STANDARD
            .decode(text)
            .map_err(|error| format!("has a {name} that is not base64: {error}"))
    };
    let record = KeyValue {
        key: decode("key", &line.key)?.into(),
        value: decode("value", &line.value)?.into(),
        create_revision: line.create_revision,
        mod_revision: line.mod_revision,
        version: line.version,
        lease: line.lease,
    };
    if record.key.is_empty() {
        return Err("has an empty key, which no store can hold".to_owned());
    }
    Ok(record)
}

/// Writes a record as a line of text.
///
/// # Errors
/// The target cannot be written.
pub(in super::super) fn write(mut target: impl Write, record: &KeyValue) -> io::Result<()> {
    writeln!(
        target,
        r#"{{"key": "{}", "value": "{}", "create_revision": {}, "mod_revision": {}, "version": {}, "lease": {}}}"#,
        STANDARD.encode(&record.key),
        STANDARD.encode(&record.value),
        record.create_revision,
        record.mod_revision,
        record.version,
        record.lease
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "{\"key\": \"YQ==\", \"value\": \"/wA=\", \"create_revision\": 2, \"mod_revision\": 5, \
                        \"version\": 3, \"lease\": 7587891012345678901}\n";

    #[test]
    fn a_line_is_written_as_it_was_read() {
        let record = parse(LINE.as_bytes()).unwrap();
        assert_eq!(record.value, &b"\xff\x00"[..]);
        let mut text = Vec::new();
        write(&mut text, &record).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), LINE);
    }

    #[test]
    fn what_is_no_record_says_why() {
        for (line, part) in [
            ("", "is no record"),
            ("{}", "missing field `key`"),
            ("{\"key\": \"?\", \"value\": \"\"}", "a key that is not base64"),
            (
                "{\"key\": \"YQ==\", \"value\": \"?\"}",
                "a value that is not base64",
            ),
            ("{\"key\": \"\", \"value\": \"\"}", "an empty key"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
