//! `stead secret run`: a program that is given secrets as variables and as files, and told when they change.
//!
//! What happens to the secrets is said on standard error; the outputs are the program's. A program goes on with what it was
//! given when the secrets cannot be read any more, or when one of them is not there any more. Never passes the token on unless it is asked to, and never leaves a file
//! behind.

mod memory;
mod spec;

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::memory::MemoryFiles;
use self::spec::{SecretFile, Variable};
use super::ask::Session;
use super::follow::{Followed, say};
use super::place::Reference;
use super::token_file;
use crate::cli::exit::CliError;
use crate::cli::program::{self, passed_on};
use crate::cli::signal::{Stop, StopSignals};
use crate::client::ClientError;

/// The variable that names the folder of files with a mere name.
const FOLDER_VARIABLE: &str = "STEAD_SECRETS_DIR";

/// How long a program that is to be run again may take to end.
const STOP_AFTER: Duration = Duration::from_secs(10);

/// The variables of a program.
type Environment = Vec<(String, OsString)>;

/// What a program is given, and the program.
#[derive(Debug, Clone, Args)]
pub(super) struct Run {
    /// A variable, NAME=path#field; may be given several times
    #[arg(long = "env", value_name = "NAME=PATH#FIELD", value_parser = spec::variable)]
    variables: Vec<Variable>,
    /// A file in memory, name=path#field; may be given several times
    #[arg(long = "file", value_name = "FILE=PATH#FIELD", value_parser = spec::file)]
    files: Vec<SecretFile>,
    /// Send the program this signal when a secret has changed: HUP, USR1, USR2, INT, TERM, QUIT or WINCH
    #[arg(long = "signal", value_name = "SIGNAL", value_parser = signal_of)]
    on_change: Option<Signal>,
    /// Run the program again when a secret has changed
    #[arg(long, conflicts_with = "on_change")]
    restart: bool,
    /// Pass the variables with the token on to the program
    #[arg(long)]
    keep_token: bool,
    /// What to run, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// A signal by its name, with SIG in front or without.
///
/// # Errors
/// It is none of those that programs are told by.
pub(super) fn signal_of(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    Ok(match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        _ => return Err("write one of HUP, USR1, USR2, INT, TERM, QUIT and WINCH".to_owned()),
    })
}

/// What happens while a program runs.
enum Event {
    Ended(io::Result<ExitStatus>),
    Told(Signal),
    Changed(Result<(), ClientError>),
}

/// The signals that are passed on.
struct Signals {
    stop: StopSignals,
    others: [(Listener, Signal); 3],
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        Ok(Self {
            stop: StopSignals::listen()?,
            others: [
                (signal(SignalKind::hangup())?, Signal::HUP),
                (signal(SignalKind::user_defined1())?, Signal::USR1),
                (signal(SignalKind::user_defined2())?, Signal::USR2),
            ],
        })
    }

    /// The next one. SIGINT comes from a terminal, which sends it to the program, too.
    async fn next(&mut self) -> Signal {
        let [hangup, first, second] = &mut self.others;
        loop {
            tokio::select! {
                stop = self.stop.next() => if stop == Stop::Terminate {
                    return Signal::TERM;
                },
                _ = hangup.0.recv() => return hangup.1,
                _ = first.0.recv() => return first.1,
                _ = second.0.recv() => return second.1,
            }
        }
    }
}

impl Run {
    /// Reads the secrets, runs the program, and follows the secrets until it has ended.
    ///
    /// # Errors
    /// A secret cannot be read, the program cannot be run, or did not end with success.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        if self.variables.is_empty() && self.files.is_empty() {
            return Err(CliError::invalid(
                "nothing is given to the program: name secrets with --env or --file",
            ));
        }
        let mut signals = Signals::listen()?;
        let references = self.variables.iter().map(|variable| &variable.reference);
        let references = references.chain(self.files.iter().map(|file| &file.reference));
        let paths: Vec<String> = references.map(|reference| reference.path.clone()).collect();
        let mut followed = Followed::open(session, &paths).await?;
        // From here on nothing is missed.
        followed.begin(session).await?;
        followed.read(session).await?;
        let mut files = MemoryFiles::prepare(&self.files)?;
        let environment = self.renew(|reference| followed.wanted(reference), &mut files)?;
        let mut child = self.start(environment)?;
        followed.passed_on();
        loop {
            let event = tokio::select! {
                ended = child.wait() => Event::Ended(ended),
                told = signals.next() => Event::Told(told),
                changed = followed.next(session) => Event::Changed(changed),
            };
            match event {
                Event::Ended(status) => return passed_on(status?),
                Event::Told(signal) => program::send(&child, signal),
                Event::Changed(Err(error)) => say(&format!(
                    "secrets are not followed any more, and the program goes on: {error}"
                )),
                Event::Changed(Ok(())) => {
                    match self.renew(|reference| followed.wanted(reference), &mut files) {
                        Ok(environment) => {
                            self.tell(environment, &mut child).await?;
                            followed.passed_on();
                        }
                        Err(error) => followed.failed(&error),
                    }
                }
            }
        }
    }

    /// Replaces the files and gives the variables, once all that the program is given is there: else no file is touched.
    fn renew(
        &self,
        wanted: impl Fn(&Reference) -> Result<Zeroizing<String>, CliError>,
        files: &mut MemoryFiles,
    ) -> Result<Environment, CliError> {
        let texts = self.files.iter().map(|file| wanted(&file.reference));
        let texts = texts.collect::<Result<Vec<_>, CliError>>()?;
        let mut environment = Environment::new();
        for variable in &self.variables {
            let value = variable.holding(wanted(&variable.reference)?)?;
            environment.push((variable.name.clone(), OsString::from(value.as_str())));
        }
        for (file, text) in self.files.iter().zip(&texts) {
            files.write(&file.path, text.as_bytes())?;
        }
        environment.extend(
            files
                .folder()
                .map(|folder| (FOLDER_VARIABLE.to_owned(), folder.into())),
        );
        Ok(environment)
    }

    fn start(&self, environment: Environment) -> Result<Child, CliError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(CliError::invalid("the command to run is missing"));
        };
        let removed: &[&str] = if self.keep_token {
            &[]
        } else {
            &token_file::VARIABLES
        };
        program::start_without(removed, program, arguments, environment)
    }

    /// Tells the program of a change, or runs it again.
    async fn tell(&self, environment: Environment, child: &mut Child) -> Result<(), CliError> {
        if let Some(signal) = self.on_change {
            program::send(child, signal);
        }
        if self.restart {
            say("a secret has changed; running the program again");
            program::terminate(child);
            if timeout(STOP_AFTER, child.wait()).await.is_err() {
                child.kill().await?;
            }
            *child = self.start(environment)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn given(variables: &[&str], files: &[&str]) -> Run {
        Run {
            variables: variables
                .iter()
                .map(|text| spec::variable(text).unwrap())
                .collect(),
            files: files.iter().map(|text| spec::file(text).unwrap()).collect(),
            on_change: None,
            restart: true,
            keep_token: false,
            command: vec!["true".into()],
        }
    }

    #[test]
    fn no_file_is_replaced_unless_all_that_a_program_is_given_is_there() {
        let run = given(&["A=secret/a#a"], &["a=secret/a#a", "b=secret/a#b"]);
        let mut files = MemoryFiles::prepare(&run.files).unwrap();
        let folder = files.folder().unwrap().to_owned();
        let mut renew = |a: Option<&str>, b: Option<&str>| {
            let wanted = |reference: &Reference| {
                let value = match reference.field.as_deref() {
                    Some("a") => a,
                    _ => b,
                };
                let value = value.map(|value| Zeroizing::new(value.to_owned()));
                value.ok_or_else(|| CliError::failure("it is missing"))
            };
            run.renew(wanted, &mut files)
        };
        let environment = renew(Some("one"), Some("one")).unwrap();
        let expected: Environment = vec![
            ("A".to_owned(), "one".into()),
            (FOLDER_VARIABLE.to_owned(), folder.clone().into()),
        ];
        assert_eq!(environment, expected);
        for (a, b) in [
            (Some("two"), None),
            (None, Some("two")),
            (Some("t\0wo"), Some("two")),
        ] {
            assert!(renew(a, b).is_err(), "{a:?} {b:?}");
            for name in ["a", "b"] {
                assert_eq!(
                    fs::read_to_string(folder.join(name)).unwrap(),
                    "one",
                    "{a:?} {b:?}"
                );
            }
        }
        renew(Some("two"), Some("three")).unwrap();
        assert_eq!(fs::read_to_string(folder.join("b")).unwrap(), "three");
    }

    #[test]
    fn a_signal_has_a_name_with_or_without_sig() {
        for text in ["HUP", "sighup", "SIGHUP"] {
            assert_eq!(signal_of(text), Ok(Signal::HUP), "{text}");
        }
        for text in ["", "KILL", "1", "SIG"] {
            assert!(signal_of(text).is_err(), "{text}");
        }
    }
}
