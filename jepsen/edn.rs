//! Extensible data notation: the part of it that operation histories are made of, read and written.
//!
//! Supported are nil, booleans, 64-bit integers, strings, keywords, vectors, maps, and comments. Anything else is an
//! error that names the position: a history is never guessed at.

use std::fmt::{self, Write as _};

/// How deeply vectors and maps may be nested. Histories need four levels.
const MAXIMUM_NESTING_LEVELS: usize = 32;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Edn {
    /// `nil`
    Nil,
    /// `true` or `false`
    Boolean(bool),
    /// A signed 64-bit integer.
    Integer(i64),
    /// `:name`, kept without its colon.
    Keyword(String),
    /// `"text"`
    Text(String),
    /// `[a b c]`
    Vector(Vec<Edn>),
    /// `{a b, c d}`, in the order of writing.
    Map(Vec<(Edn, Edn)>),
}

impl Edn {
    /// The keyword `:name`.
    pub fn keyword(name: &str) -> Self {
        Self::Keyword(name.to_owned())
    }

    /// A string value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A map with keywords as keys.
    pub fn map<const N: usize>(entries: [(&str, Edn); N]) -> Self {
        Self::Map(
            entries
                .into_iter()
                .map(|(name, value)| (Self::keyword(name), value))
                .collect(),
        )
    }

    /// The value under the keyword `name`, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Edn> {
        let Self::Map(entries) = self else { return None };
        entries
            .iter()
            .find(|(key, _)| matches!(key, Self::Keyword(found) if found == name))
            .map(|(_, value)| value)
    }

    /// The integer under the keyword `name`.
    pub fn integer_at(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_integer()
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The name of the keyword, if it is one.
    pub fn as_keyword(&self) -> Option<&str> {
        match self {
            Self::Keyword(name) => Some(name),
            _ => None,
        }
    }

    /// The elements, if it is a vector.
    pub fn as_vector(&self) -> Option<&[Edn]> {
        match self {
            Self::Vector(elements) => Some(elements),
            _ => None,
        }
    }
}

impl From<i64> for Edn {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Edn {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl<T: Into<Edn>> From<Option<T>> for Edn {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

impl<T: Into<Edn>> FromIterator<T> for Edn {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self::Vector(elements.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Edn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => formatter.write_str("nil"),
            Self::Boolean(boolean) => write!(formatter, "{boolean}"),
            Self::Integer(integer) => write!(formatter, "{integer}"),
            Self::Keyword(name) => write!(formatter, ":{name}"),
            Self::Text(text) => {
                formatter.write_char('"')?;
                for character in text.chars() {
                    match character {
                        '"' => formatter.write_str("\\\"")?,
                        '\\' => formatter.write_str("\\\\")?,
                        '\n' => formatter.write_str("\\n")?,
                        '\t' => formatter.write_str("\\t")?,
                        '\r' => formatter.write_str("\\r")?,
                        other => formatter.write_char(other)?,
                    }
                }
                formatter.write_char('"')
            }
            Self::Vector(elements) => {
                formatter.write_char('[')?;
                for (position, element) in elements.iter().enumerate() {
                    let gap = if position == 0 { "" } else { " " };
                    write!(formatter, "{gap}{element}")?;
                }
                formatter.write_char(']')
            }
            Self::Map(entries) => {
                formatter.write_char('{')?;
                for (position, (key, value)) in entries.iter().enumerate() {
                    let gap = if position == 0 { "" } else { ", " };
                    write!(formatter, "{gap}{key} {value}")?;
                }
                formatter.write_char('}')
            }
        }
    }
}

/// Text that is not what this module supports of the notation.
#[derive(Debug, thiserror::Error)]
#[error("byte {position}: {problem}")]
pub struct ParseError {
    position: usize,
    problem: String,
}

/// Reads every value of `text`, in order.
///
/// # Errors
/// The position and nature of the first thing that is not supported notation.
pub fn parse_all(text: &str) -> Result<Vec<Edn>, ParseError> {
    let mut parser = Parser { text, position: 0 };
    let mut values = Vec::new();
    loop {
        parser.skip_blanks();
        if parser.position == text.len() {
            return Ok(values);
        }
        values.push(parser.value(0)?);
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Parser<'a> {
    fn error<T>(&self, problem: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError {
            position: self.position,
            problem: problem.into(),
        })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed =
                rest.trim_start_matches(|character: char| character.is_whitespace() || character == ',');
            self.position += rest.len() - trimmed.len();
            if !trimmed.starts_with(';') {
                return;
            }
            self.position += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn value(&mut self, level: usize) -> Result<Edn, ParseError> {
        if level > MAXIMUM_NESTING_LEVELS {
            return self.error(format!("nested more than {MAXIMUM_NESTING_LEVELS} levels deep"));
        }
        self.skip_blanks();
        match self.rest().chars().next() {
            None => self.error("a value is missing"),
            Some('"') => self.text_value(),
            Some('[') => Ok(Edn::Vector(self.elements(']', level)?)),
            Some('{') => {
                let elements = self.elements('}', level)?;
                if elements.len() % 2 != 0 {
                    return self.error("a map has a key without a value");
                }
                let mut entries = Vec::with_capacity(elements.len() / 2);
                let mut elements = elements.into_iter();
                while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                    entries.push((key, value));
                }
                Ok(Edn::Map(entries))
            }
            Some(_) => self.atom(),
        }
    }

    fn elements(&mut self, close: char, level: usize) -> Result<Vec<Edn>, ParseError> {
        self.position += 1;
        let mut elements = Vec::new();
        loop {
            self.skip_blanks();
            match self.rest().chars().next() {
                None => return self.error(format!("{close:?} is missing")),
                Some(found) if found == close => {
                    self.position += 1;
                    return Ok(elements);
                }
                Some(_) => elements.push(self.value(level + 1)?),
            }
        }
    }

    fn text_value(&mut self) -> Result<Edn, ParseError> {
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.position += offset + 1;
                    return Ok(Edn::Text(text));
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => return self.error("an escape other than \\n \\t \\r \\\" \\\\"),
                },
                other => text.push(other),
            }
        }
        self.error("a string does not end")
    }

    fn atom(&mut self) -> Result<Edn, ParseError> {
        let rest = self.rest();
        let end = rest
            .find(|character: char| character.is_whitespace() || ",;[]{}\"".contains(character))
            .unwrap_or(rest.len());
        let atom = &rest[..end];
        let value = match atom {
            "nil" => Edn::Nil,
            "true" => Edn::Boolean(true),
            "false" => Edn::Boolean(false),
            _ => match (atom.strip_prefix(':'), atom.parse()) {
                (Some(name), _) if !name.is_empty() => Edn::keyword(name),
                (None, Ok(integer)) => Edn::Integer(integer),
                _ => return self.error(format!("{atom:?} is not a supported value")),
            },
        };
        self.position += end;
        Ok(value)
    }
}
