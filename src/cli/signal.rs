//! The two signals by which a process is asked to stop.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::CliError;

/// How a process is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// SIGINT: ctrl-C, which the terminal sends to every process of the command.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Listens for the signals.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system does not let this process listen.
    pub(super) fn listen() -> Result<Self, CliError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}

/// Listens for SIGINT (ctrl-C) and SIGTERM from now on; the future ends at the first of them.
///
/// # Errors
/// The system does not let this process listen.
pub(super) fn stop() -> Result<impl Future<Output = ()>, CliError> {
    let mut signals = StopSignals::listen()?;
    Ok(async move {
        signals.next().await;
    })
}
