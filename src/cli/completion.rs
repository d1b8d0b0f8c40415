//! `stead completion` and `stead man`: what a shell and a reader need, from the definitions of the commands.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use super::called::Called;
use super::exit::CliError;

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// The arguments of `stead completion`.
#[derive(Debug, Clone, Args)]
pub(super) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: ShellName,
}

impl Completion {
    /// Writes the script to standard output.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn run(&self, called: Called) -> Result<(), CliError> {
        let shell = match self.shell {
            ShellName::Bash => Shell::Bash,
            ShellName::Zsh => Shell::Zsh,
            ShellName::Fish => Shell::Fish,
            ShellName::Powershell => Shell::PowerShell,
        };
        let mut command = called.command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name, &mut script);
        Ok(io::stdout().lock().write_all(&script)?)
    }
}

/// The arguments of `stead man`.
#[derive(Debug, Clone, Args)]
pub(super) struct Manual {
    /// Folder for the pages of all commands; without it, the first page goes to standard output
    folder: Option<PathBuf>,
}

impl Manual {
    /// Writes the pages.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn run(&self, called: Called) -> Result<(), CliError> {
        let mut command = called.command();
        command.build();
        let Some(folder) = &self.folder else {
            return Ok(Man::new(command).render(&mut io::stdout().lock())?);
        };
        let failed = |error: io::Error| {
            CliError::failure(format!(
                "cannot write manual pages into {}: {error}",
                folder.display()
            ))
        };
        fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(command, folder).map_err(failed)
    }
}
