//! From when and until when a certificate is valid.
//!
//! Never reads a clock: the time is that of the request.

use std::time::{Duration, UNIX_EPOCH};

use x509_cert::der::DateTime;
use x509_cert::der::asn1::{GeneralizedTime, UtcTime};
use x509_cert::time::Time;

use super::fields;
use super::role::Role;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Call, Fault};

/// The last second that certificates can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// The first year that certificates do not write with two digits.
const FIRST_LONG_YEAR: u16 = 2_050;

/// Until when an issuer can sign, and what is done with what would last longer.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// The last second of the issuer.
    pub end: Duration,
    /// Whether what would last longer is cut; otherwise it is refused.
    pub is_cut: bool,
}

/// The time that a text in the form of RFC 3339 means, in UTC.
///
/// # Errors
/// It means none, or one that certificates cannot have.
pub fn parse(text: &str) -> Result<Duration, Fault> {
    let wrong = || {
        Fault::Invalid(format!(
            "not_after {text:?} is no time; write it in UTC as in 2030-01-02T15:04:05Z"
        ))
    };
    let time = humantime::parse_rfc3339(text).map_err(|_| wrong())?;
    let since_1970 = time.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
    Ok(Duration::from_secs(since_1970.as_secs().min(LAST_SECOND)))
}

/// A time as certificates write it.
///
/// # Errors
/// It is later than they can name.
pub fn time(since_1970: Duration) -> Result<Time, Fault> {
    let late = |_| Fault::Invalid("a certificate cannot last beyond the year 9999".to_owned());
    let date = DateTime::from_unix_duration(Duration::from_secs(since_1970.as_secs())).map_err(late)?;
    if date.year() < FIRST_LONG_YEAR {
        return Ok(Time::UtcTime(UtcTime::from_date_time(date).map_err(late)?));
    }
    Ok(Time::GeneralTime(GeneralizedTime::from_date_time(date)))
}

/// Until when a certificate lasts that is asked for now: until the time that its role names, else as the request says,
/// else as the role, else as the mount. An authority has no role: the time that a request for one names is not cut but
/// by its issuer.
///
/// # Errors
/// The request contradicts itself, or wants what would last longer than its issuer.
pub fn end(
    call: &Call<'_>,
    role: Option<&Role>,
    bound: Option<Bound>,
    warnings: &mut Vec<String>,
) -> Result<Duration, Fault> {
    let wanted = fields::seconds(call.body, "ttl")?.filter(|seconds| *seconds > 0);
    let until = fields::text(call.body, "not_after")?;
    let fixed = role
        .map(|role| role.not_after.as_str())
        .filter(|text| !text.is_empty());
    if wanted.is_some() && (fixed.is_some() || until.is_some()) {
        return Err(Fault::Invalid(
            "Either ttl or not_after should be provided. Both should not be provided in the same request."
                .to_owned(),
        ));
    }
    let end = match (fixed, until) {
        (Some(text), _) => parse(text)?,
        (None, Some(text)) => named(call, role, text, warnings)?,
        (None, None) => call.now + lasting(call, role, wanted, warnings),
    };
    if end <= call.now {
        return Err(Fault::Invalid(format!(
            "the certificate would have expired at {} already",
            rfc3339(end)
        )));
    }
    let Some(bound) = bound.filter(|bound| end.as_secs() > bound.end.as_secs()) else {
        return Ok(end);
    };
    if !bound.is_cut {
        return Err(Fault::Invalid(format!(
            "cannot satisfy request, as TTL would result in notAfter of {} that is beyond the expiration of the CA \
             certificate at {}",
            rfc3339(end),
            rfc3339(bound.end)
        )));
    }
    if bound.end <= call.now {
        return Err(Fault::Invalid(format!(
            "the CA certificate has expired at {}",
            rfc3339(bound.end)
        )));
    }
    warnings.push(format!(
        "the certificate lasts as long as its issuer, until {}",
        rfc3339(bound.end)
    ));
    Ok(bound.end)
}

/// The time that a request names, which is no later than its role allows, if that says so.
fn named(
    call: &Call<'_>,
    role: Option<&Role>,
    text: &str,
    warnings: &mut Vec<String>,
) -> Result<Duration, Fault> {
    let end = parse(text)?;
    let Some(role) = role.filter(|role| role.max_ttl > 0) else {
        return Ok(end);
    };
    let lasting = cut(end.saturating_sub(call.now), role.maximum(call), warnings);
    Ok(end.min(call.now + lasting))
}

fn lasting(
    call: &Call<'_>,
    role: Option<&Role>,
    wanted: Option<u64>,
    warnings: &mut Vec<String>,
) -> Duration {
    let tuning = &call.mount.tuning;
    let maximum = role.map_or_else(|| tuning.maximum_lease(), |role| role.maximum(call));
    let usual = role.map(|role| role.ttl).filter(|seconds| *seconds > 0);
    match wanted.or(usual) {
        Some(seconds) => cut(Duration::from_secs(seconds), maximum, warnings),
        None => tuning.default_lease().min(maximum),
    }
}

fn cut(lasting: Duration, maximum: Duration, warnings: &mut Vec<String>) -> Duration {
    if lasting > maximum {
        warnings.push(format!(
            "TTL \"{}s\" is longer than permitted maxTTL \"{}s\", so maxTTL is being used",
            lasting.as_secs(),
            maximum.as_secs()
        ));
    }
    lasting.min(maximum)
}
