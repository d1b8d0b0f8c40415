//! The flags of DNS. Never resolves a name: servers are given by address. Never shows the token.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::error::ConfigError;
use super::settings::{interval, invalid, switch};
use super::sources::{Given, Values};
use crate::base::duration;
use crate::base::limits::MAXIMUM_TOKEN_FILE_BYTES;
use crate::base::secret::Secret;
use crate::transport::dns::{DnsSettings, DomainName, ServiceTtls};

/// Where recursors listen unless it is said otherwise.
const DNS_PORT: u16 = 53;
/// Longest time that an answer may be good for: 31 bits of seconds (RFC 2181).
const MAXIMUM_TTL: Duration = Duration::from_secs(0x7fff_ffff);
/// Bytes of a label.
const MAXIMUM_LABEL_BYTES: usize = 63;

type Result<T> = std::result::Result<T, ConfigError>;

/// Where to listen for DNS; nowhere if it is empty.
///
/// # Errors
/// The address that is none.
pub(super) fn listen(values: &Values) -> Result<Vec<SocketAddr>> {
    let given = values.get("listen-dns");
    parts(&given)
        .map(|part| {
            part.parse().map_err(|_| {
                let mend =
                    format!("{part:?} is no address; write 127.0.0.1:8600 or [::1]:8600, comma-separated");
                invalid(&given, mend)
            })
        })
        .collect()
}

/// How names are answered by a server that listens on `listen`.
///
/// # Errors
/// The first value that cannot be, with its mend.
pub(super) fn settings(values: &Values, listen: &[SocketAddr]) -> Result<DnsSettings> {
    let mut domains = vec![domain(values, "consul-domain")?];
    if !values.get("consul-alt-domain").value.is_empty() {
        domains.push(domain(values, "consul-alt-domain")?);
    }
    let addresses: Vec<IpAddr> = listen
        .iter()
        .map(SocketAddr::ip)
        .filter(|address| !address.is_unspecified())
        .collect();
    Ok(DnsSettings {
        domains,
        datacenter: datacenter(values)?,
        token: token(values)?,
        only_passing: switch(values, "dns-only-passing")?,
        newest: switch(values, "dns-consistent")?,
        tells_truncation: switch(values, "dns-enable-truncate")?,
        service_ttls: service_ttls(&values.get("dns-service-ttl"))?,
        node_ttl: ttl(
            &values.get("dns-node-ttl"),
            Some(interval(values, "dns-node-ttl")?),
        )?,
        recursors: recursors(&values.get("dns-recursors"), listen)?,
        recursor_timeout: match interval(values, "dns-recursor-timeout")? {
            Duration::ZERO => {
                let given = values.get("dns-recursor-timeout");
                return Err(invalid(&given, "write a time that is not 0, such as 2s"));
            }
            timeout => timeout,
        },
        addresses,
    })
}

/// The token in the file, without the blanks around it.
fn token(values: &Values) -> Result<Option<Secret<String>>> {
    let given = values.get("dns-token-file");
    if given.value.is_empty() {
        return Ok(None);
    }
    if !switch(values, "consul-acl")? {
        return Err(invalid(&given, "it counts only together with --consul-acl"));
    }
    let text = read_token(&given.value).map_err(|cause| {
        let mend = format!("cannot be read: {cause}; name a text file that this server may read");
        invalid(&given, mend)
    })?;
    let token = text.expose().trim();
    let is_bounded = u64::try_from(text.expose().len()).is_ok_and(|bytes| bytes <= MAXIMUM_TOKEN_FILE_BYTES);
    if token.is_empty() || token.contains(char::is_whitespace) || !is_bounded {
        let mend = format!(
            "write the secret id of one token into it, and nothing else, at most {MAXIMUM_TOKEN_FILE_BYTES} bytes"
        );
        return Err(invalid(&given, mend));
    }
    Ok(Some(Secret::new(token.to_owned())))
}

/// The beginning of a file: one byte more than it may have.
fn read_token(path: &str) -> io::Result<Secret<String>> {
    let mut text = String::new();
    let length = MAXIMUM_TOKEN_FILE_BYTES.saturating_add(1);
    File::open(path)?.take(length).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}

fn parts(given: &Given) -> impl Iterator<Item = &str> {
    given
        .value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn domain(values: &Values, flag: &'static str) -> Result<DomainName> {
    let given = values.get(flag);
    DomainName::parse(&given.value).ok_or_else(|| {
        invalid(
            &given,
            "write a name of letters, digits and hyphens, such as consul or dc.example.com",
        )
    })
}

/// The datacenter is a label of names.
pub(super) fn datacenter(values: &Values) -> Result<String> {
    let given = values.get("consul-datacenter");
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let length = given.value.len();
    if !(1..=MAXIMUM_LABEL_BYTES).contains(&length) || !given.value.bytes().all(is_label) {
        return Err(invalid(
            &given,
            "write 1 to 63 small letters, digits, hyphens and underscores",
        ));
    }
    Ok(given.value)
}

fn ttl(given: &Given, parsed: Option<Duration>) -> Result<Duration> {
    parsed
        .filter(|ttl| ttl.subsec_nanos() == 0 && *ttl <= MAXIMUM_TTL)
        .ok_or_else(|| invalid(given, "write whole seconds, such as 10s"))
}

/// `web=10s,api-*=5s,*=1s`
fn service_ttls(given: &Given) -> Result<ServiceTtls> {
    let mut ttls = ServiceTtls::default();
    for part in parts(given) {
        let Some((pattern, text)) = part.split_once('=') else {
            let mend = format!("{part:?} has no time; write name=10s,beginning*=5s,*=1s");
            return Err(invalid(given, mend));
        };
        if !ttls.add(pattern, ttl(given, duration::parse(text))?) {
            let mend = format!(
                "{pattern:?} is there twice, or has a star that is not at its end; write name=10s,beginning*=5s,*=1s"
            );
            return Err(invalid(given, mend));
        }
    }
    Ok(ttls)
}

fn recursors(given: &Given, listen: &[SocketAddr]) -> Result<Vec<SocketAddr>> {
    parts(given)
        .map(|part| {
            let address = part.parse::<SocketAddr>().ok();
            let address = address.or_else(|| Some(SocketAddr::new(part.parse::<IpAddr>().ok()?, DNS_PORT)));
            match address {
                Some(address) if listen.contains(&address) => {
                    let mend = format!("{address} is this server itself (--listen-dns); name others");
                    Err(invalid(given, mend))
                }
                Some(address) if !address.ip().is_unspecified() && address.port() != 0 => Ok(address),
                _ => {
                    let mend = format!("{part:?} is no address of a server; write 10.0.0.2 or 10.0.0.2:53");
                    Err(invalid(given, mend))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
