//! `--auth-token`: `simple`, or `jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m`, as etcd's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::settings::{invalid, number};
use super::sources::Values;
use crate::base::duration;
use crate::service::auth::{JwtMethod, JwtSettings, TokenSettings};

/// How long a JSON Web Token is valid if the options do not say so, as in etcd.
const DEFAULT_JWT_TTL: Duration = Duration::from_secs(300);

/// Longest time to live of a simple token: a year.
const MAXIMUM_TTL_SECONDS: u64 = 31_536_000;

/// How tokens are made.
pub(super) fn tokens(values: &Values) -> Result<TokenSettings, ConfigError> {
    let ttl = number(values, "auth-token-ttl", 1..=MAXIMUM_TTL_SECONDS)?;
    let given = values.get("auth-token");
    match given.value.split_once(',').unwrap_or((&given.value, "")) {
        ("simple", "") => Ok(TokenSettings::Simple {
            ttl: Duration::from_secs(ttl),
        }),
        ("jwt", options) => jwt(options)
            .map(TokenSettings::Jwt)
            .map_err(|mend| invalid(&given, mend)),
        _ => Err(invalid(
            &given,
            "write simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m",
        )),
    }
}

fn jwt(options: &str) -> Result<JwtSettings, String> {
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let Some((name, value)) = option.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(format!("{option:?} has no value; write name=value"));
        };
        if !["sign-method", "pub-key", "priv-key", "ttl"].contains(&name) {
            return Err(format!(
                "{name:?} is no option; there are sign-method, pub-key, priv-key and ttl"
            ));
        }
        if found.insert(name, value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let names = JwtMethod::NAMES.map(|(name, _)| name).join(", ");
    let wanted = found
        .get("sign-method")
        .ok_or_else(|| format!("sign-method is missing; it is one of {names}"))?;
    let method = JwtMethod::NAMES
        .into_iter()
        .find_map(|(name, method)| (name == *wanted).then_some(method))
        .ok_or_else(|| format!("sign-method {wanted:?} is not supported; there are {names}"))?;
    let ttl = match found.get("ttl") {
        None => DEFAULT_JWT_TTL,
        Some(text) => duration::parse(text)
            .filter(|ttl| ttl.as_secs() > 0)
            .ok_or_else(|| format!("ttl {text:?} is no time of at least a second; write one such as 5m"))?,
    };
    let path = |name: &str| found.get(name).map(PathBuf::from);
    let settings = JwtSettings {
        public_key: path("pub-key"),
        private_key: path("priv-key"),
        method,
        ttl,
    };
    match (method.is_symmetric(), &settings.public_key, &settings.private_key) {
        (true, _, None) => Err("priv-key is missing; name the file of the shared secret".to_owned()),
        (false, None, _) => Err("pub-key is missing; name the file of the public key".to_owned()),
        _ => Ok(settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_jwt_are_read_and_what_is_wrong_with_them_is_named() {
        let settings = jwt("pub-key=a.pem,priv-key=b.pem,sign-method=RS512,ttl=10m").unwrap();
        assert_eq!(
            settings,
            JwtSettings {
                public_key: Some("a.pem".into()),
                private_key: Some("b.pem".into()),
                method: JwtMethod::Rs512,
                ttl: Duration::from_secs(600),
            }
        );
        let secret = jwt("priv-key=b,sign-method=HS256").unwrap();
        assert_eq!((secret.public_key, secret.ttl), (None, DEFAULT_JWT_TTL));
        for (options, says) in [
            ("", "sign-method is missing"),
            ("sign-method=none", "\"none\" is not supported"),
            ("sign-method=ES512,pub-key=a", "\"ES512\" is not supported"),
            ("sign-method=RS256", "pub-key is missing"),
            ("sign-method=HS256,pub-key=a", "priv-key is missing"),
            ("sign-method=RS256,pub-key=a,ttl=5", "ttl \"5\""),
            ("sign-method=RS256,pub-key=a,ttl=0s", "ttl \"0s\""),
            ("sign-method=RS256,pub-key=a,pub-key=b", "pub-key is given twice"),
            ("sign-method=RS256,key=a", "\"key\" is no option"),
            ("sign-method", "has no value"),
        ] {
            let error = jwt(options).unwrap_err();
            assert!(error.contains(says), "{options}: {error}");
        }
    }
}
