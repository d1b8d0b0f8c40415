//! `stead server`, and the binary when it is called `etcd`: reads the configuration, starts the log, runs the node.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write as _};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::called::Called;
use super::exit::{CliError, Exit};
use super::logging;
use crate::config::{self, Invocation};

/// Names the process with which a node ends: `stead dev` sets it to its own id.
pub(super) const PARENT_VARIABLE: &str = "STEAD_PARENT_PROCESS";

/// Runs a node until it is told to stop.
///
/// # Errors
/// The configuration cannot be, or the node failed.
pub(super) fn run(program: &str, arguments: &[String]) -> Result<(), CliError> {
    let environment = environment()?;
    end_with_parent(environment.get(PARENT_VARIABLE))?;
    let config = match config::parse(arguments, &environment) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Help) => {
            io::stdout().write_all(config::help(program).as_bytes())?;
            return Ok(());
        }
        Ok(Invocation::Version) => {
            io::stdout().write_all(Called::Etcd.version().as_bytes())?;
            return Ok(());
        }
        Err(error) => return Err(CliError::new(Exit::Failure, error.to_string())),
    };
    logging::start(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()?;
    runtime
        .block_on(crate::node::run(config))
        .map_err(|error| CliError::failure(error.to_string()))
}

/// One processor is left to the threads beside the runtime, which write the log and apply entries: with a worker on each,
/// they keep interrupting each other (measured on two processors: a tenth of the processor time of a put). Nothing that
/// takes long runs on a worker.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1).max(1))
}

/// The variables that can be settings.
fn environment() -> Result<BTreeMap<String, String>, CliError> {
    let mut environment = BTreeMap::new();
    for (name, value) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("STEAD_") && !name.starts_with("ETCD_") {
            continue;
        }
        let value = value
            .to_str()
            .ok_or_else(|| CliError::invalid(format!("the environment variable {name} is not UTF-8 text")))?;
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(environment)
}

/// Lets the kernel kill this process when its parent dies. The parent may be dead already: then this one ends at once.
fn end_with_parent(parent: Option<&String>) -> Result<(), CliError> {
    let Some(parent) = parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| CliError::failure(format!("cannot ask to end with the parent process: {error}")))?;
    let now = getppid().map(|process| process.as_raw_nonzero().to_string());
    if now.as_ref() != Some(parent) {
        return Err(CliError::failure(format!(
            "{PARENT_VARIABLE} is {parent:?}, but that process is not the parent of this one; unset the variable"
        )));
    }
    Ok(())
}
