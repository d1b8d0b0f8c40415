//! What a program is to be given: variables and files, each from a secret. Never reads one.

use std::path::{Component, Path, PathBuf};

use rustix::param::page_size;
use zeroize::Zeroizing;

use super::super::place::Reference;
use crate::cli::exit::{CliError, Exit};

/// Pages that a variable may fill with its name, an equals sign and its end: with more, Linux starts no program.
const MAXIMUM_PAGES: usize = 32;

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) reference: Reference,
}

impl Variable {
    /// A value, if a variable can hold it.
    ///
    /// # Errors
    /// It cannot; the text does not repeat it.
    pub(super) fn holding(&self, value: Zeroizing<String>) -> Result<Zeroizing<String>, CliError> {
        let bytes = self.name.len().saturating_add(value.len()).saturating_add(2);
        let reason = if value.contains('\0') {
            "has a NUL byte in it"
        } else if bytes > page_size().saturating_mul(MAXIMUM_PAGES) {
            "is too long for a variable"
        } else {
            return Ok(value);
        };
        let message = format!("what {} is to hold {reason}; give it with --file", self.name);
        Err(CliError::new(Exit::Server, message))
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretFile {
    /// Where: a whole path on a memory file system, or a name in a folder that is made for the program.
    pub(super) path: PathBuf,
    /// What it holds.
    pub(super) reference: Reference,
}

/// `NAME=path#field`.
///
/// # Errors
/// It is none.
pub(super) fn variable(text: &str) -> Result<Variable, String> {
    let (name, reference) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty() && !name.contains('\0'))
        .ok_or("write NAME=path#field: DB_PASSWORD=secret/db/app#password")?;
    Ok(Variable {
        name: name.to_owned(),
        reference: Reference::parse(reference)?,
    })
}

/// `file=path#field`.
///
/// # Errors
/// It is none, or the file would lie outside of its folder.
pub(super) fn file(text: &str) -> Result<SecretFile, String> {
    let (path, reference) = text
        .split_once('=')
        .filter(|(path, _)| !path.is_empty() && !path.ends_with('/'))
        .ok_or("write file=path#field: db.key=secret/db/app#key")?;
    let path = Path::new(path);
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(format!("{} has .. in it; name the file without", path.display()));
    }
    if path.is_relative() && path.components().count() != 1 {
        return Err(format!(
            "{} is neither a whole path nor a mere name; write one of these",
            path.display()
        ));
    }
    Ok(SecretFile {
        path: path.to_owned(),
        reference: Reference::parse(reference)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_and_a_secret() {
        let found = variable("DB_PASSWORD=secret/db/app#password").unwrap();
        assert_eq!(
            (
                found.name.as_str(),
                found.reference.path.as_str(),
                found.reference.field.as_deref()
            ),
            ("DB_PASSWORD", "secret/db/app", Some("password"))
        );
        assert_eq!(variable("ALL=secret/db/app").unwrap().reference.field, None);
        assert_eq!(variable("A=b=c#d=e").unwrap().reference.path, "b=c");
        for text in ["", "A", "=secret/a#b", "A=", "A=#b", "A=b#"] {
            assert!(variable(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_variable_holds_what_a_program_can_be_started_with() {
        let variable = variable("A=secret/a#b").unwrap();
        let held = |value: String| variable.holding(Zeroizing::new(value));
        let longest = page_size() * MAXIMUM_PAGES - "A=\0".len();
        assert_eq!(held("a".repeat(longest)).unwrap().len(), longest);
        for (value, says) in [
            ("a".repeat(longest + 1), "too long"),
            ("hunter\0".to_owned(), "NUL"),
        ] {
            let error = held(value).unwrap_err().message;
            assert!(error.contains(says) && !error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_file_has_a_whole_path_or_a_mere_name() {
        for (text, path) in [
            ("/dev/shm/a/key=secret/db#key", "/dev/shm/a/key"),
            ("db.key=secret/db#key", "db.key"),
        ] {
            assert_eq!(file(text).unwrap().path, Path::new(path), "{text}");
        }
        for text in [
            "",
            "a",
            "=secret/a#b",
            "a/b=secret/a#b",
            "/dev/../a=secret/a#b",
            "..=a#b",
            "a/=a#b",
        ] {
            assert!(file(text).is_err(), "{text}");
        }
    }
}
