//! The command line: the server, a local cluster, and a client of any etcd v3 store.
//!
//! An answer goes to standard output, all else to standard error, and the exit code says how it ended ([`Exit`]).
//! Holds no logic of the store: what is not asked of a server through its wire interface is not done.

mod exit;
mod logging;
mod server;

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

pub use exit::{CliError, Exit};

/// Runs what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let exit = match run() {
        Ok(()) => Exit::Success,
        Err(error) => {
            if !error.message.is_empty() {
                // Nothing is left to tell it to, if standard error is gone.
                let _ = writeln!(io::stderr(), "error: {error}");
            }
            error.exit
        }
    };
    exit.into()
}

fn run() -> Result<(), CliError> {
    let arguments: Vec<_> = env::args_os().collect();
    let called_etcd = arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .is_some_and(|name| name == "etcd");
    if called_etcd {
        return server::run("etcd", &texts(arguments.get(1..).unwrap_or_default())?);
    }
    if arguments.get(1).is_some_and(|command| command == "server") {
        return server::run("stead server", &texts(arguments.get(2..).unwrap_or_default())?);
    }
    Err(CliError::new(Exit::BadArguments, "unknown command"))
}

/// Flags of the server are text.
fn texts(arguments: &[std::ffi::OsString]) -> Result<Vec<String>, CliError> {
    arguments
        .iter()
        .map(|argument| {
            argument.to_str().map(str::to_owned).ok_or_else(|| {
                CliError::new(
                    Exit::BadArguments,
                    format!("the argument {argument:?} is not UTF-8 text"),
                )
            })
        })
        .collect()
}
