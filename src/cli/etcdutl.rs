//! The program under the name `etcdutl`: what works on the files of a server that does not run.
//!
//! Snapshot files are etcd's, and `stead snapshot` is what works on them. The files of a data folder are not etcd's, so that
//! nothing of etcdutl's that reads or writes those is here; what there is instead is said.

use std::ffi::OsString;
use std::io::{self, Write as _};

use super::called::Called;
use super::exit::{CliError, Exit};

/// What is in the place of a command.
const INSTEAD: [(&str, &str); 3] = [
    (
        "defrag",
        "there is nothing to defragment in a data folder of stead",
    ),
    (
        "hashkv",
        "compare running members with `etcdctl endpoint hashkv --cluster`",
    ),
    (
        "migrate",
        "a data folder of stead has one format; an unknown one is refused at the start",
    ),
];

/// Whether the arguments, in whatever order, are a command that works on a snapshot file.
pub(super) fn is_of_snapshots(arguments: &[OsString]) -> bool {
    let words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    let mut words = words.skip_while(|word| *word != "snapshot").skip(1);
    words.any(|word| word == "status" || word == "restore")
}

/// Runs a command of etcdutl that has no other name.
///
/// # Errors
/// There is no such command, or not here.
pub(super) fn run(arguments: &[OsString]) -> Result<(), CliError> {
    let command = arguments
        .get(1)
        .and_then(|command| command.to_str())
        .unwrap_or_default();
    match command {
        "version" | "--version" => Ok(write!(io::stdout(), "{}", Called::Etcdutl.version())?),
        "" | "help" | "--help" | "-h" => {
            let names: Vec<&str> = INSTEAD.iter().map(|(name, _)| *name).collect();
            Ok(writeln!(
                io::stdout(),
                "Usage: etcdutl snapshot status FILE\n       etcdutl snapshot restore FILE --data-dir FOLDER\n       \
                 etcdutl version\n\nNot here, and what is in their place is said when they are called: {}",
                names.join(", ")
            )?)
        }
        _ => Err(INSTEAD.iter().find(|(name, _)| *name == command).map_or_else(
            || CliError::failure(format!("unknown command {command:?} for \"etcdutl\"")),
            |(name, instead)| {
                CliError::new(
                    Exit::Unsupported,
                    format!("etcdutl {name} is not supported: {instead}"),
                )
            },
        )),
    }
}
