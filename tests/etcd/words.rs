//! How scripts write requests and how answers are written down.
//!
//! Bytes: plain characters, or `"..."` with `\0`, `\n`, `\\`, `\"` and `\x7f`; `repeat(x,1000)` is a thousand times
//! `x`. A key range: `a` is one key, `a..c` a half-open range, `a..` all keys from `a` on, `a*` a prefix, `*` everything.
//! Options follow: `limit=5`, `prev_kv`.

use bytes::Bytes;
use stead::proto::etcdserverpb::ResponseHeader;
use stead::proto::mvccpb::KeyValue;

use crate::support::Result;

/// Longer bytes are written as their length.
const MAXIMUM_SHOWN_BYTES: usize = 100;

/// The words of one line, taken one after another.
pub struct Words {
    words: Vec<String>,
}

impl Words {
    /// Cuts a line at the spaces outside quotes.
    pub fn of(line: &str) -> Self {
        let mut words = vec![String::new()];
        let mut quoted = false;
        let mut escaped = false;
        for character in line.trim().chars() {
            let last = words.len() - 1;
            if character == ' ' && !quoted {
                words.push(String::new());
                continue;
            }
            if character == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = character == '\\' && !escaped;
            words[last].push(character);
        }
        words.retain(|word| !word.is_empty());
        Self { words }
    }

    /// The next word; `what` says what is missing if there is none.
    pub fn next(&mut self, what: &str) -> Result<String> {
        if self.words.is_empty() {
            return Err(format!("{what} is missing").into());
        }
        Ok(self.words.remove(0))
    }

    /// The next word, if there is one.
    pub fn optional(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    pub fn bytes(&mut self, what: &str) -> Result<Bytes> {
        bytes(&self.next(what)?)
    }

    pub fn range(&mut self) -> Result<(Bytes, Bytes)> {
        range(&self.next("a key or a range of keys")?)
    }

    pub fn integer(&mut self, what: &str) -> Result<i64> {
        let word = self.next(what)?;
        word.parse()
            .map_err(|_| format!("{what}: {word} is no number").into())
    }

    /// The value of the option `name=value`.
    pub fn option(&mut self, name: &str) -> Option<String> {
        let index = self
            .words
            .iter()
            .position(|word| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))?;
        Some(self.words.remove(index)[name.len() + 1..].to_owned())
    }

    /// The number in the option `name=number`, 0 if it is not there.
    pub fn number(&mut self, name: &str) -> Result<i64> {
        match self.option(name) {
            None => Ok(0),
            Some(value) => value
                .parse()
                .map_err(|_| format!("{name}={value} is no number").into()),
        }
    }

    /// Whether the option `name` is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let index = self.words.iter().position(|word| word == name);
        index.map(|index| self.words.remove(index)).is_some()
    }

    /// What is left, each word without its quotes.
    pub fn rest(self) -> Result<Vec<String>> {
        self.words
            .iter()
            .map(|word| Ok(String::from_utf8(bytes(word)?.to_vec())?))
            .collect()
    }

    /// Refuses words that nothing has used: a misspelt option must not pass.
    pub fn finish(self) -> Result<()> {
        if self.words.is_empty() {
            Ok(())
        } else {
            Err(format!("not understood: {}", self.words.join(" ")).into())
        }
    }
}

/// The key and the range end of a written range.
pub fn range(word: &str) -> Result<(Bytes, Bytes)> {
    const ZERO: Bytes = Bytes::from_static(b"\0");
    if word == "*" {
        return Ok((ZERO, ZERO));
    }
    if let Some(prefix) = word.strip_suffix('*') {
        let key = bytes(prefix)?;
        let end = prefix_end(&key);
        return Ok((key, end));
    }
    match word.split_once("..") {
        None => Ok((bytes(word)?, Bytes::new())),
        Some((key, "")) => Ok((bytes(key)?, ZERO)),
        Some((key, end)) => Ok((bytes(key)?, bytes(end)?)),
    }
}

/// The first key after all keys that begin with `prefix`, in etcd's notation: one zero byte stands for no end.
fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    Bytes::from_static(b"\0")
}

/// The bytes that a word stands for.
pub fn bytes(word: &str) -> Result<Bytes> {
    if let Some(inside) = word
        .strip_prefix("repeat(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let (piece, times) = inside
            .split_once(',')
            .ok_or("repeat(piece,times) has two parts")?;
        return Ok(Bytes::from(bytes(piece)?.repeat(times.parse()?)));
    }
    let inside = word
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(word);
    let mut result = Vec::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match characters.next() {
            Some('0') => result.push(0),
            Some('n') => result.push(b'\n'),
            Some('x') => {
                let digits: String = characters.by_ref().take(2).collect();
                result.push(u8::from_str_radix(&digits, 16)?);
            }
            Some(other) => result.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            None => return Err(format!("{word}: nothing follows the last backslash").into()),
        }
    }
    Ok(Bytes::from(result))
}

/// Bytes as a script writes them.
pub fn show(bytes: &[u8]) -> String {
    if bytes.len() > MAXIMUM_SHOWN_BYTES {
        return format!("<{} bytes>", bytes.len());
    }
    let plain = |byte: &u8| byte.is_ascii_graphic() && !br#""\="#.contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut shown = String::from("\"");
    for byte in bytes {
        match byte {
            0 => shown += "\\0",
            b'"' => shown += "\\\"",
            b'\\' => shown += "\\\\",
            b' '..=b'~' => shown.push(char::from(*byte)),
            other => shown += &format!("\\x{other:02x}"),
        }
    }
    shown + "\""
}

/// `key = value (create 2, mod 3, version 2, lease 7)`, without the fields that are zero.
pub fn show_pair(pair: &KeyValue) -> String {
    let numbers = [
        ("create", pair.create_revision),
        ("mod", pair.mod_revision),
        ("version", pair.version),
        ("lease", pair.lease),
    ];
    let numbers: Vec<String> = numbers
        .iter()
        .filter(|(_, number)| *number != 0)
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    format!(
        "{} = {} ({})",
        show(&pair.key),
        show(&pair.value),
        numbers.join(", ")
    )
}

/// The revision of a header. The ids and the term differ from run to run: they are only checked to be there.
pub fn show_header(header: Option<&ResponseHeader>) -> String {
    let Some(header) = header else {
        return "no header".to_owned();
    };
    let missing: Vec<&str> = [
        ("cluster_id", header.cluster_id),
        ("member_id", header.member_id),
        ("raft_term", header.raft_term),
    ]
    .into_iter()
    .filter(|(_, value)| *value == 0)
    .map(|(name, _)| name)
    .collect();
    match missing.as_slice() {
        [] => format!("revision {}", header.revision),
        missing => format!("revision {} (no {})", header.revision, missing.join(", no ")),
    }
}

/// The header of an answer inside a transaction's answer: a revision and nothing else.
pub fn show_inner_header(header: Option<&ResponseHeader>) -> String {
    match header {
        None => "no header".to_owned(),
        Some(header) if header.cluster_id == 0 && header.member_id == 0 && header.raft_term == 0 => {
            format!("revision {}", header.revision)
        }
        Some(header) => format!(
            "revision {} (and ids, which belong to the outer header)",
            header.revision
        ),
    }
}

/// A refusal with its code and its text.
pub fn show_error(status: &tonic::Status) -> Vec<String> {
    vec![format!("error {:?}: {}", status.code(), status.message())]
}
