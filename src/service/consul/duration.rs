//! Times as Go writes them, and so whoever speaks Consul's interface: `10s`, `1m30s`, `1.5h`, `100ms`.
//!
//! Signs are Go's too; [`crate::base::duration`] knows the rest. Never says what a time is for, or how long it may be.

use std::time::Duration;

use crate::base::duration;
pub use crate::base::duration::shown;

/// A time as Go writes it: `10s`, `1m30s`, `1.5h`, `100ms`; `0` alone needs no unit. None if it is none, or negative.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let nanoseconds = nanoseconds(text)?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// As [`duration()`], in nanoseconds, and negative ones too.
#[must_use]
pub fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, amount) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    // A span that fits into 63 bits of nanoseconds: 292 years.
    let amount = i64::try_from(duration::parse(amount)?.as_nanos()).ok()?;
    Some(sign * amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, wanted) in [
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("120000ms", 120_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("0", 0),
            ("0s", 0),
            ("-5s", -5_000_000_000),
            ("7ns", 7),
            ("1h0m0.5s", 3_600_500_000_000),
        ] {
            assert_eq!(nanoseconds(text), Some(wanted), "{text}");
        }
        for text in ["", "10", "s", "10x", "1.2.3s", "-", "ten", "9999999999h", "1 s"] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }
}
