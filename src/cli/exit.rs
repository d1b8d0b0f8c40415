//! How a command ends: the exit codes, which are etcdctl's, and the error that carries one.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Success,
    /// It failed in a way that no other code names.
    Failure,
    /// No endpoint answered.
    BadConnection,
    /// A value that was given cannot be.
    InvalidInput,
    /// The server refused or failed.
    Server,
    /// It was interrupted before its end, or what was looked at is not healthy.
    Interrupted,
    /// The command line is wrong.
    BadArguments,
    /// A program that was run for the user ended with this code.
    Program(u8),
}

/// The table for the help.
pub(super) const EXIT_CODES_HELP: &str = "Exit codes:
  0    done
  1    failed for another reason
  2    no endpoint answered; a change that was sent may have been made
  3    invalid input
  4    the server refused or failed
  5    interrupted, or not healthy
  128  wrong command line";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::BadConnection => 2,
            Exit::InvalidInput => 3,
            Exit::Server => 4,
            Exit::Interrupted => 5,
            Exit::BadArguments => 128,
            Exit::Program(code) => code,
        })
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    /// What the process says to its caller.
    pub exit: Exit,
    /// What it says to the user; empty if there is nothing to say.
    pub message: String,
}

impl CliError {
    /// An error with its text: what failed, which value, what to do.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// A value that cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Exit::InvalidInput, message)
    }

    /// What no other code names.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(Exit::Failure, message)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// A failure to write the answer. A reader that has gone away (`stead get ... | head`) is no failure.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Success, "");
        }
        Self::failure(format!("cannot read the input or write the answer: {error}"))
    }
}
