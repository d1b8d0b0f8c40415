//! The two signals by which a process is asked to stop.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::CliError;

/// Listens for SIGINT (ctrl-C) and SIGTERM from now on; the future ends at the first of them.
///
/// # Errors
/// The system does not let this process listen.
pub(super) fn stop() -> Result<impl Future<Output = ()>, CliError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
