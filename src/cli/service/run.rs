//! `stead service run`: an instance that is registered for as long as a program runs.
//!
//! What happens to the instance is said on standard error; the outputs are the program's. An instance that others
//! deregister stays so while the program goes on: to end it would make whoever supervises this command start it, and so
//! register it, again. Never leaves an instance behind: what it cannot deregister ends with its time to live.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use tokio::process::Child;
use tokio::time::timeout;

use super::registration::RegistrationArguments;
use crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
use crate::cli::exit::{CliError, Exit};
use crate::cli::program::{self, passed_on, terminate};
use crate::cli::signal::{Stop, StopSignals};
use crate::client::{Client, ClientError, Registration, Services, Standing};

/// How long a program that is to stop may go on while its instance is being deregistered.
const STOP_AFTER: Duration = Duration::from_secs(2);

/// What is registered, and what is run.
#[derive(Debug, Clone, Args)]
pub(super) struct Run {
    #[command(flatten)]
    registration: RegistrationArguments,
    /// Seconds after which the instance is gone if this process dies
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=MAXIMUM_LEASE_TTL_SECONDS))]
    ttl: i64,
    /// What to run, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Run {
    /// Registers, runs the program, and deregisters when it has ended.
    ///
    /// # Errors
    /// The registration was refused, the program cannot be run, or did not end with success.
    pub(super) async fn run(&self, client: Client) -> Result<(), CliError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(CliError::invalid("the command to run is missing"));
        };
        let mut signals = StopSignals::listen()?;
        let instance = self.registration.instance(self.ttl)?;
        let services = Services::of(client);
        let registration = tokio::select! {
            registered = services.register(instance) => registered?,
            _ = signals.next() => return Err(CliError::new(
                Exit::Interrupted,
                "interrupted before the instance was registered; it is gone when its time to live is over",
            )),
        };
        let instance = registration.instance();
        let environment = [
            ("STEAD_SERVICE_NAME", OsString::from(&instance.service)),
            ("STEAD_SERVICE_ID", OsString::from(&instance.id)),
            ("STEAD_SERVICE_NODE", OsString::from(&instance.node)),
            ("STEAD_SERVICE_ADDRESS", OsString::from(&instance.address)),
            ("STEAD_SERVICE_PORT", OsString::from(instance.port.to_string())),
        ];
        match program::start(program, arguments, environment) {
            Ok(child) => follow(child, registration, &mut signals).await,
            Err(error) => {
                said(registration.deregister().await)?;
                Err(error)
            }
        }
    }
}

/// Waits for the program to end, and deregisters then, or before if it is to stop.
async fn follow(
    mut child: Child,
    mut registration: Registration,
    signals: &mut StopSignals,
) -> Result<(), CliError> {
    let stop = loop {
        tokio::select! {
            ended = child.wait() => {
                let status = ended?;
                said(registration.deregister().await)?;
                return passed_on(status);
            }
            stop = signals.next() => break stop,
            standing = registration.changed() => tell(&registration, &standing)?,
        }
    };
    // Nobody is to be sent to a program that ends. SIGINT comes from a terminal, which sends it to both.
    let mut deregistering = tokio::spawn(registration.deregister());
    let mut outcome = timeout(STOP_AFTER, &mut deregistering).await.ok();
    if stop == Stop::Terminate {
        terminate(&child);
    }
    let status = loop {
        tokio::select! {
            ended = child.wait() => break ended?,
            stop = signals.next() => if stop == Stop::Terminate {
                terminate(&child);
            },
            late = &mut deregistering, if outcome.is_none() => outcome = Some(late),
        }
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => deregistering.await,
    };
    said(outcome.unwrap_or(Ok(())))?;
    passed_on(status)
}

/// Says how the registration is now.
fn tell(registration: &Registration, standing: &Standing) -> io::Result<()> {
    let instance = registration.instance();
    let (id, node) = (&instance.id, &instance.node);
    let mut out = io::stderr();
    match standing {
        Standing::Registered { epoch } => {
            writeln!(out, "{id} is registered on {node} again, with epoch {epoch}")
        }
        Standing::Lost => writeln!(
            out,
            "{id} on {node} is gone; registering it again if its time was over"
        ),
        Standing::Ended(error) => writeln!(
            out,
            "{id} is not registered on {node} any more, and the command goes on without: {error}"
        ),
        Standing::Deregistered => Ok(()),
    }
}

/// Says why an instance could not be deregistered, which is no failure of the program.
fn said(outcome: Result<(), ClientError>) -> io::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => writeln!(
            io::stderr(),
            "cannot deregister ({error}); the instance is gone when its time to live is over"
        ),
    }
}
