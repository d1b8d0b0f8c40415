//! What can be refused of the definition of a check by looking at it alone: addresses, times, thresholds, headers.
//!
//! Never resolves a name: where a check may go is decided by [`crate::service::checks::Policy`], here for addresses that
//! are written out, and for all when they are connected to.

use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::definition::{Alias, CheckKind, HttpTarget, Probe, Target, TargetTls, TimeToLive};
use super::error::RegistryError;
use super::validate::{count, invalid, name, text};
use crate::base::limits::{
    MAXIMUM_CHECK_ADDRESS_BYTES, MAXIMUM_CHECK_BODY_BYTES, MAXIMUM_CHECK_HEADERS,
    MAXIMUM_CHECK_INTERVAL_SECONDS, MAXIMUM_CHECK_THRESHOLD, MAXIMUM_CHECK_TIMEOUT_SECONDS,
    MAXIMUM_CHECK_TTL_SECONDS, MAXIMUM_DEREGISTER_AFTER_SECONDS, MAXIMUM_REGISTRY_NAME_BYTES,
};

/// Headers that say how a message is sent, which the member decides, or that open what clouds tell their machines.
const FORBIDDEN_HEADERS: [&str; 16] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-aws-ec2-metadata-token",
    "x-aws-ec2-metadata-token-ttl-seconds",
    "x-forwarded-for",
    "x-google-metadata-request",
];

const MILLISECONDS_PER_SECOND: u64 = 1_000;

/// Checks the definition of a check.
///
/// # Errors
/// What of it cannot be.
pub(super) fn kind(kind: &CheckKind) -> Result<(), RegistryError> {
    match kind {
        CheckKind::Reported | CheckKind::Maintenance => Ok(()),
        CheckKind::TimeToLive(ttl) => time_to_live(ttl),
        CheckKind::Probe(probe) => self::probe(probe),
        CheckKind::Alias(alias) => self::alias(alias),
    }
}

fn at_most(
    field: &'static str,
    milliseconds: u64,
    seconds: u64,
    reason: &'static str,
) -> Result<(), RegistryError> {
    match milliseconds > seconds.saturating_mul(MILLISECONDS_PER_SECOND) {
        true => Err(invalid(field, &format!("{milliseconds}ms"), reason)),
        false => Ok(()),
    }
}

fn time_to_live(ttl: &TimeToLive) -> Result<(), RegistryError> {
    if ttl.milliseconds == 0 {
        return Err(RegistryError::Missing {
            field: "the time to live of a check",
        });
    }
    at_most(
        "the time to live of a check",
        ttl.milliseconds,
        MAXIMUM_CHECK_TTL_SECONDS,
        "give 1 ms to 366 days",
    )?;
    deregister_after(ttl.deregister_after_milliseconds)
}

fn deregister_after(milliseconds: u64) -> Result<(), RegistryError> {
    at_most(
        "the time after which a critical instance is deregistered",
        milliseconds,
        MAXIMUM_DEREGISTER_AFTER_SECONDS,
        "give up to 366 days, or 0 for never",
    )
}

fn probe(probe: &Probe) -> Result<(), RegistryError> {
    if probe.interval_milliseconds == 0 {
        return Err(RegistryError::Missing {
            field: "the interval of a check",
        });
    }
    at_most(
        "the interval of a check",
        probe.interval_milliseconds,
        MAXIMUM_CHECK_INTERVAL_SECONDS,
        "give up to 24 h; less than 1 s counts as 1 s",
    )?;
    at_most(
        "the timeout of a check",
        probe.timeout_milliseconds,
        MAXIMUM_CHECK_TIMEOUT_SECONDS,
        "give up to 10 min, or 0 for 10 s",
    )?;
    deregister_after(probe.deregister_after_milliseconds)?;
    for (field, threshold) in [
        (
            "the successes before a check passes",
            probe.success_before_passing,
        ),
        ("the failures before a check warns", probe.failures_before_warning),
        (
            "the failures before a check is critical",
            probe.failures_before_critical,
        ),
    ] {
        if threshold > MAXIMUM_CHECK_THRESHOLD {
            return Err(invalid(field, &threshold.to_string(), "the most is 1000"));
        }
    }
    if probe.failures_before_warning > probe.failures_before_critical.max(1) {
        return Err(invalid(
            "the failures before a check warns",
            &probe.failures_before_warning.to_string(),
            "give no more than there are before it is critical",
        ));
    }
    match &probe.target {
        Target::Http(http) => self::http(http),
        Target::Udp { address } => host_and_port(address).map(drop),
        Target::Tcp { address, tls } | Target::H2Ping { address, tls } => {
            host_and_port(address)?;
            self::tls(tls.as_ref())
        }
        Target::Grpc {
            address,
            service,
            tls,
        } => {
            host_and_port(address)?;
            text(
                "the gRPC service of a check",
                service,
                MAXIMUM_CHECK_ADDRESS_BYTES,
            )?;
            self::tls(tls.as_ref())
        }
    }
}

fn tls(tls: Option<&TargetTls>) -> Result<(), RegistryError> {
    let Some(tls) = tls.filter(|tls| !tls.server_name.is_empty()) else {
        return Ok(());
    };
    let field = "the TLS server name of a check";
    text(field, &tls.server_name, MAXIMUM_REGISTRY_NAME_BYTES)?;
    match rustls::pki_types::ServerName::try_from(tls.server_name.as_str()) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid(
            field,
            &tls.server_name,
            "give a host name or an IP address",
        )),
    }
}

/// The host, without brackets, and the port of `host:port`.
///
/// # Errors
/// It is not one.
pub fn host_and_port(address: &str) -> Result<(&str, u16), RegistryError> {
    const FIELD: &str = "the address of a check";
    const REASON: &str = "give host:port, an IPv6 address in brackets";
    if address.is_empty() {
        return Err(RegistryError::Missing { field: FIELD });
    }
    text(FIELD, address, MAXIMUM_CHECK_ADDRESS_BYTES)?;
    let parts = address.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
            None => Some(host).filter(|host| !host.contains(':'))?,
        };
        Some((bare, port))
    });
    let (host, port) = parts.ok_or_else(|| invalid(FIELD, address, REASON))?;
    super::validate::address(FIELD, host)?;
    Ok((host, port))
}

fn http(http: &HttpTarget) -> Result<(), RegistryError> {
    target_url(&http.url)?;
    if !http.method.is_empty() {
        const FIELD: &str = "the method of a check";
        let method = Method::from_bytes(http.method.as_bytes());
        let is_known = method.is_ok_and(|method| method != Method::CONNECT && method != Method::TRACE);
        if !is_known || http.method.len() > MAXIMUM_REGISTRY_NAME_BYTES {
            return Err(invalid(FIELD, &http.method, "give one such as GET, HEAD or POST"));
        }
    }
    text("the body of a check", &http.body, MAXIMUM_CHECK_BODY_BYTES)?;
    count("headers of a check", http.headers.len(), MAXIMUM_CHECK_HEADERS)?;
    for (header, values) in &http.headers {
        const FIELD: &str = "the header of a check";
        let lower = header.to_ascii_lowercase();
        if HeaderName::from_bytes(header.as_bytes()).is_err() {
            return Err(invalid(FIELD, header, "it is no name of a header"));
        }
        if FORBIDDEN_HEADERS.contains(&lower.as_str()) {
            return Err(invalid(FIELD, header, "a check may not set it"));
        }
        let size = values.iter().map(String::len).sum::<usize>();
        if size > MAXIMUM_CHECK_BODY_BYTES {
            return Err(RegistryError::TooLong {
                field: FIELD,
                bytes: size,
                maximum: MAXIMUM_CHECK_BODY_BYTES,
            });
        }
        if values.iter().any(|value| HeaderValue::from_str(value).is_err()) {
            return Err(invalid(
                FIELD,
                header,
                "its value has characters that no header may have",
            ));
        }
    }
    tls(Some(&http.tls))
}

/// Reads a URL that a probe may be about.
///
/// # Errors
/// It is not one.
pub fn target_url(given: &str) -> Result<Url, RegistryError> {
    const FIELD: &str = "the URL of a check";
    if given.is_empty() {
        return Err(RegistryError::Missing { field: FIELD });
    }
    text(FIELD, given, MAXIMUM_CHECK_ADDRESS_BYTES)?;
    let url = Url::parse(given).map_err(|_| invalid(FIELD, given, "give http://host:port/path"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(invalid(FIELD, given, "give http://host:port/path, or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Everybody who sees the check would see it.
        return Err(invalid(
            FIELD,
            "(hidden)",
            "it has a name or a password; give a header instead",
        ));
    }
    if url.port_or_known_default() == Some(0) {
        return Err(invalid(FIELD, given, "nobody listens on port 0"));
    }
    Ok(url)
}

fn alias(alias: &Alias) -> Result<(), RegistryError> {
    if alias.node.is_empty() && alias.instance.is_empty() {
        return Err(RegistryError::Missing {
            field: "the node or the instance that a check is an alias of",
        });
    }
    for (field, value) in [
        ("the node that a check is an alias of", &alias.node),
        ("the instance that a check is an alias of", &alias.instance),
    ] {
        if !value.is_empty() {
            name(field, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn http_target(url: &str) -> HttpTarget {
        HttpTarget {
            url: url.into(),
            method: String::new(),
            headers: BTreeMap::new(),
            body: String::new(),
            disable_redirects: false,
            tls: TargetTls::default(),
        }
    }

    fn refusal(target: Target) -> String {
        let probe = Probe::new(target, Duration::from_secs(1));
        kind(&CheckKind::Probe(Box::new(probe))).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, parts) in [
            ("127.0.0.1:80", Some(("127.0.0.1", 80))),
            ("[::1]:80", Some(("::1", 80))),
            ("web.example:8080", Some(("web.example", 8080))),
            ("127.0.0.1", None),
            ("127.0.0.1:0", None),
            ("127.0.0.1:99999", None),
            ("::1:80", None),
            ("[127.0.0.1]:80", None),
            ("0.0.0.0:80", None),
            (":80", None),
            ("", None),
            ("a b:80", None),
        ] {
            assert_eq!(host_and_port(address).ok(), parts, "{address}");
        }
    }

    #[test]
    fn a_url_names_a_host_and_hides_nothing() {
        for (given, refused) in [
            ("http://127.0.0.1:80/a?b", ""),
            ("https://web", ""),
            ("ftp://web/", "http://"),
            ("file:///etc/passwd", "http://"),
            ("web", "http://"),
            ("http://user:secret@web/", "password"),
            ("http://web:0/", "port 0"),
        ] {
            let text = refusal(Target::Http(http_target(given)));
            assert!(
                text.contains(refused) && text.is_empty() == refused.is_empty(),
                "{given}: {text}"
            );
            assert!(!text.contains("secret"));
        }
    }

    #[test]
    fn a_check_sets_no_header_that_is_not_its_own() {
        for (header, value, refused) in [
            ("X-Token", "a", ""),
            ("Host", "web.example", ""),
            ("Authorization", "Bearer x", ""),
            ("Transfer-Encoding", "chunked", "may not set"),
            ("content-length", "3", "may not set"),
            ("Metadata-Flavor", "Google", "may not set"),
            ("a b", "c", "no name"),
            ("X-Token", "a\r\nHost: b", "characters"),
        ] {
            let mut target = http_target("http://web/");
            target.headers.insert(header.into(), vec![value.into()]);
            let text = refusal(Target::Http(target));
            assert!(
                text.contains(refused) && text.is_empty() == refused.is_empty(),
                "{header}: {text}"
            );
        }
        for (method, refused) in [("GET", ""), ("PATCH", ""), ("CONNECT", "GET"), ("a b", "GET")] {
            let mut target = http_target("http://web/");
            target.method = method.into();
            let text = refusal(Target::Http(target));
            assert!(
                text.contains(refused) && text.is_empty() == refused.is_empty(),
                "{method}: {text}"
            );
        }
    }

    #[test]
    fn times_and_thresholds_have_bounds() {
        let udp = || Target::Udp {
            address: "127.0.0.1:9".into(),
        };
        let with = |change: &dyn Fn(&mut Probe)| {
            let mut probe = Probe::new(udp(), Duration::from_secs(1));
            change(&mut probe);
            kind(&CheckKind::Probe(Box::new(probe)))
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(with(&|_| {}), None);
        assert_eq!(
            with(&|probe| probe.interval_milliseconds = 10),
            None,
            "it counts as a second"
        );
        for (change, part) in [
            (
                &(|probe: &mut Probe| probe.interval_milliseconds = 0) as &dyn Fn(&mut Probe),
                "interval",
            ),
            (&|probe| probe.interval_milliseconds = 86_400_001, "24 h"),
            (&|probe| probe.timeout_milliseconds = 600_001, "10 min"),
            (&|probe| probe.success_before_passing = 1_001, "1000"),
            (&|probe| probe.failures_before_warning = 2, "no more than"),
            (
                &|probe| probe.deregister_after_milliseconds = u64::MAX,
                "366 days",
            ),
        ] {
            let text = with(change).unwrap_or_default();
            assert!(text.contains(part), "{part}: {text}");
        }
        let ttl = |milliseconds| {
            kind(&CheckKind::TimeToLive(TimeToLive {
                milliseconds,
                deregister_after_milliseconds: 0,
            }))
        };
        assert!(ttl(1).is_ok() && ttl(100).is_ok());
        assert!(ttl(0).is_err() && ttl(u64::MAX).is_err());
        let probe = Probe::new(udp(), Duration::from_millis(10));
        assert_eq!(probe.interval(), Duration::from_secs(1));
        assert_eq!(probe.timeout(), Duration::from_secs(10));
    }
}
