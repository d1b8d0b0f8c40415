//! `stead secret template`: a file that is written from a template and secrets, and again when they change.
//!
//! The file is replaced as a whole, readable for its user alone. What fails once it was written the first time is tried
//! again until it succeeds. Never writes a part of one: where a secret is missing, the old file stays.

mod language;
mod render;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use self::language::Template;
use self::render::Values;
use super::ask::Session;
use super::follow::Followed;
use super::run::signal_of;
use super::{file, token_file};
use crate::cli::exit::CliError;
use crate::cli::{program, signal};

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
        let paths = template.paths();
        let mut followed = Followed::open(session, &paths).await?;
        if self.once || paths.is_empty() {
            // A template without secrets never changes.
            followed.read(session).await?;
            return self.renew(&template, &followed, &mut false).await;
        }
        tokio::select! {
            outcome = self.follow(session, &template, followed) => outcome,
            () = stopped => Ok(()),
        }
    }

    async fn follow(
        &self,
        session: &Session,
        template: &Template,
        mut followed: Followed,
    ) -> Result<(), CliError> {
        followed.begin(session).await?;
        followed.read(session).await?;
        let mut is_untold = false;
        self.renew(template, &followed, &mut is_untold).await?;
        followed.passed_on();
        loop {
            followed.next(session).await?;
            match self.renew(template, &followed, &mut is_untold).await {
                Ok(()) => followed.passed_on(),
                Err(error) => followed.failed(&error),
            }
        }
    }

    /// Writes the file and tells of it, also of what was written before and not told: that is what `is_untold` says.
    async fn renew(
        &self,
        template: &Template,
        values: &dyn Values,
        is_untold: &mut bool,
    ) -> Result<(), CliError> {
        *is_untold |= self.write(template, values)?;
        if *is_untold {
            self.tell().await?;
            *is_untold = false;
        }
        Ok(())
    }

    /// Writes the file if its text is another, or if others may read it; whether its text was another.
    fn write(&self, template: &Template, values: &dyn Values) -> Result<bool, CliError> {
        let text = template
            .render(values)
            .map_err(|reason| CliError::failure(format!("{}, {reason}", self.template.display())))?;
        let before = fs::read(&self.target).map(Zeroizing::new);
        let is_same = before.is_ok_and(|before| before.as_slice() == text.as_bytes());
        if !is_same || !file::is_private(&self.target).unwrap_or(false) {
            file::replace(&self.target, text.as_bytes()).map_err(|error| {
                CliError::failure(format!("cannot write {}: {error}", self.target.display()))
            })?;
        }
        Ok(!is_same)
    }

    /// Tells of the file: a process by a signal, and whoever the command tells.
    async fn tell(&self) -> Result<(), CliError> {
        if let Some(process) = self.signal_pid.and_then(Pid::from_raw) {
            kill_process(process, self.told_by).map_err(|error| {
                CliError::failure(format!(
                    "cannot tell process {}: {error}",
                    process.as_raw_nonzero()
                ))
            })?;
        }
        if let Some(command) = &self.run {
            let arguments = [OsString::from("-c"), OsString::from(command)];
            let more: [(&str, &str); 0] = [];
            let mut shell =
                program::start_without(&token_file::VARIABLES, OsStr::new("sh"), &arguments, more)?;
            let status = shell.wait().await?;
            if !status.success() {
                return Err(CliError::failure(format!("{command:?} ended with {status}")));
            }
        }
        Ok(())
    }
}
