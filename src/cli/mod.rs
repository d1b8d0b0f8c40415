//! The command line: the server, a local cluster, and a client of any etcd v3 store.
//!
//! The names under which the program is called, `stead`, `etcd`, `etcdctl` and `etcdutl`, share these definitions:
//! `called` says what differs. An answer goes to standard output, all else to standard error, and the exit code says how it ended ([`Exit`]).
//! Holds no logic of the store: what is not asked of a server through its wire interface is not done.

mod alarm;
mod auth;
mod called;
mod check;
mod completion;
mod dev;
mod downgrade;
mod elect;
mod endpoint;
mod etcdutl;
mod exit;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod kv;
mod lease;
mod lock;
mod logging;
mod login;
mod member;
mod mirror;
mod move_leader;
mod output;
mod program;
mod role;
mod secret;
mod security;
mod server;
mod service;
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
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, FromArgMatches as _, Parser, Subcommand};

pub use exit::{CliError, Exit};

use crate::client::Client;
use crate::client::node::Times;
use crate::config::parse_duration;
use called::Called;
use exit::EXIT_CODES_HELP;
use output::{OutputForm, WriteOut};
use security::SecurityArguments;

/// Where a client looks for a server if nobody says otherwise.
const DEFAULT_ENDPOINTS: &str = "127.0.0.1:2379";

/// Shortest time between two pings, as in the gRPC library of etcdctl: servers send away who pings more often.
const MINIMUM_KEEPALIVE: Duration = Duration::from_secs(10);

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
    /// Servers to ask: host:port,host:port
    #[arg(long, global = true, env = "STEAD_ENDPOINTS", hide_env_values = true,
          default_value = DEFAULT_ENDPOINTS, value_delimiter = ',', action = clap::ArgAction::Append)]
    endpoints: Vec<String>,
    /// Time to wait for a connection
    #[arg(long, global = true, default_value = "2s", env = "STEAD_DIAL_TIMEOUT", value_parser = duration)]
    dial_timeout: Duration,
    /// Time to wait for an answer
    #[arg(long, global = true, default_value = "5s", env = "STEAD_COMMAND_TIMEOUT", value_parser = duration)]
    command_timeout: Duration,
    /// Time without traffic before an open connection is tried; under 10s counts as 10s
    #[arg(long, global = true, default_value = "10s", env = "STEAD_KEEPALIVE_TIME", value_parser = duration)]
    keepalive_time: Duration,
    /// Time to wait for the answer to that
    #[arg(long, global = true, default_value = "6s", env = "STEAD_KEEPALIVE_TIMEOUT", value_parser = duration)]
    keepalive_timeout: Duration,
    #[command(flatten)]
    login: login::LoginArguments,
    /// Form of the answer
    #[arg(long, short, global = true, value_enum, default_value_t, env = "STEAD_OUTPUT")]
    output: OutputForm,
    /// Form of the answer, as etcdctl has it
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        value_name = "FORMAT",
        conflicts_with = "output"
    )]
    write_out: Option<WriteOut>,
    /// Show keys and values as hexadecimal bytes, and ids in hexadecimal, in etcdctl's forms and as text
    #[arg(long, global = true)]
    hex: bool,
    /// Log what the client does to standard error
    #[arg(long, global = true)]
    debug: bool,
    /// Domain whose SRV records name the servers: not supported, name them with --endpoints
    #[arg(long, short, global = true, hide = true)]
    discovery_srv: Option<String>,
    /// Goes with --discovery-srv
    #[arg(long, global = true, hide = true)]
    discovery_srv_name: Option<String>,
    /// Goes with --discovery-srv
    #[arg(long, global = true, hide = true)]
    insecure_discovery: bool,
    #[command(flatten)]
    security: SecurityArguments,
}

impl ClientArguments {
    fn client(&self) -> Result<Client, CliError> {
        for (flag, value) in [
            ("discovery-srv", &self.discovery_srv),
            ("discovery-srv-name", &self.discovery_srv_name),
        ] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                return Err(CliError::failure(format!(
                    "--{flag} is {value:?}: servers are not looked up in SRV records; name them with --endpoints"
                )));
            }
        }
        let security = self.security.security()?;
        let client = Client::new(&self.endpoints.join(","), &security, self.times())?;
        Ok(client.with_login(self.login.login()?))
    }

    fn times(&self) -> Times {
        Times {
            dial: self.dial_timeout,
            command: self.command_timeout,
            keepalive: self.keepalive_time.max(MINIMUM_KEEPALIVE),
            keepalive_timeout: self.keepalive_timeout,
        }
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
    /// Register, show and follow what offers services
    #[command(after_help = "Examples:
  stead service register --name web --address 10.0.0.1 --port 8080
  stead service list web
  stead service watch web")]
    Service(service::Service),
    /// Keep secrets, and give them to programs
    #[command(after_help = "Examples:
  stead secret init
  stead secret put secret/db/app password=@password.txt
  stead secret get secret/db/app --field password
  stead secret run --env DB_PASSWORD=secret/db/app#password -- ./my-server")]
    Secret(Box<secret::Secret>),
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
    #[command(
        visible_alias = "compact",
        after_help = "Examples:
  stead compaction 42"
    )]
    Compaction(kv::Compact),
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
    /// Look whether the cluster does what work will ask of it
    #[command(after_help = "Examples:
  stead check perf
  stead check datascale --load m")]
    Check(check::Check),
    /// Keep the keys of this store in another one, too, until ctrl-C
    #[command(after_help = "Examples:
  stead make-mirror 10.0.0.9:2379
  stead make-mirror 10.0.0.9:2379 --prefix /app/ --dest-prefix /copy/ --rev 42")]
    MakeMirror(mirror::Mirror),
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
    /// Print a script that completes commands in a shell
    #[command(after_help = "Examples:
  stead completion bash > /etc/bash_completion.d/stead
  stead completion zsh > \"${fpath[1]}/_stead\"
  stead completion fish > ~/.config/fish/completions/stead.fish")]
    Completion(completion::Completion),
    /// Write manual pages
    #[command(after_help = "Examples:
  stead man | man -l -
  stead man /usr/local/share/man/man1")]
    Man(completion::Manual),
    /// Print the options that every command has
    #[command(after_help = "Examples:
  stead options")]
    Options,
    /// Print the version
    #[command(after_help = "Examples:
  stead version")]
    Version,
}

/// Runs what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let called = Called::of(arguments.first());
    let exit = match run(called, arguments) {
        Ok(()) => Exit::Success,
        Err(error) => {
            if !error.message.is_empty() {
                // Nothing is left to tell it to, if standard error is gone.
                let _ = writeln!(io::stderr(), "{}", called.error(&error));
            }
            error.exit
        }
    };
    ExitCode::from(called.code(exit))
}

fn run(called: Called, arguments: Vec<OsString>) -> Result<(), CliError> {
    let rest = |first| texts(arguments.get(first..).unwrap_or_default());
    match called {
        Called::Etcd => return server::run("etcd", &rest(1)?),
        Called::Etcdutl if !etcdutl::is_of_snapshots(&arguments) => return etcdutl::run(&arguments),
        Called::Stead | Called::Etcdctl | Called::Etcdutl => {}
    }
    if called == Called::Stead && arguments.get(1).is_some_and(|command| command == "server") {
        return server::run("stead server", &rest(2)?);
    }
    let Some(matches) = called.parse(arguments)? else {
        return Ok(());
    };
    let arguments = Arguments::from_arg_matches(&matches)
        .map_err(|error| CliError::new(Exit::BadArguments, error.to_string()))?;
    if arguments.version {
        return print_version(called);
    }
    let Some(command) = arguments.command else {
        if called == Called::Etcdctl {
            return Ok(called.command().print_help()?);
        }
        return Err(CliError::new(
            Exit::BadArguments,
            "a command is missing: `stead --help` lists all, `stead dev` starts a local cluster",
        ));
    };
    if arguments.client.debug {
        logging::debug();
    }
    // One thread does for a client, and a child process lives as long as the thread that made it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(dispatch(called, &command, &arguments.client))
}

async fn dispatch(called: Called, command: &Command, arguments: &ClientArguments) -> Result<(), CliError> {
    let format = called.format(arguments);
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
        Command::Service(service) => service.run(&client()?, format).await,
        Command::Secret(secret) => secret.run(client()?, format).await,
        Command::Lock(lock) => lock.run(&client()?, format).await,
        Command::Elect(elect) => elect.run(&client()?, format).await,
        Command::Compaction(compact) => compact.run(&client()?, format).await,
        Command::Member(member) => member.run(&client()?, format).await,
        Command::MoveLeader(transfer) => transfer.run(&client()?, format).await,
        Command::Downgrade(downgrade) => downgrade.run(&client()?, format).await,
        Command::Endpoint(endpoint) => endpoint.run(&client()?, format).await,
        Command::Check(check) => check.run(&client()?, format).await,
        Command::MakeMirror(mirror) => mirror.run(&client()?, format).await,
        Command::Alarm(alarm) => alarm.run(&client()?, format).await,
        Command::Defrag(defragment) => defragment.run(&client()?, format).await,
        Command::Snapshot(snapshot) => snapshot.run(client, format).await,
        Command::Import(import) => import.run(&client()?, format).await,
        Command::Export(export) => export.run(&client()?).await,
        Command::Completion(completion) => completion.run(called),
        Command::Man(manual) => manual.run(called),
        Command::Options => called.print_options(),
        Command::Version => print_version(called),
    }
}

fn print_version(called: Called) -> Result<(), CliError> {
    Ok(write!(io::stdout(), "{}", called.version())?)
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
