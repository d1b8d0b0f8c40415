//! How answers look: text for people, JSON in Stead's shape, or one of etcdctl's formats.
//!
//! There are two shapes of JSON because both are promised: `--write-out json` is etcdctl's, byte for byte, for what was
//! written against it (ids as numbers, bytes in base64, no field that is zero); `--output json`, which programs for Stead
//! read, is one shape for all commands: names in snake case, ids of leases, members and clusters as hexadecimal text, and
//! every byte string under its name as text if it is UTF-8, else under the name with `_base64` behind it. Text for people
//! is one: `--write-out simple` is `--output human`, apart from what people would rather see and scripts would trip over
//! ([`Plain::is_simple`]).
//!
//! Every command shows its answer through [`Format::show`]: it says what it looks like as text and in Stead's JSON, and
//! [`answers`] and its neighbours say what each message looks like in etcdctl's formats. No command knows which format was asked for.

mod answers;
mod endpoints;
mod etcdctl;
mod members;
mod snapshot;

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde::ser::{Serialize, SerializeMap, Serializer};

pub(super) use endpoints::{EndpointAnswer, EndpointAnswers, EndpointView, Health};
pub(super) use etcdctl::{Fields, Shown, quoted, size};
pub(super) use members::{is_started, member_columns};

use super::exit::{CliError, Exit};
use crate::base::LeaseId;
use crate::proto::etcdserverpb::{RangeResponse, ResponseHeader};
use crate::proto::mvccpb::KeyValue;

/// Stead's own forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum OutputForm {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object, or one on each line where there are many.
    Json,
}

impl OutputForm {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}

/// etcdctl's forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WriteOut {
    /// A line for each field.
    Fields,
    /// etcdctl's JSON.
    Json,
    /// The bytes of the message.
    Protobuf,
    /// Text.
    Simple,
    /// A table, of members and endpoints.
    Table,
}

impl WriteOut {
    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Fields => "fields",
            Self::Json => "json",
            Self::Protobuf => "protobuf",
            Self::Simple => "simple",
            Self::Table => "table",
        }
    }
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    shape: Shape,
    hex: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Stead(OutputForm),
    Etcdctl(WriteOut),
}

impl Default for Format {
    /// Text for people.
    fn default() -> Self {
        Self::new(OutputForm::Human, None, false)
    }
}

impl Format {
    /// What was asked for; `hex`: bytes and ids in hexadecimal where etcdctl has them so.
    pub(super) fn new(own: OutputForm, write_out: Option<WriteOut>, hex: bool) -> Self {
        let shape = write_out.map_or(Shape::Stead(own), Shape::Etcdctl);
        Self { shape, hex }
    }

    /// Whether it is Stead's JSON.
    pub(super) fn is_json(self) -> bool {
        self.shape == Shape::Stead(OutputForm::Json)
    }

    /// Whether it is text.
    pub(super) fn is_text(self) -> bool {
        matches!(
            self.shape,
            Shape::Stead(OutputForm::Human) | Shape::Etcdctl(WriteOut::Simple)
        )
    }

    /// Whether it is etcdctl's text.
    pub(super) fn is_simple(self) -> bool {
        self.shape == Shape::Etcdctl(WriteOut::Simple)
    }

    /// Whether it is one of etcdctl's.
    pub(super) fn is_etcdctl(self) -> bool {
        matches!(self.shape, Shape::Etcdctl(_))
    }

    /// Shows an answer: `human` as text, `json` in Stead's JSON, the answer itself in etcdctl's formats.
    ///
    /// # Errors
    /// It cannot be written, or etcdctl does not show it in this format.
    pub(super) fn show<J: Serialize>(
        self,
        answer: &impl Shown,
        human: impl FnOnce(&mut Plain<'_>) -> io::Result<()>,
        json: impl FnOnce() -> J,
    ) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let bytes = match self.shape {
            Shape::Stead(OutputForm::Json) => return write_json(out, &json()),
            Shape::Stead(OutputForm::Human) | Shape::Etcdctl(WriteOut::Simple) => {
                let mut text = Vec::new();
                human(&mut Plain {
                    out: &mut text,
                    hex: self.hex,
                    is_simple: self.is_simple(),
                })?;
                Some(text)
            }
            Shape::Etcdctl(WriteOut::Json) => answer.json(self.hex).map(|mut text| {
                text.push('\n');
                text.into_bytes()
            }),
            Shape::Etcdctl(WriteOut::Fields) => {
                let mut fields = Fields::new(self.hex);
                answer.fields(&mut fields).map(|()| fields.text.into_bytes())
            }
            Shape::Etcdctl(WriteOut::Table) => answer.table().map(|table| table.text().into_bytes()),
            Shape::Etcdctl(WriteOut::Protobuf) => answer.protobuf(),
        };
        let Some(bytes) = bytes else {
            return Err(self.unsupported());
        };
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    }

    /// Shows what etcdctl shows as text in all its formats.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn note<J: Serialize>(self, text: &str, json: impl FnOnce() -> J) -> Result<(), CliError> {
        let out = io::stdout().lock();
        if self.is_json() {
            return write_json(out, &json());
        }
        write_line(out, text.as_bytes())?;
        Ok(io::stdout().flush()?)
    }

    /// Says what is being done, where nothing reads the answer but people.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn note_unless_json(self, text: &str) -> Result<(), CliError> {
        if self.is_json() {
            return Ok(());
        }
        self.note(text, || ())
    }

    fn unsupported(self) -> CliError {
        let name = match self.shape {
            Shape::Etcdctl(form) => form.name(),
            Shape::Stead(form) => form.name(),
        };
        CliError::new(
            Exit::Unsupported,
            format!("{name} not supported as output format"),
        )
    }
}

/// Text for people that is being written.
pub(super) struct Plain<'out> {
    out: &'out mut dyn Write,
    hex: bool,
    /// Whether it is to be etcdctl's, to the letter.
    pub(super) is_simple: bool,
}

impl Plain<'_> {
    /// Writes a key or a value, and ends the line.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.hex {
            write_line(&mut self.out, etcdctl::hexadecimal(bytes).as_bytes())
        } else {
            write_line(&mut self.out, bytes)
        }
    }

    /// Writes a key and its value, a line each.
    pub(super) fn pair(&mut self, pair: &KeyValue) -> io::Result<()> {
        self.bytes(&pair.key)?;
        self.bytes(&pair.value)
    }
}

impl Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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
mod tests;
