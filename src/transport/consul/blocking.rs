//! Reads that may wait for a change.
//!
//! A read says what it has seen, at which revision, and the index of that: the revision of the newest change of it. If the
//! request names an index that is not smaller, nothing has changed for whoever asks, and the read waits: in the index of
//! ranges for keys, for the catalog for services. A thousand waiting requests are a thousand entries in memory.

use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, timeout_at};

use super::answer::Meta;
use super::call::Call;
use crate::base::Revision;
use crate::service::consul::{ConsulError, Watched};

/// Part of the wait that is added at random at most, so that those who asked together do not come back together (Consul).
const JITTER_PART: u32 = 16;

/// What a read saw.
pub(super) struct Seen<T> {
    /// What is answered.
    pub answer: T,
    /// The revision of the newest change of it.
    pub index: Revision,
    /// The revision at which it was read.
    pub revision: Revision,
}

/// Reads, and reads again after each change of what is watched, until the index has passed that of the request or its wait
/// is over. `read` is told whether what this member has is good enough: at first if the request says so, and always after
/// a change, which this member knows of.
///
/// # Errors
/// Those of `read`, or the node is stopping.
pub(super) async fn blocking<T, Reading>(
    call: &Call,
    watched: Watched,
    read: impl Fn(bool) -> Reading,
) -> Result<(T, Meta), ConsulError>
where
    Reading: Future<Output = Result<Seen<T>, ConsulError>> + Send,
{
    let options = &call.options;
    // One that is too far behind to be as good is as one that may not be stale.
    let mut is_stale = options.is_stale()
        && options
            .maximum_silence
            .is_none_or(|maximum| call.consul.contact().silence <= maximum);
    let Some(after) = options.index else {
        let seen = read(is_stale).await?;
        return Ok((seen.answer, call.meta(seen.index)));
    };
    let after = Revision(i64::try_from(after).unwrap_or(i64::MAX));
    let until = Instant::now() + options.wait + jitter(options.wait);
    let mut waiter = call.consul.waiter(watched);
    loop {
        let seen = read(is_stale).await?;
        // What nothing has changed since has the index that whoever asks knows, on every member.
        let index = match after <= seen.revision {
            true => seen.index.max(after),
            false => seen.index,
        };
        let is_over = index > after || Instant::now() >= until || call.stopping.is_cancelled();
        if !is_over {
            let waiting = timeout_at(until, waiter.changed(seen.revision, index));
            tokio::select! {
                changed = waiting => if let Ok(changed) = changed { changed?; is_stale = true; continue },
                () = call.stopping.cancelled() => {}
            }
        }
        return Ok((seen.answer, call.meta(index)));
    }
}

fn jitter(wait: Duration) -> Duration {
    rand::rng().random_range(Duration::ZERO..=wait / JITTER_PART)
}
