//! What the commands ask with: the store, the token and the form of answers; and where values come from that are not on
//! the command line.
//!
//! Never shows a value.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use serde_json::Value;
use zeroize::Zeroizing;

use super::input::{Object, Sources};
use super::place::Mounted;
use super::token_file;
use crate::cli::exit::CliError;
use crate::cli::login::ask_password;
use crate::cli::output::Format;
use crate::client::{Client, ClientError, Secrets};
use crate::proto::secrets::SecretResponse;

/// The store, for who has the token.
pub(super) struct Session {
    /// The store.
    pub(super) secrets: Secrets,
    /// The form of answers.
    pub(super) format: Format,
}

impl Session {
    /// With the token of a file, of the environment or of the last login; without one what is open to everybody is had.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub(super) fn open(client: &Client, format: Format, token_file: Option<&Path>) -> Result<Self, CliError> {
        Self::with_token(client, format, token_file::token(token_file)?)
    }

    /// With a token.
    ///
    /// # Errors
    /// It has characters that no token has.
    pub(super) fn with_token(
        client: &Client,
        format: Format,
        token: Option<Zeroizing<String>>,
    ) -> Result<Self, CliError> {
        let secrets = Secrets::of(client.clone(), token.as_ref().map(|token| token.as_str()));
        let secrets = secrets.map_err(|_| CliError::invalid("the token has characters that no token has"))?;
        Ok(Self { secrets, format })
    }

    /// Writes.
    ///
    /// # Errors
    /// It was refused, or nobody answered.
    pub(super) async fn write(&self, path: &str, body: &Value) -> Result<SecretResponse, ClientError> {
        let body = Zeroizing::new(body.to_string());
        self.secrets.write(path, &body).await
    }

    /// What is mounted where a path is.
    ///
    /// # Errors
    /// Nothing is mounted there as far as the token may know.
    pub(super) async fn mounted(&self, path: &str) -> Result<Mounted, CliError> {
        let path = path.trim_matches('/');
        let asked = format!("sys/internal/ui/mounts/{path}");
        let answer = self.secrets.read(&asked, "").await?;
        let data: Value = serde_json::from_slice(&answer.data).unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let Some(mount) = text(data.get("path")) else {
            return Err(CliError::failure(format!(
                "the server does not say what is mounted at {path}"
            )));
        };
        let version = text(data.pointer("/options/version"));
        Ok(Mounted {
            path: mount,
            has_versions: version.as_deref() == Some("2"),
        })
    }
}

/// Files and the standard input.
pub(super) struct Outside;

impl Sources for Outside {
    fn file(&mut self, path: &str) -> Result<Zeroizing<String>, String> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        }
    }

    fn input(&mut self) -> Result<Zeroizing<String>, String> {
        let mut text = Zeroizing::new(String::new());
        match io::stdin().lock().read_to_string(&mut text) {
            Ok(_) => {
                let end = text.strip_suffix('\n').unwrap_or(&text);
                Ok(Zeroizing::new(end.strip_suffix('\r').unwrap_or(end).to_owned()))
            }
            Err(error) => Err(format!("cannot read the standard input: {error}")),
        }
    }
}

/// What arguments say, with a warning where others can see it.
///
/// # Errors
/// They say nothing that can be written.
pub(super) fn object(arguments: &[String]) -> Result<Object, CliError> {
    let object = Object::read(arguments, &mut Outside).map_err(CliError::invalid)?;
    if !object.visible.is_empty() {
        warn_of_visible(&object.visible.join(", "))?;
    }
    Ok(object)
}

/// Says that a value can be seen by others.
///
/// # Errors
/// It cannot be written.
pub(super) fn warn_of_visible(what: &str) -> io::Result<()> {
    writeln!(
        io::stderr(),
        "warning: {what} on the command line: other users of this machine see it in the list of processes, and the shell \
         keeps it in its history; give it as key=@file or key=-, or without an argument, where it is asked for"
    )
}

/// A secret text that was given as an argument (with a warning), in a file, or is asked for without showing it.
///
/// # Errors
/// The file cannot be read, or nothing is given.
pub(super) fn hidden(
    what: &str,
    argument: Option<&str>,
    file: Option<&Path>,
) -> Result<Zeroizing<String>, CliError> {
    let text = match (argument, file) {
        (Some("-"), _) => Outside.input().map_err(CliError::invalid)?,
        (Some(text), _) => {
            warn_of_visible(what)?;
            Zeroizing::new(text.to_owned())
        }
        (None, Some(path)) => {
            let path = path.to_string_lossy();
            Outside.file(&path).map_err(CliError::invalid)?
        }
        (None, None) => Zeroizing::new(ask_password(&format!("{what}: "))?.expose().clone()),
    };
    let text = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if text.is_empty() {
        return Err(CliError::invalid(format!("{what} is empty")));
    }
    Ok(text)
}

/// Warns that secrets are shown on a terminal, where somebody may look over the shoulder: said once, after them.
///
/// # Errors
/// It cannot be written.
pub(super) fn note_of_keeping(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        writeln!(io::stderr(), "{text}")?;
    }
    Ok(())
}
