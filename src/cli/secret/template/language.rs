//! The language of templates: text with expressions between `{{` and `}}`.
//!
//! ```text
//! {{ secret "secret/db/app" "password" }}           a field: text as it is, everything else as JSON
//! {{ secret "secret/db/app" }}                      all fields, as an object of JSON
//! {{ secret "secret/db/app" "password" | shell }}   through filters: json, shell, url, base64, trim
//! {{ env "HOME" }}                                  a variable of the environment
//! {{ "{{" }}                                        text; \" \\ \n \t stand for what they do everywhere
//! {{/* nothing */}}                                 a comment
//! {{- ... -}}                                       without the white space before, or behind
//! ```
//!
//! Nothing is replaced in what a secret says, and there are no loops and no conditions. Never reads a secret itself.

/// A template.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Template {
    /// What it is made of, in order.
    pub(super) pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text as it is.
    Text(String),
    /// What stands in for an expression, through filters.
    Value {
        /// Where it comes from.
        source: Source,
        /// What is done with it, in order.
        filters: Vec<Filter>,
        /// The line it is on, from 1.
        line: usize,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A secret: its path and a field; none: all.
    Secret(String, Option<String>),
    /// A variable of the environment.
    Variable(String),
    /// Text.
    Text(String),
}

/// What is done with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// A text of JSON, with its quotes.
    Json,
    /// One word of a shell.
    Shell,
    /// A part of a URL.
    Url,
    /// Base64.
    Base64,
    /// Without white space around it.
    Trim,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// An expression is none, or is not closed; the text says on which line.
    pub(in super::super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut line = 1;
        let mut trims = false;
        loop {
            let (before, found) = match rest.split_once("{{") {
                Some((before, found)) => (before, Some(found)),
                None => (rest, None),
            };
            let found_trims = found.is_some_and(|found| found.starts_with('-'));
            let mut shown = before;
            if trims {
                shown = shown.trim_start();
            }
            if found_trims {
                shown = shown.trim_end();
            }
            if !shown.is_empty() {
                pieces.push(Piece::Text(shown.to_owned()));
            }
            line += before.matches('\n').count();
            let Some(found) = found else { break };
            let failed = |reason: &str| format!("line {line}: {reason}");
            let inside = found.strip_prefix('-').unwrap_or(found);
            let mut words = Words { rest: inside };
            let piece = words.expression(line).map_err(|reason| failed(&reason))?;
            pieces.extend(piece);
            trims = words.take("-");
            if !words.take("}}") {
                return Err(failed(
                    "an expression is not closed as it should be; end it with }}",
                ));
            }
            let taken = found.len() - words.rest.len();
            line += found.get(..taken).map_or(0, |taken| taken.matches('\n').count());
            rest = words.rest;
        }
        Ok(Self { pieces })
    }

    /// The paths of the secrets that it names, each once.
    pub(in super::super) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Value {
                    source: Source::Secret(path, _),
                    ..
                } => Some(path.clone()),
                _ => None,
            })
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

/// What is left of a template behind `{{`.
struct Words<'text> {
    rest: &'text str,
}

impl Words<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, text: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        self.skip();
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let end = self
            .rest
            .find(|character| !is_word(character))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word.to_owned()
    }

    /// A text between quotes; none: there is no quote.
    fn quoted(&mut self) -> Result<Option<String>, String> {
        if !self.take("\"") {
            return Ok(None);
        }
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(Some(text));
                }
                '\\' => text.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, found @ ('"' | '\\'))) => found,
                    _ => return Err("behind \\ in a text stands one of \" \\ n t".to_owned()),
                }),
                '\n' => break,
                character => text.push(character),
            }
        }
        Err("a text has no quote at its end".to_owned())
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        let name = self.quoted()?.filter(|name| !name.is_empty());
        name.ok_or_else(|| format!("{what} is missing, between quotes"))
    }

    /// An expression; none: a comment.
    fn expression(&mut self, line: usize) -> Result<Option<Piece>, String> {
        if self.take("/*") {
            let Some((_, rest)) = self.rest.split_once("*/") else {
                return Err("a comment is not closed; end it with */}}".to_owned());
            };
            self.rest = rest;
            return Ok(None);
        }
        let source = match self.quoted()? {
            Some(text) => Source::Text(text),
            None => match self.word().as_str() {
                "secret" => Source::Secret(self.name("the path of a secret")?, self.quoted()?),
                "env" => Source::Variable(self.name("the name of a variable")?),
                word => {
                    return Err(format!(
                        "{word:?} is no expression; write secret \"path\" \"field\", env \"NAME\" or \"text\""
                    ));
                }
            },
        };
        let mut filters = Vec::new();
        while self.take("|") {
            filters.push(match self.word().as_str() {
                "json" => Filter::Json,
                "shell" => Filter::Shell,
                "url" => Filter::Url,
                "base64" => Filter::Base64,
                "trim" => Filter::Trim,
                word => {
                    return Err(format!(
                        "{word:?} is no filter; there are json, shell, url, base64 and trim"
                    ));
                }
            });
        }
        Ok(Some(Piece::Value {
            source,
            filters,
            line,
        }))
    }
}
