//! The text of a transaction, as `etcdctl txn` reads it: comparisons, then what to do if all hold, then what to do if
//! not, with an empty line behind each part.
//!
//! ```text
//! mod("key1") > "0"
//! value("key2") = "on"
//!
//! put key1 "a value with spaces\n"
//! get key --prefix
//!
//! del key2
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::{Parser, Subcommand};

use super::exit::CliError;
use super::kv::{Delete, Get, Put, parse_lease};
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{Compare, RequestOp, TxnRequest};

/// Most lines in one part; a server allows fewer by default.
const MAXIMUM_LINES: usize = 1_000_000;

/// An operation of a transaction: the same arguments as on the command line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Line {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Operation {
    Get(Get),
    Put(Put),
    Del(Delete),
}

/// Reads a transaction from lines of text.
///
/// # Errors
/// A line that cannot be read, by its number.
pub(super) fn parse(
    lines: impl Iterator<Item = std::io::Result<String>>,
    mut on_part: impl FnMut(Part),
) -> Result<TxnRequest, CliError> {
    let mut numbered = (1_usize..).zip(lines);
    let mut request = TxnRequest::default();
    for part in [Part::Compares, Part::Success, Part::Failure] {
        on_part(part);
        let mut count = 0;
        for (number, line) in numbered.by_ref() {
            let line = line?;
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            count += 1;
            if count > MAXIMUM_LINES {
                return Err(CliError::invalid(format!(
                    "a part has more than {MAXIMUM_LINES} lines"
                )));
            }
            let at_line = |reason: String| CliError::invalid(format!("line {number}, {line:?}: {reason}"));
            match part {
                Part::Compares => request.compare.push(comparison(line).map_err(at_line)?),
                Part::Success => request.success.push(operation(line).map_err(at_line)?),
                Part::Failure => request.failure.push(operation(line).map_err(at_line)?),
            }
        }
    }
    Ok(request)
}

/// A part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The comparisons.
    Compares,
    /// What to do if all hold.
    Success,
    /// What to do if not.
    Failure,
}

const COMPARISON_FORM: &str =
    "write mod(\"key\") > \"0\", with mod, create, ver, val or lease, and =, !=, < or >";

fn comparison(line: &str) -> Result<Compare, String> {
    let form = || COMPARISON_FORM.to_owned();
    let (target, rest) = line.split_once('(').ok_or_else(form)?;
    let (key, rest) = word(rest.trim_start())?.ok_or_else(form)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(form)?.trim_start();
    let (result, rest) = [
        ("!=", CompareResult::NotEqual),
        ("=", CompareResult::Equal),
        ("<", CompareResult::Less),
        (">", CompareResult::Greater),
    ]
    .into_iter()
    .find_map(|(symbol, result)| Some((result, rest.strip_prefix(symbol)?)))
    .ok_or_else(form)?;
    let (operand, rest) = word(rest.trim_start())?.ok_or_else(form)?;
    if !rest.trim().is_empty() {
        return Err(form());
    }
    let number = || {
        std::str::from_utf8(&operand)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| "what is compared with is no whole number; write one in quotes".to_owned())
    };
    let (target, union) = match target.trim() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(operand.into())),
        "lease" => {
            let lease = parse_lease(&String::from_utf8_lossy(&operand))?;
            (CompareTarget::Lease, TargetUnion::Lease(lease))
        }
        _ => return Err(form()),
    };
    Ok(Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        ..Compare::default()
    })
}

fn operation(line: &str) -> Result<RequestOp, String> {
    let line = Line::try_parse_from(words(line)?).map_err(|error| {
        let text = error.render().to_string();
        let reason = text.lines().next().unwrap_or_default();
        format!(
            "{}; write get, put or del with their arguments",
            reason.trim_start_matches("error: ")
        )
    })?;
    let request = match line.operation {
        Operation::Get(get) => Request::RequestRange(get.request()),
        Operation::Put(put) => Request::RequestPut(
            put.request(|| Err(CliError::invalid("the value is missing")))
                .map_err(|error| error.to_string())?,
        ),
        Operation::Del(delete) => Request::RequestDeleteRange(delete.request()),
    };
    Ok(RequestOp {
        request: Some(request),
    })
}

/// The words of a line, quoted or not.
///
/// # Errors
/// A quote is not closed, or an escape unknown.
pub(super) fn words(line: &str) -> Result<Vec<OsString>, String> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some((word, after)) = word(rest.trim_start())? {
        words.push(OsString::from_vec(word));
        rest = after;
    }
    Ok(words)
}

/// A word and what stands behind it.
type Word<'rest> = Option<(Vec<u8>, &'rest str)>;

/// Takes a word: in double quotes with escapes, in single quotes as it is, or up to a space or closing parenthesis.
fn word(text: &str) -> Result<Word<'_>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return double_quoted(quoted).map(Some);
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let (word, rest) = quoted
            .split_once('\'')
            .ok_or_else(|| "a quote is not closed".to_owned())?;
        return Ok(Some((word.as_bytes().to_vec(), rest)));
    }
    let end = text
        .find(|character: char| character.is_whitespace() || character == ')')
        .unwrap_or(text.len());
    // A parenthesis that closes nothing is part of the word.
    let end = if end == 0 { text.len() } else { end };
    let (word, rest) = text.split_at(end);
    Ok(Some((word.as_bytes().to_vec(), rest)))
}

/// Reads up to the closing quote, with the escapes of a Go string.
fn double_quoted(text: &str) -> Result<(Vec<u8>, &str), String> {
    let unknown = || "an escape in quotes is unknown; write \\\\ for a backslash".to_owned();
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        let mut characters = rest.chars();
        match characters.next() {
            None => return Err("a quote is not closed".to_owned()),
            Some('"') => return Ok((word, characters.as_str())),
            Some('\\') => {
                let (length, radix, is_byte) = match characters.next().ok_or_else(unknown)? {
                    'x' => (2, 16, true),
                    'u' => (4, 16, false),
                    'U' => (8, 16, false),
                    '0'..='3' => {
                        // The digit belongs to the number.
                        characters = rest.get(1..).unwrap_or_default().chars();
                        (3, 8, true)
                    }
                    simple => {
                        word.push(match simple {
                            'a' => 0x07,
                            'b' => 0x08,
                            'f' => 0x0c,
                            'n' => b'\n',
                            'r' => b'\r',
                            't' => b'\t',
                            'v' => 0x0b,
                            '\\' => b'\\',
                            '"' => b'"',
                            '\'' => b'\'',
                            _ => return Err(unknown()),
                        });
                        rest = characters.as_str();
                        continue;
                    }
                };
                let digits = characters.as_str().get(..length).ok_or_else(unknown)?;
                let number = u32::from_str_radix(digits, radix).map_err(|_| unknown())?;
                if is_byte {
                    word.push(u8::try_from(number).map_err(|_| unknown())?);
                } else {
                    let character = char::from_u32(number).ok_or_else(unknown)?;
                    word.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                rest = characters.as_str().get(length..).unwrap_or_default();
            }
            Some(character) => {
                word.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = characters.as_str();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<TxnRequest, CliError> {
        parse(text.lines().map(|line| Ok(line.to_owned())), |_| {})
    }

    #[test]
    fn the_three_parts_are_told_apart_by_empty_lines() {
        let request = parse_text(
            "mod(\"key1\") > \"0\"\nval(\"key 2\") != \"on\"\n\nput key1 \"over \\\"wrote\\\"\\n\"\nget a b --limit=3\n\n\
             del key2 --prefix\n",
        )
        .unwrap();
        assert_eq!(request.compare.len(), 2);
        assert_eq!(request.compare[0].target_union, Some(TargetUnion::ModRevision(0)));
        assert_eq!(request.compare[0].result(), CompareResult::Greater);
        assert_eq!(request.compare[1].key, "key 2");
        assert_eq!(
            request.compare[1].target_union,
            Some(TargetUnion::Value("on".into()))
        );
        assert_eq!(request.compare[1].result(), CompareResult::NotEqual);
        let Some(Request::RequestPut(put)) = &request.success[0].request else {
            panic!("{request:?}");
        };
        assert_eq!(
            (&put.key[..], &put.value[..]),
            (&b"key1"[..], &b"over \"wrote\"\n"[..])
        );
        let Some(Request::RequestRange(range)) = &request.success[1].request else {
            panic!("{request:?}");
        };
        assert_eq!(
            (&range.key[..], &range.range_end[..], range.limit),
            (&b"a"[..], &b"b"[..], 3)
        );
        let Some(Request::RequestDeleteRange(delete)) = &request.failure[0].request else {
            panic!("{request:?}");
        };
        assert_eq!(
            (&delete.key[..], &delete.range_end[..]),
            (&b"key2"[..], &b"key3"[..])
        );
    }

    #[test]
    fn parts_may_be_empty_or_missing() {
        let request = parse_text("\nput a b").unwrap();
        assert_eq!(
            (
                request.compare.len(),
                request.success.len(),
                request.failure.len()
            ),
            (0, 1, 0)
        );
        assert_eq!(parse_text("").unwrap(), TxnRequest::default());
    }

    #[test]
    fn every_comparison_has_its_target() {
        for (line, union) in [
            ("ver(a) = 1", TargetUnion::Version(1)),
            ("version(\"a\")=\"1\"", TargetUnion::Version(1)),
            ("c(a) < 2", TargetUnion::CreateRevision(2)),
            ("create(a) < 2", TargetUnion::CreateRevision(2)),
            ("m(a) < 2", TargetUnion::ModRevision(2)),
            ("value('a') = ''", TargetUnion::Value("".into())),
            ("lease(a) = \"1f\"", TargetUnion::Lease(31)),
        ] {
            let compare = comparison(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(compare.key, "a");
            assert_eq!(compare.target_union, Some(union));
        }
    }

    #[test]
    fn quotes_hold_any_byte() {
        let (word, rest) = word(r#""a\x00\377\u00fc\t\\" rest"#).unwrap().unwrap();
        assert_eq!(word, b"a\x00\xff\xc3\xbc\t\\");
        assert_eq!(rest, " rest");
    }

    #[test]
    fn an_error_names_the_line() {
        for (text, parts) in [
            ("mod(a > 1", &["line 1", "write mod("][..]),
            ("size(a) > 1", &["line 1", "write mod("]),
            ("mod(a) > x", &["no whole number"]),
            ("\nput a", &["line 2", "the value is missing"]),
            ("\nput a \"b", &["line 2", "not closed"]),
            ("\nput a \"\\q\"", &["an escape in quotes is unknown"]),
            ("\n\nmove a", &["line 3", "write get, put or del"]),
        ] {
            let error = parse_text(text).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{text:?}: {error}");
            }
        }
    }
}
