//! How answers look: text for people (the default, in the style of `etcdctl`'s) or JSON.
//!
//! The JSON of Stead is one shape for all commands: names in snake case, ids of leases, members and clusters as
//! hexadecimal text, and every byte string under its name as text if it is UTF-8, else under the name with `_base64`
//! behind it.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::exit::CliError;
use crate::base::LeaseId;
use crate::proto::etcdserverpb::{RangeResponse, ResponseHeader};
use crate::proto::mvccpb::KeyValue;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object, or one on each line where there are many.
    Json,
}

/// Writes a JSON object and ends the line.
pub(super) fn write_json(mut target: impl Write, value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_vec(value)
        .map_err(|error| CliError::failure(format!("cannot write the answer as JSON: {error}")))?;
    text.push(b'\n');
    target.write_all(&text)?;
    Ok(target.flush()?)
}

/// Writes bytes and ends the line.
pub(super) fn write_line(mut target: impl Write, bytes: &[u8]) -> io::Result<()> {
    target.write_all(bytes)?;
    target.write_all(b"\n")
}

/// Writes a key and its value, a line each.
pub(super) fn write_pair(mut target: impl Write, pair: &KeyValue) -> io::Result<()> {
    write_line(&mut target, &pair.key)?;
    write_line(target, &pair.value)
}

/// The revision in a header; 0 if there is none, which no server does.
pub(super) fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// Writes a byte string under its name, or its name with `_base64`.
pub(super) fn bytes_entry<M: SerializeMap>(map: &mut M, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => map.serialize_entry(name, text),
        Err(_) => map.serialize_entry(&format!("{name}_base64"), &STANDARD.encode(bytes)),
    }
}

/// A byte string in a list: text, or an object with `base64`.
pub(super) struct BytesItem<'bytes>(pub(super) &'bytes [u8]);

impl Serialize for BytesItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(self.0))?;
                map.end()
            }
        }
    }
}

/// A key with its value and revisions.
pub(super) struct PairView<'pair>(pub(super) &'pair KeyValue);

impl Serialize for PairView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = self.0;
        let mut map = serializer.serialize_map(None)?;
        bytes_entry(&mut map, "key", &pair.key)?;
        bytes_entry(&mut map, "value", &pair.value)?;
        map.serialize_entry("create_revision", &pair.create_revision)?;
        map.serialize_entry("mod_revision", &pair.mod_revision)?;
        map.serialize_entry("version", &pair.version)?;
        if pair.lease != 0 {
            map.serialize_entry("lease", &LeaseId(pair.lease).to_string())?;
        }
        map.end()
    }
}

/// Many keys with their values.
pub(super) fn pairs(pairs: &[KeyValue]) -> Vec<PairView<'_>> {
    pairs.iter().map(PairView).collect()
}

/// An answer to a range.
pub(super) struct RangeView<'answer>(pub(super) &'answer RangeResponse);

impl Serialize for RangeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("revision", &revision(self.0.header.as_ref()))?;
        map.serialize_entry("count", &self.0.count)?;
        map.serialize_entry("more", &self.0.more)?;
        map.serialize_entry("kvs", &pairs(&self.0.kvs))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let pair = KeyValue {
            key: "ü".into(),
            value: vec![0xff, 0x00].into(),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            lease: 0x1f,
        };
        let mut out = Vec::new();
        write_json(&mut out, &PairView(&pair)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"key\":\"ü\",\"value_base64\":\"/wA=\",\"create_revision\":2,\"mod_revision\":3,\"version\":2,\
             \"lease\":\"000000000000001f\"}\n"
        );
    }
}
