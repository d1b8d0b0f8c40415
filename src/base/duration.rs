//! Durations as Go writes them, and so etcd's flags and Vault's requests: `5s`, `1h30m`, `1.5h`, `100ms`.
//!
//! What is read is never negative: few that take one have a use for it.

use std::time::Duration;

/// The units, longest name first where one is the beginning of another.
const UNIT_NANOSECONDS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration; none if it is not one, is negative or too long to be counted in nanoseconds.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds: u64 = 0;
    loop {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .filter(|end| *end > 0)?;
        let (number, after) = rest.split_at(digits);
        let (unit, factor) = UNIT_NANOSECONDS
            .into_iter()
            .find(|(unit, _)| after.strip_prefix(unit).is_some_and(ends_unit))?;
        nanoseconds = nanoseconds.checked_add(scaled(number, factor)?)?;
        rest = after.strip_prefix(unit)?;
        if rest.is_empty() {
            return Some(Duration::from_nanos(nanoseconds));
        }
    }
}

fn ends_unit(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(|character: char| character.is_ascii_digit() || character == '.')
}

/// A decimal number times `factor`, what is left behind the last whole nanosecond cut off.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(factor)?;
    let mut place = factor;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(place.checked_mul(u64::from(digit.to_digit(10)?))?)?;
    }
    Some(total)
}

/// A span of time as Go shows it: `10s`, `1m30s`, `1.5ms`, `-1s`.
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
    fn every_form_of_etcd_is_read() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000),
            ("100ms", 100),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2m0.25s", 120_250),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in ["", "5", "s", "-1s", "5 s", "5d", "1.2.3s", ".s", "99999999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_span_is_shown_as_go_shows_it() {
        for (nanoseconds, text) in [
            (10_000_000_000, "10s"),
            (90_000_000_000, "1m30s"),
            (86_400_000_000_000, "24h0m0s"),
            (1_500_000, "1.5ms"),
            (1_000_000, "1ms"),
            (1_500, "1.5µs"),
            (0, "0s"),
            (7, "7ns"),
            (-5_000_000_000, "-5s"),
            (60_250_000_000, "1m0.25s"),
        ] {
            assert_eq!(shown(nanoseconds), text);
        }
    }
}
