//! The times in a token, and how much clocks may differ.
//!
//! Never reads a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::service::secrets::engine::Fault;
use crate::service::secrets::login::fields;
use crate::service::secrets::parameters;

/// What is allowed where a role says nothing, as in Vault.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// How long a token without an end lasts, and how long before its end one without a beginning is good, as in Vault.
const LIFE: Duration = Duration::from_secs(150);

/// A span in seconds: 0 is the default, and what is negative is none at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Leeway(i64);

impl Leeway {
    /// What a request says.
    pub fn of(name: &str, value: &Value) -> Result<Self, Fault> {
        if let Ok(seconds) = parameters::integer(value)
            && seconds < 0
        {
            return Ok(Self(-1));
        }
        let seconds = fields::span(name, value)?.as_secs();
        i64::try_from(seconds)
            .map(Self)
            .map_err(|_| Fault::Invalid(format!("{name} is too long")))
    }

    /// As answers show it.
    pub fn seconds(self) -> i64 {
        self.0
    }

    fn span(self, default: Duration) -> Duration {
        match u64::try_from(self.0) {
            Ok(0) => default,
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => Duration::ZERO,
        }
    }
}

/// How much clocks may differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Leeways {
    /// For all times.
    pub clock_skew: Leeway,
    /// How long a token lasts that does not say.
    pub expiration: Leeway,
    /// How long before its end a token is good that does not say when it begins.
    pub not_before: Leeway,
}

impl Leeways {
    /// Whether a token with these claims is good now.
    pub fn check(&self, claims: &Map<String, Value>, now: Duration) -> Result<(), String> {
        let (issued, begins, ends) = (time(claims, "iat")?, time(claims, "nbf")?, time(claims, "exp")?);
        let start = begins.max(issued);
        let end = match (ends, start) {
            (Some(end), _) => end,
            (None, Some(start)) => start.saturating_add(self.expiration.span(LIFE)),
            (None, None) => {
                return Err(
                    "no issued at (iat), not before (nbf), or expiration time (exp) claims in token"
                        .to_owned(),
                );
            }
        };
        let begin = begins
            .or(issued)
            .unwrap_or_else(|| end.saturating_sub(self.not_before.span(LIFE)));
        let skew = self.clock_skew.span(CLOCK_SKEW);
        if now >= end.saturating_add(skew) {
            return Err("invalid expiration time (exp) claim: token is expired".to_owned());
        }
        let soon = now.saturating_add(skew);
        if begin > soon {
            return Err("invalid not before (nbf) claim: token not yet valid".to_owned());
        }
        if issued.is_some_and(|issued| issued > soon) {
            return Err("invalid issued at (iat) claim: token issued in the future".to_owned());
        }
        Ok(())
    }
}

/// A time of RFC 7519: seconds since 1970, whole or not.
pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Duration>, String> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_u64().map(Duration::from_secs);
    let read = whole.or_else(|| Duration::try_from_secs_f64(value.as_f64()?).ok());
    read.map(Some).ok_or_else(|| format!("its {name} is no time"))
}
