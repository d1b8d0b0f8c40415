//! A program that is run for the user: it is told when to end, and how it ended is passed on.
//!
//! It ends with this process, also when that is killed, where the system can see to it (Linux).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

use super::exit::{CliError, Exit};

/// Starts a program with more in its environment. It shares the input and the outputs.
///
/// # Errors
/// It cannot be run.
pub(super) fn start(
    program: &OsStr,
    arguments: &[OsString],
    environment: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
) -> Result<Child, CliError> {
    start_without(&[], program, arguments, environment)
}

/// The same, without some variables of this process.
///
/// # Errors
/// As [`start`].
pub(super) fn start_without(
    removed: &[&str],
    program: &OsStr,
    arguments: &[OsString],
    environment: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
) -> Result<Child, CliError> {
    let mut command = Command::new(program);
    for name in removed {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment);
    let parent = getpid();
    // SAFETY: between fork and exec only two system calls are made, and no memory is touched.
    unsafe {
        command.pre_exec(move || end_with(parent));
    }
    command
        .spawn()
        .map_err(|error| CliError::failure(format!("cannot run {}: {error}", program.to_string_lossy())))
}

/// Lets the kernel end this process when its parent dies, which it may have done already.
fn end_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    if getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(
            rustix::io::Errno::SRCH.raw_os_error(),
        ));
    }
    Ok(())
}

/// Asks a program to end.
pub(super) fn terminate(child: &Child) {
    send(child, Signal::TERM);
}

/// Sends a program a signal.
pub(super) fn send(child: &Child, signal: Signal) {
    let process = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(process) = process {
        // One that has ended already needs no signal.
        let _ = kill_process(process, signal);
    }
}

/// The exit code of a program becomes that of this process; a signal becomes what a shell makes of it.
pub(super) fn passed_on(status: ExitStatus) -> Result<(), CliError> {
    const SIGNALED: i32 = 128;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| SIGNALED.saturating_add(signal)))
        .and_then(|code| u8::try_from(code).ok());
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(CliError::new(Exit::Program(code), "")),
        None => Err(CliError::failure(format!("the command ended with {status}"))),
    }
}
