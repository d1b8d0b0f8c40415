//! The first look at a file to import: every line is checked before anything is written to the store.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::exit::CliError;
use super::plan::Revisions;
use super::record;
use crate::proto::mvccpb::KeyValue;

/// Most keys whose revisions are remembered for an exact import (40 bytes each).
const MAXIMUM_EXACT_KEYS: usize = 1_000_000;

/// Most leases that are remembered, to be granted before the keys that need them.
const MAXIMUM_LEASES: usize = 1_000_000;

/// What is known of a file.
#[derive(Debug)]
pub(super) struct Survey {
    /// The file.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) length_bytes: u64,
    /// How many keys it has.
    pub(super) keys: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
    /// The leases that keys are attached to.
    pub(super) leases: BTreeSet<i64>,
    /// The revisions of each key, none if there are too many keys.
    pub(super) revisions: Option<Vec<Revisions>>,
    /// Where each key's line begins, as many as `revisions`.
    pub(super) line_starts: Vec<u64>,
}

impl Survey {
    /// Reads the whole file. `reserved` is a key that must not be in it.
    ///
    /// # Errors
    /// It cannot be read, or a line is no record, or the keys are not in order.
    pub(super) fn take(path: &Path, reserved: &[u8]) -> Result<Self, CliError> {
        let mut source = Source::open(path, 0)?;
        let mut survey = Self {
            path: path.to_owned(),
            length_bytes: 0,
            keys: 0,
            sha256: String::new(),
            leases: BTreeSet::new(),
            revisions: Some(Vec::new()),
            line_starts: Vec::new(),
        };
        let mut hasher = Sha256::new();
        let mut previous = Vec::new();
        while let Some((start, record)) = source.next_record()? {
            hasher.update(&source.line);
            survey.keys += 1;
            if survey.keys > 1 && previous.as_slice() >= record.key.as_ref() {
                return Err(
                    source.error("its key is not behind the key before; sort the file by key, each key once")
                );
            }
            if record.key == reserved {
                return Err(source.error("its key is the one an import works with; rename it"));
            }
            previous.clear();
            previous.extend_from_slice(&record.key);
            if record.lease != 0 {
                survey.leases.insert(record.lease);
                if survey.leases.len() > MAXIMUM_LEASES {
                    return Err(source.error("it is attached to one more lease than an import can grant"));
                }
            }
            if survey.line_starts.len() == MAXIMUM_EXACT_KEYS {
                survey.revisions = None;
                survey.line_starts = Vec::new();
            }
            if let Some(revisions) = &mut survey.revisions {
                survey.line_starts.push(start);
                revisions.push(Revisions {
                    create: record.create_revision,
                    modify: record.mod_revision,
                    version: record.version,
                });
            }
        }
        survey.length_bytes = source.position;
        for byte in hasher.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(survey.sha256, "{byte:02x}");
        }
        Ok(survey)
    }
}

/// A file of records that is read from somewhere on.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    line_number: u64,
    /// How many bytes are before the next line.
    pub(super) position: u64,
}

impl Source {
    /// Opens a file at the beginning of a line.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn open(path: &Path, position: u64) -> Result<Self, CliError> {
        let failed =
            |error| CliError::failure(format!("cannot read {}: {error}; check the path", path.display()));
        let mut file = File::open(path).map_err(failed)?;
        file.seek(SeekFrom::Start(position)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            line: Vec::new(),
            line_number: 0,
            position,
        })
    }

    /// The next record and where its line begins; none at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the line is no record.
    pub(super) fn next_record(&mut self) -> Result<Option<(u64, KeyValue)>, CliError> {
        if !record::read_line(&mut self.reader, &mut self.line)? {
            return Ok(None);
        }
        self.line_number += 1;
        let start = self.position;
        self.position += self.line.len() as u64;
        match record::parse(&self.line) {
            Ok(record) => Ok(Some((start, record))),
            Err(reason) => Err(self.error(&reason)),
        }
    }

    /// The record whose line begins at `start`.
    ///
    /// # Errors
    /// The file cannot be read, or has changed.
    pub(super) fn record_at(&mut self, start: u64) -> Result<KeyValue, CliError> {
        if self.position != start {
            self.reader.seek(SeekFrom::Start(start))?;
            self.position = start;
        }
        self.next_record()?.map(|(_, record)| record).ok_or_else(|| {
            CliError::failure(format!("{} was changed while it was read", self.path.display()))
        })
    }

    fn error(&self, reason: &str) -> CliError {
        CliError::invalid(format!(
            "{}, line {}: {reason}",
            self.path.display(),
            self.line_number
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey_of(text: &str) -> Result<Survey, CliError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Survey::take(file.path(), b"zz")
    }

    const A: &str =
        r#"{"key": "YQ==", "value": "", "create_revision": 2, "mod_revision": 2, "version": 1, "lease": 7}"#;
    const B: &str =
        r#"{"key": "Yg==", "value": "", "create_revision": 3, "mod_revision": 5, "version": 2, "lease": 0}"#;

    #[test]
    fn everything_is_counted() {
        let survey = survey_of(&format!("{A}\n{B}\n")).unwrap();
        assert_eq!((survey.keys, survey.length_bytes), (2, 2 * (A.len() as u64 + 1)));
        assert_eq!(survey.leases, BTreeSet::from([7]));
        assert_eq!(survey.line_starts, [0, A.len() as u64 + 1]);
        assert_eq!(survey.revisions.unwrap()[1].modify, 5);
        assert_eq!(survey.sha256.len(), 64);
        assert_eq!(survey_of("").unwrap().keys, 0);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, part) in [
            (format!("{A}\n{{}}\n"), "line 2: is no record"),
            (format!("{B}\n{A}\n"), "line 2: its key is not behind"),
            (format!("{A}\n{A}\n"), "line 2: its key is not behind"),
            (
                r#"{"key": "eno=", "value": ""}"#.to_owned(),
                "line 1: its key is the one",
            ),
        ] {
            let error = survey_of(&text).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
