//! `stead secret template`: a file that is written from a template and secrets, and again when they change.
//!
//! The file is replaced as a whole, readable for its user alone. Never writes a part of one: where a secret is missing, the
//! old file stays.

mod language;
mod render;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use zeroize::Zeroizing;

use self::language::Template;
use self::render::Values;
use super::ask::Session;
use super::file;
use super::follow::Followed;
use super::run::signal_of;
use crate::cli::exit::CliError;
use crate::cli::signal;

/// What is written from what.
#[derive(Debug, Clone, Args)]
pub(super) struct FromTemplate {
    /// The template
    #[arg(long = "in", value_name = "FILE")]
    template: PathBuf,
    /// The file that is written
    #[arg(long = "out", value_name = "FILE")]
    target: PathBuf,
    /// Write the file and end, without following changes
    #[arg(long)]
    once: bool,
    /// Run this in a shell whenever the file was written
    #[arg(long = "exec", value_name = "COMMAND")]
    run: Option<String>,
    /// Send this process a signal whenever the file was written
    #[arg(long, value_name = "PID")]
    signal_pid: Option<i32>,
    /// Which signal
    #[arg(long = "signal", value_name = "SIGNAL", default_value = "HUP", value_parser = signal_of)]
    told_by: Signal,
}

impl Values for Followed {
    fn secret(&self, path: &str, field: Option<&str>) -> Option<Zeroizing<String>> {
        self.value(path, field)
    }

    fn variable(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }
}

impl FromTemplate {
    /// Writes the file, and follows the secrets until it is told to stop.
    ///
    /// # Errors
    /// The template is none, a secret cannot be read, or the file cannot be written.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let stopped = signal::stop()?;
        let named = self.template.display();
        let text = fs::read_to_string(&self.template)
            .map_err(|error| CliError::invalid(format!("cannot read {named}: {error}")))?;
        let template =
            Template::parse(&text).map_err(|reason| CliError::invalid(format!("{named}, {reason}")))?;
        let mut followed = Followed::open(session, &template.paths()).await?;
        if self.once {
            followed.read(session).await?;
            return self.write(&template, &followed).await;
        }
        tokio::select! {
            outcome = self.follow(session, &template, &mut followed) => outcome,
            () = stopped => Ok(()),
        }
    }

    async fn follow(
        &self,
        session: &Session,
        template: &Template,
        followed: &mut Followed,
    ) -> Result<(), CliError> {
        let Some(mut changes) = followed.changes(session) else {
            // A template without secrets never changes.
            return self.write(template, followed).await;
        };
        changes.begin().await?;
        followed.read(session).await?;
        self.write(template, followed).await?;
        loop {
            changes.next().await?;
            let written = match followed.read(session).await {
                Ok(true) => self.write(template, followed).await,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                writeln!(io::stderr(), "{} stays as it is: {error}", self.target.display())?;
            }
        }
    }

    /// Writes the file if its text is another, and tells of it.
    async fn write(&self, template: &Template, followed: &Followed) -> Result<(), CliError> {
        let text = template
            .render(followed)
            .map_err(|reason| CliError::failure(format!("{}, {reason}", self.template.display())))?;
        let before = fs::read(&self.target).map(Zeroizing::new);
        if before.is_ok_and(|before| before.as_slice() == text.as_bytes()) {
            return Ok(());
        }
        file::replace(&self.target, text.as_bytes())
            .map_err(|error| CliError::failure(format!("cannot write {}: {error}", self.target.display())))?;
        if let Some(process) = self.signal_pid.and_then(Pid::from_raw) {
            kill_process(process, self.told_by).map_err(|error| {
                CliError::failure(format!(
                    "cannot tell process {}: {error}",
                    process.as_raw_nonzero()
                ))
            })?;
        }
        if let Some(command) = &self.run {
            let status = Command::new("sh").arg("-c").arg(command).status().await?;
            if !status.success() {
                return Err(CliError::failure(format!("{command:?} ended with {status}")));
            }
        }
        Ok(())
    }
}
