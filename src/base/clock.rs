//! The only place that reads the clock and draws random numbers for the layers above `state`.
//!
//! Never used by `state`: what could differ between nodes is fixed here, before a command is proposed.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::{Rng, TryRngCore};

use super::ids::LeaseId;

/// Now, on the monotonic clock of this machine.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time since the Unix epoch; zero on a machine whose clock stands before it.
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A random time up to `longest`.
#[must_use]
pub fn random_part_of(longest: Duration) -> Duration {
    longest.mul_f64(rand::rng().random())
}

/// A lease id of the server's choice: positive, 63 bits, as etcd draws them.
#[must_use]
pub fn random_lease_id() -> LeaseId {
    LeaseId(rand::rng().random_range(1..=i64::MAX))
}

/// Random bytes from a generator that is fit for keys and salts.
#[must_use]
pub fn random_bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    rand::rng().random()
}

/// Fills `bytes` from the generator of the operating system, for keys and nonces that are to last. No copy is kept.
///
/// # Errors
/// The system has no randomness to give.
pub fn fill_from_system(bytes: &mut [u8]) -> io::Result<()> {
    rand::rngs::OsRng.try_fill_bytes(bytes).map_err(io::Error::other)
}

/// A random number that tells this run of the process from every other.
#[must_use]
pub fn random_u64() -> u64 {
    rand::rng().random()
}
