//! Documents that people write, in HCL and JSON, as far as settings of the store need them: names, blocks, text, numbers,
//! lists and objects.
//!
//! What none of them can need (calls, templates, operators, heredocs), what is nested too deep, and what is said twice is
//! refused before HCL is handed to a parser, which would follow it into any depth and keep the last of two. The parser wants
//! a line for each name; clients of Consul and Vault write several in one, as the HCL of old allowed, so lines are broken
//! where they may be. Never knows what a document means.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use hcl::{Body, Expression};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::base::limits::MAXIMUM_JSON_VALUES;

/// Reads HCL with at most `maximum_depth` brackets inside each other.
///
/// # Errors
/// What is wrong with it, and in which line.
pub(in crate::service) fn hcl(text: &str, maximum_depth: usize) -> Result<Body, String> {
    let lines = Scanner::new(text, maximum_depth).check()?;
    hcl::parse(&lines).map_err(|error| error.to_string())
}

/// What an expression stands for.
///
/// # Errors
/// It is no text, number, truth value, null, list or object.
pub(in crate::service) fn value(expression: Expression) -> Result<Value, String> {
    Ok(match expression {
        Expression::Null => Value::Null,
        Expression::Bool(truth) => Value::Bool(truth),
        Expression::Number(number) => number_value(&number)?,
        Expression::String(text) => Value::String(text),
        Expression::Array(items) => Value::Array(items.into_iter().map(value).collect::<Result<_, _>>()?),
        Expression::Object(fields) => {
            let mut object = Map::new();
            for (key, inner) in fields {
                let key = match key {
                    hcl::ObjectKey::Identifier(key) => key.to_string(),
                    hcl::ObjectKey::Expression(Expression::String(key)) => key,
                    other => return Err(format!("{other} is no name")),
                };
                if object.contains_key(&key) {
                    return Err(twice(&key));
                }
                object.insert(key, value(inner)?);
            }
            Value::Object(object)
        }
        other => return Err(format!("{other} is no text in quotes")),
    })
}

fn number_value(number: &hcl::Number) -> Result<Value, String> {
    let read = number
        .as_i64()
        .map(Number::from)
        .or_else(|| number.as_u64().map(Number::from))
        .or_else(|| number.as_f64().and_then(Number::from_f64));
    read.map(Value::Number)
        .ok_or_else(|| format!("the number {number} is too large"))
}

/// Reads JSON in which nothing is said twice, with at most `maximum_depth` brackets inside each other and
/// [`MAXIMUM_JSON_VALUES`] values.
///
/// # Errors
/// What is wrong with it, and where.
pub(in crate::service) fn json(text: &str, maximum_depth: usize) -> Result<Value, String> {
    let values_left = Cell::new(MAXIMUM_JSON_VALUES);
    let unique = Unique {
        values_left: &values_left,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = unique.deserialize(&mut reader);
    let value = read
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| error.to_string())?;
    if depth(&value) > maximum_depth {
        return Err(too_deep(maximum_depth));
    }
    Ok(value)
}

/// The parser follows no more than 128 brackets.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn too_deep(maximum_depth: usize) -> String {
    format!("it is nested more than {maximum_depth} deep")
}

fn twice(key: &str) -> String {
    format!("{key:?} is said twice")
}

/// Reads a value of JSON whose objects have each name once, and counts it and those inside.
#[derive(Clone, Copy)]
struct Unique<'count> {
    /// How many more may come, wherever they stand.
    values_left: &'count Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.values_left.get().checked_sub(1) else {
            let text = format!("it has more than {MAXIMUM_JSON_VALUES} values");
            return Err(de::Error::custom(text));
        };
        self.values_left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(twice(&key)));
            }
            object.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

/// Goes over HCL once, before it is parsed.
struct Scanner<'a> {
    characters: Peekable<Chars<'a>>,
    line: usize,
    /// What was gone over, with a line for each name.
    lines: String,
    maximum_depth: usize,
    /// For each open bracket, and for what is outside of all: the names that were given a value.
    names: Vec<BTreeSet<String>>,
    /// For each open bracket, whether it is that of a list.
    lists: Vec<bool>,
    /// The word, number or text that came last, if no sign came after it.
    last: Option<String>,
    /// A value comes next.
    is_given: bool,
    /// A value or a bracket has ended in this line.
    has_ended: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, maximum_depth: usize) -> Self {
        Self {
            characters: text.chars().peekable(),
            line: 1,
            lines: String::with_capacity(text.len()),
            maximum_depth,
            names: vec![BTreeSet::new()],
            lists: Vec::new(),
            last: None,
            is_given: false,
            has_ended: false,
        }
    }

    fn refuse(&self, reason: impl fmt::Display) -> String {
        format!("line {}: {reason}", self.line)
    }

    fn next(&mut self) -> Option<char> {
        let next = self.characters.next();
        if next == Some('\n') {
            self.line += 1;
            self.has_ended = false;
        }
        self.lines.extend(next);
        next
    }

    /// Breaks the line before the character that came last.
    fn break_before(&mut self) {
        let last = self.lines.pop();
        self.lines.push('\n');
        self.lines.extend(last);
        self.has_ended = false;
    }

    /// A word or a text begins: a name, where a value has ended.
    fn begin(&mut self) {
        if self.has_ended && self.lists.last() != Some(&true) {
            self.break_before();
        }
    }

    /// A word or a text has ended.
    fn end(&mut self, text: String) {
        self.has_ended = self.is_given;
        self.is_given = false;
        self.last = Some(text);
    }

    fn check(mut self) -> Result<String, String> {
        while let Some(character) = self.next() {
            let next = self.characters.peek().copied();
            match character {
                '"' => self.text()?,
                '#' => self.skip_line(),
                '/' if next == Some('/') => self.skip_line(),
                '/' if next == Some('*') => self.skip_comment()?,
                '{' | '[' => {
                    if self.names.len() > self.maximum_depth {
                        return Err(self.refuse(too_deep(self.maximum_depth)));
                    }
                    self.names.push(BTreeSet::new());
                    self.lists.push(character == '[');
                    self.last = None;
                    self.is_given = false;
                    // What comes next is a name in a line of its own, unless it is the end.
                    self.has_ended = character == '{';
                }
                '}' | ']' => {
                    if character == '}' && self.has_ended {
                        self.break_before();
                    }
                    if self.names.len() > 1 {
                        self.names.pop();
                    }
                    self.lists.pop();
                    self.last = None;
                    self.has_ended = true;
                }
                '=' | ':' => {
                    self.is_given = true;
                    self.give()?;
                }
                ',' => {
                    self.last = None;
                    self.has_ended = false;
                }
                '-' if self.last.is_none() && next.is_some_and(|next| next.is_ascii_digit()) => {
                    self.word(character);
                }
                _ if character.is_ascii_alphanumeric() || character == '_' => self.word(character),
                _ if character.is_whitespace() => {}
                other => return Err(self.refuse(format!("{other:?} has no meaning here"))),
            }
        }
        Ok(self.lines)
    }

    /// Notes that what came last is given a value.
    fn give(&mut self) -> Result<(), String> {
        let Some(name) = self.last.take() else {
            return Ok(());
        };
        match self.names.last_mut() {
            Some(names) if names.contains(&name) => Err(self.refuse(twice(&name))),
            Some(names) => {
                names.insert(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A word, or a number, which may have a point inside.
    fn word(&mut self, first: char) {
        self.begin();
        let mut word = String::from(first);
        let mut is_number = first.is_ascii_digit() || first == '-';
        while let Some(&next) = self.characters.peek() {
            if is_number && next == '.' {
                is_number = false;
            } else if !next.is_ascii_alphanumeric() && next != '_' && next != '-' {
                break;
            }
            word.push(next);
            self.next();
        }
        self.end(word);
    }

    fn text(&mut self) -> Result<(), String> {
        self.begin();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') => match self.next() {
                    Some('u' | 'U') => {
                        return Err(self.refuse("a character by its number; write the character itself"));
                    }
                    escaped => {
                        text.push('\\');
                        text.extend(escaped);
                    }
                },
                Some(sign @ ('$' | '%')) => match self.characters.peek() {
                    Some('{') => {
                        return Err(self.refuse("text with a template in it; write $${ for ${"));
                    }
                    // Two of them stand for one, before a bracket.
                    Some(&next) if next == sign => {
                        self.next();
                        text.extend([sign, sign]);
                    }
                    _ => text.push(sign),
                },
                Some('\n') | None => return Err(self.refuse("text that does not end")),
                Some(character) => text.push(character),
            }
        }
        self.end(text);
        Ok(())
    }

    fn skip_line(&mut self) {
        while let Some(character) = self.next() {
            if character == '\n' {
                return;
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), String> {
        self.next();
        let mut last = ' ';
        loop {
            match self.next() {
                Some('/') if last == '*' => return Ok(()),
                Some(character) => last = character,
                None => return Err(self.refuse("a comment that does not end")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Body {
        hcl(text, 8).unwrap()
    }

    #[test]
    fn json_has_so_many_values_however_they_are_arranged() {
        let list = |items: usize| format!("[0{}]", ",0".repeat(items - 1));
        let objects = |items: usize| format!("[{{\"\":0}}{}]", ",{\"\":0}".repeat(items - 1));
        let object = |fields: usize| {
            let fields: Vec<String> = (0..fields).map(|field| format!("\"{field}\":[]")).collect();
            format!("{{{}}}", fields.join(","))
        };
        // The outermost is a value too, and so is each object in a list.
        let most = MAXIMUM_JSON_VALUES - 1;
        for text in [list(most), objects(most / 2), object(most)] {
            assert_eq!(json(&text, 8).map(|_| ()), Ok(()));
        }
        let wanted = format!("it has more than {MAXIMUM_JSON_VALUES} values at line 1 column ");
        for text in [list(most + 1), objects(most / 2 + 1), object(most + 1)] {
            let error = json(&text, 8).unwrap_err();
            assert!(error.starts_with(&wanted), "{error}");
        }
    }

    #[test]
    fn names_may_share_a_line() {
        let lines = "a \"x\" {\n  b = \"1\"\n  c = [2, {\n d = 3\n }]\n}\ne {\n}\nf = {\n g = 1\n h = 2\n}\n";
        for line in [
            r#"a "x" { b = "1" c = [2, { d = 3 }] } e {} f = { g = 1, h = 2 }"#,
            "a \"x\" { b = \"1\"\nc = [2, { d = 3 }]\n} e {} f = { g = 1 h = 2 }",
            "a \"x\" { # which\n b = \"1\" /* and */ c = [2,\n{ d = 3 }] } e {\n} f = {\n g = 1 h = 2 }",
        ] {
            assert_eq!(read(line), read(lines), "{line}");
        }
    }

    #[test]
    fn what_has_its_lines_stays_as_it_is_written() {
        let text = "# rules\npath \"a/*\" {\n  capabilities = [\n    \"read\", \"list\"\n  ]\n}\n";
        assert_eq!(Scanner::new(text, 8).check().unwrap(), text);
    }
}
