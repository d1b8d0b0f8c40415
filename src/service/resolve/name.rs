//! The forms of names: see [`super`]. Never looks anything up.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hexadecimal digits of an address of either family.
const IPV4_DIGITS: usize = 8;
const IPV6_DIGITS: usize = 32;

/// What a name asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject<'name> {
    /// The domain itself.
    Domain,
    /// This server.
    Server,
    /// Nothing by itself: other names end with it.
    Ending,
    /// The instances of a service.
    Service {
        /// Its name.
        name: &'name str,
        /// The tag that they must have.
        tag: Option<Cow<'name, str>>,
    },
    /// A node.
    Node(Cow<'name, str>),
    /// A prepared query, by name or id.
    Query(Cow<'name, str>),
    /// An address.
    Address(IpAddr),
    /// No form that there is.
    Unknown,
}

impl<'name> Subject<'name> {
    /// Reads the labels of a name in front of the domain, from left to right.
    #[must_use]
    pub fn of(labels: &[&'name str], datacenter: &str) -> Self {
        if labels.is_empty() {
            return Self::Domain;
        }
        let (labels, is_placed) = without_datacenter(labels, datacenter);
        let Some((last, front)) = labels.split_last() else {
            return Self::Ending;
        };
        let last = *last;
        let is = |word: &str| last.eq_ignore_ascii_case(word);
        if is("ns") && front.is_empty() && !is_placed {
            Self::Server
        } else if ["service", "node", "addr", "query"].into_iter().any(is) && front.is_empty() {
            Self::Ending
        } else if is("service") {
            Self::service(front)
        } else if is("node") {
            Self::Node(joined(front))
        } else if is("query") {
            Self::Query(joined(front))
        } else if let (true, [digits]) = (is("addr"), front) {
            address(digits).map_or(Self::Unknown, Self::Address)
        } else if last.starts_with('_') {
            // RFC 2782 without the word in front of the domain.
            match front {
                [] => Self::Ending,
                [service] if service.starts_with('_') => Self::service(labels),
                _ => Self::Unknown,
            }
        } else {
            Self::Unknown
        }
    }

    fn service(labels: &[&'name str]) -> Self {
        if let [service, tag] = labels
            && let (Some(name), Some(tag)) = (service.strip_prefix('_'), tag.strip_prefix('_'))
        {
            let is_protocol = tag.eq_ignore_ascii_case("tcp");
            let tag = (!is_protocol).then_some(Cow::Borrowed(tag));
            return Self::Service { name, tag };
        }
        match labels.split_last() {
            None => Self::Ending,
            Some((name, [])) => Self::Service { name, tag: None },
            Some((name, tag)) => Self::Service {
                name,
                tag: Some(joined(tag)),
            },
        }
    }
}

/// The labels without `dc1` or `dc1.dc` at their end, and whether that was there.
fn without_datacenter<'a, 'name>(labels: &'a [&'name str], datacenter: &str) -> (&'a [&'name str], bool) {
    match labels {
        [front @ .., own, word]
            if word.eq_ignore_ascii_case("dc") && own.eq_ignore_ascii_case(datacenter) =>
        {
            (front, true)
        }
        [word] if word.eq_ignore_ascii_case("dc") => (&[], true),
        [front @ .., own] if own.eq_ignore_ascii_case(datacenter) => (front, true),
        _ => (labels, false),
    }
}

fn joined<'name>(labels: &[&'name str]) -> Cow<'name, str> {
    match labels {
        [only] => Cow::Borrowed(only),
        _ => Cow::Owned(labels.join(".")),
    }
}

fn address(digits: &str) -> Option<IpAddr> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        IPV4_DIGITS => u32::from_str_radix(digits, 16)
            .ok()
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IPV6_DIGITS => u128::from_str_radix(digits, 16)
            .ok()
            .map(|bits| Ipv6Addr::from_bits(bits).into()),
        _ => None,
    }
}
