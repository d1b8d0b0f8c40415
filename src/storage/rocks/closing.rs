//! Keeps the end of the process and the closing of a database apart.
//!
//! RocksDB has locks that are gone once the process has begun to end, and whoever closes a database after that takes one
//! of them: the process then dies of a signal, although all was done and on disk. Whoever holds a database last may be any
//! thread. So the end of the process waits for what is being closed, and nothing begins to be closed after that.

use std::sync::Once;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Longest time that the end of the process waits.
const MAXIMUM_WAIT_SECONDS: u64 = 10;

struct Closings {
    under_way: usize,
    process_ends: bool,
}

static CLOSINGS: Mutex<Closings> = Mutex::new(Closings {
    under_way: 0,
    process_ends: false,
});
static CHANGED: Condvar = Condvar::new();
static GUARD: Once = Once::new();

/// From now on the end of the process waits. To be called after a database was opened: what was made last ends first.
pub(super) fn guard() {
    GUARD.call_once(|| {
        if !shutdown_hooks::add_shutdown_hook(process_ends) {
            tracing::warn!("the end of the process cannot wait until databases are closed");
        }
    });
}

extern "C" fn process_ends() {
    let mut closings = CLOSINGS.lock();
    closings.process_ends = true;
    let wait = Duration::from_secs(MAXIMUM_WAIT_SECONDS);
    CHANGED.wait_while_for(&mut closings, |closings| closings.under_way > 0, wait);
}

/// A database is about to be closed: its [`Closed`] is dropped after that. Once the process ends, this does not return.
pub(super) fn begin() {
    let mut closings = CLOSINGS.lock();
    while closings.process_ends {
        CHANGED.wait(&mut closings);
    }
    closings.under_way += 1;
}

/// Says, when it is dropped, that a database is closed.
pub(super) struct Closed;

impl Drop for Closed {
    fn drop(&mut self) {
        CLOSINGS.lock().under_way -= 1;
        CHANGED.notify_all();
    }
}
