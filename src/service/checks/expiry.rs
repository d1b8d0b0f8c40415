//! When a check with a time to live is critical because nothing was reported: decided by the leader.
//!
//! A check ends its time after the last thing that is known of it: a report that was noted ([`super::heard`]), or a change
//! of it that this member saw. A new leader may lack reports of the last moments of the one before; so a check gets its
//! time once more from the change of leader on, but never more than that once after the last report that anybody knows of:
//! it neither ends early nor begins anew with each leader.
//!
//! Pure: never reads a clock.

use std::time::{Duration, Instant};

use crate::service::registry::{CheckKind, CheckState, Status};

/// Reports that may be lost with a leader were made within this time.
const LOST: Duration = Duration::from_secs(10);

/// When a check is too late: it was heard of last at `last`, and this member leads since `led_since`.
pub(super) fn deadline(ttl: Duration, last: Instant, led_since: Instant) -> Option<Instant> {
    let regular = last.checked_add(ttl)?;
    let once_more = led_since.checked_add(ttl)?;
    let most = regular.checked_add(ttl.max(LOST))?;
    Some(regular.max(once_more.min(most)))
}

/// The time to live of a check.
pub(super) fn ttl(kind: &CheckKind) -> Option<Duration> {
    match kind {
        CheckKind::TimeToLive(ttl) => Some(Duration::from_millis(ttl.milliseconds)),
        _ => None,
    }
}

/// How a check is whose time is over, in Consul's words.
pub(super) fn expired(before: &CheckState) -> CheckState {
    /// Bytes of the last output that are repeated.
    const MAXIMUM_REPEATED_BYTES: usize = 2 * 1024;
    let last = before.output.as_str();
    let end = (0..=last.len().min(MAXIMUM_REPEATED_BYTES))
        .rev()
        .find(|end| last.is_char_boundary(*end));
    let output = match last.get(..end.unwrap_or(0)) {
        Some(last) if !last.is_empty() => {
            format!("TTL expired (last output before timeout follows): {last}")
        }
        _ => "TTL expired".to_owned(),
    };
    CheckState {
        status: Status::Critical,
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_check_ends_its_time_after_the_last_report_while_the_leader_stays() {
        let start = Instant::now();
        let last = start + 50 * SECOND;
        assert_eq!(deadline(10 * SECOND, last, start), Some(last + 10 * SECOND));
        let short = Duration::from_millis(100);
        assert_eq!(deadline(short, last, start), Some(last + short));
    }

    #[test]
    fn a_new_leader_gives_the_time_once_more_and_no_other_after_it_does() {
        let last = Instant::now();
        let ttl = 30 * SECOND;
        // A report might have been lost until the leader changed.
        assert_eq!(deadline(ttl, last, last + 20 * SECOND), Some(last + 50 * SECOND));
        // However often the leader changes.
        for later in [40, 100, 1_000] {
            assert_eq!(
                deadline(ttl, last, last + later * SECOND),
                Some(last + 60 * SECOND)
            );
        }
        let short = Duration::from_millis(100);
        assert_eq!(
            deadline(short, last, last + 5 * SECOND),
            Some(last + 5 * SECOND + short)
        );
        assert_eq!(
            deadline(short, last, last + 100 * SECOND),
            Some(last + short + LOST)
        );
    }

    #[test]
    fn what_ends_says_so_with_what_was_said_last() {
        let said = |output: &str| {
            let before = CheckState {
                status: Status::Passing,
                output: output.into(),
            };
            expired(&before).output
        };
        assert_eq!(said(""), "TTL expired");
        assert_eq!(
            said("well"),
            "TTL expired (last output before timeout follows): well"
        );
        assert!(said(&"ü".repeat(2_000)).len() < 2_200);
    }
}
