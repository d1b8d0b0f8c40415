//! The words of an expression. Never knows what they mean.

use super::FilterError;

/// A word, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The byte at which it begins.
    pub at: usize,
    /// What it is.
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bare: a keyword, names with dots, or a value.
    Word(String),
    /// In quotes.
    Text(String),
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Equal,
    NotEqual,
}

impl Kind {
    pub fn shown(&self) -> String {
        match self {
            Self::Word(text) => format!("{text:?}"),
            Self::Text(text) => format!("the text {text:?}"),
            Self::Open => "\"(\"".into(),
            Self::Close => "\")\"".into(),
            Self::OpenBracket => "\"[\"".into(),
            Self::CloseBracket => "\"]\"".into(),
            Self::Equal => "\"==\"".into(),
            Self::NotEqual => "\"!=\"".into(),
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '/' | '-' | '+')
}

/// Splits an expression into words.
///
/// # Errors
/// A character that begins none, or text that does not end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut found = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let kind = match character {
            _ if character.is_ascii_whitespace() => continue,
            '(' => Kind::Open,
            ')' => Kind::Close,
            '[' => Kind::OpenBracket,
            ']' => Kind::CloseBracket,
            '=' | '!' if characters.next_if(|(_, next)| *next == '=').is_some() => match character {
                '=' => Kind::Equal,
                _ => Kind::NotEqual,
            },
            '"' => Kind::Text(quoted(at, &mut characters)?),
            '`' => {
                let mut raw = String::new();
                loop {
                    match characters.next() {
                        Some((_, '`')) => break Kind::Text(raw),
                        Some((_, character)) => raw.push(character),
                        None => return Err(endless(at)),
                    }
                }
            }
            _ if is_word(character) => {
                let mut word = String::from(character);
                while let Some((_, next)) = characters.next_if(|(_, next)| is_word(*next)) {
                    word.push(next);
                }
                Kind::Word(word)
            }
            other => {
                return Err(FilterError::Unexpected {
                    at,
                    found: format!("{other:?}"),
                    wanted: "a name, a value in quotes or an operator",
                });
            }
        };
        found.push(Token { at, kind });
    }
    Ok(found)
}

fn endless(at: usize) -> FilterError {
    FilterError::Text {
        at,
        reason: "text that begins here does not end",
    }
}

/// The text after a double quote, up to the next one, with the escapes of Go.
fn quoted(at: usize, characters: &mut impl Iterator<Item = (usize, char)>) -> Result<String, FilterError> {
    let mut text = String::new();
    loop {
        let (_, character) = characters.next().ok_or_else(|| endless(at))?;
        match character {
            '"' => return Ok(text),
            '\\' => {
                let (at, escape) = characters.next().ok_or_else(|| endless(at))?;
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                text.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' | '"' | '\'' | '`' => escape,
                    'x' | 'u' | 'U' => {
                        let mut number = 0_u32;
                        for _ in 0..digits {
                            let digit = characters.next().and_then(|(_, digit)| digit.to_digit(16));
                            let digit = digit.ok_or(FilterError::Text {
                                at,
                                reason: "the escape needs more hexadecimal digits",
                            })?;
                            number = number << 4 | digit;
                        }
                        char::from_u32(number).ok_or(FilterError::Text {
                            at,
                            reason: "the escape is of no character",
                        })?
                    }
                    _ => {
                        return Err(FilterError::Text {
                            at,
                            reason: "there is no such escape; write \\\\ for a backslash, or use backquotes",
                        });
                    }
                });
            }
            other => text.push(other),
        }
    }
}
