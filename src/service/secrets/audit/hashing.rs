//! Hashes every text in JSON that somebody else wrote, and leaves the rest as it is: names, the form of numbers, the order.
//!
//! Goes over the text once, whatever is nested in it how deep. Never leaves a text because of where it stands.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::entry::Fields;
use crate::base::limits::MAXIMUM_AUDIT_DATA_BYTES;
use crate::service::secrets::barrier::hashed::Hasher;

/// How texts are shown.
#[derive(Clone, Copy)]
pub(super) struct Veil<'veil> {
    /// Hashes them.
    pub hasher: &'veil Hasher,
    /// Whether they are shown as they are.
    pub is_raw: bool,
}

impl Veil<'_> {
    /// A text as it is shown.
    pub fn text(&self, text: &str) -> String {
        if self.is_raw {
            text.to_owned()
        } else {
            self.hasher.hash(text.as_bytes()).to_string()
        }
    }
}

/// What becomes of fields.
pub(super) enum Veiled {
    /// An object with each of them.
    Whole(Box<RawValue>),
    /// They would take too much.
    Elided {
        /// Bytes of the object of all as they are.
        bytes: usize,
        /// The keyed hash of that.
        hash: String,
    },
}

/// The fields with every text hashed but those whose innermost name is in `plain`. With `counts`, `keys` and `key_info` are
/// shown by how many they are.
pub(super) fn fields(fields: Fields<'_>, veil: Veil<'_>, plain: &[String], counts: bool) -> Option<Veiled> {
    let texts = texts(fields)?;
    let mut shown = String::from("{");
    for (name, text) in &texts {
        open_field(&mut shown, name);
        match count(name, text).filter(|_| counts) {
            Some(count) => shown.push_str(&count.to_string()),
            None => Walk::new(veil, plain, name).over(text, &mut shown),
        }
        if shown.len() > MAXIMUM_AUDIT_DATA_BYTES {
            return Some(elided(&texts, veil));
        }
    }
    shown.push('}');
    // What was no JSON before is none now.
    let whole = RawValue::from_string(shown).map(Veiled::Whole);
    Some(whole.unwrap_or_else(|_| elided(&texts, veil)))
}

type Texts<'fields> = Vec<(&'fields str, Zeroizing<String>)>;

fn texts(fields: Fields<'_>) -> Option<Texts<'_>> {
    let owned = |text: &str| Zeroizing::new(text.to_owned());
    let texts: Texts<'_> = match fields {
        Fields::Nothing | Fields::Raw(_) => return None,
        Fields::Body(body) => {
            let names = body.fields().keys();
            let texts = names.map(|name| (name.as_str(), owned(body.text(name).unwrap_or("null"))));
            texts.collect()
        }
        Fields::Data(data) => data
            .fields()
            .map(|(name, text)| (name, owned(text.get())))
            .collect(),
        Fields::Map(map) => {
            let texts = map.iter();
            texts
                .map(|(name, value)| (name.as_str(), Zeroizing::new(value.to_string())))
                .collect()
        }
    };
    (!texts.is_empty()).then_some(texts)
}

fn open_field(object: &mut String, name: &str) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(&serde_json::Value::from(name).to_string());
    object.push(':');
}

fn count(name: &str, text: &str) -> Option<usize> {
    match name {
        "keys" => serde_json::from_str::<Vec<&RawValue>>(text)
            .ok()
            .map(|keys| keys.len()),
        "key_info" => {
            let names = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
            names.ok().map(|names| names.len())
        }
        _ => None,
    }
}

fn elided(texts: &Texts<'_>, veil: Veil<'_>) -> Veiled {
    let length = texts
        .iter()
        .map(|(name, text)| name.len() + text.len() + 16)
        .sum();
    let mut whole = Zeroizing::new(String::with_capacity(length));
    whole.push('{');
    for (name, text) in texts {
        open_field(&mut whole, name);
        whole.push_str(text);
    }
    whole.push('}');
    Veiled::Elided {
        bytes: whole.len(),
        hash: veil.hasher.hash(whole.as_bytes()).to_string(),
    }
}

/// An open bracket.
enum Frame {
    List,
    /// With the name that came last in it.
    Object(String),
}

struct Walk<'walk> {
    veil: Veil<'walk>,
    plain: &'walk [String],
    name: &'walk str,
    frames: Vec<Frame>,
    /// Whether the next text is a name.
    is_name_next: bool,
}

impl<'walk> Walk<'walk> {
    fn new(veil: Veil<'walk>, plain: &'walk [String], name: &'walk str) -> Self {
        Self {
            veil,
            plain,
            name,
            frames: Vec::new(),
            is_name_next: false,
        }
    }

    /// Stops where more was shown than may be.
    fn over(mut self, text: &str, shown: &mut String) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if shown.len() > MAXIMUM_AUDIT_DATA_BYTES {
                return;
            }
            let length = match first {
                '"' => text_length(rest),
                _ => first.len_utf8(),
            };
            let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
            rest = behind;
            match first {
                '"' => self.text(token, shown),
                // A line end between two values would break the record.
                _ if first.is_whitespace() => {}
                _ => {
                    self.sign(first);
                    shown.push(first);
                }
            }
        }
    }

    fn sign(&mut self, sign: char) {
        match sign {
            '{' => self.frames.push(Frame::Object(String::new())),
            '[' => self.frames.push(Frame::List),
            '}' | ']' => {
                self.frames.pop();
            }
            _ => {}
        }
        self.is_name_next = match sign {
            '{' => true,
            ',' => matches!(self.frames.last(), Some(Frame::Object(_))),
            _ => false,
        };
    }

    fn text(&mut self, token: &str, shown: &mut String) {
        let text: Option<Zeroizing<String>> = serde_json::from_str(token).ok();
        if std::mem::take(&mut self.is_name_next) {
            shown.push_str(token);
            if let (Some(Frame::Object(name)), Some(text)) = (self.frames.last_mut(), text) {
                name.clone_from(&text);
            }
        } else if self.veil.is_raw || self.plain.iter().any(|plain| plain == self.innermost()) {
            shown.push_str(token);
        } else {
            let hash = self
                .veil
                .hasher
                .hash(text.map_or(token.as_bytes().to_vec().into(), bytes).as_slice());
            shown.push('"');
            shown.push_str(&hash.to_string());
            shown.push('"');
        }
    }

    fn innermost(&self) -> &str {
        let name = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Object(name) => Some(name.as_str()),
            Frame::List => None,
        });
        name.unwrap_or(self.name)
    }
}

fn bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// Bytes of the text at the beginning, with its quotes.
fn text_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}
