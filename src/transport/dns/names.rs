//! Names and records of the domain. Never decides which of them an answer has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_proto::rr::rdata::{A, AAAA, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::base::Revision;
use crate::service::registry::Node;

/// What resolvers that copy the zone would go by, if it could be copied: seconds, as Consul's.
const REFRESH_SECONDS: i32 = 3_600;
const RETRY_SECONDS: i32 = 600;
const EXPIRE_SECONDS: i32 = 86_400;
/// How long "there is no such name" is good for: what is not there may come at any time.
const ABSENT_SECONDS: u32 = 0;
/// Bytes of one string of a text.
const MAXIMUM_STRING_BYTES: usize = 255;
/// Metadata whose key begins so is a text without its key (Consul's).
const PLAIN_TEXT_PREFIX: &str = "rfc1035-";

/// A domain that is answered for, with the ends of the names in it, which are made once.
pub(super) struct Zone {
    /// Its name.
    pub domain: Name,
    /// `ns.consul.`
    pub server: Option<Name>,
    contact: Option<Name>,
    /// `node.dc1.consul.`
    nodes: Option<Name>,
    /// `service.dc1.consul.`
    services: Option<Name>,
    /// `addr.dc1.consul.`
    addresses: Option<Name>,
}

impl Zone {
    /// That of a domain in a datacenter.
    pub fn new(domain: Name, datacenter: &str) -> Self {
        let place = datacenter.as_bytes();
        Self {
            server: under([&b"ns"[..]], &domain),
            contact: under([&b"hostmaster"[..]], &domain),
            nodes: under([&b"node"[..], place], &domain),
            services: under([&b"service"[..], place], &domain),
            addresses: under([&b"addr"[..], place], &domain),
            domain,
        }
    }

    /// `host1.node.dc1.consul.`
    pub fn node(&self, node: &str) -> Option<Name> {
        under(node.split('.').map(str::as_bytes), self.nodes.as_ref()?)
    }

    /// `web.service.dc1.consul.`
    pub fn service(&self, service: &str) -> Option<Name> {
        under([service.as_bytes()], self.services.as_ref()?)
    }

    /// `0a000001.addr.dc1.consul.`
    pub fn address(&self, address: IpAddr) -> Option<Name> {
        let digits = match address {
            IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
            IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
        };
        under([digits.as_bytes()], self.addresses.as_ref()?)
    }

    /// Who answers for it, at a revision; `name` is its name as it was asked.
    pub fn authority(&self, name: Name, revision: Revision) -> Option<Record> {
        // It only ever grows, but for once in four thousand million.
        let serial = u32::try_from(revision.0 & i64::from(u32::MAX)).unwrap_or_default();
        let soa = SOA::new(
            self.server.clone()?,
            self.contact.clone()?,
            serial,
            REFRESH_SECONDS,
            RETRY_SECONDS,
            EXPIRE_SECONDS,
            ABSENT_SECONDS,
        );
        Some(Record::from_rdata(name, ABSENT_SECONDS, RData::SOA(soa)))
    }
}

/// A name under another one; none if it is too long, or a label is.
fn under<'label>(labels: impl IntoIterator<Item = &'label [u8]>, domain: &Name) -> Option<Name> {
    let mut name = Name::new();
    for label in labels {
        name = name.append_label(label).ok()?;
    }
    name.append_domain(domain).ok()
}

/// The name of a host as it was registered.
pub(super) fn host(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    under(text.split('.').map(str::as_bytes), &Name::root())
}

/// The address that a name such as `1.0.0.10.in-addr.arpa.` asks about; none if it is no whole address.
pub(super) fn reversed(name: &Name) -> Option<IpAddr> {
    /// Labels of a whole address of either family.
    const IPV4_LABELS: usize = 4;
    const IPV6_LABELS: usize = 32;
    let labels: Vec<&str> = name
        .iter()
        .map(std::str::from_utf8)
        .collect::<Result<_, _>>()
        .ok()?;
    let (digits, [family, root]) = labels.split_last_chunk()?;
    if !root.eq_ignore_ascii_case("arpa") {
        return None;
    }
    let digits = digits.iter().rev().copied();
    if family.eq_ignore_ascii_case("in-addr") && digits.len() == IPV4_LABELS {
        let text: Vec<&str> = digits.collect();
        return text.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::from);
    }
    if family.eq_ignore_ascii_case("ip6") && digits.len() == IPV6_LABELS {
        let is_digit = |label: &str| label.len() == 1 && label.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits.clone().all(is_digit) {
            return None;
        }
        let bits = u128::from_str_radix(&digits.collect::<String>(), 16).ok()?;
        return Some(Ipv6Addr::from_bits(bits).into());
    }
    None
}

/// Whole seconds, as records have them: 31 bits (RFC 2181).
pub(super) fn seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs())
        .unwrap_or(u32::MAX)
        .min(u32::MAX >> 1)
}

/// An address under a name.
pub(super) fn address_record(name: Name, address: IpAddr, ttl: u32) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name, ttl, data)
}

/// Whether a question of this type asks for an address.
pub(super) fn asks_for(kind: RecordType, address: IpAddr) -> bool {
    match kind {
        RecordType::ANY => true,
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    }
}

/// The metadata of a node as texts (RFC 1464).
pub(super) fn texts(node: &Node) -> impl Iterator<Item = TXT> {
    node.metadata.iter().map(|(key, value)| {
        let text = match key.starts_with(PLAIN_TEXT_PREFIX) {
            true => value.clone(),
            false => format!("{}={value}", quoted(key)),
        };
        let mut strings: Vec<&[u8]> = text.as_bytes().chunks(MAXIMUM_STRING_BYTES).collect();
        if strings.is_empty() {
            strings.push(b"");
        }
        TXT::from_bytes(strings)
    })
}

/// A key in which nothing is taken for its end: an equals sign or a grave accent anywhere, and blanks at either end, stand
/// behind a grave accent.
fn quoted(key: &str) -> String {
    let is_blank = |character: char| character == ' ' || character == '\t';
    let first = key.find(|character| !is_blank(character)).unwrap_or(key.len());
    let end = key.trim_end_matches(is_blank).len();
    let mut text = String::with_capacity(key.len());
    for (at, character) in key.char_indices() {
        let is_outer = is_blank(character) && (at < first || at >= end);
        if is_outer || character == '=' || character == '`' {
            text.push('`');
        }
        text.push(character);
    }
    text
}
