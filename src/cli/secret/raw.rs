//! `stead secret read|write`: any path, as it is. Never knows what is behind it.

use clap::Args;

use super::ask::{Session, object};
use super::show;
use crate::base::duration;
use crate::cli::exit::CliError;

/// What is read.
#[derive(Debug, Clone, Args)]
pub(super) struct Read {
    /// The path
    path: String,
    /// What is asked besides: key=value
    data: Vec<String>,
    /// Show this field alone
    #[arg(long)]
    field: Option<String>,
    /// Wrap the answer for so long
    #[arg(long, value_parser = seconds)]
    wrap_ttl: Option<u64>,
}

/// What is written.
#[derive(Debug, Clone, Args)]
pub(super) struct Write {
    /// The path
    path: String,
    /// key=value, key=@file, key=- (the standard input), @file.json or - (a whole object)
    data: Vec<String>,
    /// Show this field alone
    #[arg(long)]
    field: Option<String>,
    /// Wrap the answer for so long
    #[arg(long, value_parser = seconds)]
    wrap_ttl: Option<u64>,
}

/// Seconds, or a number with a unit.
///
/// # Errors
/// It is none.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let read = text
        .parse()
        .ok()
        .or_else(|| duration::parse(text).map(|span| span.as_secs()));
    read.filter(|seconds| *seconds > 0)
        .ok_or_else(|| "write seconds, or a number with a unit: 30s, 15m, 1h".to_owned())
}

impl Read {
    /// Reads and shows.
    ///
    /// # Errors
    /// It was refused, or nothing is there.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let data = if self.data.is_empty() {
            zeroize::Zeroizing::default()
        } else {
            object(&self.data)?.json().map_err(CliError::failure)?
        };
        let wrap = self.wrap_ttl.unwrap_or(0);
        let answer = session.secrets.read_wrapped(&self.path, &data, wrap).await?;
        match &self.field {
            Some(name) => show::field(session.format, &show::fields(&answer.data), name),
            None => show::answer(session.format, &answer, &format!("{} says nothing", self.path)),
        }
    }
}

impl Write {
    /// Writes and shows the answer.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let data = object(&self.data)?.json().map_err(CliError::failure)?;
        let wrap = self.wrap_ttl.unwrap_or(0);
        let answer = session.secrets.write_wrapped(&self.path, &data, wrap).await?;
        match &self.field {
            Some(name) => show::field(session.format, &show::fields(&answer.data), name),
            None => show::answer(session.format, &answer, &format!("{} written", self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_seconds_or_a_number_with_a_unit() {
        for (text, wanted) in [("90", 90), ("5m", 300), ("1h", 3_600)] {
            assert_eq!(seconds(text), Ok(wanted));
        }
        for text in ["", "0", "0s", "-1", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
