//! etcdctl's formats for programs: `json`, `fields`, `table` and `protobuf`, byte for byte as etcdctl 3.7 writes them.
//!
//! An answer says in [`Shown`] what it looks like in each; a message of the protocol has the first and the last of them
//! for nothing. Never asks a server anything.

use std::fmt::{Display, Write as _};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

use crate::proto::DESCRIPTORS;
use crate::proto::etcdserverpb::ResponseHeader;
use crate::proto::mvccpb::KeyValue;

/// The descriptors of all messages. None, if they cannot be read: a test shows that they can.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default());

/// What an answer looks like in etcdctl's formats. None: etcdctl does not show it in this one.
pub(in crate::cli) trait Shown {
    /// As Go writes it in JSON.
    fn json(&self, hex: bool) -> Option<String>;

    /// A line for each field.
    fn fields(&self, _fields: &mut Fields) -> Option<()> {
        None
    }

    /// A table for people.
    fn table(&self) -> Option<Table> {
        None
    }

    /// The bytes that the server sent.
    fn protobuf(&self) -> Option<Vec<u8>>;
}

/// A message of the protocol, by its full name.
pub(in crate::cli) fn message_json(name: &str, message: &impl Message) -> Option<String> {
    let descriptor = POOL.get_message_by_name(name)?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()?;
    let mut text = String::new();
    write_message(&mut text, &message);
    Some(text)
}

/// The fields of a message as Go's `encoding/json` writes them: declared names, in declared order, without what is zero.
fn write_message(text: &mut String, message: &DynamicMessage) {
    let mut object = Object::new(text);
    for field in message.descriptor().fields() {
        if !message.has_field(&field) {
            continue;
        }
        let value = message.get_field(&field);
        match field.containing_oneof() {
            // Go holds what is chosen in a structure of its own.
            Some(oneof) => object.with(&camel(oneof.name()), |text| {
                Object::new(text)
                    .with(field.name(), |text| write_value(text, &value))
                    .end();
            }),
            None => object.with(field.name(), |text| write_value(text, &value)),
        };
    }
    object.end();
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Bool(value) => push(text, value),
        Value::I32(value) | Value::EnumNumber(value) => push(text, value),
        Value::I64(value) => push(text, value),
        Value::U32(value) => push(text, value),
        Value::U64(value) => push(text, value),
        Value::F32(value) => push(text, value),
        Value::F64(value) => push(text, value),
        Value::String(value) => write_text(text, value),
        Value::Bytes(value) => write_bytes(text, value),
        Value::Message(value) => write_message(text, value),
        Value::List(values) => write_list(text, values, write_value),
        // No message that etcd has holds a map.
        Value::Map(_) => text.push_str("{}"),
    }
}

fn push(text: &mut String, value: impl Display) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{value}");
}

/// A list.
pub(in crate::cli) fn write_list<T>(text: &mut String, values: &[T], write: impl Fn(&mut String, &T)) {
    text.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(text, value);
    }
    text.push(']');
}

/// A byte string, in base64.
pub(in crate::cli) fn write_bytes(text: &mut String, bytes: &[u8]) {
    text.push('"');
    STANDARD.encode_string(bytes, text);
    text.push('"');
}

/// A text with the escapes of Go, which are also safe in a page.
pub(in crate::cli) fn write_text(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                push(text, format_args!("\\u{:04x}", u32::from(character)));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// `lower_case` as `LowerCase`.
fn camel(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut characters = word.chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(characters)
        })
        .collect()
}

/// A JSON object that is being written.
pub(in crate::cli) struct Object<'text> {
    text: &'text mut String,
    is_empty: bool,
}

impl<'text> Object<'text> {
    /// Begins it.
    pub(in crate::cli) fn new(text: &'text mut String) -> Self {
        text.push('{');
        Self { text, is_empty: true }
    }

    /// Adds a member.
    pub(in crate::cli) fn with(&mut self, name: &str, write: impl FnOnce(&mut String)) -> &mut Self {
        if !self.is_empty {
            self.text.push(',');
        }
        self.is_empty = false;
        write_text(self.text, name);
        self.text.push(':');
        write(self.text);
        self
    }

    /// Adds a number or truth value.
    pub(in crate::cli) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.with(name, |text| push(text, value))
    }

    /// Adds a text.
    pub(in crate::cli) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.with(name, |text| write_text(text, value))
    }

    /// Adds what of a header is not zero: some answers have it beside their own fields.
    pub(in crate::cli) fn header(&mut self, header: Option<&ResponseHeader>, hex: bool) -> &mut Self {
        let header = header.copied().unwrap_or_default();
        for (name, id) in [("cluster_id", header.cluster_id), ("member_id", header.member_id)] {
            if id != 0 && hex {
                self.text(name, &format!("{id:x}"));
            } else if id != 0 {
                self.plain(name, id);
            }
        }
        if header.revision != 0 {
            self.plain("revision", header.revision);
        }
        if header.raft_term != 0 {
            self.plain("raft_term", header.raft_term);
        }
        self
    }

    /// Ends it.
    pub(in crate::cli) fn end(&mut self) {
        self.text.push('}');
    }
}

/// The lines of the format `fields`: `"Name" : value`.
#[derive(Debug, Default)]
pub(in crate::cli) struct Fields {
    pub(super) text: String,
    hex: bool,
}

impl Fields {
    /// No lines yet; `hex`: ids in hexadecimal.
    pub(super) fn new(hex: bool) -> Self {
        Self {
            text: String::new(),
            hex,
        }
    }

    /// A line with a value as it is.
    pub(in crate::cli) fn plain(&mut self, name: &str, value: impl Display) {
        push(&mut self.text, format_args!("\"{name}\" : {value}\n"));
    }

    /// A line with text or bytes in quotes.
    pub(in crate::cli) fn quoted(&mut self, name: &str, bytes: &[u8]) {
        self.plain(name, quoted(bytes));
    }

    /// A line with what stands behind each other.
    pub(in crate::cli) fn list(&mut self, name: &str, values: &[String]) {
        push(&mut self.text, format_args!("\"{name}\" :"));
        for value in values {
            push(&mut self.text, format_args!(" {value}"));
        }
        self.gap();
    }

    /// A line with the id of a member or cluster.
    pub(in crate::cli) fn id(&mut self, name: &str, id: u64) {
        if self.hex {
            self.plain(name, format_args!("{id:x}"));
        } else {
            self.plain(name, id);
        }
    }

    /// A line with the id of a lease.
    pub(in crate::cli) fn lease(&mut self, name: &str, id: i64) {
        if self.hex {
            self.plain(name, format_args!("{id:016x}"));
        } else {
            self.plain(name, id);
        }
    }

    /// The lines of a header.
    pub(in crate::cli) fn header(&mut self, header: Option<&ResponseHeader>) {
        let header = header.copied().unwrap_or_default();
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        if header.revision > 0 {
            self.plain("Revision", header.revision);
        }
        self.plain("RaftTerm", header.raft_term);
    }

    /// The lines of a key, each name behind `prefix`.
    pub(in crate::cli) fn pair(&mut self, prefix: &str, pair: &KeyValue) {
        let name = |name: &str| format!("{prefix}{name}");
        self.quoted(&name("Key"), &pair.key);
        self.plain(&name("CreateRevision"), pair.create_revision);
        self.plain(&name("ModRevision"), pair.mod_revision);
        self.plain(&name("Version"), pair.version);
        self.quoted(&name("Value"), &pair.value);
        self.lease(&name("Lease"), pair.lease);
    }

    /// An empty line, which stands behind each of many.
    pub(in crate::cli) fn gap(&mut self) {
        self.text.push('\n');
    }
}

/// Bytes in quotes as Go writes them: text where they are printable UTF-8, escapes where not.
pub(in crate::cli) fn quoted(bytes: &[u8]) -> String {
    let mut text = "\"".to_owned();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\u{7}' => text.push_str("\\a"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{b}' => text.push_str("\\v"),
                '\0'..='\u{1f}' | '\u{7f}' => {
                    push(&mut text, format_args!("\\x{:02x}", u32::from(character)))
                }
                '\u{80}'..='\u{9f}' | '\u{a0}' | '\u{ad}' | '\u{feff}' | '\u{2028}' | '\u{2029}' => {
                    push(&mut text, format_args!("\\u{:04x}", u32::from(character)));
                }
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            push(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

/// Bytes as `--hex` shows them.
pub(in crate::cli) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// A number of bytes as etcdctl shows it: two digits, in steps of a thousand.
pub(in crate::cli) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 0_usize;
    let mut scale = 1_u64;
    while bytes / scale >= 1_000 && unit + 1 < UNITS.len() {
        scale = scale.saturating_mul(1_000);
        unit += 1;
    }
    // Rounded to a tenth, half away from zero.
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if tenths < 100 && unit > 0 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        // Halves to the even number.
        let (whole, rest) = (tenths / 10, tenths % 10);
        let up = u128::from(rest > 5 || (rest == 5 && whole % 2 == 1));
        format!("{} {name}", whole + up)
    }
}

/// A table with a frame.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    /// The titles of the columns.
    pub(in crate::cli) titles: &'static [&'static str],
    /// The cells of each row.
    pub(in crate::cli) rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as text: titles in the middle of their columns, cells to the right.
    pub(super) fn text(&self) -> String {
        let widths: Vec<usize> = self
            .titles
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.chars().count())
                    .chain([title.chars().count()])
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let rule = |left: char, middle: &str, right: char| {
            let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}\n", parts.join(middle))
        };
        let row = |cells: Vec<String>| format!("│{}│\n", cells.join("│"));
        let mut text = rule('┌', "┬", '┐');
        let titles = self.titles.iter().zip(&widths);
        text += &row(titles
            .map(|(title, width)| format!(" {title:^width$} "))
            .collect());
        text += &rule('├', "┼", '┤');
        for cells in &self.rows {
            let cells = cells.iter().zip(&widths);
            text += &row(cells.map(|(cell, width)| format!(" {cell:>width$} ")).collect());
        }
        text + &rule('└', "┴", '┘')
    }
}
