//! What is to be written, from the command line: pairs, files and the standard input, put together to one object of JSON.
//!
//! Every number stays as it is written. Never shows a value, and reads what is named only through its [`Sources`].

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use zeroize::{Zeroize as _, Zeroizing};

/// Where values come from that do not stand on the command line.
pub(super) trait Sources {
    /// All of a file.
    ///
    /// # Errors
    /// It cannot be read as text.
    fn file(&mut self, path: &str) -> Result<Zeroizing<String>, String>;

    /// All of the standard input, without the end of its last line. Can be asked for once.
    ///
    /// # Errors
    /// It cannot be read as text.
    fn input(&mut self) -> Result<Zeroizing<String>, String>;
}

/// An object of JSON, in its one form.
#[derive(Default)]
pub(super) struct Object {
    fields: BTreeMap<String, Box<RawValue>>,
    /// The fields whose values stand on the command line, for everybody on this machine to see.
    pub(super) visible: Vec<String>,
}

impl Object {
    /// What arguments say: `key=value`, `key=@file`, `key=-`, `@file` or `-`, of which the last two are whole objects. What
    /// is said later counts. A value that begins with `@` or is `-` is written with `\` in front.
    ///
    /// # Errors
    /// An argument is none of these, a source cannot be read, or what it has is no object.
    pub(super) fn read(arguments: &[String], sources: &mut dyn Sources) -> Result<Self, String> {
        let mut object = Self::default();
        let mut has_taken_input = false;
        let mut input = |sources: &mut dyn Sources| {
            if std::mem::replace(&mut has_taken_input, true) {
                return Err("the standard input (-) is named twice: it can be read once".to_owned());
            }
            sources.input()
        };
        for argument in arguments {
            if argument == "-" {
                object.take_whole("the standard input", &input(sources)?)?;
            } else if let Some(path) = argument.strip_prefix('@') {
                object.take_whole(path, &sources.file(path)?)?;
            } else if let Some((key, value)) = argument.split_once('=').filter(|(key, _)| !key.is_empty()) {
                if value == "-" {
                    object.set(key, &input(sources)?)?;
                } else if let Some(path) = value.strip_prefix('@') {
                    object.set(key, &sources.file(path)?)?;
                } else {
                    let is_escaped = value.starts_with("\\@") || value == "\\-";
                    object.set(
                        key,
                        if is_escaped {
                            value.get(1..).unwrap_or("")
                        } else {
                            value
                        },
                    )?;
                    object.visible.push(key.to_owned());
                }
            } else {
                // It may be a value whose key was forgotten: it is not shown.
                return Err(
                    "an argument is no pair: write key=value, key=@file, key=- (the standard input), @file.json or -"
                        .to_owned(),
                );
            }
        }
        Ok(object)
    }

    fn take_whole(&mut self, name: &str, text: &str) -> Result<(), String> {
        // The text of an error of the parser holds nothing of what was parsed but names of fields.
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(|error| {
            format!(
                "{name} is no object of JSON (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        self.fields.extend(fields);
        Ok(())
    }

    /// Sets a field to text.
    ///
    /// # Errors
    /// It cannot be written as JSON, which all text can.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = serde_json::value::to_raw_value(value).map_err(|error| error.to_string())?;
        self.fields.insert(key.to_owned(), text);
        Ok(())
    }

    /// As JSON.
    ///
    /// # Errors
    /// It cannot be written, which every object can.
    pub(super) fn json(&self) -> Result<Zeroizing<String>, String> {
        let text = serde_json::to_string(&self.fields).map_err(|error| error.to_string())?;
        Ok(Zeroizing::new(text))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        for (_, text) in std::mem::take(&mut self.fields) {
            let mut text: Box<str> = text.into();
            text.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Twin;

    impl Sources for Twin {
        fn file(&mut self, path: &str) -> Result<Zeroizing<String>, String> {
            match path {
                "a.json" => Ok(Zeroizing::new(
                    r#"{"a": 12345678901234567890123, "b": {"c": 1.0}}"#.to_owned(),
                )),
                "key.pem" => Ok(Zeroizing::new("line\nline\n".to_owned())),
                path => Err(format!("cannot read {path}")),
            }
        }

        fn input(&mut self) -> Result<Zeroizing<String>, String> {
            Ok(Zeroizing::new(r#"{"i": "n"}"#.to_owned()))
        }
    }

    fn read(arguments: &[&str]) -> Result<String, String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        Ok(Object::read(&arguments, &mut Twin)?.json()?.to_string())
    }

    #[test]
    fn an_object_is_put_together_from_pairs_files_and_the_input() {
        for (arguments, json) in [
            (&["a=b"] as &[&str], r#"{"a":"b"}"#),
            (&["a=b=c", "d="], r#"{"a":"b=c","d":""}"#),
            (&["pem=@key.pem"], r#"{"pem":"line\nline\n"}"#),
            (&["a=-"], r#"{"a":"{\"i\": \"n\"}"}"#),
            (&["-"], r#"{"i":"n"}"#),
            (&["-", "i=m"], r#"{"i":"m"}"#),
            (&["i=m", "-"], r#"{"i":"n"}"#),
            (&["@a.json"], r#"{"a":12345678901234567890123,"b":{"c": 1.0}}"#),
            (&[r"a=\@b", r"c=\-", r"d=\x"], r#"{"a":"@b","c":"-","d":"\\x"}"#),
            (&[], "{}"),
        ] {
            assert_eq!(read(arguments).as_deref(), Ok(json), "{arguments:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_without_repeating_it() {
        for (arguments, says) in [
            (&["hunter2"] as &[&str], "no pair"),
            (&["=hunter2"], "no pair"),
            (&["-", "a=-"], "twice"),
            (&["@none"], "cannot read none"),
            (&["@key.pem"], "no object of JSON (line 1, column 1)"),
        ] {
            let error = read(arguments).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn only_values_on_the_command_line_count_as_visible() {
        let arguments = ["a=b", "c=@key.pem", "d=-", "@a.json"].map(str::to_owned);
        let object = Object::read(&arguments, &mut Twin).unwrap();
        assert_eq!(object.visible, ["a"]);
    }
}
