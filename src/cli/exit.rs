//! How a command ends: the exit codes, and the error that carries one.
//!
//! The codes are those that etcdctl names, and Stead gives each where it says it would. etcdctl itself answers with 1 where
//! it could say more; called by its name, so does Stead.

use std::fmt;
use std::io;

use tonic::Code;

use super::security::unprotected;
use crate::client::ClientError;
use crate::client::login::is_bad_login;

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
    /// A value that was given cannot be, which is a wrong command line for etcdctl.
    InvalidArgument,
    /// The server does not take the user and the password.
    BadLogin,
    /// The server refused what it was asked as it was asked.
    InvalidRequest,
    /// The server refused or failed.
    Server,
    /// The server has ended a watch.
    WatchEnded,
    /// A lease that was to be kept is gone.
    LeaseGone,
    /// What was asked for is not to be had.
    Unsupported,
    /// It was interrupted before its end.
    Interrupted,
    /// What was looked at is not healthy.
    Unhealthy,
    /// The node that was asked is sealed: as in Vault's own command line.
    Sealed,
    /// The command line is wrong.
    BadArguments,
    /// A program that was run for the user ended with this code.
    Program(u8),
}

/// The table for the help.
pub(super) const EXIT_CODES_HELP: &str = "Exit codes:
  0    done
  1    failed for another reason
  2    no endpoint answered; a change that was sent may have been made; sealed (secret status)
  3    invalid input
  4    the server refused or failed
  5    interrupted, or not healthy
  128  wrong command line";

impl Exit {
    /// The code, for who calls the program `stead`, and as etcdctl has it.
    pub(super) fn code(self, is_etcdctl: bool) -> u8 {
        let (own, etcdctl) = match self {
            Self::Success => (0, 0),
            Self::Failure => (1, 1),
            Self::BadConnection => (2, 1),
            Self::InvalidInput => (3, 3),
            Self::InvalidArgument => (3, 128),
            Self::BadLogin => (3, 2),
            Self::InvalidRequest => (3, 1),
            Self::Server => (4, 1),
            Self::WatchEnded => (4, 5),
            Self::LeaseGone => (4, 2),
            Self::Unsupported => (4, 4),
            Self::Interrupted => (5, 5),
            Self::Unhealthy => (5, 1),
            Self::Sealed => (2, 2),
            Self::BadArguments => (128, 128),
            Self::Program(code) => (code, code),
        };
        if is_etcdctl { etcdctl } else { own }
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

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Endpoint { endpoint, reason } => {
                return Self::invalid(format!(
                    "--endpoints has {endpoint:?}: {reason}; write host:port,host:port"
                ));
            }
            ClientError::Tls(_) => return unprotected("--", error),
            ClientError::BadToken => {
                return Self::invalid("--auth-jwt-token has characters that no token has");
            }
            ClientError::NotConnected { .. } => {
                return Self::new(
                    Exit::BadConnection,
                    format!("{error}; start a server there (`stead dev`) or name others with --endpoints"),
                );
            }
            ClientError::Unknown { .. } => Exit::BadConnection,
            ClientError::Refused(status) if is_bad_login(status) => Exit::BadLogin,
            ClientError::Refused(status)
                if matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) =>
            {
                Exit::InvalidRequest
            }
            ClientError::Refused(_) => Exit::Server,
        };
        Self::new(exit, error.to_string())
    }
}

/// A failure to write the answer. A reader that has gone away (`stead get ... | head`) is no failure.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Success, "");
        }
        Self::failure(format!("cannot read the input or write the answer: {error}"))
    }
}
