//! Times as Go writes them, and so whoever speaks Consul's interface: `10s`, `1m30s`, `1.5h`, `100ms`.
//!
//! Signs are Go's too; [`crate::base::duration`] knows the rest. Never says what a time is for, or how long it may be.

use std::time::Duration;

use crate::base::duration;

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

/// A time as Go shows it: `10s`, `1m30s`, `1.5ms`.
#[must_use]
pub fn shown(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let amount = nanoseconds.unsigned_abs();
    let fraction = |amount: u64, unit: u64, name: &str| {
        let (whole, part) = (amount / unit, amount % unit);
        let width = unit.ilog10();
        let digits = format!("{part:0width$}", width = usize::try_from(width).unwrap_or(0));
        match digits.trim_end_matches('0') {
            "" => format!("{whole}{name}"),
            digits => format!("{whole}.{digits}{name}"),
        }
    };
    let text = match amount {
        0 => "0s".to_owned(),
        1..1_000 => format!("{amount}ns"),
        1_000..1_000_000 => fraction(amount, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(amount, 1_000_000, "ms"),
        _ => {
            let minutes = amount / 60_000_000_000;
            let seconds = fraction(amount % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
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
        for text in [
            "10s", "1m30s", "24h0m0s", "1.5ms", "1ms", "0s", "7ns", "-5s", "1m0.25s",
        ] {
            assert_eq!(shown(nanoseconds(text).unwrap()), text);
        }
    }
}
