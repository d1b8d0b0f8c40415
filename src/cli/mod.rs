//! The command line: the server, a local cluster, and a client of any etcd v3 store.
//!
//! An answer goes to standard output, all else to standard error, and the exit code says how it ended ([`Exit`]).
//! Holds no logic of the store: what is not asked of a server through its wire interface is not done.

mod alarm;
mod auth;
mod client;
mod dev;
mod downgrade;
mod elect;
mod endpoint;
mod exit;
#[cfg(fuzzing)]
pub mod fuzzing;
mod kv;
mod lease;
mod lock;
mod logging;
mod login;
mod member;
mod move_leader;
mod output;
mod role;
mod security;
mod server;
mod session;
mod signal;
mod snapshot;
mod transfer;
mod txn;
mod txn_syntax;
mod user;
mod watch;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub use exit::{CliError, Exit};

use crate::config::parse_duration;
use client::Client;
use exit::EXIT_CODES_HELP;
use output::Format;
use security::SecurityArguments;

/// Where a client looks for a server if nobody says otherwise.
const DEFAULT_ENDPOINTS: &str = "127.0.0.1:2379";

/// A consistent, replicated key-value store that speaks etcd's protocol
#[derive(Debug, Parser)]
#[command(name = "stead", disable_version_flag = true, after_help = EXIT_CODES_HELP)]
struct Arguments {
    #[command(flatten)]
    client: ClientArguments,
    /// Print the version
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Client options")]
struct ClientArguments {
    /// Servers to ask: host:port,host:port (also from ETCDCTL_ENDPOINTS) [default: 127.0.0.1:2379]
    #[arg(long, global = true, env = "STEAD_ENDPOINTS", hide_env_values = true)]
    endpoints: Option<String>,
    /// Time to wait for a connection
    #[arg(long, global = true, default_value = "2s", env = "STEAD_DIAL_TIMEOUT", value_parser = duration)]
    dial_timeout: Duration,
    /// Time to wait for an answer
    #[arg(long, global = true, default_value = "5s", env = "STEAD_COMMAND_TIMEOUT", value_parser = duration)]
    command_timeout: Duration,
    #[command(flatten)]
    login: login::LoginArguments,
    /// Form of the answer
    #[arg(long, short, global = true, value_enum, default_value_t, env = "STEAD_OUTPUT")]
    output: Format,
    #[command(flatten)]
    security: SecurityArguments,
}

impl ClientArguments {
    fn client(&self) -> Result<Client, CliError> {
        let endpoints = match &self.endpoints {
            Some(endpoints) => endpoints.clone(),
            None => env::var("ETCDCTL_ENDPOINTS").unwrap_or_else(|_| DEFAULT_ENDPOINTS.to_owned()),
        };
        let security = self.security.security()?;
        let client = Client::new(&endpoints, &security, self.dial_timeout, self.command_timeout)?;
        Ok(client.with_login(self.login.login()?))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a number with a unit, such as 5s or 500ms".to_owned())
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node of a cluster (its flags: stead server --help)
    Server,
    /// Run a whole cluster on this machine, to try things out
    #[command(after_help = "Examples:
  stead dev
  stead dev --nodes 5 --fresh
  stead dev --base-port 12379 --data-dir /tmp/stead-dev")]
    Dev(dev::Dev),
    /// Show keys and their values
    #[command(after_help = "Examples:
  stead get greeting
  stead get /registry/ --prefix --keys-only
  stead get /registry/ --prefix --rev 42 --limit 100 -o json")]
    Get(kv::Get),
    /// Set a key
    #[command(after_help = "Examples:
  stead put greeting hello
  stead put greeting < letter.txt
  stead put session alice --lease 694d9a8c3a2b1f0d")]
    Put(kv::Put),
    /// Delete keys and show how many there were
    #[command(after_help = "Examples:
  stead del greeting
  stead del /registry/ --prefix --prev-kv")]
    Del(kv::Delete),
    /// Do several operations in one, if comparisons hold; read from standard input
    #[command(
        after_help = "The input has three parts, each ended by an empty line: comparisons, what to do if all
hold, what to do if not.

Examples:
  printf 'mod(\"greeting\") = \"0\"\\n\\nput greeting hello\\n\\nget greeting\\n' | stead txn"
    )]
    Txn(txn::Txn),
    /// Show changes as they happen, until ctrl-C
    #[command(after_help = "Examples:
  stead watch greeting
  stead watch /registry/ --prefix --rev 42 --prev-kv -o json")]
    Watch(watch::Watch),
    /// Create, end, show and keep leases
    #[command(after_help = "Examples:
  stead lease grant 60
  stead lease list")]
    Lease(lease::Lease),
    /// Turn users and their rights on and off
    #[command(after_help = "Examples:
  stead auth status
  stead auth enable")]
    Auth(auth::Auth),
    /// Create, change and show users
    #[command(after_help = "Examples:
  stead user add alice
  stead user grant-role alice reader")]
    User(user::User),
    /// Create, change and show roles
    #[command(after_help = "Examples:
  stead role add reader
  stead role grant-permission reader read /app/ --prefix")]
    Role(role::Role),
    /// Hold a lock while a command runs, or until ctrl-C
    #[command(
        after_help = "The command finds the key of the lock in ETCD_LOCK_KEY, and in ETCD_LOCK_REV a number that is
larger for every next holder. If the lock is lost, the command is ended with SIGTERM. The exit
code is that of the command.

Examples:
  stead lock backup ./backup.sh --full
  stead lock backup --ttl 30 -- sh -c 'echo $ETCD_LOCK_REV'"
    )]
    Lock(lock::Lock),
    /// Take part in an election, or listen to one
    #[command(after_help = "Examples:
  stead elect primary \"$(hostname)\"
  stead elect primary --listen")]
    Elect(elect::Elect),
    /// Give up history before a revision
    #[command(after_help = "Examples:
  stead compact 42")]
    Compact(kv::Compact),
    /// Show, add, remove, update and promote members of the cluster
    #[command(after_help = "Examples:
  stead member list
  stead member add n4 --peer-urls http://10.0.0.4:2380")]
    Member(member::Member),
    /// Hand leadership to another member
    #[command(after_help = "Examples:
  stead move-leader 8e9e05c52164694d --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379")]
    MoveLeader(move_leader::MoveLeader),
    /// Ask to go back to an older version (of an etcd: Stead has none to go back to)
    #[command(after_help = "Examples:
  stead downgrade validate 3.6
  stead downgrade cancel")]
    Downgrade(downgrade::Downgrade),
    /// Show how each node is
    #[command(after_help = "Examples:
  stead endpoint health --cluster
  stead endpoint status --cluster -o json")]
    Endpoint(endpoint::Endpoint),
    /// Show and clear alarms, such as that of a full database
    #[command(after_help = "Examples:
  stead alarm list
  stead alarm disarm")]
    Alarm(alarm::Alarm),
    /// Ask nodes to give back the space on their disk of what was removed
    #[command(after_help = "Examples:
  stead defrag --cluster")]
    Defrag(endpoint::Defragment),
    /// Save a store as a file, and make a new cluster from one; the files are etcd's
    #[command(after_help = "Examples:
  stead snapshot save backup.db
  stead snapshot status backup.db
  stead snapshot restore backup.db --data-dir restored")]
    Snapshot(snapshot::Snapshot),
    /// Write the keys of a file into a store, with their revisions if the store is empty
    #[command(after_help = "Examples:
  stead import keys.jsonl
  stead import keys.jsonl --plain --endpoints 127.0.0.1:2379,127.0.0.1:22379")]
    Import(transfer::Import),
    /// Write all keys of a store into a file, one JSON object a line
    #[command(after_help = "Examples:
  stead export keys.jsonl
  stead export --prefix /registry/ --rev 42 | wc -l")]
    Export(transfer::Export),
    /// Print the version
    #[command(after_help = "Examples:
  stead version")]
    Version,
}

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
    let arguments: Vec<OsString> = env::args_os().collect();
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
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            error.print()?;
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
                _ => Err(CliError::new(Exit::BadArguments, "")),
            };
        }
    };
    if arguments.version {
        return print_version();
    }
    let Some(command) = arguments.command else {
        return Err(CliError::new(
            Exit::BadArguments,
            "a command is missing: `stead --help` lists all, `stead dev` starts a local cluster",
        ));
    };
    // One thread does for a client, and a child process lives as long as the thread that made it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(dispatch(&command, &arguments.client))
}

async fn dispatch(command: &Command, arguments: &ClientArguments) -> Result<(), CliError> {
    let format = arguments.output;
    let client = || arguments.client();
    match command {
        Command::Server => Err(CliError::new(
            Exit::BadArguments,
            "`server` must be the first argument: stead server --help",
        )),
        Command::Dev(dev) => dev.run(format).await,
        Command::Get(get) => get.run(&client()?, format).await,
        Command::Put(put) => put.run(&client()?, format).await,
        Command::Del(delete) => delete.run(&client()?, format).await,
        Command::Txn(txn) => txn.run(&client()?, format).await,
        Command::Watch(watch) => watch.run(&client()?, format).await,
        Command::Lease(lease) => lease.run(&client()?, format).await,
        Command::Auth(auth) => auth.run(&client()?, format).await,
        Command::User(user) => user.run(&client()?, format).await,
        Command::Role(role) => role.run(&client()?, format).await,
        Command::Lock(lock) => lock.run(&client()?, format).await,
        Command::Elect(elect) => elect.run(&client()?, format).await,
        Command::Compact(compact) => compact.run(&client()?, format).await,
        Command::Member(member) => member.run(&client()?, format).await,
        Command::MoveLeader(transfer) => transfer.run(&client()?, format).await,
        Command::Downgrade(downgrade) => downgrade.run(&client()?, format).await,
        Command::Endpoint(endpoint) => endpoint.run(&client()?, format).await,
        Command::Alarm(alarm) => alarm.run(&client()?, format).await,
        Command::Defrag(defragment) => defragment.run(&client()?, format).await,
        Command::Snapshot(snapshot) => snapshot.run(client, format).await,
        Command::Import(import) => import.run(&client()?, format).await,
        Command::Export(export) => export.run(&client()?).await,
        Command::Version => print_version(),
    }
}

fn print_version() -> Result<(), CliError> {
    Ok(writeln!(io::stdout(), "stead {}", env!("CARGO_PKG_VERSION"))?)
}

/// Flags of the server are text.
fn texts(arguments: &[OsString]) -> Result<Vec<String>, CliError> {
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_key_of_the_store_and_the_key_of_a_certificate_are_told_apart() {
        let line = ["stead", "put", "color", "blue", "--cert=a.pem", "--key=a.key"];
        let parsed = Arguments::try_parse_from(line).unwrap();
        assert!(matches!(parsed.command, Some(Command::Put(_))));
        let parsed = Arguments::try_parse_from(["stead", "get", "color"]).unwrap();
        assert!(matches!(parsed.command, Some(Command::Get(_))));
    }

    #[test]
    fn the_help_of_every_command_ends_with_examples() {
        fn check(command: &clap::Command) {
            let subcommands: Vec<_> = command
                .get_subcommands()
                .filter(|command| command.get_name() != "server")
                .collect();
            for subcommand in &subcommands {
                let help = subcommand
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(help.contains("Examples:\n"), "{}", subcommand.get_name());
                check(subcommand);
            }
        }
        check(&Arguments::command());
        assert!(crate::config::help("stead server").contains("Examples:\n"));
    }
}
