//! The names under which the program is called, and what differs between them.
//!
//! There is one definition of each command. Called `etcdctl`, a link or a copy, the program takes the same commands in
//! etcdctl's way: its environment variables, its form of an answer unless another is asked for, its exit codes, and
//! `Error: ` before what failed. Commands that only Stead has are not there. Called `etcd` it is a server.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, ArgMatches, Command, CommandFactory as _};

use super::exit::{CliError, Exit};
use super::output::{Format, OutputForm, WriteOut};
use super::{Arguments, ClientArguments};
use crate::config::ETCD_VERSION;

/// Commands that etcdctl does not have.
const OWN_COMMANDS: [&str; 7] = ["server", "dev", "service", "secret", "import", "export", "man"];

/// Variables of etcdctl that shape the answer, and count only under its name.
const SHAPES: [&str; 2] = ["write-out", "hex"];

/// Flags that etcdctl reads when it runs the command, so that a wrong value ends with another code.
const LATE_FLAGS: [&str; 4] = ["--write-out", "--order", "--sort-by", "--consistency"];

/// The name under which the program is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// By its own.
    Stead,
    /// As etcd's server.
    Etcd,
    /// As etcd's client.
    Etcdctl,
    /// As etcd's tool for files.
    Etcdutl,
}

impl Called {
    /// The name in the first argument of the process, whatever folder it is in.
    pub(super) fn of(program: Option<&OsString>) -> Self {
        let name = program.and_then(|program| Path::new(program).file_name());
        match name.and_then(|name| name.to_str()) {
            Some("etcd") => Self::Etcd,
            Some("etcdctl") => Self::Etcdctl,
            Some("etcdutl") => Self::Etcdutl,
            _ => Self::Stead,
        }
    }

    /// The line for an error.
    pub(super) fn error(self, error: &CliError) -> String {
        match self {
            Self::Stead | Self::Etcd => format!("error: {error}"),
            // What etcdctl says when time is over, which is what it is looked for by.
            Self::Etcdctl if error.exit == Exit::BadConnection => {
                format!("Error: context deadline exceeded: {error}")
            }
            Self::Etcdctl | Self::Etcdutl => format!("Error: {error}"),
        }
    }

    /// The exit code.
    pub(super) fn code(self, exit: Exit) -> u8 {
        exit.code(matches!(self, Self::Etcdctl | Self::Etcdutl))
    }

    /// The text of `version`. What looks for etcd's tools reads the first line.
    pub(super) fn version(self) -> String {
        let own = env!("CARGO_PKG_VERSION");
        let interface = ETCD_VERSION
            .rsplit_once('.')
            .map_or(ETCD_VERSION, |(interface, _)| interface);
        match self {
            Self::Stead => format!("stead {own}\n"),
            Self::Etcd => format!("etcd Version: {ETCD_VERSION}\nStead Version: {own}\n"),
            Self::Etcdctl => {
                format!("etcdctl version: {ETCD_VERSION}\nAPI version: {interface}\nStead version: {own}\n")
            }
            Self::Etcdutl => {
                format!("etcdutl version: {ETCD_VERSION}\nAPI version: {interface}\nStead version: {own}\n")
            }
        }
    }

    /// The form of answers.
    pub(super) fn format(self, arguments: &ClientArguments) -> Format {
        let write_out = match self {
            Self::Etcdctl | Self::Etcdutl => Some(arguments.write_out.unwrap_or(WriteOut::Simple)),
            Self::Stead | Self::Etcd => arguments.write_out,
        };
        Format::new(arguments.output, write_out, arguments.hex)
    }

    /// The definition of the command line.
    pub(super) fn command(self) -> Command {
        let mut command = Arguments::command().args_override_self(true);
        for (name, variable) in self.variables(&command) {
            command = command.mut_arg(name, |argument| argument.env(variable));
        }
        if self == Self::Etcdctl {
            for name in OWN_COMMANDS {
                if command.find_subcommand(name).is_some() {
                    command = command.mut_subcommand(name, |command| command.hide(true));
                }
            }
            command = renamed(command.name("etcdctl").bin_name("etcdctl"))
                .about("A client of etcd's protocol, in the place of etcdctl")
                .mut_arg("output", |argument| {
                    argument
                        .hide(true)
                        .env(None::<&str>)
                        .default_value(OutputForm::default().name())
                });
        }
        command
    }

    /// Prints the options that every command has.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn print_options(self) -> Result<(), CliError> {
        let template = "The following options can be passed to any command:\n\n{options}\n";
        Ok(self.command().help_template(template).print_help()?)
    }

    /// The arguments that etcdctl's variables give, where Stead's do not.
    fn variables(self, command: &Command) -> Vec<(String, String)> {
        let is_set = |variable: &str| env::var_os(variable).is_some_and(|value| !value.is_empty());
        command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .filter_map(|argument| {
                let long = argument.get_long()?;
                let suffix = long.to_ascii_uppercase().replace('-', "_");
                let variable = format!("ETCDCTL_{suffix}");
                let counts = self == Self::Etcdctl || !SHAPES.contains(&long);
                (counts && is_set(&variable) && !is_set(&format!("STEAD_{suffix}")))
                    .then(|| (argument.get_id().to_string(), variable))
            })
            .collect()
    }

    /// Reads the command line. None if it asked for help, which is printed.
    ///
    /// # Errors
    /// It is wrong; what is wrong is printed.
    pub(super) fn parse(self, arguments: Vec<OsString>) -> Result<Option<ArgMatches>, CliError> {
        let error = match self.command().try_get_matches_from(&arguments) {
            Ok(matches) => return self.without_own(matches).map(Some),
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ) {
            error.print()?;
            return match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if self == Self::Stead => {
                    Err(CliError::new(Exit::BadArguments, ""))
                }
                _ => Ok(None),
            };
        }
        // Variables count as arguments, so that it is not seen that there is none.
        if self == Self::Etcdctl && error.kind() == ErrorKind::MissingSubcommand {
            let help = [arguments, vec![OsString::from("--help")]].concat();
            return self.parse(help);
        }
        // `--prefix=true`, as flags are written for etcdctl, too.
        if let Ok(matches) = with_values(self.command()).try_get_matches_from(arguments) {
            return self.without_own(matches).map(Some);
        }
        if self == Self::Stead {
            error.print()?;
            return Err(CliError::new(Exit::BadArguments, ""));
        }
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        write!(std::io::stderr(), "Error: {text}")?;
        Err(CliError::new(etcdctl_exit(&error), ""))
    }

    /// Refuses what the name does not have.
    fn without_own(self, matches: ArgMatches) -> Result<ArgMatches, CliError> {
        match matches.subcommand_name() {
            Some(name) if self == Self::Etcdctl && OWN_COMMANDS.contains(&name) => Err(CliError::failure(
                format!("unknown command {name:?} for \"etcdctl\""),
            )),
            _ => Ok(matches),
        }
    }
}

/// The code with which etcdctl ends for a wrong command line.
fn etcdctl_exit(error: &clap::Error) -> Exit {
    let is_late = || {
        let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        argument.is_some_and(|argument| LATE_FLAGS.iter().any(|flag| argument.starts_with(flag)))
    };
    let is_positional = || {
        let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        argument.is_some_and(|argument| !argument.starts_with('-'))
    };
    let is_permission = || {
        let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        argument.is_some_and(|argument| argument == "<KIND>")
    };
    match error.kind() {
        ErrorKind::InvalidValue if is_late() => Exit::Unsupported,
        ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict | ErrorKind::TooManyValues => {
            Exit::BadArguments
        }
        ErrorKind::InvalidValue if is_permission() => Exit::BadArguments,
        ErrorKind::ValueValidation | ErrorKind::UnknownArgument if is_positional() => Exit::BadArguments,
        _ => Exit::Failure,
    }
}

/// The examples of all commands under etcdctl's name.
fn renamed(command: Command) -> Command {
    let help = command.get_after_help().map(ToString::to_string);
    let command = match help {
        Some(help) => command.after_help(help.replace("stead ", "etcdctl ").replace("-o json", "-w json")),
        None => command,
    };
    command.mut_subcommands(renamed)
}

/// The same, with switches that take a value, too.
fn with_values(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        if !matches!(argument.get_action(), ArgAction::SetTrue) || argument.get_long().is_none() {
            return argument;
        }
        argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(clap::builder::BoolishValueParser::new())
    });
    command.mut_subcommands(with_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(line: &[&str]) -> u8 {
        let arguments = std::iter::once("etcdctl").chain(line.iter().copied());
        match Called::Etcdctl.command().try_get_matches_from(arguments) {
            Ok(_) => 0,
            Err(error) => etcdctl_exit(&error).code(true),
        }
    }

    #[test]
    fn a_link_and_a_copy_are_known_by_their_names() {
        for (program, called) in [
            ("/usr/bin/etcd", Called::Etcd),
            ("etcdctl", Called::Etcdctl),
            ("./etcdutl", Called::Etcdutl),
            ("/opt/etcd/stead", Called::Stead),
            ("stead-0.1", Called::Stead),
        ] {
            assert_eq!(Called::of(Some(&OsString::from(program))), called, "{program}");
        }
        assert_eq!(Called::of(None), Called::Stead);
    }

    #[test]
    fn a_wrong_line_ends_with_the_code_of_etcdctl() {
        for (line, code) in [
            (&["get"][..], 128),
            (&["get", "a", "b", "c"], 128),
            (&["get", "a", "--prefix", "--from-key"], 128),
            (&["get", "a", "--order=up"], 4),
            (&["get", "a", "-w", "frob"], 4),
            (&["lease", "revoke", "xyz"], 128),
            (&["role", "grant-permission", "r", "frob", "k"], 128),
            (&["role", "grant-permission", "r", "READ", "k"], 0),
            (&["get", "a", "--nonsense"], 1),
            (&["nonsense"], 1),
            (&["get", "a", "--command-timeout=frob"], 1),
            (
                &["get", "a", "--order=DESCEND", "--sort-by=VALUE", "-w=fields"],
                0,
            ),
        ] {
            assert_eq!(exit_of(line), code, "{line:?}");
        }
    }

    #[test]
    fn a_switch_takes_a_value_as_in_etcdctl() {
        for (line, prefix) in [
            (["etcdctl", "get", "a", "--prefix=true"], true),
            (["etcdctl", "get", "a", "--prefix=false"], false),
            (["etcdctl", "get", "a", "--prefix"], true),
        ] {
            let arguments = line.iter().map(OsString::from).collect();
            let matches = Called::Etcdctl.parse(arguments).unwrap().unwrap();
            let matches = matches.subcommand_matches("get").unwrap();
            assert_eq!(matches.get_flag("prefix"), prefix, "{line:?}");
        }
    }

    #[test]
    fn commands_that_only_stead_has_are_not_there_under_another_name() {
        let error = Called::Etcdctl
            .parse(["etcdctl", "export"].iter().map(OsString::from).collect())
            .unwrap_err();
        assert!(error.message.contains("unknown command \"export\""), "{error}");
        assert!(
            !Called::Etcdctl
                .command()
                .render_help()
                .to_string()
                .contains("export")
        );
    }

    #[test]
    fn the_examples_are_those_of_the_name() {
        fn check(command: &Command) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(!help.contains("stead "), "{help}");
            for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
                check(command);
            }
        }
        check(&Called::Etcdctl.command());
    }
}
