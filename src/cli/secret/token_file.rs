//! Where the token is: a file, the environment, or `~/.stead-token`, which only its user may read.
//!
//! Never shows a token.

use std::env;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file;
use crate::cli::exit::CliError;

/// The variables that may hold a token; the first that is set counts.
pub(super) const VARIABLES: [&str; 2] = ["STEAD_TOKEN", "VAULT_TOKEN"];

/// The name of the file in the user's folder.
const NAME: &str = ".stead-token";

/// Most bytes of a file with a token.
const MAXIMUM_BYTES: u64 = 64 * 1_024;

/// The token: of the file that was named, else of the environment, else of the user's file; none: there is none.
///
/// # Errors
/// A file that was named, or that is there, cannot be read.
pub(super) fn token(named: Option<&Path>) -> Result<Option<Zeroizing<String>>, CliError> {
    if let Some(path) = named {
        let token = read(path).map_err(|error| failed("read", path, &error))?;
        if token.is_empty() {
            return Err(CliError::invalid(format!("{} holds no token", path.display())));
        }
        return Ok(Some(token));
    }
    let set = VARIABLES
        .iter()
        .find_map(|name| env::var(name).ok().filter(|token| !token.is_empty()));
    if let Some(token) = set {
        return Ok(Some(Zeroizing::new(token)));
    }
    let Some(path) = path() else { return Ok(None) };
    match read(&path) {
        Ok(token) => Ok(Some(token).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// Keeps a token in the user's file, in place of what was there; where it is kept.
///
/// # Errors
/// The user has no folder, or the file cannot be written.
pub(super) fn keep(token: &str) -> Result<PathBuf, CliError> {
    let path = path().ok_or_else(|| {
        CliError::failure("HOME is not set, so that the token cannot be kept; log in with --no-store")
    })?;
    file::replace(&path, token.as_bytes()).map_err(|error| failed("write", &path, &error))?;
    Ok(path)
}

fn path() -> Option<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(NAME))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::failure(format!("cannot {what} {}: {error}", path.display()))
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)?
        .take(MAXIMUM_BYTES)
        .read_to_string(&mut text)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_named_must_hold_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(token(Some(&path)).unwrap_err().message.contains("cannot read"));
        fs::write(&path, " \n").unwrap();
        assert!(token(Some(&path)).unwrap_err().message.contains("holds no token"));
        fs::write(&path, "hvs.a\n").unwrap();
        assert_eq!(token(Some(&path)).unwrap().unwrap().as_str(), "hvs.a");
    }
}
