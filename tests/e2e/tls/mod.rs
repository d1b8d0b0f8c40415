//! TLS between real processes: who is let in, with what clients, and what happens when certificates change.

mod clients;
mod join;
mod revocation;
mod rotation;
pub mod site;

use std::time::{Duration, Instant};

use crate::support::Result;

/// Longest wait for anything in these tests.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `is_so`, which is asked again and again, and says what is awaited if it is never so.
async fn eventually<F>(what: &str, mut is_so: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    let deadline = Instant::now() + MAXIMUM_WAIT;
    while !is_so().await? {
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {MAXIMUM_WAIT:?}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
